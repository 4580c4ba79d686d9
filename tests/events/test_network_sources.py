"""Sources over the network: every event arrives or is counted, and predictions are those of the recording."""

import json
import os
import socket
import threading
from collections import Counter
from contextlib import suppress

import event_files
import network_senders
import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model
from until import Until

from stdl_events.errors import RecordingError, SourceLostError
from stdl_events.events import open_source, write_recording
from stdl_events.events.ordering import extent_of
from stdl_events.events.sources import connection
from stdl_events.events.sources.aedat4_packets import Aedat4Packets, decode_packets
from stdl_events.events.sources.datagrams import DamagedDatagram, Datagram
from stdl_events.events.sources.inbox import Inbox
from stdl_events.events.sources.jaer import JaerDatagrams, Numbers
from stdl_events.events.sources.received import ReceivedSource, in_order
from stdl_events.events.sources.stdin import open_stdin
from stdl_events.events.sources.udp import EventWords
from stdl_events.events.stream import EVENT_DTYPE, RecordingWarning
from stdl_events.live import OnnxSession, Recogniser, run_live

SIZE = (8, 6)
DVS128 = (128, 128)


def scene(size=SIZE, count=3_000):
    events = event_files.make_events(count, *size, t0_us=5_000, step_us=500)
    events["p"] = np.sin(events["t"] / 60_000) > 0
    return events


def model_of(folder, size=SIZE):
    return write_model(folder / f"m{size[0]}.onnx", make_card(stream_spec(size, 4, 10_000)))


class Predictions:
    def __init__(self):
        self.found = []

    def predicted(self, prediction):
        self.found.append((prediction.clip, prediction.t_us, prediction.probabilities))

    def overloaded(self, dropped_frames):
        raise AssertionError("nothing is dropped")

    def ended(self, summary): ...


def received(source, count) -> int:
    """Return the number of events of `source`, which ends once `count` have arrived."""
    return sum(map(len, Until(source, count).chunks()))


def run(model, source):
    sink = Predictions()
    summary = run_live(source, Recogniser(OnnxSession(model), source.sensor_size), [sink], overload="complete")
    return sink.found, summary


def replayed(model, folder, events, size):
    write_recording(folder / "r.h5", events, size)
    found, _ = run(model, open_source(folder / "r.h5", speed=None))
    assert len(found) > 10
    assert len({str(probabilities) for *_, probabilities in found}) > 5
    return found


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_aedat_4_over_tcp_is_the_recording(tmp_path, run_cli, compression):
    """Pieces end anywhere, within the header and within packets."""
    events, model = scene(), model_of(tmp_path)
    data = network_senders.network_writer(events, SIZE, compression=compression)
    pieces = [data[start : start + 997] for start in range(0, len(data), 997)]
    with network_senders.serving(pieces) as port:
        code, out, err = run_cli(
            "live", f"tcp://127.0.0.1:{port}", "--model", model, "--json-lines", "--overload", "complete"
        )
    assert (code, err) == (0, "")
    *predictions, last = (json.loads(line) for line in out.splitlines())
    expected = replayed(model, tmp_path, events, SIZE)
    assert [(p["clip"], p["t_us"], p["probabilities"]) for p in predictions] == expected
    assert (last["summary"]["events"], last["summary"]["source"]) == (len(events), {})


@pytest.mark.parametrize(
    ("scheme", "size", "datagrams", "options"),
    [
        ("jaer", DVS128, network_senders.jaer_datagrams, {}),
        ("udp", SIZE, network_senders.word_datagrams, {}),
        ("udp", SIZE, lambda events: network_senders.word_datagrams(events, order=">"), {"byteorder": "big"}),
    ],
)
def test_datagrams_are_the_recording(tmp_path, scheme, size, datagrams, options):
    events, model = scene(size), model_of(tmp_path, size)
    port = network_senders.free_port()
    query = "".join(f"?{name}={value}" for name, value in options.items())
    source = open_source(f"{scheme}://127.0.0.1:{port}{query}", sensor_size=size, overload="complete")
    network_senders.send_datagrams(port, datagrams(events))
    until = Until(source, len(events))
    found, summary = run(model, until)
    assert found == replayed(model, tmp_path, events, size)
    assert np.array_equal(np.concatenate(until.events), events)
    assert (summary.events, summary.source) == (len(events), {})


