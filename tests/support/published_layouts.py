"""Small files in the published layouts of the public datasets, with different random events in each file."""

from pathlib import Path

import event_files
import numpy as np

from stdl_events.events.stream import EventArray
from stdl_events.recordings.datasets import cifar10_dvs

GESTURES = ((1, 1_000, 1_600), (5, 1_600, 2_300), (11, 2_200, 2_900))


def make(seed: int, width: int = 128, height: int = 128, count: int = 60) -> EventArray:
    """Random events by seed, on 128x128 pixels by default."""
    events: EventArray = event_files.make_events(count, width, height, seed=seed)
    return events


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_cifar10_dvs(root: Path, kind: str, per_class: int = 12) -> None:
    """`kind` "original": AEDAT 2.0 in a folder per class; "mirror": Tonic's AEDAT 4."""
    for label, name in enumerate(cifar10_dvs.CLASSES):
        for number in range(per_class):
            events = make(per_class * label + number)
            if kind == "original":
                put(root / name / f"cifar10_{name}_{number}.aedat", event_files.aedat2_dvs128(events, chip=False))
            else:
                data = event_files.aedat4([(0, 128, 128, [events])])
                put(root / "CIFAR10DVS" / name / f"cifar10_{name}_{number}.aedat4", data)


def write_dvs_gesture(root: Path) -> None:
    """Three trials of three users with three gestures each, of which the last two overlap; one user is for testing."""
    folder = root / "DvsGesture"
    for user in (7, 23, 24):
        put(folder / f"user{user:02d}_led.aedat", event_files.aedat3(make(user, count=100)))
        lines = "\n".join(",".join(map(str, row)) for row in GESTURES)
        put(folder / f"user{user:02d}_led_labels.csv", f"class,startTime_usec,endTime_usec\n{lines}\n")
    put(folder / "trials_to_train.txt", "user07_led.aedat\nuser23_led.aedat\n")
    put(folder / "trials_to_test.txt", "user24_led.aedat\n")


def write_gait_day(root: Path) -> None:
    """Twelve people, two recordings each to train and one to test."""
    for person in range(12):
        for number, side in enumerate(("train", "train", "test")):
            path = root / "DVS128-Gait-Day" / "origin" / side / str(person) / f"{number}.txt"
            put(path, event_files.text(make(3 * person + number)))


def write_har_dvs(root: Path, kind: str) -> None:
    """Three activities, two recordings each to train, one to validate and one to test.

    `kind` "npz" and "nested": the compact set, each folder as zips unpack it once or twice; "aedat4": the full set.
    """
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for label in range(3):
        for number, side in enumerate(("train", "train", "val", "test")):
            folder, name = f"action_{label + 1:03d}", f"dvSave-2021_10_15_19_{label:02d}_{number:02d}"
            events = make(4 * label + number, 346, 260)
            inner = f"{folder}/{folder}" if kind == "nested" else folder
            if kind == "aedat4":
                put(root / inner / f"{name}.aedat4", event_files.aedat4([(0, 346, 260, [events])]))
            else:
                put(root / inner / f"{name}.npz", event_files.npz_arrays(events))
            lists[side].append(f"{folder}/{name} {label}")
    for side, lines in lists.items():
        put(root / f"{side}_label.txt", "\n".join(lines) + "\n\n")


def write_daily_dvs_200(root: Path, actions: int = 3) -> None:
    """AEDAT 4 files in a folder per day and person; names of actions for all 200."""
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for action in range(actions):
        for person, side in ((3, "train"), (9, "train"), (4, "test")):
            name = f"event_raw/11_11/{person}/C{action}P{person}M0S1_20231111_09_11_{action:02d}.aedat4"
            events = make(10 * action + person, 320, 240)
            put(root / name, event_files.aedat4([(0, 320, 240, [events])]))
            lists[side].append(f"{name} {action}\n")
    for side, lines in lists.items():
        put(root / f"{side}.txt", "".join(lines))
    names = "".join(f'{n},{"walk" if n < 2 else f"do {n}"},"one, two"\n' for n in range(200))
    put(root / "action_description.csv", "ID,Action,Action description\n" + names)


