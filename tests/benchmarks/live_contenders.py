"""What bench_live measures beside `run_live`: senders, and the same model in other packages' loops.

Shape letters: C polarities, H height, W width.
"""

import argparse
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stdl_events.events.formats.aedat4 import STORED_DTYPE
from stdl_events.events.formats.aedat4_append import _packet
from stdl_events.events.formats.aedat4_layout import PACKET_HEADER
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.live.synthetic import CHUNK_US, SyntheticSource

if TYPE_CHECKING:
    from torch import Tensor

    from stdl_events.live import OnnxSession
    from stdl_events.network.network import SpikingNetwork

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))

Step = Callable[[EventArray], object]
"""The events of a window -> anything: frame and step."""


def send(port: int, sensor_size: tuple[int, int], rate: float, seconds: float) -> None:
    """Serve one AEDAT 4 connection, without compression, a packet every 2 ms, and print the CPU seconds that took.

    All packets are written in the same memory: new memory for each took three times as long as the rest.
    """
    from network_senders import network_writer

    source = SyntheticSource(sensor_size, rate, seconds, behind_s=float("inf"))
    header = network_writer(empty_events(), sensor_size, compression="none")
    count = round(rate * CHUNK_US * 1e-6)
    data = bytearray(_packet(empty_events(count)))
    stored = np.frombuffer(data, STORED_DTYPE, count, len(data) - count * STORED_DTYPE.itemsize)
    with socket.create_server(("127.0.0.1", port)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
    began_s = time.process_time()
    with connection:
        connection.sendall(header)
        for events in source.chunks():
            for name in ("t", "x", "y", "p"):
                stored[name] = events[name]
            connection.sendall(PACKET_HEADER.pack(0, len(data)))
            connection.sendall(data)
        print(time.process_time() - began_s, flush=True)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def norse_step(network: "SpikingNetwork") -> Callable[["Tensor"], "Tensor"]:
    """A step of `network` by torch's modules and Norse's cells, eager, without gradients, which keeps its state."""
    import torch

    *layers, last = network.layers
    parts = [
        (torch.nn.Sequential(layer.body.synapse.conv, layer.body.synapse.norm), layer.body.cell.to_norse(), layer.after)
        for layer in layers
    ]
    states: list[object] = [None] * len(parts)

    @torch.no_grad()
    def step(x: torch.Tensor) -> torch.Tensor:
        for n, (synapse, cell, after) in enumerate(parts):
            spikes, states[n] = cell(synapse(x), states[n])
            x = after(spikes)
        return last.body.linear(x.mean((2, 3)))

    return step


def tonic_and_norse(network: dict[str, object], sensor_size: tuple[int, int]) -> Step:
    """Tonic's ToFrame of a window, then a step of the same network by `norse_step`."""
    import tonic.transforms
    import torch

    from stdl_events.network.network import SpikingNetwork
    from stdl_events.network.spec import NetworkSpec

    to_frame = tonic.transforms.ToFrame(sensor_size=(*sensor_size, 2), n_time_bins=1)
    step = norse_step(SpikingNetwork.build(NetworkSpec.from_dict(network)).eval())
    return lambda events: step(torch.from_numpy(to_frame(events).astype(np.float32)))


def eventcv_loop(path: Path, session: "OnnxSession", window_us: int) -> npt.NDArray[np.float32]:
    """The file's windows, counts of each polarity and recurrent model by eventcv. Returns the last logits."""
    import eventcv

    states = {f"next_state_{number}": f"state_{number}" for number in range(len(session.card.state_shapes))}
    model = eventcv.StatefulModel(eventcv.Model(str(session.path)), state_map=states)
    for window in eventcv.open(str(path), dt_ms=window_us / 1e3):
        counts = [window.filter_polarity(polarity).count().numpy() for polarity in (False, True)]
        logits_BK = model(np.concatenate(counts)[np.newaxis].astype(np.float32))
    return logits_BK


def main() -> None:
    parser = argparse.ArgumentParser(description="Send synthetic events to one client.")
    for name, kind in (("port", int), ("width", int), ("height", int), ("rate", float), ("seconds", float)):
        parser.add_argument(name, type=kind)
    asked = parser.parse_args()
    send(asked.port, (asked.width, asked.height), asked.rate, asked.seconds)


if __name__ == "__main__":
    main()
