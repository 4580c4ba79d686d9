"""HAR-DVS (HARDVS): 300 activities before a DAVIS346, with official lists of recordings to train, validate and test.

    <root>/{train,val,test}_label.txt              lines such as `action_001/dvSave-2021_10_15_19_18_02 0`
    <root>/action_001/dvSave-<date>.npz            the compact set: arrays t, x, y, p
    <root>/action_001/dvSave-<date>.aedat4         the full set
    <root>/HARDVS_300_class.txt                    optional names: lines such as `Action005 Three Step Run`

A folder `action_001/action_001/`, as some archives unpack, is found too. The published archive lacks some recordings of
the lists: those are left out, counted and named in a warning.

X. Wang et al., "HARDVS: revisiting human activity recognition with dynamic vision sensors", 2024.
"""

import re
import warnings
from pathlib import Path
from typing import Literal

from stdl_events.errors import DatasetError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.datasets.obtain import Download, found_in, not_there
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import child, same_form
from stdl_events.recordings.labels.lists import numbered_lines
from stdl_events.recordings.registry import Dataset

SENSOR_SIZE = (346, 260)
NAMES_FILE = "HARDVS_300_class.txt"
# The first one is taken where a recording is there in both.
SUFFIXES = (".npz", ".aedat4")
MISSING_NAMED = 10
LAYOUT = "train_label.txt, val_label.txt, test_label.txt and action_001/ to action_300/ with the recordings in them"
_PAGE = "https://github.com/Event-AHU/HARDVS (link on the page, by hand)"
DOWNLOADS = (
    Download("MINI_HARDVS_files.zip", _PAGE, "9c4cc0d9ba043faa17f6f1a9e9aff982"),
    Download("train_label.txt", _PAGE, "0d642b6e6871034f151b2649a89d8d3c"),
    Download("val_label.txt", _PAGE, "cd2cebcba80e4552102bbacf2b5df812"),
    Download("test_label.txt", _PAGE, "5b664af5843f9b476a9c22626f7f5a59"),
)
Side = Literal["train", "val", "test"]
_LINE = re.compile(
    r"(?:\./)?(?P<folder>action_(?P<number>\d{1,9}))/(?P<name>[^\s,;]+?)(?:\.npz|\.aedat4)?[\s,;]+(?P<label>\d{1,9})",
    re.I,
)
_NAME = re.compile(r"Action(?P<number>\d{1,9})[\s_-]*(?P<name>.*\S)")


def split_har_dvs(root: str | Path, *, held_out: Literal["val", "test"] = "test") -> Split:
    """Return the official split: `train_label.txt` to train, `test_label.txt` (or `val_label.txt`) held out.

    With the test list held out, `val_label.txt` is the validation part, if it is there. Listed recordings that
    are missing are left out with a warning.

    Raises:
        DatasetError: a list is missing, or all listed recordings of a class; or a line does not parse.
    """
    root = Path(root)
    sides: list[Side] = ["train", held_out]
    if held_out == "test" and root.is_dir() and child(root, "val_label.txt") is not None:
        sides.append("val")
    lines = {side: _read_list(root, side) for side in sides}
    folders = _folders_by_label(root, [line for side in lines.values() for line in side])
    names = _names(root)
    classes = tuple(names.get(int(folder.rpartition("_")[2]), folder) for folder in folders)
    entries = (_entries(root, side, lines[side], may_lack=side not in ("train", held_out)) for side in sides)
    sets = dict(zip(sides, (RecordingSet(classes, SENSOR_SIZE, its) for its in entries), strict=True))
    validation = sets["val"] if "val" in sides[2:] else None
    return Split(sets["train"], sets[held_out], f"of HAR-DVS, {held_out} list held out", validation=validation)


def _read_list(root: Path, side: Side) -> list[re.Match[str]]:
    path = child(root, f"{side}_label.txt") if root.is_dir() else None
    if path is None:
        raise not_there(root, got=found_in(root), expected=LAYOUT, downloads=DOWNLOADS)
    matches = []
    for number, line in numbered_lines(path):
        match = _LINE.fullmatch(line.replace("\\", "/"))
        if match is None:
            raise DatasetError(
                f"{path}, line {number}", got=f"{line[:60]!r}", expected="action_<number>/<recording> <label>",
                todo="download the list again",
            )  # fmt: skip
        matches.append(match)
    return matches


