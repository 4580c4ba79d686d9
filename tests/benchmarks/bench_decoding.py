"""Files to events: this package's readers against other packages that read the same files, in turns.

    python tests/benchmarks/bench_decoding.py [--repeat 15] [--out FOLDER]

A case is timed only after both sides gave equal events, as one array in order of time. Each repetition runs both sides
one after the other, so that a slow moment of the machine hits both; the ratio is the median over these pairs. Formats
that have a compiled loop have a row with it, numba being loaded, and a row without. Real recordings are read where
STDL_EVENTS_RECORDINGS finds them; the long AEDAT 4 file is written for the purpose.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aedat
import faery
import numpy as np
import tonic.io
from bench_report import REPOSITORY, environment, write_result

from stdl_events.compiled import Loading
from stdl_events.events import open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.stream import EventArray, empty_events

LONG_EVENTS = 4_000_000


@dataclass(frozen=True)
class Case:
    """One file, and the other package's function that reads it."""

    name: str
    path: Path
    package: str
    read: Callable[[Path], Any]
    is_compiled: bool = False


@dataclass(frozen=True)
class Timing:
    """Millions of events per second (median), and this package's speed-up (median and range of the pairs)."""

    case: str
    package: str
    decoder: str
    events: int
    ours_mev_s: float
    theirs_mev_s: float
    ratio: float
    ratio_lowest: float
    ratio_highest: float


def read_aedat4(path: Path) -> Any:
    return np.concatenate([packet["events"] for packet in aedat.Decoder(path) if "events" in packet])


def drain_aedat4(path: Path) -> Any:
    """Packets only, dropped at once: less work than this package's side, which returns one checked array."""
    for packet in aedat.Decoder(path):
        packet.get("events")


def read_faery(path: Path) -> Any:
    return faery.events_stream_from_file(path).to_array()


def read_nmnist(path: Path) -> Any:
    return tonic.io.read_mnist_file(str(path), tonic.io.events_struct)


def read_text(path: Path) -> Any:
    return np.loadtxt(path)


def long_events() -> EventArray:
    random = np.random.default_rng(0)
    events = empty_events(LONG_EVENTS)
    events["t"] = np.cumsum(random.integers(0, 3, LONG_EVENTS))
    events["x"], events["y"] = random.integers(0, 346, LONG_EVENTS), random.integers(0, 260, LONG_EVENTS)
    events["p"] = random.integers(0, 2, LONG_EVENTS)
    return events


def cases(scratch: Path) -> Iterator[Case]:
    write_recording(scratch / "long.h5", long_events(), (346, 260))
    convert(open_recording(scratch / "long.h5"), scratch / "long.aedat4")
    folder = Path(os.environ.get("STDL_EVENTS_RECORDINGS", REPOSITORY.parent / "shared" / "recordings"))
    formats = folder / "formats"
    candidates = [
        Case("AEDAT 4, 4 million random events", scratch / "long.aedat4", "aedat", read_aedat4),
        Case("AEDAT 4, 4 million random events", scratch / "long.aedat4", "aedat, packets only", drain_aedat4),
        Case("AEDAT 4, DAVIS346", formats / "aedat4" / "davis346_lz4_full.aedat4", "aedat", read_aedat4),
        Case("AEDAT 4, DAVIS346", formats / "aedat4" / "davis346_lz4_full.aedat4", "aedat, packets only", drain_aedat4),
        Case("AEDAT 4, 544 small packets", folder / "hand_wave" / "wave_3.aedat4", "aedat", read_aedat4),
        Case("AEDAT 4, 544 small packets", folder / "hand_wave" / "wave_3.aedat4", "aedat, packets only", drain_aedat4),
        Case("EVT 2", formats / "evt2" / "evt2_sample.raw", "faery", read_faery),
        *with_and_without_loops("EVT 3", formats / "evt3" / "evt3_sample.raw", "faery", read_faery),
        *with_and_without_loops("Event Stream", formats / "es" / "dvs.es", "faery", read_faery),
        Case("N-MNIST", formats / "bin" / "nmnist_tonic.bin", "tonic", read_nmnist),
        *with_and_without_loops("text", formats / "txt" / "slider_depth_50k.txt", "numpy loadtxt", read_text),
    ]
    return (case for case in candidates if case.path.exists())


def with_and_without_loops(*case: Any) -> list[Case]:
    return [Case(*case, is_compiled=True), Case(*case)]


def compare(case: Case, repeat: int) -> Timing:
    Loading.pays = lambda loading, file_bytes: case.is_compiled  # type: ignore[method-assign]

    def ours() -> EventArray:
        return open_recording(case.path).read()

    events, theirs = ours(), case.read(case.path)
    if theirs is not None:
        x = theirs["x"] if theirs.dtype.names else theirs[:, 1]
        np.testing.assert_array_equal(events["x"], x)
    pairs = [[seconds(ours), seconds(lambda: case.read(case.path))] for _ in range(repeat)]
    ratios = [theirs_s / ours_s for ours_s, theirs_s in pairs]
    speeds = [len(events) / statistics.median(column) / 1e6 for column in zip(*pairs, strict=True)]
    decoder = "compiled" if case.is_compiled else "numpy"
    return Timing(
        case.name, case.package, decoder, len(events), *speeds, statistics.median(ratios), min(ratios), max(ratios)
    )


def seconds(side: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    side()
    return time.perf_counter() - began_s


def main() -> int:
    parser = argparse.ArgumentParser(description="Our readers against the packages that read the same files.")
    parser.add_argument("--repeat", type=int, default=15, help="pairs of runs per row")
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    timings = []
    print(f"{'file':36} {'decoder':9} {'against':20} {'ours Mev/s':>11} {'theirs':>8} {'ratio':>7}  lowest to highest")
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases(Path(scratch)):
            row = compare(case, arguments.repeat)
            timings.append(asdict(row))
            print(
                f"{row.case:36} {row.decoder:9} {row.package:20} {row.ours_mev_s:11.1f} {row.theirs_mev_s:8.1f} "
                f"{row.ratio:7.2f}  {row.ratio_lowest:.2f} to {row.ratio_highest:.2f}",
                flush=True,
            )
    if arguments.out:
        facts = environment(["stdl-events", "numpy", "numba", "aedat", "faery", "tonic", "lz4"])
        configuration = {"repeat": arguments.repeat, "long_events": LONG_EVENTS, "load_average": os.getloadavg()[0]}
        document = {"environment": facts, "configuration": configuration, "timings": timings}
        print(write_result(arguments.out, "decoding", document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
