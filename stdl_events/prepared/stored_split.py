"""What became of a split in a store: the manifest, the readable part, compared by events, and the list `split.json`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stdl_events.prepared.jobs import ShardJob
from stdl_events.prepared.manifest import TODO_ROOM, BadEntry, Manifest, SourceFile, StoredEntry, StoredShard
from stdl_events.prepared.shards import Shard, ShardEntry, as_taken
from stdl_events.recordings.entry import Entry, Split
from stdl_events.recordings.file_contents import Content
from stdl_events.recordings.splits.same_events import check_same_events
from stdl_events.recordings.splits.sides import Side
from stdl_events.recordings.splits.split_list import (
    SPLIT_FILE,
    SplitList,
    plain_span,
    read_split_list,
    write_split_list,
)

Made = Sequence[tuple[Entry, ShardEntry]]


def made_of(shards: Iterable[tuple[ShardJob, Shard]]) -> Made:
    """Return each entry with its result."""
    return [pair for job, shard in shards for pair in zip(job.entries, shard.entries, strict=True)]


def split_in_takes(split: Split, made: Made) -> Split:
    """Return `split` with each take of a recording as an entry of its own, with its counts."""
    takes = {
        entry.key: [replace(as_taken(entry, take), counted=take.counted) for take in result.takes] or [entry]
        for entry, result in made
    }
    return split.with_sides(
        {
            side: recordings.with_entries(take for entry in recordings.entries for take in takes[entry.key])
            for side, recordings in split.sides.items()
        }
    )


def readable_split(split: Split, made: Made) -> Split:
    """Return `split` without its unreadable recordings, after the two sides were compared by events.

    Raises:
        SplitError: two recordings on both sides have the same events.
    """
    bad = {entry.key for entry, result in made if result.error is not None}
    used = split.with_sides(
        {
            side: recordings.with_entries(entry for entry in recordings.entries if entry.key not in bad)
            for side, recordings in split.sides.items()
        }
    )
    check_same_events(used)
    return used


def as_listed(entries: Iterable[Entry], store: Path, root: Path) -> Iterator[Entry]:
    """Yield the entries of a store with their counts and as they were opened, for a comparison by events.

    Stores of older versions have no list, and entries with readers of their own no reader here: those stay as they are.
    """
    listed = read_split_list(store / SPLIT_FILE)
    split = None if listed is None else listed.split(root, lambda key: None)
    own = set() if listed is None else {row.key for row in listed.recordings if row.own_reader}
    known = {} if split is None else {entry.key: entry for entry in split.entries}
    for entry in entries:
        if entry.key in known and entry.key not in own:
            yield replace(known[entry.key], span=entry.span, content=entry.content)
        else:
            yield entry


def complete_manifest(
    wanted: Manifest, jobs: Sequence[ShardJob], shards: Mapping[Path, Shard], split: Split
) -> Manifest:
    """Return the manifest of all shards, in their order."""
    sides = {entry.key: side for side, recordings in split.sides.items() for entry in recordings.entries}
    files: dict[str, SourceFile] = {}
    index: dict[str, int] = {}
    entries: list[StoredEntry] = []
    bad: list[BadEntry] = []
    for number, job in enumerate(jobs):
        for entry, made in zip(job.entries, shards[job.path].entries, strict=True):
            if made.error is not None:
                bad.append(made.error)
                continue
            # A copy of the recordings has other times but equal content: store the present times.
            if made.file.path not in files:
                index[made.file.path] = len(files)
                files[made.file.path] = _as_now(made.file, entry.path)
            entries += _stored_takes(entry, made, index[made.file.path], number, sides)
    stored = tuple(StoredShard(file=job.path.name, bytes=job.path.stat().st_size) for job in jobs)
    filled = {"files": tuple(files.values()), "shards": stored, "entries": tuple(entries), "bad": tuple(bad)}
    return wanted.model_copy(update={"complete": True, **filled})


def _stored_takes(
    entry: Entry, made: ShardEntry, file: int, shard: int, sides: Mapping[str, Side]
) -> Iterator[StoredEntry]:
    """Yield the stored takes of `entry`, mostly one."""
    for take in made.takes:
        taken = as_taken(entry, take)
        yield StoredEntry(
            key=taken.key,
            file=file,
            label=entry.label,
            group=entry.group,
            subject=entry.subject,
            session=entry.session,
            span=plain_span(taken.span),
            side=sides[taken.key],
            span_us=take.span_us,
            shard=shard,
            incomplete=take.incomplete,
            clips=take.clips,
            take=taken.take,
            begin=taken.begin,
            part=None if taken is entry else plain_span(entry.span),
        )


def _as_now(file: SourceFile, path: Path) -> SourceFile:
    mtime_ns = path.stat().st_mtime_ns
    return file if mtime_ns == file.mtime_ns else file.model_copy(update={"mtime_ns": mtime_ns})


def write_list(store: Path, used: Split, dataset: str, root: Path, made: Made) -> None:
    """Write the list of the recordings of `used` into the store.

    Raises:
        DatasetError: it cannot be written.
    """
    contents = {entry.path: Content(result.file.bytes, result.file.sha256) for entry, result in made}
    left_out = [entry.path for entry, result in made if result.error is not None]
    listed = SplitList.of(used, root, contents, dataset=dataset, left_out=left_out)
    write_split_list(store / SPLIT_FILE, listed, todo=TODO_ROOM)
