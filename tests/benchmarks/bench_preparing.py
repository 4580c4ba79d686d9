"""Preparing N-MNIST against filling Tonic's DiskCachedDataset, random reads from both, and the gain by workers:

    python tests/benchmarks/bench_preparing.py [--repeat 5] [--workers 2] [--out FOLDER]

Both sides start from the folder of recordings and end with frames of T=10 bins of equal count on disk; Tonic's is
filled by one process, as its class does it. So is ours where it is done before a helper would have started, see
`HELP_AFTER_S`. Timed only after both gave the same frames. Each repetition runs both sides one after the other; the
ratio is the median over these pairs. Ours includes listing, the check of the split and the hashes. Reads are single
clips in random order, by one process. What workers bring shows on larger recordings, written for the purpose, which
take seconds: one process and several, in turns.

Needs the recordings: STDL_EVENTS_RECORDINGS, see tests/conftest.py.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tonic
from bench_report import REPOSITORY, environment, write_result
from tonic.io import read_mnist_file

from stdl_events.prepared import PreparedSet, prepare
from stdl_events.prepared.frames_text import parse_frames
from stdl_events.recordings import split_nmnist

sys.path.insert(0, str(REPOSITORY / "tests" / "prepared"))

from binary_recordings import split_of, write_recordings  # the folder of the tests that use them

STEPS = 10
SIZE = (34, 34)
LARGER_PER_CLASS = 200
LARGER_EVENTS = 200_000
FRAMES = f"T={STEPS},by=count,remainder=drop"


class Folder:
    """The recordings as Tonic's users read them: events by Tonic's reader, frames by its ToFrame."""

    def __init__(self, root: Path) -> None:
        self.paths = sorted(root.glob("train/*/*.bin"))
        self.to_frame = tonic.transforms.ToFrame(sensor_size=(*SIZE, 2), n_event_bins=STEPS)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path = self.paths[index]
        events = read_mnist_file(str(path), dtype=tonic.datasets.NMNIST.dtype)
        return self.to_frame(events), int(path.parent.name)


def fill_tonic(root: Path, cache: Path) -> tonic.DiskCachedDataset:
    cached = tonic.DiskCachedDataset(Folder(root), str(cache))
    for index in range(len(cached)):
        cached[index]
    return cached


def fill_ours(root: Path, store: Path, workers: int) -> PreparedSet:
    split = split_nmnist(root)
    prepare(split, parse_frames(FRAMES).spec(SIZE), store, dataset="nmnist", root=root, workers=workers)
    return PreparedSet.open(store)


def workers_bring(folder: Path, workers: int, repeat: int) -> dict[str, float]:
    """Median seconds of one process and of `workers`, and the median of their ratios."""
    root = write_recordings(folder / "larger", LARGER_PER_CLASS, LARGER_EVENTS)
    split, spec = split_of(root), parse_frames("T=10,dt=1ms").spec(SIZE)
    pairs = []
    for number in range(repeat):
        alone_s, shared_s = (
            seconds(
                lambda count=count, at=folder / f"larger{number}x{count}": prepare(
                    split, spec, at, dataset="folder", root=root, workers=count
                )
            )
            for count in (1, workers)
        )
        pairs.append((alone_s, shared_s))
    alone_s, shared_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(alone_s / shared_s for alone_s, shared_s in pairs)
    return {"alone_s": alone_s, "shared_s": shared_s, "workers_ratio": ratio}


def require_equal(ours: PreparedSet, theirs: tonic.DiskCachedDataset, root: Path) -> None:
    by_path = {path.relative_to(root).as_posix(): index for index, path in enumerate(theirs.dataset.paths)}
    for number in range(len(ours)):
        file = ours.manifest.files[ours.manifest.entries[number].file]
        frames, label = theirs[by_path[file.path]]
        frames_TCHW, our_label = ours[number]
        assert our_label == label
        np.testing.assert_array_equal(frames_TCHW, frames)


def reads_per_s(dataset: Any) -> float:
    order = np.random.default_rng(0).permutation(len(dataset)).tolist()
    return len(order) / seconds(lambda: [dataset[index] for index in order])


def seconds(side: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    side()
    return time.perf_counter() - began_s


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(description="Our store against Tonic's DiskCachedDataset.")
    parser.add_argument("--repeat", type=int, default=5, help="pairs of runs")
    parser.add_argument("--workers", type=int, default=2, help="processes of ours")
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    recordings = Path(os.environ.get("STDL_EVENTS_RECORDINGS", REPOSITORY.parent / "shared" / "recordings"))
    root = recordings / "nmnist"
    if not root.is_dir():
        print(f"no recordings at {root}: set STDL_EVENTS_RECORDINGS to their folder", file=sys.stderr)
        return 2
    pairs, reads = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Also reads every file once, so that the page cache is warm for both sides.
        ours, theirs = fill_ours(root, folder / "ours", 1), fill_tonic(root, folder / "tonic")
        require_equal(ours, theirs, root)
        facts = {"recordings": len(ours), "recording_bytes": sum(file.bytes for file in ours.manifest.files)}
        facts |= {"store_bytes": size_of(folder / "ours"), "tonic_bytes": size_of(folder / "tonic")}
        for number in range(arguments.repeat):
            our_s = seconds(lambda at=folder / f"ours{number}": fill_ours(root, at, arguments.workers))
            pairs.append((our_s, seconds(lambda at=folder / f"tonic{number}": fill_tonic(root, at))))
            reads.append((reads_per_s(ours), reads_per_s(theirs)))
        facts |= workers_bring(folder, arguments.workers, arguments.repeat)
    ratios = [their_s / our_s for our_s, their_s in pairs]
    our_s, their_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    our_reads, their_reads = (statistics.median(column) for column in zip(*reads, strict=True))
    result = facts | {
        "ours_s": our_s, "tonic_s": their_s, "ratio": statistics.median(ratios), "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios), "our_reads_per_s": our_reads, "tonic_reads_per_s": their_reads,
        "our_reads_per_s_lowest": min(ours for ours, _ in reads), "load_average": list(os.getloadavg()),
    }  # fmt: skip
    print(
        f"prepare {our_s:.3f} s, Tonic {their_s:.3f} s: {result['ratio']:.1f} x ({min(ratios):.1f} to "
        f"{max(ratios):.1f})"
    )
    print(f"random reads {our_reads:,.0f}/s a core (lowest {min(reads)[0]:,.0f}), Tonic {their_reads:,.0f}/s")
    print(f"on disk {facts['store_bytes']:,} bytes, Tonic {facts['tonic_bytes']:,}, the recordings "
          f"{facts['recording_bytes']:,}")  # fmt: skip
    print(
        f"{2 * LARGER_PER_CLASS} larger recordings: one process {facts['alone_s']:.2f} s, {arguments.workers} "
        f"processes {facts['shared_s']:.2f} s: {facts['workers_ratio']:.2f} x"
    )
    if arguments.out:
        configuration = {"frames": FRAMES, "workers": arguments.workers, "repeat": arguments.repeat}
        versions = environment(["stdl-events", "numpy", "zstandard", "tonic", "h5py"])
        print(write_result(arguments.out, "preparing", {
            "environment": versions, "configuration": configuration, "result": result,
        }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