def test_words_without_times_are_stamped_on_arrival():
    events, layout = scene(count=300), EventWords("udp://a:1", "<")
    first, second = network_senders.word_datagrams(events, timed=False)
    with pytest.warns(RecordingWarning, match="the events carry no times: each is stamped with the arrival"):
        packets = [Datagram(layout.admit(first), 100), Datagram(layout.admit(second), 900)]
    found = np.concatenate(list(layout.decode(packets)))
    assert all(np.array_equal(found[name], events[name]) for name in "xyp")
    assert found["t"].tolist() == [100] * 150 + [900] * 150
    with pytest.raises(DamagedDatagram, match="with times among others without"):
        layout.admit(network_senders.word_datagrams(events[:2])[0])
    layout.restart()
    layout.admit(network_senders.word_datagrams(events[:2])[0])


@pytest.mark.parametrize(
    ("numbers", "lost", "repeated", "admitted"),
    [
        ([5, 6, 7], 0, 0, [5, 6, 7]),
        ([5, 9], 3, 0, [5, 9]),
        ([5, 8, 6, 9], 1, 0, [5, 8, 6, 9]),
        ([5, 4, 3, 4, 6], 0, 1, [5, 4, 3, 6]),
        ([5, 6, 6, 5, 7], 0, 2, [5, 6, 7]),
        ([2**31 - 1, 0, 2], 1, 0, [2**31 - 1, 0, 2]),
        ([100_000, 1, 2, 3], 0, 0, [100_000, 2, 3]),
        ([5, 2**29, 6, 8], 1, 0, [5, 6, 8]),
    ],
)
def test_missing_numbers_are_lost_until_they_come(numbers, lost, repeated, admitted):
    counts, found = Counter(), []
    seen = Numbers(counts)
    for number in numbers:
        with suppress(DamagedDatagram):
            found += [number] if seen.admit(number) else []
    assert found == admitted
    assert (counts["lost_packets"], counts["repeated_packets"]) == (lost, repeated)


def test_a_davis_is_told_by_its_size_and_its_other_words_are_no_events():
    events = event_files.make_events(60, 240, 180)
    file = event_files.aedat2_davis(events)
    records = file[file.index(b"DAVIS240C\r\n") + len(b"DAVIS240C\r\n") :]
    layout = JaerDatagrams((240, 180))
    (found,) = layout.decode([Datagram(layout.admit((7).to_bytes(4, "big") + records), 0)])
    assert np.array_equal(found, events)
    assert len(records) > 8 * len(events)


def test_lost_and_damaged_datagrams_are_counted():
    events = scene(DVS128)
    datagrams = network_senders.jaer_datagrams(events)
    port = network_senders.free_port()
    with pytest.warns(RecordingWarning, match="the camera is taken for a DVS128, by the model's size"):
        source = open_source(f"jaer://127.0.0.1:{port}", default_sensor_size=DVS128, overload="complete")
    network_senders.send_datagrams(port, [*datagrams[:3], b"garbage", b"more", *datagrams[5:]])
    with pytest.warns(RecordingWarning, match="a datagram of 7 bytes instead of 4 and 8 for each event: skipped"):
        assert received(source, len(events) - 300) == len(events) - 300
    assert source.counts == {"lost_packets": 2, "damaged_packets": 2}


def test_another_sender_waits_until_the_first_is_silent():
    events = scene(DVS128, 300)
    port = network_senders.free_port()
    source = open_source(f"jaer://127.0.0.1:{port}", sensor_size=DVS128, overload="complete")
    first, second = network_senders.jaer_datagrams(events)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for sender, datagram in ((one, first), (other, first), (one, second)):
            sender.sendto(datagram, ("127.0.0.1", port))
    with pytest.warns(RecordingWarning, match="packets of .* are skipped, since .* is sending"):
        assert received(source, 300) == 300
    assert source.counts == {"packets_of_others": 1}


def test_a_refused_connection_is_one_line(tmp_path, run_cli):
    port = network_senders.free_port(socket.SOCK_STREAM)
    arguments = ("live", model_of(tmp_path), "--source", f"tcp://127.0.0.1:{port}")
    for more in ((), ("--reconnect", "0.15")):
        code, out, err = run_cli(*arguments, *more)
        assert (code, out, len(err.splitlines())) == (4, "", 1)
        assert f"tcp://127.0.0.1:{port}: got connection refused; expected a server that sends AEDAT 4" in err


