"""Small files in the layouts that Tonic's classes unpack, with different random events in each file."""

from pathlib import Path

import event_files
import h5py
import numpy as np
import numpy.typing as npt
import scipy.io
from published_layouts import make, put

from stdl_events.events.stream import EventArray
from stdl_events.recordings.datasets import cifar10_dvs

WORDS = ("accused", "action", "young")
LETTERS = ("a", "b", "y")


def write_asl_dvs(root: Path) -> None:
    """Three letters of 24, four recordings each; y grows upwards in the files, which are MATLAB's."""
    for number, letter in enumerate(LETTERS):
        for take in range(4):
            events = make(4 * number + take, 240, 180)
            path = put(root / "ASLDVS" / letter / f"{letter}_{take:04d}.mat", b"")
            columns = {"ts": events["t"], "x": events["x"], "y": 179 - events["y"].astype(int), "pol": events["p"]}
            scipy.io.savemat(path, {name: column.astype(np.int32)[:, None] for name, column in columns.items()})


def asl_dvs_events(number: int, take: int) -> EventArray:
    return make(4 * number + take, 240, 180)


def write_dvs_lip(root: Path) -> None:
    """Three words of 100, two recordings each to train and one to test."""
    for number, word in enumerate(WORDS):
        for take, side in enumerate(("train", "train", "test")):
            path = put(root / "DVSLip" / "DVS-Lip" / side / word / f"{take}.npy", b"")
            events = make(3 * number + take)
            dtype = np.dtype([("t", "<i4"), ("x", "u1"), ("y", "u1"), ("p", "u1")])
            np.save(path, events.astype(dtype))


def write_gesture_mirror(root: Path) -> None:
    """Two users to train and one to test, three gestures each, milliseconds."""
    for user, side in ((7, "Train"), (23, "Train"), (24, "Test")):
        for label in (0, 4, 10):
            events = make(11 * user + label)
            table = np.stack([events[name].astype(np.int64) for name in "xypt"], axis=1)
            path = put(root / "DVSGesture" / f"ibmGesture{side}" / f"user{user:02d}_led" / f"{label}.npy", b"")
            np.save(path, table)


def write_digits(root: Path) -> None:
    """One recording of each digit on both sides, in the words of N-MNIST, beside the archives."""
    for side in ("Train", "Test"):
        put(root / "NMNIST" / f"{side.lower()}.zip", b"")
        for digit in range(10):
            events = make(digit + 10 * (side == "Test"), 34, 34)
            words = [(x, y, (p << 7) | (t >> 16 & 127), t >> 8 & 255, t & 255) for t, x, y, p in events.tolist()]
            put(root / "NMNIST" / side / str(digit) / f"{digit:05d}.bin", b"".join(map(bytes, words)))


def write_cifar10_mirror(root: Path, per_class: int = 5) -> None:
    for label, name in enumerate(cifar10_dvs.CLASSES):
        for number in range(per_class):
            data = event_files.aedat4([(0, 128, 128, [make(per_class * label + number)])])
            put(root / "CIFAR10DVS" / name / f"cifar10_{name}_{number}.aedat4", data)


def write_poker(root: Path, takes: dict[str, list[EventArray]]) -> None:
    """Tables of t, x, y, p by suit, beside the archives that Tonic asks for; the last take of each suit is to test."""
    for suit, recordings in takes.items():
        for number, events in enumerate(recordings):
            side = "test" if number == len(recordings) - 1 else "train"
            put(root / "POKERDVS" / f"pips_{side}.tar.gz", b"")
            table: npt.NDArray[np.int64] = np.stack([events[name].astype(np.int64) for name in "txyp"], axis=1)
            np.save(put(root / "POKERDVS" / f"pips_{side}" / suit / f"{number}.npy", b""), table)


def write_shd(root: Path) -> None:
    """Two words spoken twice to train and once to test: units of 700, seconds."""
    for side, count in (("train", 4), ("test", 2)):
        rng = np.random.default_rng(count)
        (root / "SHD").mkdir(parents=True, exist_ok=True)
        with h5py.File(root / "SHD" / f"shd_{side}.h5", "w") as file:
            for name, kind in (("times", np.float16), ("units", np.uint16)):
                column = file.create_dataset(f"spikes/{name}", (count,), dtype=h5py.vlen_dtype(kind))
                for index in range(count):
                    drawn = np.sort(rng.random(50)) if name == "times" else rng.integers(0, 700, 50)
                    column[index] = drawn.astype(kind)
            file["labels"] = np.arange(count) % 2
            file["extra/keys"] = np.array([b"null", b"eins"])
            file["extra/speaker"] = np.zeros(count, int)
