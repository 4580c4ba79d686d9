"""Make or resume a store: every valid, complete shard of unchanged recordings is kept."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stdl_events import __version__
from stdl_events.errors import DatasetError
from stdl_events.events.hot_pixels import say_hot_pixels
from stdl_events.events.stream import RecordingWarning
from stdl_events.folder_lock import locked
from stdl_events.frames import FrameSpec
from stdl_events.prepared.cluster import connected
from stdl_events.prepared.jobs import SUFFIX, ShardJob, plan_shards
from stdl_events.prepared.manifest import (
    FRAMING_VERSION,
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Manifest,
    SplitOptions,
    StoredSplit,
    read_manifest,
    write_manifest,
)
from stdl_events.prepared.payload import CODEC
from stdl_events.prepared.shards import Shard, read_shard
from stdl_events.prepared.sources import changes_of, frame_changes
from stdl_events.prepared.stored_split import complete_manifest, made_of, readable_split, split_in_takes, write_list
from stdl_events.prepared.workers import MakeShards, make_shards
from stdl_events.recordings.clips import no_clips, require_bytes
from stdl_events.recordings.coverage import SIDE_TEXT, require_every_class, say_too_short, unreadable
from stdl_events.recordings.entry import Split
from stdl_events.recordings.splits.split_list import SPLIT_FILE

MAX_WARNINGS = 5


@dataclass(frozen=True)
class Preparation:
    """Result of `prepare`: the number of recordings (or parts) cut now, and of those kept."""

    store: Path
    manifest: Manifest
    made: int
    kept: int


def prepare(
    split: Split,
    frame_spec: FrameSpec,
    store: str | Path,
    *,
    dataset: str,
    root: str | Path,
    split_settings: SplitOptions | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    skip_bad: bool = False,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Preparation:
    """Cut all clips of both sides of `split` into the folder `store`.

    The same call resumes an interrupted run. In a complete `store`, shards of changed recordings are recreated. The
    content does not depend on the number of workers or of interruptions.

    Args:
        frame_spec: with a `cap` of at most 255.
        dataset: name of the recordings for the manifest.
        root: folder of the recordings; their paths in the manifest are relative to it.
        split_settings: settings that `split` was made by; a reader with equal settings needs no recordings.
        workers: number of processes, this one included.
        scheduler: address of a Dask scheduler, whose workers cut the clips instead; they share `store` and `root`.
        skip_bad: skip unreadable recordings, and list them in the manifest.
        verify: compare the content of recordings that have clips, not only sizes and times.
        progress: called with (recordings done, recordings in all), first with those that were kept.

    Raises:
        DatasetError: the store is of other recordings or frames, another process prepares it, a class has no clip,
            or recordings are unreadable without `skip_bad`; the message names them.
        SplitError: both sides of the split share something, also under another name and in another format.
        FrameSpecError: counts could exceed 255.
        OutsideError: a worker died.
        ClusterError: the scheduler does not answer, or its workers fail; see `cluster`.
    """
    require_bytes(frame_spec)
    assert workers >= 1, "at least one worker"
    checked = split.check_disjoint()
    # A key on two sides is rejected here.
    entries = split.train.with_entries(split.entries).entries
    store, root = Path(store), Path(root).absolute()
    wanted = _wanted(split, frame_spec, dataset, root, checked, split_settings or {})
    with (
        _shard_maker(workers, scheduler) as make_missing,
        locked(_made_folder(store), used="a store that process {} is preparing", error=DatasetError),
    ):
        found = _found(store, wanted)
        jobs = plan_shards(store, frame_spec, root, entries)
        shards = {job.path: shard for job in jobs if (shard := _kept(job, root, skip_bad, verify)) is not None}
        missing = [job for job in jobs if job.path not in shards]
        if missing and found is not None and found.root != wanted.root:
            raise _taken(store, [f"recordings, those of {found.root}"])
        kept = sum(len(shard.entries) for shard in shards.values())
        if missing or found is None:
            write_manifest(store, wanted)
            found = None
            _clean(store, jobs)
        done, total = kept, sum(len(job.entries) for job in jobs)
        if progress is not None:
            progress(done, total)
        for job, shard in make_missing(missing):
            shards[job.path] = shard
            done += len(shard.entries)
            if progress is not None:
                progress(done, total)
        if missing:
            _clean(store, jobs)  # what killed workers left
        _warn([text for job in missing for entry in shards[job.path].entries for text in entry.warnings])
        say_hot_pixels((shard.hot for shard in shards.values()), frame_spec.filters.hot_pixels)
        made = made_of((job, shards[job.path]) for job in jobs)
        split = split_in_takes(split, made)
        manifest = complete_manifest(wanted, jobs, shards, split)
        _judge(manifest, store, total, skip_bad, split)
        used = readable_split(split, made)
        if manifest != found or not (store / SPLIT_FILE).exists():
            write_list(store, used, dataset, root, made)
            write_manifest(store, manifest)
    return Preparation(store, manifest, total - kept, kept)


def _shard_maker(workers: int, scheduler: str | None) -> AbstractContextManager[MakeShards]:
    return nullcontext(partial(make_shards, workers=workers)) if scheduler is None else connected(scheduler)


def _wanted(
    split: Split,
    frame_spec: FrameSpec,
    dataset: str,
    root: Path,
    checked: str,
    split_settings: SplitOptions,
) -> Manifest:
    """Return the manifest of a new store."""
    stored_split = StoredSplit(
        rule=split.rule,
        gap_us=split.gap_us,
        settings=dict(split_settings),
        checked=checked,
        apart=split.apart,
        validation=None if split.validation is None else split.validation_rule,
    )
    return Manifest(
        schema_version=SCHEMA_VERSION, complete=False, framing=FRAMING_VERSION,
        made_by=f"stdl-events {__version__}", codec=CODEC, dataset=dataset, root=str(root),
        frames=frame_spec, classes=split.train.classes, sensor_size=split.train.sensor_size, split=stored_split,
    )  # fmt: skip


def _made_folder(store: Path) -> Path:
    """Create the folder if it is missing, and return it.

    Raises:
        DatasetError: it holds something else than a store, or cannot be created.
    """
    try:
        unknown = store.exists() and not (store / MANIFEST_FILE).exists()
        if unknown and (not store.is_dir() or any(not path.name.startswith(".") for path in store.iterdir())):
            raise DatasetError(
                str(store), got="something that is already there", expected="a new folder, or a store to go on with",
                todo="choose another --out",
            )  # fmt: skip
        store.mkdir(parents=True, exist_ok=True)
        return store
    except OSError as error:
        raise DatasetError(
            str(store), got=error.strerror or str(error), expected="a folder that can be made",
            todo="choose another --out",
        ) from None  # fmt: skip


def _found(store: Path, wanted: Manifest) -> Manifest | None:
    """Return the existing manifest, if any.

    Raises:
        DatasetError: it is of another request.
    """
    if not (store / MANIFEST_FILE).exists():
        return None
    found = read_manifest(store)
    changed = frame_changes(found.frames, wanted.frames)
    for name in ("dataset", "classes", "sensor_size", "codec"):
        before, now = getattr(found, name), getattr(wanted, name)
        if before != now:
            changed.append(f"{name} ({before}, asked for {now})")
    if changed:
        raise _taken(store, changed)
    return found


def _taken(store: Path, changed: list[str]) -> DatasetError:
    return DatasetError(
        str(store), got=f"a store with other {', '.join(changed)}", expected="a store of the same request",
        todo="choose another --out, or remove this store",
    )  # fmt: skip


def _kept(job: ShardJob, root: Path, skip_bad: bool, verify: bool) -> Shard | None:
    """Return the shard of `job` if it is still valid."""
    shard = read_shard(job)
    if shard is None or (shard.bad and not skip_bad):
        return None
    files = (entry.file for entry in shard.entries)
    return None if changes_of(files, root, missing_is_change=True, full=verify) else shard


def _clean(store: Path, jobs: list[ShardJob]) -> None:
    """Remove partial files of interrupted runs, and shards that are no longer in the store."""
    wanted = {job.path.name for job in jobs}
    for path in store.iterdir():
        is_partial = path.name.startswith(".") and path.name.endswith(".part")
        if is_partial or (path.suffix == SUFFIX and path.name not in wanted):
            path.unlink(missing_ok=True)


def _warn(texts: list[str]) -> None:
    for text in texts[:MAX_WARNINGS]:
        warnings.warn(text, RecordingWarning, stacklevel=3)
    if len(texts) > MAX_WARNINGS:
        more = f"{len(texts) - MAX_WARNINGS} more such warnings about recordings"
        warnings.warn(more, RecordingWarning, stacklevel=3)


def _judge(manifest: Manifest, store: Path, total: int, skip_bad: bool, split: Split) -> None:
    """Raise if recordings are unreadable, or a class has no clip; warn of recordings that are too short."""
    if manifest.bad and not skip_bad:
        was_repaired = all(entry.repair for entry in split.train.entries)
        is_repairable = not was_repaired and any("--repair" in one.todo for one in manifest.bad)
        repair = "use the events before the damage with --repair, " if is_repairable else ""
        todo = f"copy or correct them, {repair}or skip them with --skip-bad; finished clips are kept"
        raise unreadable(str(store), manifest.bad, total, todo)
    if not manifest.clip_count:
        raise no_clips(split.entries, manifest.frames)
    clips = {entry.key: len(entry.clips) for entry in manifest.entries}
    labels = {entry.label for entry in split.entries}
    for name, side in ((SIDE_TEXT[name], side) for name, side in split.sides.items()):
        readable = side.with_entries(entry for entry in side.entries if entry.key in clips)
        counts = [clips[entry.key] for entry in readable.entries]
        bad_labels = {entry.label for entry in side.entries if entry.key not in clips}
        require_every_class(name, readable, counts, manifest.frames, bad_labels=bad_labels, labels_of_all=labels)
        say_too_short(name, readable, counts, manifest.frames)
