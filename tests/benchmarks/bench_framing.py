"""Events to frames: this package against Tonic's ToFrame and SpikingJelly's integration, on the same events, in turns.

    python tests/benchmarks/bench_framing.py [--repeat 15] [--in-a-row 1] [--out FOLDER]

A case is timed only after both sides gave equal frames. Each repetition runs both sides one after the other, so that
a slow moment of the machine hits both; the ratio is the median over these pairs. Both sides are made once and used
again, as for the recordings of a dataset. With --in-a-row above 1 a side runs so often before it is the other's turn,
and its median counts: its memory is in the processor's cache then, as when one side alone cuts a dataset; with 1, each
side finds the cache as the other left it. SpikingJelly cuts whole recordings only. Frames are made and dropped, as a
live run does. Real recordings are added where STDL_EVENTS_RECORDINGS finds them.
"""

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tonic.transforms as transforms
from bench_report import REPOSITORY, environment, write_result

from stdl_events.events import open_recording
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames import Framer, FrameSpec, recording_frames

TESTS = Path(__file__).resolve().parents[1]
WINDOW_US = 20_000
BINS = 10
CHUNK_EVENTS = 1 << 16


@dataclass(frozen=True)
class Case:
    name: str
    events: EventArray
    sensor_size: tuple[int, int]


@dataclass(frozen=True)
class Timing:
    """Millions of events per second (median), and this package's speed-up (median and range of the pairs)."""

    case: str
    task: str
    events: int
    other: str
    ours_mev_s: float
    other_mev_s: float
    ratio: float
    ratio_lowest: float
    ratio_highest: float


def synthetic(name: str, size: tuple[int, int], rate_hz: float, duration_us: int) -> Case:
    """Uniformly random events: the hardest case for the cache."""
    rng = np.random.default_rng(0)
    events = empty_events(int(rate_hz * duration_us / 1e6))
    events["t"] = np.sort(rng.integers(0, duration_us, len(events)))
    events["t"][0] = 0  # ToFrame's windows start at the first event, this package's are on the absolute grid
    events["x"], events["y"] = rng.integers(0, size[0], len(events)), rng.integers(0, size[1], len(events))
    events["p"] = rng.integers(0, 2, len(events))
    return Case(name, events, size)


def real() -> Iterator[Case]:
    folder = Path(os.environ.get("STDL_EVENTS_RECORDINGS", REPOSITORY.parent / "shared" / "recordings"))
    patterns = ("objects/*.aedat", "hand_wave/*", "walking/*.aedat", "poker_dvs/aedat2/*/*.aedat", "nmnist/train/0/*")
    for pattern in patterns:
        path = next(iter(sorted(folder.glob(pattern))), None)
        if path is not None:
            recording = open_recording(path)
            events = recording.read()
            events["t"] -= events["t"][0]
            yield Case(path.relative_to(folder).as_posix(), events, recording.sensor_size)


