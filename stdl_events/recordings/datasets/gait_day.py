"""GAIT-DAY-DVS (DVS128-Gait-Day of EV-Gait): 20 people walking past a DVS128, 2000 recordings to train, 2000 to test.

    <root>/DVS128-Gait-Day/origin/{train,test}/<person 0..19>/*.txt       <root> may be any of the folders on the way

One recording per file: lines of t (microseconds), x, y and p (1 is brighter). Each person walked 100 times in each of
two sessions, days apart. The publication does not say whether the sides are the sessions, so no session is named here.

Y. Wang et al., "EV-Gait: event-based robust gait recognition using dynamic vision sensors", 2019, and "Event-stream
representation for human gaits identification using deep neural networks", 2021.
"""

from pathlib import Path

from stdl_events.recordings.datasets.obtain import Download, found_in, not_there
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import is_hidden
from stdl_events.recordings.registry import Dataset
from stdl_events.recordings.splits.sides import Side, sides_of

SENSOR_SIZE = (128, 128)
SIDES: tuple[Side, Side] = ("train", "test")
LAYOUT = "DVS128-Gait-Day/origin/{train,test}/<person>/*.txt with the same people on both sides"
DOWNLOADS = (
    Download("DVS128-Gait-Day.zip", "https://pan.baidu.com/s/1F3Uo-fVy1S7n5plmEXFl4w (extraction code mk55, by hand)"),
)


def split_gait_day(root: str | Path) -> Split:
    """Return the split of the folders `train` and `test`.

    Raises:
        DatasetError: the folders are missing, or a person is on one side only; the message names the expected files.
    """
    root = Path(root)
    origins = [root / "DVS128-Gait-Day" / "origin", root / "origin", root]
    origin = next((folder for folder in origins if sides_of(folder).keys() >= set(SIDES)), None)
    if origin is None:
        raise not_there(root, got=found_in(root), expected=LAYOUT, downloads=DOWNLOADS)
    files = {side: _files_of_people(sides_of(origin)[side]) for side in SIDES}
    if files["train"].keys() != files["test"].keys() or not files["train"]:
        odd = sorted(files["train"].keys() ^ files["test"].keys(), key=_by_number)
        got = f"the people {', '.join(odd[:5])} on one side only" if odd else "no recordings"
        raise not_there(origin, got=got, expected=LAYOUT, downloads=DOWNLOADS)
    people = tuple(sorted(files["train"], key=_by_number))
    train, test = (
        RecordingSet(
            people,
            SENSOR_SIZE,
            tuple(
                Entry(path.relative_to(origin).as_posix(), path, label, format="text", sensor_size=SENSOR_SIZE)
                for label, person in enumerate(people)
                for path in files[side][person]
            ),
        )
        for side in SIDES
    )
    return Split(train, test, "of EV-Gait")


def _files_of_people(folder: Path) -> dict[str, list[Path]]:
    people = {
        person.name: sorted(path for path in person.iterdir() if path.suffix.lower() == ".txt" and not is_hidden(path))
        for person in folder.iterdir()
        if person.is_dir() and not is_hidden(person)
    }
    return {person: paths for person, paths in people.items() if paths}


def _by_number(person: str) -> tuple[int, str]:
    """Sort key: person 2 before person 10."""
    return (int(person), "") if person.isdecimal() else (1 << 30, person)


DATASET = Dataset(
    "GAIT-DAY-DVS: 20 people walking past a DVS128",
    split=split_gait_day,
    page="datasets/gait_day/README.md",
    sensor_size=SENSOR_SIZE,
)
