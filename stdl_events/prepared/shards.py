"""A shard: the clips of a few consecutive recordings in one file, written atomically.

    magic | clips, one after the other | facts, JSON | length of the facts, their CRC-32 | magic

The facts name the shard's sources and settings, so that a rerun can keep valid shards. The content of a shard depends
only on the recordings and the frame spec, not on the process or the time.
"""

import struct
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from stdl_events.errors import RecordingError, UserError
from stdl_events.events import Recording, span_us
from stdl_events.events.hot_pixels import HotPixels, PixelCounts
from stdl_events.frames import FrameSpec
from stdl_events.prepared.jobs import ShardJob, relative_path, status_of
from stdl_events.prepared.manifest import BadEntry, SourceFile, StoredClip, store_file
from stdl_events.prepared.payload import Pack, checksum, packer
from stdl_events.recordings.clips import subject_of
from stdl_events.recordings.counted import Counted, counted
from stdl_events.recordings.cutting import cut_takes
from stdl_events.recordings.entry import WHOLE, Entry
from stdl_events.recordings.file_digest import file_digest

MAGIC = b"STDLCLIP"
_TRAILER = struct.Struct("<QI8s")


class ShardTake(BaseModel):
    """A recording, a part of one, or one of its takes after a reset of the clock.

    Attributes:
        take: its number; None if there is one only.
        span_us: [t0, t1) of the requested part; None if it has no event.
        begin: see `Entry`.
        incomplete: number of clips cut off at its ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    take: int | None = None
    begin: int | None = None
    span_us: tuple[int, int] | None = None
    incomplete: int = 0
    clips: tuple[StoredClip, ...] = ()
    counted: Counted | None = None


def as_taken(entry: Entry, take: ShardTake) -> Entry:
    """Return the entry of one of the takes of `entry`; `entry` itself if its clock was not reset."""
    if take.take is None or entry.take is not None:
        return entry
    assert take.span_us is not None, "a take has events"
    span = WHOLE if entry.span == WHOLE else take.span_us
    return replace(entry.of_take(take.take), span=span, begin=take.begin)


class ShardEntry(BaseModel):
    """Result for one entry of the job: its takes with their clips, or the error; and the warnings of reading it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: SourceFile
    takes: tuple[ShardTake, ...] = ()
    error: BadEntry | None = None
    warnings: tuple[str, ...] = ()


