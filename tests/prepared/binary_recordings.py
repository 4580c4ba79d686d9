"""Small recordings: N-MNIST's five bytes an event, in a folder per class; and the content of a store."""

from pathlib import Path

import numpy as np

from stdl_events.recordings import RecordingSet, Split, by_recording, read_folder

SIZE = (34, 34)
CLASSES = ("left", "right")


def write_binary(path: Path, seed: int, events: int = 300, duration_us: int = 100_000) -> None:
    """`events` random events from 0 to `duration_us`."""
    rng = np.random.default_rng(seed)
    t_us = np.sort(rng.integers(0, duration_us, events))
    t_us[[0, -1]] = 0, duration_us - 1
    p = rng.integers(0, 2, events)
    columns = [rng.integers(0, SIZE[0], events), rng.integers(0, SIZE[1], events)]
    columns += [p << 7 | t_us >> 16, t_us >> 8 & 255, t_us & 255]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.stack(columns, axis=1).astype(np.uint8).tobytes())


def write_recordings(root: Path, per_class: int, events: int = 300) -> Path:
    for label, name in enumerate(CLASSES):
        for number in range(per_class):
            write_binary(root / name / f"{number:03d}.bin", label * 1000 + number, events)
    return root


def read_binaries(root: Path) -> RecordingSet:
    return read_folder(root, format="nmnist", sensor_size=SIZE)


def split_of(root: Path) -> Split:
    return by_recording(read_binaries(root), held_out=0.25, seed=0)


def content(store: Path) -> dict[str, bytes]:
    """Return every file of a store except its lock."""
    return {path.name: path.read_bytes() for path in sorted(store.iterdir()) if path.name != ".lock"}