@pytest.mark.parametrize(
    ("pieces", "code", "text"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], 2, "got b'HTTP/1.1 400 Bad'; expected a header of AEDAT 4"),
        (
            [b"#!AER-DAT4.0\r\n" + b"?" * 16],
            2,
            f"got {b'?' * 16!r} behind the first line; expected a header of AEDAT 4",
        ),
        ([], 4, "got a connection closed before its header"),
        ([b"\x40\x01\0\0\x18\0"], 4, "got a connection closed before its header"),
    ],
)
def test_a_peer_of_another_protocol_is_one_line(tmp_path, run_cli, pieces, code, text):
    with network_senders.serving(pieces) as port:
        found, out, err = run_cli("live", model_of(tmp_path), "--source", f"tcp://127.0.0.1:{port}")
    assert (found, out, len(err.splitlines())) == (code, "", 1)
    assert text in err


def test_a_silent_peer_is_lost(monkeypatch):
    monkeypatch.setattr(connection, "HEADER_S", 0.1)
    hold = threading.Event()
    with network_senders.serving([], hold=hold) as port:
        with pytest.raises(SourceLostError, match=r"no header of AEDAT 4 within 0\.1 s"):
            open_source(f"tcp://127.0.0.1:{port}")
        hold.set()


def test_what_came_before_a_broken_packet_is_recognised(tmp_path, run_cli):
    events, model = scene(), model_of(tmp_path)
    data = network_senders.network_writer(events, SIZE)
    with network_senders.serving([data[:-100]]) as port:
        code, out, err = run_cli(
            "live", model, "--source", f"tcp://127.0.0.1:{port}", "--json-lines", "--overload", "complete"
        )
    summary = json.loads(out.splitlines()[-1])["summary"]
    assert (code, summary["events"]) == (4, len(events) - 500)
    assert summary["source"] == {"truncated_packets": 1}
    assert "got a connection closed within a packet, after" in err
    assert len(err.splitlines()) == 1


def test_damaged_packets_are_skipped_and_counted(tmp_path):
    events = scene()
    parts = [event_files.aedat4_packet(part) for part in np.split(events, 6)]
    parts[1], parts[3] = parts[1][:60] + bytes(200), b"\xff" * 40
    data = event_files.aedat4([(0, *SIZE, parts)], compression="none", table=False)[14:]
    with network_senders.serving([data]) as port:
        source = open_source(f"tcp://127.0.0.1:{port}", overload="complete")
        with pytest.warns(RecordingWarning, match="skipped, as are all that are damaged") as warned:
            found = np.concatenate(list(source.chunks()))
    assert len(warned) == 1
    assert source.counts == {"damaged_packets": 2}
    assert np.array_equal(found, np.concatenate([events[:500], events[1000:1500], events[2000:]]))


def test_a_lost_peer_is_opened_again(tmp_path, run_cli):
    """It comes back twice; the run is that of all events, and ends when the peer stays away."""
    events, model = scene(), model_of(tmp_path)
    parts = [network_senders.network_writer(part, SIZE) for part in np.split(events, 3)]
    with network_senders.serving([parts[0] + b"\0\0"], [parts[1]], [parts[2]]) as port:
        code, out, err = run_cli(
            "live", model, "--source", f"tcp://127.0.0.1:{port}", "--json-lines", "--overload", "complete",
            "--reconnect", "0.3",
        )  # fmt: skip
    *predictions, last = (json.loads(line) for line in out.splitlines())
    assert (code, last["summary"]["events"]) == (4, len(events))
    assert last["summary"]["source"] == {"truncated_packets": 1, "reopened": 2}
    # the last window is open when the source is lost
    expected = replayed(model, tmp_path, events, SIZE)
    assert [(p["clip"], p["t_us"], p["probabilities"]) for p in predictions][:-1] == expected[: len(predictions) - 1]
    assert len(predictions) >= len(expected) - 1
    assert err.count("; opening it again, for the ") == 3
    assert "got connection refused" in err.splitlines()[-1]


def pipe_with(data: bytes) -> int:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    threading.Thread(target=write).start()
    return reading


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (event_files.aedat4([(3, *SIZE, np.split(scene(), 5)), (4, 1, 1, [scene()[:7]])]), {"stream": 3}),
        (event_files.aedat4([(0, *SIZE, np.split(scene(), 5))], table=False), {}),
        (event_files.aedat2_dvs128(scene(DVS128)), {}),
        (event_files.evt3(scene(DVS128), width=128, height=128), {}),
    ],
)
def test_stdin_is_the_recording_that_is_piped_in(data, options):
    reading = pipe_with(data)
    source = open_stdin("", descriptor=reading, **options)
    assert source.overload == "complete"
    assert np.array_equal(np.concatenate(list(source.chunks())), scene(source.sensor_size))
    os.close(reading)