class Shard(BaseModel):
    """The facts of a shard; `entries` are in the order of the job's, `hot` are the hot pixels of all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    entries: tuple[ShardEntry, ...]
    hot: HotPixels = HotPixels()

    @property
    def bad(self) -> list[BadEntry]:
        return [entry.error for entry in self.entries if entry.error is not None]


def make_shard(job: ShardJob) -> Shard:
    """Make the file of `job`, atomically; see `cut_shard`."""
    shard, complete = cut_shard(job)
    complete()
    return shard


def cut_shard(job: ShardJob) -> tuple[Shard, Callable[[], None]]:
    """Cut the clips of all entries of `job` and write them; unreadable recordings are listed in the shard.

    Returns:
        The shard, and a function that brings the file to the disk under its name, from any thread.

    Raises:
        DatasetError: the file is not writable.
        RecordingError: a recording has disappeared.
        MissingExtraError: a recording needs a package that is not installed.
    """
    entries: list[ShardEntry] = []
    opened: Recording | None = None
    opened_of: Entry | None = None
    pack, counts = packer(), PixelCounts(job.frame_spec.sensor_size)
    with ExitStack() as stack:
        file = stack.enter_context(store_file(job.path))
        file.write(MAGIC)
        for entry in job.entries:
            if opened is None or opened_of is None or opened_of.recording != entry.recording:
                opened, opened_of, source = None, entry, source_file(entry.path, job.root)
            facts, payloads, opened = _cut(entry, opened, source, job.frame_spec, pack, counts)
            entries.append(facts)
            file.writelines(payloads)
        shard = Shard(description=job.description(), entries=tuple(entries), hot=counts.hot())
        text = shard.model_dump_json().encode()
        file.write(text + _TRAILER.pack(len(text), checksum(text), MAGIC))
        return shard, stack.pop_all().close


def read_shard(job: ShardJob) -> Shard | None:
    """Read the facts of the file of `job`; None if it is missing, incomplete, or of another job.

    The caller checks that the recordings are unchanged.
    """
    try:
        data = job.path.read_bytes()
    except OSError:
        return None
    if len(data) < len(MAGIC) + _TRAILER.size or not data.startswith(MAGIC):
        return None
    length, text_crc, magic = _TRAILER.unpack_from(data, len(data) - _TRAILER.size)
    start = len(data) - _TRAILER.size - length
    if magic != MAGIC or start < len(MAGIC) or checksum(data[start : start + length]) != text_crc:
        return None
    try:
        shard = Shard.model_validate_json(data[start : start + length])
    except ValidationError:
        return None
    position = len(MAGIC)
    for entry in shard.entries:
        for _, size, crc in (clip for take in entry.takes for clip in take.clips):
            if checksum(data[position : position + size]) != crc:
                return None
            position += size
    return shard if position == start and shard.description == job.description() else None


def source_file(path: Path, root: Path) -> SourceFile:
    """Describe the present file of a recording.

    Raises:
        RecordingError: the file is missing.
    """
    status = status_of(path)
    try:
        digest = _digest(path, status.st_size, status.st_mtime_ns)
    except OSError:
        digest = None
    return SourceFile(path=relative_path(path, root), bytes=status.st_size, mtime_ns=status.st_mtime_ns, sha256=digest)


@lru_cache(maxsize=8)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    """Return the hash of a file, once for all shards of a file of many recordings."""
    del size, mtime_ns  # parts of the cache's key
    return file_digest(path)


def _cut(
    entry: Entry, opened: Recording | None, source: SourceFile, frame_spec: FrameSpec, pack: Pack, counts: PixelCounts
) -> tuple[ShardEntry, list[bytes], Recording | None]:
    """Return (facts, compressed clips, the recording for the next part of the same file) of one entry."""
    takes: list[ShardTake] = []
    payloads: list[bytes] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Raised when the garbage collector runs, for anything of this process.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            opened = opened or entry.open()
            for take, recording, cut in cut_takes(entry, opened, frame_spec, watch=counts.add):
                clips: list[StoredClip] = []
                for clip in cut:
                    payload = pack(clip.frames_TCHW.astype(np.uint8))
                    payloads.append(payload)
                    clips.append((clip.t_start_us, len(payload), checksum(payload)))
                times_us = span_us(recording, *take.span) if recording.summary.events else None
                its = ShardTake(
                    take=take.take, begin=take.begin, span_us=times_us, incomplete=cut.incomplete, clips=tuple(clips),
                    counted=counted(recording),
                )  # fmt: skip
                takes.append(its)
            _require_unchanged(entry.path, source)
        except (UserError, OSError) as error:
            return ShardEntry(file=source, error=_bad(entry, error), warnings=_texts(caught)), [], None
    return ShardEntry(file=source, takes=tuple(takes), warnings=_texts(caught)), payloads, opened


def _require_unchanged(path: Path, source: SourceFile) -> None:
    status = status_of(path)
    if (status.st_size, status.st_mtime_ns) != (source.bytes, source.mtime_ns):
        raise RecordingError(
            str(path), got="a file that changed while it was read", expected="one that is not being written to",
            todo="run the same command again",
        )  # fmt: skip


def _bad(entry: Entry, error: UserError | OSError) -> BadEntry:
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return BadEntry(key=entry.key, subject=str(entry.path), got=reason, expected="a file", todo="check it")
    return BadEntry(
        key=entry.key, subject=subject_of(entry, error), got=error.got, expected=error.expected, todo=error.todo
    )


def _texts(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    return tuple(str(warning.message) for warning in caught)
