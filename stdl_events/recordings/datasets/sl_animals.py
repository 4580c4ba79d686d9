"""SL-Animals-DVS: 59 people, 19 signs of animals, four places; one recording of a DVS128 holds all signs of a person.

    <root>/allusers_aedat/user<NN>_<place>.aedat              AEDAT 2.0
    <root>/tags_updated_19_08_2020/user<NN>_<place>.csv       a sign a line: class (1 to 19), first event, end
    <root>/SL-Animals-DVS_gestures_definitions.csv            optional names: lines of class, name

Both folders may also be one. Places are `imse`, `dc`, `indoor` and `sunlight`. Tags count the records of the file from
0 on. There is no official split: people are held out, a quarter of them.

A. Vasudevan et al., "SL-Animals-DVS: event-driven sign language animals dataset", 2022.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stdl_events.errors import DatasetError
from stdl_events.events import Recording
from stdl_events.events.decoder import BLOCK_EVENTS, Block, Header, RecordsDecoder, read_records, truncated
from stdl_events.events.formats.aedat2 import open_aedat2
from stdl_events.recordings.datasets.obtain import Download, found_in, not_there
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.found_files import child, is_hidden
from stdl_events.recordings.labels.lists import numbered_lines
from stdl_events.recordings.registry import Dataset
from stdl_events.recordings.splits.split_people import by_subject

SENSOR_SIZE = (128, 128)
CLASSES = 19
HELD_OUT, SEED = 0.25, 0
RECORDINGS, TAGS = "allusers_aedat", "tags_updated_19_08_2020"
NAMES_FILE = "SL-Animals-DVS_gestures_definitions.csv"
LAYOUT = f"{RECORDINGS}/user<NN>_<place>.aedat and {TAGS}/user<NN>_<place>.csv"
DOWNLOADS = (
    Download(
        "allusers_aedat.rar and tags_updated_19_08_2020.rar",
        "http://www2.imse-cnm.csic.es/neuromorphs/index.php/SL-ANIMALS-DVS-Database (by hand)",
    ),
)
_RECORDING = re.compile(r"(?P<subject>user\d+)_(?P<place>\w+)\.aedat", re.IGNORECASE)
_TAG = re.compile(r"\s*(\d{1,18}) *[,;\t]\s*(\d{1,18}) *[,;\t]\s*(\d{1,18})\s*")


@dataclass(frozen=True)
class RecordRange:
    """Reads the records `start` to `stop` of an AEDAT 2.0 file as a recording; the `reader` of a sign."""

    start: int
    stop: int

    @property
    def description(self) -> str:
        """Everything that a prepared shard depends on, besides the file."""
        return f"records {self.start} to {self.stop}"

    def __call__(self, path: Path) -> Recording:
        return Recording(path, "aedat2", _RangeDecoder(open_aedat2(path), self.start, self.stop))


@dataclass(frozen=True)
class _RangeDecoder:
    whole: RecordsDecoder
    start: int
    stop: int

    @property
    def header(self) -> Header:
        return self.whole.header

    def blocks(self) -> Iterator[Block]:
        decode = self.whole.make_decode()
        left, dtype = self.stop - self.start, self.whole.record_dtype
        offset = self.whole.data_offset + self.start * dtype.itemsize
        for records, at in read_records(self.whole.path, offset, dtype, min(BLOCK_EVENTS, left)):
            yield Block(decode(records[:left]), at)
            left -= len(records)
            if left <= 0:
                return
        got = f"{self.stop - self.start - left} of {self.stop - self.start} records of a sign"
        raise truncated(self.whole.path, offset, got)


def read_sl_animals(root: str | Path) -> RecordingSet:
    """Return all signs in `root`.

    Raises:
        DatasetError: recordings or their tags are missing, or tags do not parse.
    """
    root = Path(root)
    folder = _folder(root, RECORDINGS)
    files = sorted(path for path in _listed(folder) if _RECORDING.fullmatch(path.name))
    if not files:
        raise not_there(root, got=found_in(root), expected=LAYOUT, downloads=DOWNLOADS)
    tags = _folder(root, TAGS)
    entries: list[Entry] = []
    for path in files:
        listed = child(tags, f"{path.stem}.csv")
        if listed is None:
            raise not_there(root, got=f"{path.name} without its tags", expected=LAYOUT, downloads=DOWNLOADS)
        entries += _signs(path, listed)
    return RecordingSet(_names(root), SENSOR_SIZE, tuple(entries))


def split_sl_animals(root: str | Path) -> Split:
    """Hold out a quarter of the people, drawn by seed 0.

    Raises:
        DatasetError: see `read_sl_animals`.
        SplitError: there are fewer than two people.
    """
    return by_subject(read_sl_animals(root), held_out=HELD_OUT, seed=SEED)


def _folder(root: Path, name: str) -> Path:
    found = child(root, name) if root.is_dir() else None
    return root if found is None or not found.is_dir() else found


def _listed(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not is_hidden(path)] if folder.is_dir() else []


def _signs(path: Path, tags: Path) -> Iterator[Entry]:
    match = _RECORDING.fullmatch(path.name)
    assert match is not None
    subject, place = match["subject"].lower(), match["place"].lower()
    for index, (label, reader) in enumerate(_ranges(tags)):
        key = f"{path.stem}/{index:02d}"
        yield Entry(key, path, label, group=subject, subject=subject, session=place, reader=reader)


def _ranges(tags: Path) -> Iterator[tuple[int, RecordRange]]:
    """Yield (label from 0 on, records) of each line behind the header."""
    for number, line in numbered_lines(tags):
        match = _TAG.fullmatch(line)
        if match is None and number == 1:
            continue
        values = [int(value) for value in match.groups()] if match else [0, 0, 0]
        if not (1 <= values[0] <= CLASSES and values[1] < values[2]):
            raise DatasetError(
                f"{tags}, line {number}", got=repr(line[:60]),
                expected=f"a class from 1 to {CLASSES}, its first event and the one behind its last",
                todo="unpack the tags again",
            )  # fmt: skip
        yield values[0] - 1, RecordRange(values[1], values[2])


def _names(root: Path) -> tuple[str, ...]:
    """Return the names of the classes; their numbers without a complete list."""
    numbers = tuple(str(number + 1) for number in range(CLASSES))
    path = child(root, NAMES_FILE)
    if path is None:
        return numbers
    pairs = [line.partition(",") for _, line in numbered_lines(path)]
    names = {number.strip(): name.partition(",")[0].strip() for number, _, name in pairs}
    found = tuple(names.get(number, "") for number in numbers)
    return found if all(found) and len(set(found)) == CLASSES else numbers


DATASET = Dataset(
    "SL-Animals-DVS: 19 signs of animals by 59 people before a DVS128",
    read_sl_animals,
    split_sl_animals,
    page="datasets/sl_animals/README.md",
    sensor_size=SENSOR_SIZE,
    classes=CLASSES,
)
