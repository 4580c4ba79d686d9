"""DailyDVS-200: 200 daily actions of 47 people before a DVXplorer Lite, with official lists.

    <root>/train.txt, <root>/test.txt, <root>/val.txt       lines of a relative path and an action from 0 to 199
    <root>/**/C<action>P<person>M<move>S<scene>_<date>.aedat4
    <root>/action_description.csv                           optional names: ID,Action,Action description

Written from the authors' page, https://github.com/QiWang233/DailyDVS-200; the files themselves were not at hand.

Q. Wang et al., "DailyDVS-200: a comprehensive benchmark dataset for event-based action recognition", ECCV 2024.
"""

import csv
import re
from pathlib import Path
from typing import Literal

from stdl_events.errors import DatasetError
from stdl_events.recordings.datasets.obtain import Download
from stdl_events.recordings.datasets.path_lists import Listed, PathLists
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import child
from stdl_events.recordings.labels.lists import read_text
from stdl_events.recordings.registry import Dataset

SENSOR_SIZE = (320, 240)
CLASSES = 200
NAMES_FILE = "action_description.csv"
_PAGE = "https://github.com/QiWang233/DailyDVS-200 (link on the page, by hand)"
_LISTS = PathLists(
    suffixes=(".aedat4",),
    classes=CLASSES,
    layout="train.txt, test.txt and the listed recordings, such as C0P3M0S1_20231111_09_11_23.aedat4",
    downloads=(Download("DailyDVS-200", _PAGE), Download("train.txt, test.txt and val.txt", _PAGE)),
)
_ID = re.compile(r"[0-9]{1,9}")
_NAME = re.compile(r"C(?P<action>\d+)P(?P<person>\d+)M\d+S\d+_.*", re.IGNORECASE)


def split_daily_dvs_200(root: str | Path, *, held_out: Literal["val", "test"] = "test") -> Split:
    """Return the official split: `train.txt` to train, `test.txt` (or `val.txt`) held out.

    With the test list held out, `val.txt` is the validation part, if it is there.

    Raises:
        DatasetError: a list is missing or does not parse, or a label is not the one in its recording's name.
    """
    root = Path(root)
    names = ["train", held_out]
    if held_out == "test" and root.is_dir() and child(root, "val.txt") is not None:
        names.append("val")
    entries = _LISTS.entries(root, names, _entry)
    classes = _names(root)
    train, test, *others = (RecordingSet(classes, SENSOR_SIZE, side) for side in entries)
    validation = others[0] if others else None
    return Split(train, test, f"of DailyDVS-200, {held_out} list held out", validation=validation)


def _entry(key: str, path: Path, listed: Listed) -> Entry:
    match = _NAME.fullmatch(path.stem)
    if match is None or int(match["action"]) != listed.label:
        raise DatasetError(
            listed.line, got=f"the action {listed.label} for {path.name}",
            expected="the one in the name, such as 0 for C0P3M0S1_20231111_09_11_23.aedat4",
            todo="download the list again, or name the files as they were published",
        )  # fmt: skip
    # The lists share two persons, so persons are counted and not refused.
    return Entry(key, path, listed.label, subject=f"P{int(match['person'])}")


def _names(root: Path) -> tuple[str, ...]:
    path = child(root, NAMES_FILE)
    if path is None:
        return tuple(f"action_{number:03d}" for number in range(CLASSES))
    try:
        rows = [
            row for row in csv.reader(read_text(path).splitlines()) if len(row) > 1 and _ID.fullmatch(row[0].strip())
        ]
    except csv.Error as error:
        raise DatasetError(
            str(path), got=str(error), expected="lines of ID,Action,Action description", todo="download it again"
        ) from None
    names = {int(row[0]): row[1].strip() for row in rows}
    if sorted(names) != list(range(CLASSES)):
        raise DatasetError(
            str(path), got=f"{len(names)} actions", expected=f"the IDs 0 to {CLASSES - 1}", todo="download it again"
        )
    # Names of actions are not all distinct.
    twice = {name for name in names.values() if list(names.values()).count(name) > 1}
    return tuple(f"{name} ({number})" if name in twice else name for number, name in sorted(names.items()))


DATASET = Dataset(
    "DailyDVS-200: 200 daily actions before a DVXplorer Lite",
    split=split_daily_dvs_200,
    page="datasets/daily_dvs_200/README.md",
    sensor_size=SENSOR_SIZE,
    classes=CLASSES,
)