def write_thu_eact_50(root: Path, actions: int = 3) -> None:
    """Lines of y, x, brightness, polarity and time; every third line has polarity 0."""
    for side, takes in (("train", 2), ("test", 1)):
        lines = []
        for action in range(actions):
            for take in range(takes):
                events, name = make(10 * action + take + 5 * (side == "test"), 1280, 800), f"A{action}/{side}{take}.csv"
                rows = []
                for number, (t, x, y, p) in enumerate(events.tolist()):
                    rows += [f"{y},{x},{number % 256},{1 if p else -1},{t}"]
                    rows += [f"{y},{x},7,0,{t}"] * (number % 3 == 0)
                put(root / name, "\n".join(rows) + "\n")
                lines.append(f"{name},{action}\n")
        put(root / f"{side}.txt", "".join(lines))


def write_thu_eact_50_chl(root: Path, actions: int = 3) -> None:
    for side, takes in (("train", 2), ("test", 1)):
        lines = []
        for action in range(actions):
            for take in range(takes):
                events = make(10 * action + take + 5 * (side == "test"), 346, 260)
                table = np.stack([events[name].astype(np.int64) for name in "xytp"], axis=1)
                path = put(root / f"A{action}" / f"{side}{action}{take}.npy", b"")
                np.save(path, table)
                lines.append(f"/home/someone/DVS-action-data-npy/A{action}/{path.name} {action}\n")
        put(root / f"{side}.txt", "".join(lines))


def write_cifar10(root: Path, per_file: int = 20, classes: int = 10) -> np.ndarray:
    """Six files of random pictures whose classes take turns; returns pictures_NCHW in the order of the files."""
    rng, folder = np.random.default_rng(10), root / "cifar-10-batches-bin"
    put(folder / "batches.meta.txt", "\n".join(cifar10_dvs.CLASSES) + "\n\n")
    pictures = rng.integers(0, 256, (6, per_file, 3, 32, 32), np.uint8)
    for name, of_file in zip([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"], pictures, strict=True):
        records = [bytes([n % classes]) + picture.tobytes() for n, picture in enumerate(of_file)]
        put(folder / name, b"".join(records))
    return pictures.reshape(-1, 3, 32, 32)


def write_svhn(root: Path, counts: tuple[int, int] = (20, 10), *, compress: bool = True) -> list[np.ndarray]:
    """Both MATLAB files of random pictures, labelled 1 to 10 in turn; returns pictures_HWCN of each."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    rng, sides = np.random.default_rng(5), []
    for name, count in zip(("train", "test"), counts, strict=True):
        sides.append(rng.integers(0, 256, (32, 32, 3, count), np.uint8))
        labels = (np.arange(count) % 10 + 1).astype(np.uint8).reshape(-1, 1)
        savemat(root / f"{name}_32x32.mat", {"X": sides[-1], "y": labels}, do_compression=compress)
    return sides


def write_image_folder(root: Path, per_class: int = 6) -> None:
    """Pictures of three classes and of many sizes and modes, in folders as ImageNet's; one is grey, one nested."""
    from PIL import Image

    rng = np.random.default_rng(7)
    for side, count in (("train", per_class), ("val", 2)):
        for label, name in enumerate(("n01440764", "n02102040", "n03000684")):
            for number in range(count):
                height, width = rng.integers(20, 40, 2)
                pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
                path = root / side / name / ("images" if number == 1 else "") / f"{name}_{number}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).convert("L" if number == label else "RGB").save(path, "PNG")


def write_cifar100(root: Path, train: int = 100, test: int = 100) -> None:
    """Two files of random pictures, whose fine classes take turns from 99 down; the coarse ones are all 7."""
    rng, folder = np.random.default_rng(100), root / "cifar-100-binary"
    put(folder / "fine_label_names.txt", "".join(f"kind{label:02d}\n" for label in range(100)))
    for name, count in (("train.bin", train), ("test.bin", test)):
        records = [bytes([7, 99 - n % 100]) + rng.bytes(3072) for n in range(count)]
        put(folder / name, b"".join(records))
