"""Shards to make: each cuts a few consecutive recordings, and is described by all that its content depends on."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from stdl_events.errors import RecordingError
from stdl_events.events import Recording
from stdl_events.events.geometry import Geometry
from stdl_events.frames import FrameSpec
from stdl_events.prepared.manifest import FRAMING_VERSION, SCHEMA_VERSION
from stdl_events.prepared.payload import CODEC
from stdl_events.recordings.entry import Entry
from stdl_events.recordings.file_contents import relative_folder

SUFFIX = ".clips"
# Few enough recordings per shard that workers end at the same time and an interruption costs seconds.
MAX_ENTRIES = 64
MAX_SOURCE_BYTES = 16 << 20


@dataclass(frozen=True)
class ShardJob:
    """The content of one shard; paths of the recordings are relative to `root`."""

    path: Path
    frame_spec: FrameSpec
    root: Path
    entries: tuple[Entry, ...]

    def description(self) -> str:
        """Everything that the shard depends on, except the bytes of the recordings."""
        # Omitted where they change nothing.
        newer = ("filters", "picture", *(field.name for field in fields(Geometry)))
        left_out = {name for name in newer if getattr(self.frame_spec, name) == FrameSpec.model_fields[name].default}
        cut = [SCHEMA_VERSION, FRAMING_VERSION, CODEC, self.frame_spec.model_dump(mode="json", exclude=left_out)]
        return repr([*cut, [_described(entry, self.root) for entry in self.entries]])

    def absolute(self) -> "ShardJob":
        """Return the job with paths that hold in every working directory."""
        entries = tuple(replace(entry, path=entry.path.absolute()) for entry in self.entries)
        return replace(self, path=self.path.absolute(), entries=entries)


def plan_shards(store: Path, frame_spec: FrameSpec, root: Path, entries: Iterable[Entry]) -> list[ShardJob]:
    """Cut `entries` into shards; parts of one recording stay together, so that it is opened once.

    Raises:
        RecordingError: a recording is missing.
    """
    by_recording: dict[object, list[Entry]] = {}
    for entry in entries:
        by_recording.setdefault(entry.recording, []).append(entry)
    recordings_in = Counter(parts[0].path for parts in by_recording.values())
    groups: list[list[Entry]] = []
    source_bytes = 0
    for parts in by_recording.values():
        path = parts[0].path
        size = status_of(path).st_size // recordings_in[path]
        full = groups and (len(groups[-1]) + len(parts) > MAX_ENTRIES or source_bytes + size > MAX_SOURCE_BYTES)
        if full or not groups:
            groups.append([])
            source_bytes = 0
        groups[-1] += parts
        source_bytes += size
    return [
        ShardJob(store / f"{number:05d}{SUFFIX}", frame_spec, root, tuple(group)) for number, group in enumerate(groups)
    ]


def status_of(path: Path) -> os.stat_result:
    """Return the status of the file of a recording.

    Raises:
        RecordingError: it is missing.
    """
    try:
        return path.stat()
    except OSError as error:
        raise RecordingError(
            str(path), got=error.strerror or str(error), expected="a recording", todo="check the dataset's folder"
        ) from None


def relative_path(path: Path, root: Path) -> str:
    """Return the path of a recording relative to the folder `root`, as text."""
    folder, name = os.path.split(str(path))
    return os.path.join(relative_folder(folder, str(root)), name)


def _described(entry: Entry, root: Path) -> list[object]:
    reader = None if entry.reader is None else _reader_name(entry.reader)
    opened_as: list[object] = [entry.format, entry.sensor_size, reader]
    if entry.stream is not None or entry.time_unit is not None:
        opened_as += [entry.stream, entry.time_unit]
    opened_as += [] if entry.columns is None else [entry.columns]
    opened_as += entry.orientation.words
    opened_as += ["repair"] * entry.repair + ["strict"] * entry.strict
    opened_as += [] if entry.take is None else [f"take {entry.take}"]
    opened_as += [] if entry.begin is None else [f"from {entry.begin} us"]
    return [entry.key, relative_path(entry.path, root), entry.span, opened_as]


def _reader_name(reader: Callable[[Path], Recording]) -> str:
    return getattr(reader, "description", None) or f"{reader.__module__}.{getattr(reader, '__qualname__', '')}"