def _folders_by_label(root: Path, lines: list[re.Match[str]]) -> list[str]:
    """Return the folder of each label, from 0 on."""
    folders: dict[int, str] = {}
    for line in lines:
        label, folder = int(line["label"]), line["folder"].lower()
        if folders.setdefault(label, folder) != folder:
            raise DatasetError(
                str(root), got=f"the label {label} for {folders[label]} and for {folder}",
                expected="one folder per label", todo="download the lists again",
            )  # fmt: skip
    if sorted(folders) != list(range(len(folders))) or len(set(folders.values())) != len(folders):
        raise DatasetError(
            str(root), got=f"{len(set(folders.values()))} folders with labels up to {max(folders, default=0)}",
            expected="labels from 0 on, one per folder", todo="download the lists again",
        )  # fmt: skip
    return [folders[label] for label in range(len(folders))]


def _names(root: Path) -> dict[int, str]:
    path = child(root, NAMES_FILE)
    if path is None:
        return {}
    matches = (_NAME.fullmatch(line) for _, line in numbered_lines(path))
    return {int(match["number"]): match["name"] for match in matches if match}


def _entries(root: Path, side: Side, lines: list[re.Match[str]], *, may_lack: bool) -> tuple[Entry, ...]:
    """Return the listed recordings that are there; with `may_lack`, all of an activity may be missing."""
    there: dict[str, dict[str, Path]] = {}
    entries, missing = [], []
    for line in lines:
        folder, name = line["folder"].lower(), line["name"]
        if folder not in there:
            there[folder] = _recordings_in(child(root, folder))
        path = there[folder].get(same_form(name))
        if path is None:
            missing.append(f"{folder}/{name}")
        else:
            entries.append(Entry(f"{folder}/{name}", path, int(line["label"]), sensor_size=SENSOR_SIZE))
    if missing:
        _say_missing(root, side, lines, missing, may_lack=may_lack)
    return tuple(entries)


def _say_missing(root: Path, side: Side, lines: list[re.Match[str]], missing: list[str], *, may_lack: bool) -> None:
    """Warn of the listed recordings that are missing.

    Raises:
        DatasetError: no recording of a folder is left, without `may_lack`.
    """
    gone_names = set(missing)
    left = {line["folder"].lower() for line in lines if f"{line['folder'].lower()}/{line['name']}" not in gone_names}
    gone = sorted({name.partition("/")[0] for name in missing} - left)
    count = f"{len(missing)} of {len(lines)} listed recordings"
    if gone and not may_lack:
        got = f"{count} missing, all of {', '.join(gone[:5])}" + f" and {len(gone) - 5} more" * (len(gone) > 5)
        raise not_there(root, got=got, expected=LAYOUT, downloads=DOWNLOADS)
    more = f" and {len(missing) - MISSING_NAMED} more" if len(missing) > MISSING_NAMED else ""
    text = f"left out {count} of the {side} list, which are missing: {', '.join(missing[:MISSING_NAMED])}{more}"
    warnings.warn(f"{root}: {text}", RecordingWarning, stacklevel=5)


def _recordings_in(folder: Path | None) -> dict[str, Path]:
    """Return a map from names without suffix to files."""
    if folder is None:
        return {}
    folders = [inner for inner in (folder, child(folder, folder.name)) if inner is not None and inner.is_dir()]
    files = [path for inner in folders for path in inner.iterdir() if path.suffix.lower() in SUFFIXES]
    files.sort(key=lambda path: (-SUFFIXES.index(path.suffix.lower()), path))
    return {same_form(path.stem): path for path in files}


DATASET = Dataset(
    "HAR-DVS: 300 activities before a DAVIS346",
    split=split_har_dvs,
    page="datasets/har_dvs/README.md",
    sensor_size=SENSOR_SIZE,
)
