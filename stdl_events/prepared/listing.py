"""What became of a split in a store: its readable part, compared by events, and its list in `split.json`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stdl_events.prepared.manifest import TODO_ROOM
from stdl_events.prepared.shards import Shard, ShardEntry, ShardJob, as_taken
from stdl_events.recordings.entry import Entry, Split
from stdl_events.recordings.file_contents import Content
from stdl_events.recordings.splits.same_events import check_same_events
from stdl_events.recordings.splits.split_list import SPLIT_FILE, SplitList, read_split_list, write_split_list

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


def write_list(store: Path, used: Split, dataset: str, root: Path, made: Made) -> None:
    """Write the list of the recordings of `used` into the store.

    Raises:
        DatasetError: it cannot be written.
    """
    contents = {entry.path: Content(result.file.bytes, result.file.sha256) for entry, result in made}
    left_out = [entry.path for entry, result in made if result.error is not None]
    listed = SplitList.of(used, root, contents, dataset=dataset, left_out=left_out)
    write_split_list(store / SPLIT_FILE, listed, todo=TODO_ROOM)
