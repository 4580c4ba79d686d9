"""The clips of a store in zarr 3 beside our shards: random reads, writing, size, and kills while writing:

    python tests/benchmarks/bench_zarr.py [--repeat 5] [--kills 20] [--out FOLDER]

N-MNIST, one clip of T=10 bins a recording. Both sides hold the same frames, compressed by zstd at level 1, one clip a
chunk; a zarr shard has as many clips as one of ours (16), or 256. Times are CPU seconds of the process with all its
threads, so that other processes matter little; the sides take turns, and the figure is the median. Reads are in random
order, of single clips and of 64 at once. Writing begins with the frames in memory. Sizes are those of the shards; ours
hold the facts of their sources, too. Killed writers are child processes that get SIGKILL at a random moment. A store
counts as detected if reading it raises, and as silent if it gives other frames instead.

Needs the extra bench and the recordings: STDL_EVENTS_RECORDINGS, see tests/conftest.py.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from bench_report import REPOSITORY, environment, write_result
from zarr.codecs import ZstdCodec

from stdl_events.prepared import PreparedSet, prepare
from stdl_events.prepared.frames_text import parse_frames
from stdl_events.prepared.jobs import MAX_ENTRIES
from stdl_events.prepared.payload import packer
from stdl_events.recordings import split_nmnist
from stdl_events.whole_file import whole_file

FRAMES = "T=10,by=count"
SIZE = (34, 34)
LARGE_SHARD = 256
BATCH = 64
Frames = npt.NDArray[np.uint8]


def zarr_array(path: Path, shape_NTCHW: tuple[int, ...], shard: int | None) -> zarr.Array:
    """Create an array whose chunks are clips; without `shard` each is a file."""
    clip = (1, *shape_NTCHW[1:])
    return zarr.create_array(
        str(path), shape=shape_NTCHW, dtype="uint8", chunks=clip, shards=None if shard is None else (shard, *clip[1:]),
        compressors=ZstdCodec(level=1),
    )  # fmt: skip


def write_zarr(path: Path, frames_NTCHW: Frames, shard: int | None) -> None:
    array = zarr_array(path, frames_NTCHW.shape, shard)
    for first in range(0, len(frames_NTCHW), shard or 1):
        array[first : first + (shard or 1)] = frames_NTCHW[first : first + (shard or 1)]


def write_ours(folder: Path, frames_NTCHW: Frames) -> None:
    """Write shards as `make_shard` does, without their facts."""
    folder.mkdir()
    pack = packer()
    for first in range(0, len(frames_NTCHW), MAX_ENTRIES):
        with whole_file(folder / f"{first:05d}.clips", room_for="clips") as file:
            file.writelines(pack(frames_TCHW) for frames_TCHW in frames_NTCHW[first : first + MAX_ENTRIES])


def cpu_s(side: Callable[[], object]) -> float:
    began_s = time.process_time()
    side()
    return time.process_time() - began_s


def reads_per_s(read: Callable[[Any], object], count: int, batch: int | None) -> float:
    """Clips a second; `read` takes a number, or with `batch` an array of numbers."""
    order = np.random.default_rng(0).permutation(count)
    parts = order.tolist() if batch is None else np.array_split(order, count // batch)
    return count / cpu_s(lambda: [read(part) for part in parts])


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".json")


def killed(folder: Path, frames_NTCHW: Frames, kills: int) -> dict[str, int]:
    """Kill writers at random moments; return how many of their stores are noticed by reading."""
    source = folder / "frames.npy"
    np.save(source, frames_NTCHW)
    rng = random.Random(0)
    found = {"detected": 0, "silent": 0, "whole": 0}
    while sum(found.values()) < kills:
        path = folder / f"killed{sum(found.values())}"
        program = "import sys, numpy; from pathlib import Path; from bench_zarr import write_zarr; "
        program += f"write_zarr(Path(sys.argv[1]), numpy.load(sys.argv[2]), {MAX_ENTRIES})"
        child = subprocess.Popen([sys.executable, "-c", program, path, source], cwd=Path(__file__).parent)
        while not (path / "zarr.json").exists():
            assert child.poll() is None
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.5))
        child.send_signal(signal.SIGKILL)
        child.wait()
        try:
            read = zarr.open_array(str(path), mode="r")[:]
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
            found["detected"] += 1
            continue
        found["whole" if np.array_equal(read, frames_NTCHW) else "silent"] += 1
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Our shards beside zarr 3.")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    recordings = Path(os.environ.get("STDL_EVENTS_RECORDINGS", REPOSITORY.parent / "shared" / "recordings"))
    root = recordings / "nmnist"
    if not root.is_dir():
        print(f"no recordings at {root}: set STDL_EVENTS_RECORDINGS to their folder", file=sys.stderr)
        return 2
    shards = {f"zarr, {MAX_ENTRIES} clips a shard": MAX_ENTRIES, f"zarr, {LARGE_SHARD} clips a shard": LARGE_SHARD}
    shards["zarr, a file a clip"] = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(split_nmnist(root), parse_frames(FRAMES).spec(SIZE), folder / "ours", dataset="nmnist", root=root)
        ours = PreparedSet.open(folder / "ours")
        frames_NTCHW = ours.table.read_all(ours.number_N)
        reads: dict[str, Callable[[int], Any]] = {"ours": ours.table.read}
        batches: dict[str, Callable[[Any], Any]] = {"ours": ours.table.read_all}
        sizes = {"ours": size_of(folder / "ours")}
        for side, shard in shards.items():
            write_zarr(folder / side, frames_NTCHW, shard)
            array = zarr.open_array(str(folder / side), mode="r")
            np.testing.assert_array_equal(array[:], frames_NTCHW)
            reads[side] = array.__getitem__
            batches[side] = array.oindex.__getitem__
            sizes[side] = size_of(folder / side)
        rates: dict[str, dict[str, list[float]]] = {
            side: {"reads": [], "batched_reads": [], "writes": []} for side in reads
        }
        for number in range(arguments.repeat):
            for side, read in reads.items():
                at = folder / f"{side}{number}"
                rates[side]["reads"].append(reads_per_s(read, len(ours), None))
                rates[side]["batched_reads"].append(reads_per_s(batches[side], len(ours), BATCH))
                took_s = cpu_s(
                    (lambda at=at: write_ours(at, frames_NTCHW)) if side == "ours"
                    else lambda at=at, side=side: write_zarr(at, frames_NTCHW, shards[side])
                )  # fmt: skip
                rates[side]["writes"].append(len(ours) / took_s)
        kills = killed(folder, frames_NTCHW, arguments.kills)
    result = {
        side: {f"{what}_per_cpu_s": statistics.median(found) for what, found in rates[side].items()}
        | {"bytes": sizes[side]}
        for side in reads
    }
    for side, facts in result.items():
        print(f"{side:24}", *(f"{what} {value:,.0f}" for what, value in facts.items()))
    print(f"zarr writers killed: {kills}")
    if arguments.out:
        configuration = {"frames": FRAMES, "repeat": arguments.repeat, "kills": arguments.kills, "clips": len(ours)}
        facts = environment(["stdl-events", "numpy", "zstandard", "zarr", "numcodecs"])
        document = {"environment": facts, "configuration": configuration, "result": result | {"killed": kills}}
        print(write_result(arguments.out, "zarr", document | {"load_average": list(os.getloadavg())}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
