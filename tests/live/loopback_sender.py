"""A second process that sends a recording over loopback: python loopback_sender.py KIND PORT EVENTS.npy [PLAN.json].

A plan lists the numbers of the datagrams to send: what is missing in it is lost, what is in it twice is repeated.
"""

import json
import os
import socket
import struct
import sys
import time
from pathlib import Path

import numpy as np

DATAGRAM_EVENTS = 100


def network_writer(port, events, plan):
    import dv_processing as dv

    stream = dv.io.Stream.EventStream(0, "events", "camera", (128, 128))
    writer = dv.io.NetworkWriter("127.0.0.1", port, stream)
    print("listening", flush=True)
    while not writer.getClientCount():
        time.sleep(0.005)
    for part in np.array_split(events, 7):
        store = dv.EventStore()
        for t, x, y, p in part.tolist():
            store.push_back(t, x, y, p)
        writer.writeEvents(store)
    sys.stdin.read()  # until the test has all of it
    os._exit(0)  # the package waits at the interpreter's end, for ever


def udp_sender(port, events, plan):
    import eventcv

    columns = np.stack([events[name].astype(np.uint64) for name in "xytp"], axis=1)
    sender = eventcv.UdpSender(f"127.0.0.1:{port}", timestamps=True)
    assert sender.send(eventcv.from_numpy(columns, sensor_size=(128, 128), time_unit="us")) == len(events)


def jaer_words(events):
    """Address and time of each event of a DVS128, as jAER's chip class lays them out, big-endian."""
    return b"".join(
        struct.pack(">II", (127 - x) << 1 | (127 - y) << 8 | (0 if p else 1), t % 2**32)
        for t, x, y, p in events.tolist()
    )


def jaer_unicast(port, events, plan):
    parts = [events[start : start + DATAGRAM_EVENTS] for start in range(0, len(events), DATAGRAM_EVENTS)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in plan or range(len(parts)):
            sender.sendto(struct.pack(">I", 1 + number) + jaer_words(parts[number]), ("127.0.0.1", port))


def jaer_server(port, events, plan):
    data = jaer_words(events)
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("listening", flush=True)
        peer, _ = listener.accept()
        with peer:
            for start in range(0, len(data), 1_001):
                peer.sendall(data[start : start + 1_001])


KINDS = {"tcp": network_writer, "udp": udp_sender, "jaer": jaer_unicast, "jaer+tcp": jaer_server}

if __name__ == "__main__":
    kind, port, path, *plan = sys.argv[1:]
    KINDS[kind](int(port), np.load(path), json.loads(Path(plan[0]).read_text()) if plan else None)