def test_warnings_about_stdin_name_it():
    reading = pipe_with(event_files.aedat4([(0, *SIZE, [scene()])], table=False)[:-9])
    with pytest.warns(RecordingWarning, match="^stdin: "):
        list(open_stdin("", descriptor=reading, repair=True).chunks())
    os.close(reading)


@pytest.mark.parametrize(
    ("data", "options", "error", "text"),
    [
        (b"", {}, RecordingError, "stdin: got .*; expected"),
        (b"of no format at all", {}, RecordingError, "stdin: got .*; expected"),
        (
            event_files.aedat4([(0, 8, 6, [scene()])], table=False)[:-9],
            {},
            RecordingError,
            "^stdin: got .* which starts at",
        ),
        (
            event_files.aedat4([(0, 0, 0, [scene()])]),
            {},
            RecordingError,
            "stdin: got .* sensor size; .* pass --sensor WxH",
        ),
        (event_files.npy_structured(scene()), {}, RecordingError, "stdin: got .*npy.*; write it to a file first"),
        (event_files.aedat2_dvs128(scene(DVS128)), {"format": "evt3"}, RecordingError, "stdin: got"),
    ],
)
def test_stdin_of_something_else_is_an_error(data, options, error, text):
    reading = pipe_with(data)
    with pytest.raises(error, match=text):
        list(open_stdin("", descriptor=reading, **options).chunks())
    os.close(reading)


@pytest.mark.parametrize(
    ("source", "options", "text"),
    [
        ("tcp://localhost", {}, r"got no host and port; expected tcp://HOST:PORT, such as"),
        ("udp://a:70000", {}, r"got no host and port; expected udp://HOST:PORT\[\?byteorder=...\]"),
        ("udp://127.0.0.1:1?order=big", {}, "got the setting order"),
        ("udp://127.0.0.1:1?byteorder=middle", {}, "got byteorder=middle; expected little or big"),
        ("udp://127.0.0.1:1", {}, "got no sensor size"),
        (
            "jaer://127.0.0.1:1",
            {"sensor_size": (34, 34)},
            r"got a sensor of 34x34; expected 128x128 \(DVS128\), 240x180",
        ),
        ("tcp://127.0.0.1:1", {"speed": 2.0}, r"got --speed \(speed=\), which tcp does not have; expected overload"),
        ("tcp://127.0.0.1:1", {"start": "5%"}, r"got --from \(start=\), which tcp does not have"),
    ],
)
def test_wrong_addresses_and_options(source, options, text):
    with pytest.raises(RecordingError, match=text):
        open_source(source, **options)


def test_a_port_that_is_taken_is_lost():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SourceLostError, match="address already in use; expected an address of this machine"):
            open_source(f"udp://127.0.0.1:{taken.getsockname()[1]}", sensor_size=SIZE)


def test_a_full_inbox_drops_the_oldest_packets_or_waits():
    inbox = Inbox(100, "fresh")
    for size in (40, 40, 40, 300):
        inbox.put(size, size)
    assert (inbox.take(0), inbox.dropped) == ([300], 3)
    waiting, done = Inbox(100, "complete"), threading.Event()

    def fill():
        for size in (40, 40, 40):
            waiting.put(size, size)
        done.set()

    threading.Thread(target=fill).start()
    taken = []
    while len(taken) < 3:
        taken += waiting.take(10)
    assert done.wait(10)
    assert (taken, waiting.dropped) == ([40, 40, 40], 0)
    error = OSError("gone")
    waiting.put(1, 1)
    waiting.close(error)
    assert waiting.take(0) == [1]
    with pytest.raises(OSError, match="gone"):
        waiting.take(0)


def events_at(times_us):
    events = np.zeros(len(times_us), EVENT_DTYPE)
    events["t"] = times_us
    return events


def test_chunks_are_in_order_but_for_resets():
    times = [5, 3, 9, 7, 10_000_000, 8, 6]
    parts = [part["t"].tolist() for part in in_order(events_at(times), extent_of(events_at(times)))]
    assert parts == [[3, 5, 7, 9, 10_000_000], [6, 8]]
    assert list(in_order(events_at([]), extent_of(events_at([])))) == []


