"""Damage files in many ways and read each: `python tests/fuzz/fuzz_readers.py aedat4 --count 20000 --seed 1`.

Every file must be read, or raise one of our errors, within 2 seconds of CPU time and 512 MiB. Anything else ends the
process with a message that names the seed. If a reader aborts, the parent process sees the exit status.
"""

import argparse
import resource
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import event_files
import h5py
import pandas_files

from stdl_events.errors import MissingExtraError, RecordingError
from stdl_events.events import RecordingWarning, open_recording

MAX_SECONDS = 2
MAX_BYTES = 512 << 20
MAX_READ_EVENTS = 1 << 20
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 99\n"


Seeds = list[tuple[str, bytes]]
SMALL = event_files.make_events(300, 30, 30, t0_us=1000)
PARTS = [SMALL[:100], SMALL[100:]]


def aedat2_seeds(folder: Path) -> Seeds:
    del folder
    good = [event_files.aedat2_dvs128(SMALL), event_files.aedat2_davis(SMALL)]
    return [(".aedat", data) for data in [*good, event_files.aedat2_davis(SMALL, chip=False)]]


def aedat4_seeds(folder: Path) -> Seeds:
    del folder
    good = [event_files.aedat4([(0, 30, 30, PARTS)], compression=name) for name in ("none", "lz4", "zstd")]
    return [(".aedat4", data) for data in [*good, event_files.aedat4([(0, 30, 30, PARTS), (1, 9, 9, [])])]]


def npy_seeds(folder: Path) -> Seeds:
    del folder
    good = [event_files.npy_structured(SMALL), event_files.npy_table(SMALL)]
    return [(".npy", data) for data in [*good, event_files.npy_table(SMALL, fortran=True)]]


def es_seeds(folder: Path) -> Seeds:
    del folder
    slow = event_files.make_events(300, 30, 30, step_us=300)
    good = [event_files.es_dvs(slow, width=30, height=30), event_files.es_atis(slow, width=30, height=30)]
    return [(".es", data) for data in good]


def text_seeds(folder: Path) -> Seeds:
    del folder
    named = event_files.text(SMALL, order="xypt", separator=",", header="x,y,p,t")
    wide = b"\xff\xfe" + named.decode().encode("utf-16-le")
    plain = [(".txt", event_files.text(SMALL, seconds=it)) for it in (True, False)]
    return [*plain, (".csv", named), (".csv", wide)]


def hdf5_seeds(folder: Path) -> Seeds:
    columns, counts = {name: SMALL[name].astype("i8") for name in "txyp"}, np.arange(len(SMALL))
    seeds = [event_files.hdf5_columns(SMALL, folder), event_files.hdf5_records(SMALL, folder)]
    for write in (pandas_files.fixed, pandas_files.table):
        with h5py.File(folder / "pandas.h5", "w") as file:
            write(file, "df", [columns], ("index", counts))
        seeds.append((folder / "pandas.h5").read_bytes())
    return [(".h5", data) for data in seeds]


FORMATS: dict[str, Callable[[Path], Seeds]] = {
    "aedat2": aedat2_seeds,
    "aedat1": lambda folder: [(".aedat", event_files.aedat1(SMALL))],
    "aedat4": aedat4_seeds,
    "aedat3": lambda folder: [(".aedat", event_files.aedat3(SMALL))],
    "evt2": lambda folder: [(".raw", event_files.evt2(SMALL))],
    "evt21": lambda folder: [(".raw", event_files.evt21(SMALL, order=order)) for order in ("little", "legacy", None)],
    "evt3": lambda folder: [(".raw", event_files.evt3(SMALL))],
    "dat": lambda folder: [(".dat", event_files.dat(SMALL, version=version)) for version in (1, 2, None)],
    "es": es_seeds,
    "hdf5": hdf5_seeds,
    "mcap": lambda folder: [(".mcap", event_files.mcap(SMALL, compression=name)) for name in ("none", "lz4")],
    "text": text_seeds,
    "nmnist": lambda folder: [(".bin", event_files.atis_bin(SMALL))],
    "ncaltech": lambda folder: [(".bin", event_files.atis_bin(event_files.make_events(300, 200, 150)))],
    "npy": npy_seeds,
    "npz": lambda folder: [(".npz", event_files.npz_arrays(SMALL, compressed=it)) for it in (True, False)],
    "stdl-hdf5": lambda folder: [(".h5", event_files.stdl_hdf5(SMALL, folder))],
}


