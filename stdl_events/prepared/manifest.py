"""The manifest of a store, as JSON: its recordings, the frame spec, and the position of each clip.

A manifest that is not `complete` holds only the request. Paths of recordings are relative to `root`.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from stdl_events.errors import DatasetError
from stdl_events.events.sources.replay import Position
from stdl_events.frames import FrameSpec
from stdl_events.recordings.entry import SideRule, without_take
from stdl_events.recordings.splits.sides import SIDES, Side
from stdl_events.validation import first_problem
from stdl_events.whole_file import whole_file

MANIFEST_FILE = "manifest.json"
SCHEMA_VERSION = 1
# Increase if equal recordings and frame specs give other frames than before; a test pins the present frames.
# 2: each take of a recording is one of its own, so that no clip spans two.
FRAMING_VERSION = 2

TODO_ROOM = "make room or choose another --out, and run the same command again"

StoredClip: TypeAlias = tuple[int, int, int]
"""(t_start_us, bytes, CRC-32 of these bytes); the clips of a shard are contiguous."""
SplitOptions: TypeAlias = Mapping[str, str | int | float | tuple[str, ...] | None]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceFile(_Part):
    """The file of a recording when its clips were cut; without `sha256` it was not readable."""

    path: str
    bytes: int
    mtime_ns: int
    sha256: str | None


class BadEntry(_Part):
    """An unreadable recording: the parts of its error."""

    key: str
    subject: str
    got: str
    expected: str
    todo: str

    def __str__(self) -> str:
        return f"{self.subject}: got {self.got}; expected {self.expected}"


class StoredEntry(_Part):
    """One labelled recording or part of one.

    Attributes:
        file, shard: indices into `files` and `shards`.
        span: the requested part; `span_us` is [t0, t1) of it, None if it has no event.
        incomplete: number of clips cut off at its ends.
        take: its number if the clock of the recording was reset; `span` and `span_us` are then those of the take.
        begin: see `Entry`.
        part: the requested part of the whole recording, of which this is one take.
    """

    key: str
    file: int
    label: int
    group: str | None
    subject: str | None = None
    session: str | None = None
    span: tuple[Position, Position]
    span_us: tuple[int, int] | None
    side: Side
    shard: int
    incomplete: int
    clips: tuple[StoredClip, ...]
    take: int | None = None
    begin: int | None = None
    part: tuple[Position, Position] | None = None

    @property
    def requested_key(self) -> str | None:
        """Key of the recording of which this is one take; None if it was asked for as it is."""
        return None if self.part is None else without_take(self.key, self.take)


class StoredShard(_Part):
    file: str
    bytes: int


class StoredSplit(_Part):
    """The split; see `Split`.

    Attributes:
        settings: the request.
        checked: the result of the check.
        validation: rule of the validation part, if there is one.
    """

    rule: str
    gap_us: int
    settings: SplitOptions
    checked: str
    apart: tuple[str, ...] = ()
    validation: SideRule | None = None


class Manifest(_Part):
    """See the module.

    Attributes:
        complete: all shards exist, and the rest of this manifest is filled.
        framing: `FRAMING_VERSION` of the code that cut the clips.
        made_by: name and version of the package.
        codec: compression of the clips.
        root: folder of the recordings, absolute.
    """

    schema_version: int
    complete: bool
    framing: int
    made_by: str
    codec: str
    dataset: str
    root: str
    frames: FrameSpec
    classes: tuple[str, ...]
    sensor_size: tuple[int, int]
    split: StoredSplit
    files: tuple[SourceFile, ...] = ()
    shards: tuple[StoredShard, ...] = ()
    entries: tuple[StoredEntry, ...] = ()
    bad: tuple[BadEntry, ...] = ()

    @property
    def takes(self) -> tuple[int, int]:
        """Number of recordings that are takes, and of the files that they are of."""
        files = [entry.file for entry in self.entries if entry.take is not None]
        return len(files), len(set(files))

    @property
    def clip_count(self) -> int:
        return sum(len(entry.clips) for entry in self.entries)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides of the split."""
        return tuple(side for side in SIDES if side != "validation" or self.split.validation is not None)

    def clips_on(self, side: Side) -> int:
        """Return the number of clips on a side."""
        return sum(len(entry.clips) for entry in self.entries if entry.side == side)

    @property
    def data_bytes(self) -> int:
        """Size of all shards."""
        return sum(shard.bytes for shard in self.shards)


class _Versions(BaseModel):
    """The versions, read first, since a manifest of another version may have another schema."""

    schema_version: int
    framing: int
    made_by: str


def write_manifest(store: Path, manifest: Manifest) -> None:
    """Write `manifest` into the store, atomically.

    Raises:
        DatasetError: it is not writable.
    """
    with store_file(store / MANIFEST_FILE) as file:
        file.write(f"{manifest.model_dump_json()}\n".encode())


def is_store(folder: Path) -> bool:
    """Return True for the folder of a store, of any version."""
    with suppress(OSError), (folder / MANIFEST_FILE).open("rb") as file:
        return b'"framing":' in file.read(200)
    return False


def read_manifest(store: Path) -> Manifest:
    """Read the manifest of the store in the folder `store`.

    Raises:
        DatasetError: it is missing, does not parse, or is of another version.
    """
    path = store / MANIFEST_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise DatasetError(
            str(store), got=f"no {MANIFEST_FILE}" if missing else f"a {MANIFEST_FILE} that does not read ({error})",
            expected="a folder that stdl-events prepare wrote", todo="check the path, or prepare the recordings again",
        ) from None  # fmt: skip
    try:
        versions = _Versions.model_validate_json(text)
        if (versions.schema_version, versions.framing) == (SCHEMA_VERSION, FRAMING_VERSION):
            return Manifest.model_validate_json(text)
    except ValidationError as error:
        problem = first_problem(error)
        where = f"{problem.where}: " if problem.where else ""
        raise DatasetError(
            str(path), got=f"{where}{problem.got}", expected=problem.expected,
            todo="remove the store and prepare the recordings again",
        ) from None  # fmt: skip
    raise DatasetError(
        str(path),
        got=f"schema {versions.schema_version} and framing {versions.framing}, written by {versions.made_by}",
        expected=f"schema {SCHEMA_VERSION} and framing {FRAMING_VERSION}, which this version writes and reads",
        todo="prepare the recordings again into another folder, or use the version that wrote it",
    )


def store_file(path: Path) -> AbstractContextManager[BinaryIO]:
    """Open a file of a store for writing; see `whole_file`.

    Raises:
        DatasetError: it cannot be written.
    """
    return whole_file(path, room_for="clips", error=DatasetError, todo=TODO_ROOM)