class Given:
    """A receiver of given arrays; silence at the end until the inbox is closed."""

    def __init__(self, parts):
        self.parts, self.counts = parts, Counter()

    def receive(self, inbox):
        for part in self.parts:
            inbox.put(part, 1)
        while not inbox.wait(1):
            pass

    def decode(self, packets):
        return packets

    def close(self): ...


class Paced(Given):
    """Packets on a virtual clock, one for each that the test asks for."""

    def __init__(self):
        super().__init__([])
        self.now_s = 100.0

    def receive(self, inbox):
        self.inbox = inbox
        super().receive(inbox)

    def send(self, chunks, events, after_s):
        """Let time pass, send `events`, and return the clock of the source just before and after they are read."""
        self.now_s += after_s
        next(chunks)
        before_us = self.source.t_now_us
        self.inbox.put(events, 1)
        while not len(next(chunks)):
            pass
        return before_us, self.source.t_now_us


@pytest.mark.parametrize("overload", ["fresh", "complete"])
def test_in_silence_the_clock_goes_on_behind_the_walls(overload):
    paced = Paced()
    paced.source = ReceivedSource("paced", SIZE, paced, overload=overload, clock_s=lambda: paced.now_s)
    chunks = paced.source.chunks()
    next(chunks)
    assert paced.source.t_now_us == 0
    assert paced.send(chunks, events_at([50]), 0) == (0, 50)
    ticks = overload == "fresh"
    # at first the lag is a second; packets of 0.3 s make it 0.375 s, and none of them is behind the clock
    assert paced.send(chunks, events_at([1_500_050]), 1.5) == (50 + 500_000 * ticks, 1_500_050)
    for index in range(1, 60):
        first_us = 1_500_051 + 300_000 * (index - 1)
        before_us, _ = paced.send(chunks, events_at([first_us, first_us + 299_999]), 0.3)
        assert before_us <= first_us
    last_us = first_us + 299_999
    paced.now_s += 2.0
    next(chunks)
    assert paced.source.t_now_us == pytest.approx(last_us + (2_000_000 - 375_000) * ticks, abs=1)
    chunks.close()


def test_events_outside_the_sensor_are_counted():
    events = events_at([1, 2, 3])
    events["x"] = [0, 8, 65535]
    source = ReceivedSource("given", SIZE, Given([events]))
    with pytest.warns(RecordingWarning, match="events outside the 8x6 sensor are skipped"):
        assert received(source, 1) == 1
    assert source.counts == {"outside_events": 2}


def mutated(data: bytes, rng) -> bytes:
    """`data` with bits flipped, cut short, or replaced."""
    changed = bytearray(data)
    for _ in range(rng.integers(0, 4)):
        changed[rng.integers(0, len(changed))] ^= 1 << rng.integers(0, 8)
    if rng.random() < 0.3:
        del changed[rng.integers(0, len(changed)) :]
    return bytes(changed) if rng.random() < 0.95 else rng.bytes(rng.integers(0, 40))


@pytest.mark.parametrize(
    ("layout", "datagrams"),
    [(JaerDatagrams(DVS128), network_senders.jaer_datagrams), (EventWords("udp", "<"), network_senders.word_datagrams)],
)
def test_any_datagram_is_events_or_damage(layout, datagrams):
    rng = np.random.default_rng(0)
    originals = datagrams(scene(DVS128, 200), datagram_events=5)
    refused = 0
    for index in range(2_000):
        datagram = mutated(originals[index % len(originals)], rng)
        try:
            admitted = layout.admit(datagram)
        except DamagedDatagram:
            refused += 1
            continue
        for events in layout.decode([Datagram(admitted, index)] if admitted else []):
            assert len(events) <= len(datagram) // 4
    assert 100 < refused < 1_900


@pytest.mark.filterwarnings("ignore:tcp. its size:stdl_events.events.RecordingWarning")
def test_any_stream_of_packets_is_events_damage_or_an_error():
    rng = np.random.default_rng(1)
    data = network_senders.network_writer(scene(count=60), SIZE, packet_events=10, compression="none")
    ends = Counter()
    for _ in range(200):
        packets, counts, events = Aedat4Packets("tcp"), Counter(), 0
        changed = mutated(data, rng)
        try:
            for start in range(0, len(changed), 301):
                taken = packets.push(changed[start : start + 301])
                counts["damaged_packets"] = counts["damaged_packets"] or 1  # said before
                events += sum(len(part) for part in decode_packets("tcp", taken, counts))
            ends["whole" if not packets.incomplete else "truncated"] += 1
        except RecordingError as error:
            ends[type(error).__name__] += 1
    assert len(ends) == 3