def damaged(data: bytes, header_bytes: int, random: np.random.Generator) -> bytes:
    """Return `data` with one to four damages, two thirds of them in the first `header_bytes`."""
    wounded = bytearray(data)
    for _ in range(random.integers(1, 5)):
        if not wounded:
            break
        in_header = random.random() < 2 / 3
        end = min(header_bytes, len(wounded)) if in_header else len(wounded)
        at = int(random.integers(0, end))
        kind = random.integers(0, 8)
        if kind == 0:
            wounded[at] ^= 1 << random.integers(0, 8)
        elif kind == 1:
            wounded[at] = random.integers(0, 256)
        elif kind == 2:
            del wounded[at:]
        elif kind == 3:
            del wounded[at : at + int(random.integers(1, 20))]
        elif kind == 4:
            wounded[at:at] = random.bytes(int(random.integers(1, 20)))
        elif kind == 5:
            wounded[at : at + 4] = b"\xff" * 4
        elif kind == 6:
            huge = int(random.choice([2**31 - 1, 2**31, 2**32 - 1, 2**24, 10**9, 0]))
            wounded[at : at + 4] = huge.to_bytes(4, random.choice(["little", "big"]))
        else:
            other = int(random.integers(0, len(wounded)))
            length = int(random.integers(1, 64))
            wounded[at : at + length] = wounded[other : other + length]
    if random.random() < 0.005:
        return LFS_POINTER
    return bytes(wounded)


def read_somehow(path: Path, format: str | None, **options: Any) -> str:
    """Open the file with these options of `open_recording`, and read it; returns the outcome as a word."""
    try:
        recording = open_recording(path, format=format, **options)
        total = 0
        for chunk in recording.chunks(4096):
            total += len(chunk)
            assert len(chunk) < 2 or (np.diff(chunk["t"]) >= 0).all(), "times step back"
            width, height = recording.sensor_size
            assert chunk["x"].max() < width, "x outside the sensor"
            assert chunk["y"].max() < height, "y outside the sensor"
            if total > MAX_READ_EVENTS:
                break
    except (RecordingError, MissingExtraError) as error:
        refusal: Exception = error
    else:
        return "repaired" if recording.summary.damage else "read"
    assert str(path) in str(refusal), "the error does not name the file"
    return type(refusal).__name__


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", RecordingWarning)
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        seeds = FORMATS[options.format](Path(name))
        for suffix, data in seeds:
            path = Path(name) / f"good{suffix}"
            path.write_bytes(data)
            assert read_somehow(path, options.format, repair=False) == "read", "a good file was refused"
        limit_memory()
        for index in range(options.count):
            random = np.random.default_rng([options.seed, index])
            suffix, data = seeds[index % len(seeds)]
            path = Path(name) / f"damaged{suffix}"
            path.write_bytes(damaged(data, 400, random))
            set_alarms(MAX_SECONDS)
            try:
                outcomes[read_somehow(path, options.format if index % 2 else None, repair=index % 3 == 0)] += 1
            except BaseException as error:
                print(f"seed {options.seed}, file {index}: {type(error).__name__}: {error}", flush=True)
                raise
            finally:
                set_alarms(0)
    print(" ".join(f"{outcome}={count}" for outcome, count in sorted(outcomes.items())))
    return 0


def set_alarms(seconds: int) -> None:
    """End the process after `seconds` of CPU time, or ten times as many of wall time; 0 cancels the limits."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(10 * seconds)


def limit_memory() -> None:
    """Limit the process to `MAX_BYTES` of mappings beyond the present ones."""
    mapped_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped_bytes + MAX_BYTES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    sys.exit(main())
