"""DVS128 Gesture: 29 people, 11 gestures, 3 lights; one recording holds many gestures. Users 24 to 29 are held out.

    <root>/DvsGesture/user<NN>_<light>.aedat           the original, AEDAT 3.1
    <root>/DvsGesture/user<NN>_<light>_labels.csv      a gesture a line: class (1 to 11), start, end in microseconds
    <root>/DvsGesture/trials_to_{train,test}.txt       the official lists

    <root>/DVSGesture/ibmGesture{Train,Test}/user<NN>_<light>/<class 0..10>.npy    Tonic's mirror: [N, 4] of x, y, p, t

Tonic's times are milliseconds. `<root>` may also be the folder DvsGesture or DVSGesture itself.

A. Amir et al., "A low power, fully event-based gesture recognition system", 2017.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stdl_events.errors import DatasetError
from stdl_events.events import Recording
from stdl_events.events.formats.npy import open_npy
from stdl_events.recordings.datasets.obtain import Download, found_in, not_there
from stdl_events.recordings.datasets.samples import SIDES
from stdl_events.recordings.datasets.tonic_sets import labels_by_tonic
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import child
from stdl_events.recordings.labels.lists import numbered_lines
from stdl_events.recordings.registry import Dataset

SENSOR_SIZE = (128, 128)
CLASSES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter clockwise",
    "left arm clockwise",
    "left arm counter clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
FIRST_TEST_USER = 24
LAYOUT = "DvsGesture/ with trials_to_train.txt, trials_to_test.txt, .aedat and _labels.csv files, or Tonic's mirror"
DOWNLOADS = (
    Download(
        "DvsGesture.tar.gz",
        "https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8/folder/50167556794 (by hand)",
        "8a5c71fb11e24e5ca5b11866ca6c00a1",
    ),
)
_TRIAL = re.compile(r"(?P<user>user(?P<number>\d+))_\w+", re.IGNORECASE)
_SEPARATORS = re.compile(r"[,;\t]")
_COLUMNS = ("class", "start", "end")


def split_dvs_gesture(root: str | Path) -> Split:
    """Split by user: 1 to 23 to train, 24 to 29 held out; an entry is one gesture.

    Raises:
        DatasetError: the folders or files are missing, or a list of gestures does not parse.
    """
    root = Path(root)
    mirror = next((folder for folder in (root / "DVSGesture", root) if (folder / "ibmGestureTrain").is_dir()), None)
    original = next((folder for folder in (root / "DvsGesture", root) if _recordings_in(folder)), None)
    if mirror is not None:
        entries = tuple(_entries_of_mirror(mirror))
    elif original is not None:
        entries = tuple(_entries_of_original(original))
    else:
        raise not_there(root, got=found_in(root), expected=LAYOUT, downloads=DOWNLOADS)
    recordings = RecordingSet(CLASSES, SENSOR_SIZE, entries)
    held_out = [_user_number(entry) >= FIRST_TEST_USER for entry in entries]
    train, test = (
        recordings.with_entries(entry for entry, is_test in zip(entries, held_out, strict=True) if is_test == side)
        for side in (False, True)
    )
    return Split(train, test, f"by user, from user {FIRST_TEST_USER} on held out")


def _user_number(entry: Entry) -> int:
    assert entry.group is not None
    return int(entry.group.removeprefix("user"))


def _user_of(path: Path) -> str:
    match = _TRIAL.fullmatch(path.name.split(".")[0])
    if match is None:
        raise DatasetError(
            str(path), got="a name without user and light", expected="names such as user07_led",
            todo="remove it, or unpack the dataset again",
        )  # fmt: skip
    return match["user"].lower()


def _entries_of_original(folder: Path) -> Iterator[Entry]:
    for trial in _trials(folder):
        name = f"{trial.stem}_labels.csv"
        labels = child(folder, name)
        if labels is None:
            raise not_there(folder, got=f"{trial.name} without {name}", expected=LAYOUT, downloads=DOWNLOADS)
        recording = Entry(trial.stem, trial, 0, group=_user_of(trial), sensor_size=SENSOR_SIZE)
        for number, (label, start_us, end_us) in enumerate(_gestures(labels)):
            key, span = f"{trial.stem}/{number:02d}", (start_us, end_us)
            yield replace(recording, key=key, label=label, span=span, begin=start_us)


def _trials(folder: Path) -> list[Path]:
    """Return the recordings of the official lists, or all recordings if there are no lists."""
    lists = [child(folder, f"trials_to_{side}.txt") for side in ("train", "test")]
    names = [_name_in_list(line) for path in lists if path is not None for _, line in numbered_lines(path)]
    if None in lists:
        return _recordings_in(folder)
    found = {name: child(folder, name) for name in names}
    trials = [path for path in found.values() if path is not None]
    missing = [name for name, path in found.items() if path is None]
    if missing:
        got = f"{len(missing)} of {len(found)} listed recordings missing, such as {missing[0]}"
        raise not_there(folder, got=got, expected=LAYOUT, downloads=DOWNLOADS)
    return trials


def _name_in_list(line: str) -> str:
    return line.replace("\\", "/").rpartition("/")[2]


def _recordings_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".aedat" and path.name.lower().startswith("user") and path.is_file()
    )


def _gestures(path: Path) -> list[tuple[int, int, int]]:
    """Return what `_read_labels` yields, a repeated line once.

    Raises:
        DatasetError: it is nothing.
    """
    found = list(dict.fromkeys(_read_labels(path)))
    if not found:
        raise DatasetError(
            str(path), got="no gesture", expected="lines of class, start and end", todo="unpack the dataset again"
        )
    return found


def _read_labels(path: Path) -> Iterator[tuple[int, int, int]]:
    """Yield (label from 0 on, start, end in microseconds) of each gesture; a header may order the columns."""
    order = (0, 1, 2)
    for index, (line, text) in enumerate(numbered_lines(path)):
        cells = [cell.strip(" \"'") for cell in _SEPARATORS.split(text)]
        if index == 0 and not any(map(math.isfinite, map(_number, cells))):
            order = _order_of(cells) or order
            continue
        values = [_number(cells[column]) if column < len(cells) else math.nan for column in order]
        if not _is_gesture(values) or any(cells[3:]):
            raise DatasetError(
                f"{path}, line {line}", got=repr(text[:60]),
                expected=f"a class from 1 to {len(CLASSES)}, start and end", todo="unpack the dataset again",
            )  # fmt: skip
        number, start_us, end_us = map(round, values)
        yield number - 1, start_us, end_us


def _order_of(header: list[str]) -> tuple[int, int, int] | None:
    """Return the columns of class, start and end by their names; None if a name is missing or there twice."""
    columns = [[index for index, name in enumerate(header) if word in name.lower()] for word in _COLUMNS]
    if any(len(found) != 1 for found in columns):
        return None
    return columns[0][0], columns[1][0], columns[2][0]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _is_gesture(values: list[float]) -> bool:
    number, start_us, end_us = values
    return number in range(1, len(CLASSES) + 1) and 0 <= start_us < end_us < math.inf


def _entries_of_mirror(folder: Path) -> Iterator[Entry]:
    """Yield the gestures of Tonic's mirror, labelled by Tonic's class where it is installed and lists them."""
    known = labels_by_tonic("DVSGesture", folder.parent, SIDES) if _is_unpacked_by_tonic(folder) else None
    for side in ("ibmGestureTrain", "ibmGestureTest"):
        for path in sorted((folder / side).glob("[uU]ser*/*.[nN][pP][yY]")):
            if not (path.stem.isdecimal() and int(path.stem) < len(CLASSES)):
                raise DatasetError(
                    str(path), got=f"the class {path.stem}", expected=f"0 to {len(CLASSES) - 1}",
                    todo="remove it, or unpack the dataset again",
                )  # fmt: skip
            key = path.relative_to(folder).with_suffix("").as_posix()
            label = int(path.stem) if known is None else known.get(path, int(path.stem))
            yield Entry(key, path, label, group=_user_of(path.parent), reader=open_millisecond_npy)


def _is_unpacked_by_tonic(folder: Path) -> bool:
    return folder.name == "DVSGesture" and (folder / "ibmGestureTest").is_dir()


def open_millisecond_npy(path: Path) -> Recording:
    """Open a recording of Tonic's mirror, whose times are milliseconds."""
    return Recording(path, "npy", replace(open_npy(path), sensor_size=SENSOR_SIZE), time_unit="ms")


DATASET = Dataset(
    "DVS128 Gesture: 11 gestures of 29 people before a DVS128",
    split=split_dvs_gesture,
    page="datasets/dvs_gesture/README.md",
    sensor_size=SENSOR_SIZE,
    classes=len(CLASSES),
)
