"""Small files in the published layouts of the public datasets, with different random events in each file."""

import importlib.util
from pathlib import Path
from types import ModuleType

from stdl_events.events.stream import EventArray
from stdl_events.recordings import cifar10_dvs

GESTURES = ((1, 1_000, 1_600), (5, 1_600, 2_300), (11, 2_200, 2_900))


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The literal writers of every file format, which the tests of the readers own.
event_files = _load(Path(__file__).parent / "events" / "event_files.py")


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
