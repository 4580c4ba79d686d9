"""THU-E-ACT-50: 50 actions before a CeleX-V, and its challenging part THU-E-ACT-50-CHL before a DAVIS346.

    <root>/train.txt, <root>/test.txt       lines `<file>,<action>` (CHL: `<file> <action>`), actions from 0 to 49
    <root>/**/*.csv                         lines of y, x, brightness, polarity (1, -1; 0 is no change) and time
    <root>/**/*.npy                         CHL: tables of x, y, time and polarity (1, 0)

Lines of polarity 0 are left out, as in the authors' code. The unit of time is not published: `data.time_unit` says it;
otherwise it is guessed as for other tables, with a warning.

Written from the authors' page and code, https://github.com/lujiaxuan0520/THU-EACT-50; the files themselves were not at
hand.

Y. Gao et al., "Action recognition and benchmark using event cameras", TPAMI 2023.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from stdl_events.events import Recording
from stdl_events.events.decoder import Block
from stdl_events.events.formats.column_reading import ColumnReading
from stdl_events.events.formats.text import open_text
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.datasets.obtain import Download
from stdl_events.recordings.datasets.path_lists import Listed, PathLists
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.registry import Dataset

SENSOR_SIZE, CHL_SENSOR_SIZE = (1280, 800), (346, 260)
CLASSES = (
    "Walking", "Running", "Jump up", "Running in circles", "Falling down", "Waving one hand", "Waving two hands",
    "Clap", "Rub hands", "Punch", "Cross arms", "Salute", "Squat down", "Sit down", "Stand up", "Sit and stand",
    "Knead face", "Nod head", "Shake head", "Thumb up", "Calling with phone", "Reading", "Tai chi",
    "Swing objects", "Throw", "Staggering", "Headache", "Stomachache", "Back pain", "Vomit", "Fan",
    "Open umbrella", "Close umbrella", "Put on glasses", "Take off glasses", "Pick up", "Put on bag",
    "Take off bag", "Put object into bag", "Take object out of bag", "Check time", "Drink water", "Wipe face",
    "Long jump", "Push up", "Sit up", "Shake hands", "Fighting", "Handing objects", "Lifting chairs",
)  # fmt: skip
_PAGE = "https://github.com/lujiaxuan0520/THU-EACT-50 (links on the page, by hand)"
_LISTS = PathLists(
    (".csv",), len(CLASSES), "train.txt, test.txt and the listed .csv files", (Download("THU-EACT-50", _PAGE),)
)
_CHL_LISTS = PathLists(
    (".npy",), len(CLASSES), "train.txt, test.txt and the listed .npy files", (Download("THU-EACT-50-CHL", _PAGE),)
)


class _ChangesOnly(ColumnReading):
    """Reads the lines whose polarity is not 0."""

    def to_block(self, offset: int, columns: Mapping[str, npt.NDArray[Any]]) -> Block:
        changed = columns["p"] != 0
        return super().to_block(offset, {name: column[changed] for name, column in columns.items()})


@dataclass(frozen=True)
class ThuReader:
    """Opens a .csv file of the standard part."""

    time_unit: str | None = None

    @property
    def description(self) -> str:
        """Everything that a prepared shard depends on, besides the file."""
        return f"y,x,-,p,t without p=0, {self.time_unit}"

    def __call__(self, path: Path) -> Recording:
        decoder = open_text(path, ("y", "x", "-", "p", "t"))
        reading = _ChangesOnly(path, None)
        decoder = replace(decoder, reading=reading, header=replace(decoder.header, interpretation=reading))
        return Recording(path, "text", decoder, sensor_size=SENSOR_SIZE, time_unit=self.time_unit)


def _say_guess(time_unit: str | None) -> None:
    if time_unit is None:
        text = "the unit of time of THU-E-ACT-50 is not published: it is guessed; state it with data.time_unit"
        warnings.warn(f"{text} (--time-unit)", RecordingWarning, stacklevel=3)


def split_thu_eact_50(root: str | Path, *, time_unit: str | None = None) -> Split:
    """Return the official split by persons: 85 to train, 20 held out; both oblique front views.

    Args:
        time_unit: a name in `TIME_UNITS`; None for a guess.

    Raises:
        DatasetError: a list is missing or does not parse, or no listed recording is there.
    """
    reader = ThuReader(time_unit)

    def entry(key: str, path: Path, listed: Listed) -> Entry:
        return Entry(key, path, listed.label, sensor_size=SENSOR_SIZE, reader=reader)

    train, test = _LISTS.entries(Path(root), ("train", "test"), entry)
    _say_guess(time_unit)
    ours, theirs = (RecordingSet(CLASSES, SENSOR_SIZE, side) for side in (train, test))
    return Split(ours, theirs, "of THU-E-ACT-50, by person")


def split_thu_eact_50_chl(root: str | Path, *, time_unit: str | None = None) -> Split:
    """Return the official split of the challenging part: 14 persons to train, 4 held out; see `split_thu_eact_50`."""

    def entry(key: str, path: Path, listed: Listed) -> Entry:
        return Entry(
            key, path, listed.label, format="npy", sensor_size=CHL_SENSOR_SIZE, time_unit=time_unit, columns="x,y,t,p"
        )

    train, test = _CHL_LISTS.entries(Path(root), ("train", "test"), entry)
    _say_guess(time_unit)
    ours, theirs = (RecordingSet(CLASSES, CHL_SENSOR_SIZE, side) for side in (train, test))
    return Split(ours, theirs, "of THU-E-ACT-50-CHL, by person")


DATASET = Dataset(
    "THU-E-ACT-50: 50 actions before a CeleX-V",
    split=split_thu_eact_50,
    options=("time_unit",),
    page="datasets/thu_eact_50/README.md",
    sensor_size=SENSOR_SIZE,
    classes=len(CLASSES),
)
CHL = Dataset(
    "THU-E-ACT-50-CHL: the same 50 actions before a DAVIS346, in difficult light",
    split=split_thu_eact_50_chl,
    options=("time_unit",),
    page="datasets/thu_eact_50_chl/README.md",
    sensor_size=CHL_SENSOR_SIZE,
    classes=len(CLASSES),
)
