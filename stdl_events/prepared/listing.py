"""`split.json` of a store: both sides of its split, as the list of a run."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from stdl_events.prepared.manifest import TODO_ROOM
from stdl_events.prepared.shards import Shard, ShardJob
from stdl_events.recordings.entry import Split
from stdl_events.recordings.file_contents import Content
from stdl_events.recordings.split_list import SPLIT_FILE, SplitList, write_split_list


def write_list(store: Path, split: Split, dataset: str, root: Path, made: Iterable[tuple[ShardJob, Shard]]) -> None:
    """Write the list of the readable recordings of `split` into the store.

    Raises:
        DatasetError: it cannot be written.
    """
    pairs = [pair for job, shard in made for pair in zip(job.entries, shard.entries, strict=True)]
    contents = {entry.path: Content(facts.file.bytes, facts.file.sha256) for entry, facts in pairs}
    bad = {entry.key for entry, facts in pairs if facts.error is not None}
    used = replace(
        split,
        train=split.train.with_entries(entry for entry in split.train.entries if entry.key not in bad),
        test=split.test.with_entries(entry for entry in split.test.entries if entry.key not in bad),
    )
    left_out = [entry.path for entry, facts in pairs if facts.error is not None]
    listed = SplitList.of(used, root, contents, dataset=dataset, left_out=left_out)
    write_split_list(store / SPLIT_FILE, listed, todo=TODO_ROOM)
