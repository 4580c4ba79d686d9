"""A second process streams a recording over loopback: events arrive or are counted; predictions are as offline."""

import importlib.util
import json
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from collectors import LosslessCollector
from network_senders import free_port
from onnx_models import LABELS, expected_logits, make_card, softmax, stream_spec, write_model
from until import Until

from stdl_events.events import open_source
from stdl_events.events.stream import empty_events
from stdl_events.frames import Framer, clips
from stdl_events.live import OnnxSession, Recogniser, run_live

SENDER = Path(__file__).parent / "loopback_sender.py"
SIZE, STEPS, DT_US, COUNT = (128, 128), 4, 10_000, 3_000
SPEC = stream_spec(SIZE, STEPS, DT_US, grid="recording")
PACKAGES = {"tcp": "dv_processing", "udp": "eventcv"}


def recording(seed=0):
    rng = np.random.default_rng(seed)
    events = empty_events(COUNT)
    events["t"] = 2**32 - 500_000 + np.sort(rng.integers(0, 1_000_000, COUNT))  # counters of 32 bits wrap within
    events["x"], events["y"] = rng.integers(0, SIZE[0], COUNT), rng.integers(0, SIZE[1], COUNT)
    events["p"] = np.sin(events["t"] / 60_000) > 0
    return events


def offline(events):
    """Return (end, label, probabilities) of the recording's complete clips, by numpy alone."""
    framer = Framer(SPEC)
    found = []
    for clip in clips(framer.push(events) + framer.finish(), SPEC):
        probabilities = softmax(expected_logits(clip.frames_TCHW).mean(axis=0))
        found.append((clip.t_end_us, LABELS[int(probabilities.argmax())], probabilities))
    return found


@contextmanager
def sender(kind, port, path, *more):
    """Yield the process, once it listens if it is a server."""
    command = [sys.executable, str(SENDER), kind, str(port), str(path), *map(str, more)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            if "tcp" in kind:
                assert child.stdout.readline() == b"listening\n"
            yield child
        except BaseException:
            child.kill()
            raise
    assert child.returncode == 0


def run(tmp_path, source):
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(SPEC)))
    collector = LosslessCollector()
    summary = run_live(source, Recogniser(session, SIZE), [collector], overload="complete")
    return [(one.t_us, one.label, list(one.probabilities.values())) for one in collector.predictions], summary


def assert_equal(found, expected):
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    assert np.allclose([one[2] for one in found], [one[2] for one in expected], rtol=0, atol=1e-6)
    assert len({label for _, label, _ in expected}) > 1  # otherwise the comparison could not fail


@pytest.mark.parametrize("kind", ["tcp", "udp", "jaer", "jaer+tcp"])
def test_predictions_are_those_of_the_recording(tmp_path, kind):
    package = PACKAGES.get(kind)
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"the sender is of the package {package}, which is not installed")
    events = recording()
    if kind == "tcp":  # of 64 bits, and packets of its own
        events["t"] += 2**40
    np.save(tmp_path / "events.npy", events)
    is_server = "tcp" in kind
    port = free_port(socket.SOCK_STREAM if is_server else socket.SOCK_DGRAM)
    options = {"overload": "complete"} | ({} if kind == "tcp" else {"sensor_size": SIZE})
    opened = None if is_server else open_source(f"{kind}://127.0.0.1:{port}", **options)
    with sender(kind, port, tmp_path / "events.npy") as child:
        opened = opened or open_source(f"{kind}://127.0.0.1:{port}", **options)
        source = Until(opened, COUNT, lambda: child.poll() is not None)
        found, summary = run(tmp_path, source)
    received = np.concatenate(source.events)
    if kind != "tcp":
        events["t"] += int(received["t"][0] - events["t"][0])
    assert np.array_equal(received, events)
    assert_equal(found, offline(events))
    assert (summary.events, summary.recognised_events, summary.source) == (COUNT, COUNT - summary.skipped_events, {})


def test_a_link_that_skips_repeats_and_reorders_is_counted_exactly(tmp_path):
    """The predictions are those of the events that arrived in time; the datagrams add up."""
    events, per = recording(), 100
    np.save(tmp_path / "events.npy", events)
    numbers = list(range(COUNT // per))
    lost, repeated, exchanged = {3, 9, 10, 17}, {5, 20}, {12, 25}
    plan = [n for number in numbers for n in [number] * (1 + (number in repeated)) if number not in lost]
    for number in exchanged:
        at = plan.index(number)
        plan[at : at + 2] = plan[at + 1], plan[at]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    port = free_port()
    opened = open_source(f"jaer://127.0.0.1:{port}", sensor_size=SIZE, overload="complete")
    arriving = COUNT - per * len(lost)
    with sender("jaer", port, tmp_path / "events.npy", tmp_path / "plan.json") as child:
        source = Until(opened, arriving, lambda: child.poll() is not None)
        found, summary = run(tmp_path, source)
    assert summary.source == {"lost_packets": len(lost), "repeated_packets": len(repeated)}
    assert summary.events == arriving
    assert summary.events == summary.recognised_events + summary.late_events + summary.skipped_events
    # A datagram that is overtaken is late, but for what falls into the window that is open still.
    chunks = [chunk for chunk in source.events if len(chunk)]
    first_us = newest_us = chunks[0]["t"][0]
    in_time = []
    for chunk in chunks:
        open_us = first_us + (newest_us - first_us) // DT_US * DT_US
        in_time.append(chunk[chunk["t"] >= open_us])
        newest_us = max(newest_us, chunk["t"][-1])
    kept = np.concatenate(in_time)
    assert summary.late_events == arriving - len(kept)
    arrived = np.concatenate([events[number * per : (number + 1) * per] for number in sorted(set(plan))])
    assert np.array_equal(
        np.sort(np.concatenate(chunks), order=["t", "x", "y"]), np.sort(arrived, order=["t", "x", "y"])
    )
    assert_equal(found, offline(np.sort(kept, order="t", kind="stable")))