def load_integration() -> Callable[..., np.ndarray] | None:
    """SpikingJelly's function, as the tests of frames load it."""
    spec = importlib.util.spec_from_file_location("spikingjelly_frames", TESTS / "support" / "spikingjelly_frames.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load_integration()


def compare(case: Case, repeat: int, in_a_row: int) -> Iterator[Timing]:
    width, height = case.sensor_size
    stream = FrameSpec(kind="stream", steps=BINS, sensor_size=case.sensor_size, dt_us=WINDOW_US)
    bins = FrameSpec(kind="recording", steps=BINS, sensor_size=case.sensor_size, by="count", remainder="drop")
    by_time = transforms.ToFrame(sensor_size=(width, height, 2), time_window=WINDOW_US, include_incomplete=True)
    by_count = transforms.ToFrame(sensor_size=(width, height, 2), n_event_bins=BINS)

    framer = Framer(stream)

    def push(use: Callable[[list], object]) -> None:
        for start in range(0, len(case.events), CHUNK_EVENTS):
            use(framer.push(case.events[start : start + CHUNK_EVENTS]))
        use(framer.finish())

    frames: list = []
    push(frames.extend)
    theirs = by_time(case.events)
    # ToFrame leaves out a last window with a single event at its start.
    np.testing.assert_array_equal(np.stack([frame.counts_CHW for frame in frames[: len(theirs)]]), theirs)
    np.testing.assert_array_equal(recording_frames(case.events, bins), by_count(case.events))
    del frames, theirs

    last = FrameSpec(kind="recording", steps=BINS, sensor_size=case.sensor_size, by="count")
    columns = {name: case.events[name] for name in ("t", "x", "y", "p")}
    integrate = load_integration()
    if integrate is not None:
        np.testing.assert_array_equal(
            recording_frames(case.events, last), integrate(columns, "number", BINS, height, width)
        )

    bin_task = f"recording, {BINS} bins"
    sides: list[tuple[str, str, Callable[[], object], Callable[[], object]]] = [
        (f"stream, {WINDOW_US // 1000} ms", "tonic", lambda: push(len), lambda: by_time(case.events)),
        (bin_task, "tonic", lambda: recording_frames(case.events, bins), lambda: by_count(case.events)),
    ]
    if integrate is not None:
        others = partial(integrate, columns, "number", BINS, height, width)
        sides.append((bin_task, "spikingjelly", lambda: recording_frames(case.events, last), others))
    for task, other, ours, others in sides:
        pairs = [[seconds(ours, in_a_row), seconds(others, in_a_row)] for _ in range(repeat)]
        ratios = [others_s / ours_s for ours_s, others_s in pairs]
        speeds = [len(case.events) / statistics.median(column) / 1e6 for column in zip(*pairs, strict=True)]
        yield Timing(
            case.name, task, len(case.events), other, *speeds, statistics.median(ratios), min(ratios), max(ratios)
        )


def seconds(side: Callable[[], object], in_a_row: int) -> float:
    """Seconds of one run, the median of several."""
    runs_s = []
    for _ in range(in_a_row):
        began_s = time.perf_counter()
        side()
        runs_s.append(time.perf_counter() - began_s)
    return statistics.median(runs_s)


def main() -> int:
    parser = argparse.ArgumentParser(description="Our framer against Tonic's and SpikingJelly's.")
    parser.add_argument("--repeat", type=int, default=15, help="pairs of runs per row")
    parser.add_argument("--in-a-row", type=int, default=1, help="runs of a side in each of its turns")
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    cases = [
        synthetic("random 34x34, 30 kev/s", (34, 34), 3e4, 1_000_000),
        synthetic("random 128x128, 100 kev/s", (128, 128), 1e5, 2_000_000),
        synthetic("random 128x128, 1 Mev/s", (128, 128), 1e6, 2_000_000),
        synthetic("random 346x260, 1 Mev/s", (346, 260), 1e6, 2_000_000),
        synthetic("random 1280x720, 5 Mev/s", (1280, 720), 5e6, 1_000_000),
        *real(),
    ]
    timings = []
    print(
        f"{'events':38} {'task':20} {'other':12} {'ours Mev/s':>11} {'other Mev/s':>12} {'ratio':>7}  lowest to highest"
    )
    for case in cases:
        for row in compare(case, arguments.repeat, arguments.in_a_row):
            timings.append(asdict(row))
            print(
                f"{row.case[-38:]:38} {row.task:20} {row.other:12} {row.ours_mev_s:11.1f} "
                f"{row.other_mev_s:6.1f} {row.ratio:6.1f}  {row.ratio_lowest:.1f} to {row.ratio_highest:.1f}",
                flush=True,
            )
    if arguments.out:
        configuration = {
            "window_us": WINDOW_US,
            "bins": BINS,
            "chunk_events": CHUNK_EVENTS,
            "repeat": arguments.repeat,
            "in_a_row": arguments.in_a_row,
        }
        facts = environment(["stdl-events", "numpy", "tonic", "spikingjelly"])
        document = {"environment": facts, "configuration": configuration, "timings": timings}
        print(write_result(arguments.out, "framing", document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
