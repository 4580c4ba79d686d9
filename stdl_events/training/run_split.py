"""The split of a run: listed in its folder when it starts, and taken from that list afterwards."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stdl_events.errors import DatasetError, RunError
from stdl_events.events.defects import count_of
from stdl_events.events.stream import RecordingWarning
from stdl_events.prepared.manifest import Manifest, read_manifest
from stdl_events.recordings.entry import RecordingSet, Split
from stdl_events.recordings.file_contents import Content, contents_of
from stdl_events.recordings.registry import DATASETS
from stdl_events.recordings.splits.sides import SIDES, Side
from stdl_events.recordings.splits.split_list import (
    SPLIT_FILE,
    ListedRecording,
    Reader,
    SplitList,
    changes_of_rows,
    count_beside,
    read_split_list,
    with_contents,
    write_split_list,
)
from stdl_events.training.load_recordings import load_split, recordings_folder
from stdl_events.training.progress import HashingProgress
from stdl_events.training.settings import TrainConfig

MAX_CHANGES_NAMED = 10


@dataclass(frozen=True)
class RunSplit:
    """The split of a run that starts or is resumed.

    Attributes:
        contents: of the files; None if the run's folder has its list already.
    """

    split: Split
    contents: Mapping[Path, Content] | None = None

    def write(self, folder: Path, config: TrainConfig, used: Split) -> None:
        """Write the list into a new run's folder.

        Args:
            used: the readable part of the split.

        Raises:
            DatasetError: it cannot be written.
        """
        if self.contents is None:
            return
        kept = {entry.path for entry in used.entries}
        left_out = [entry.path for entry in self.split.entries if entry.path not in kept]
        root = _root(config, self.split)
        listed = SplitList.of(used, root, self.contents, dataset=config.data.dataset, left_out=left_out)
        listed = listed.model_copy(update={"beside": count_beside(listed, root)})
        write_split_list(folder / SPLIT_FILE, listed)


def split_of_run(
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool = False,
    split: Split | None = None,
    like: Path | None = None,
    quiet: bool = False,
) -> RunSplit:
    """Return the split of a new run, each file hashed; or that of a run to resume, as its list has it.

    Args:
        split: recordings of a new run instead of those of `config.data`.
        like: folder of a run; a new one takes the recordings of its list.
        quiet: no progress bar.

    Raises:
        DatasetError, SplitError, RecipeError: see `load_split`; or listed recordings are missing or have changed.
    """
    if resume:
        listed = read_split_list(folder / SPLIT_FILE)
        if listed is not None:
            return RunSplit(_checked(config, folder, listed, SIDES, data=None, quiet=quiet))
        _say_unlisted(folder)
        return RunSplit(split or load_split(config))
    listed = None if like is None else read_split_list(like / SPLIT_FILE)
    if like is not None and listed is not None:
        data = None if config.data.path is None else Path(config.data.path)
        split = _checked(config, like, listed, SIDES, data=data, quiet=quiet)
        of_key = {row.key: row.content for row in listed.recordings}
        return RunSplit(split, {entry.path: of_key[entry.key] for entry in split.entries})
    split = split or load_split(config)
    stored = _stored_contents(config)
    if stored is None:
        with HashingProgress(quiet=quiet) as progress:
            contents = contents_of((entry.path for entry in split.entries), progress.show)
    else:
        contents = {entry.path: stored[entry.key] for entry in split.entries if entry.key in stored}
    return RunSplit(with_contents(split, contents), contents)


def recordings_of_run(
    config: TrainConfig, folder: Path, side: Side = "test", *, data: Path | None = None, verify: bool = False,
    at_most: int | None = None,
) -> RecordingSet:  # fmt: skip
    """Return the recordings of one side of the run in `folder`, and check that their files have not changed.

    A run without a list, of an older version, is split again, with a warning.

    Args:
        data: current folder of the recordings.
        verify: also check the recordings of the other sides.
        at_most: return and check as many of them, evenly spaced.

    Raises:
        RunError: the run has no such side.
        DatasetError, SplitError, RecipeError: see `split_of_run`.
    """
    listed = read_split_list(folder / SPLIT_FILE)
    if listed is None:
        _say_unlisted(folder)
        split = load_split(config)
    else:
        listed = _thinned(listed, side, at_most)
        split = _checked(config, folder, listed, SIDES if verify else (side,), data=data, quiet=False)
    if side not in split.sides:
        raise RunError(
            str(folder), got="no recordings to validate on", expected="a run with a validation part",
            todo="leave --side out, or train with --validation 0.1",
        )  # fmt: skip
    return split.sides[side]


def _thinned(listed: SplitList, side: Side, at_most: int | None) -> SplitList:
    """Return the list with at most so many recordings of one side, evenly spaced."""
    rows = listed.side(side)
    if at_most is None or len(rows) <= at_most:
        return listed
    kept = {rows[number * len(rows) // at_most].key for number in range(at_most)}
    recordings = tuple(row for row in listed.recordings if row.side != side or row.key in kept)
    # The others are in the folder still, and none of them was added.
    return listed.model_copy(update={"recordings": recordings, "beside": sys.maxsize})


def root_of_run(config: TrainConfig, folder: Path, listed: SplitList, data: Path | None = None) -> Path:
    """Return the folder of the recordings of a run; unlike `recordings_of_run`, missing ones are not simulated again.

    Raises:
        DatasetError: there is none.
    """
    places = _places(config, listed, data)
    for place in places:
        if place.is_dir():
            return place
    raise DatasetError(
        str(places[0]), got="no such folder", expected=f"the recordings listed in {folder / SPLIT_FILE}",
        todo="say where they are with --data DIR",
    )  # fmt: skip


def _checked(
    config: TrainConfig,
    folder: Path,
    listed: SplitList,
    sides: Sequence[Side],
    *,
    data: Path | None,
    quiet: bool,
) -> Split:
    """Return the listed split after the files of `sides` were compared with the list."""
    rows = [row for side in sides for row in listed.side(side)]
    if config.data.prepared is not None:
        root = Path(config.data.path or listed.root)
        changes = _changes_in_store(rows, read_manifest(Path(config.data.prepared)))
        place = config.data.prepared
    else:
        root = _listed_root(config, folder, listed, data)
        with HashingProgress(quiet=quiet) as progress:
            changes = changes_of_rows(rows, root, progress.show)
        place = str(root)
    if changes:
        more = f" and {len(changes) - MAX_CHANGES_NAMED} more" if len(changes) > MAX_CHANGES_NAMED else ""
        raise DatasetError(
            place, got=f"{count_of(len(changes), 'recording')} changed: {', '.join(changes[:MAX_CHANGES_NAMED])}{more}",
            expected=f"the recordings of the run, listed in {folder / SPLIT_FILE}",
            todo="put them back, name the folder that has them with --data, or train on the present ones in a new run",
        )  # fmt: skip
    if config.data.prepared is None:
        added = count_beside(listed, root) - listed.beside
        if added > 0:
            text = f"{root}: not used: {count_of(added, 'recording')} added since {folder / SPLIT_FILE} was written"
            warnings.warn(text, RecordingWarning, stacklevel=3)

    @cache
    def readers() -> dict[str, Reader | None]:
        derived = config.derive(data={"path": str(root), "prepared": None})
        return {entry.key: entry.reader for entry in load_split(derived).entries}

    return listed.split(root, lambda key: readers().get(key))


def _listed_root(config: TrainConfig, folder: Path, listed: SplitList, data: Path | None) -> Path:
    """Return the folder of the listed recordings; simulated ones that are missing are simulated again."""
    places = _places(config, listed, data)
    if not any(place.is_dir() for place in places) and config.data.path is None and _is_simulated(config):
        load_split(config)
        return recordings_folder(config.data, f"recipe {config.name}")
    return root_of_run(config, folder, listed, data)


def _is_simulated(config: TrainConfig) -> bool:
    return DATASETS[config.data.dataset].default_folder is not None


def _places(config: TrainConfig, listed: SplitList, data: Path | None) -> list[Path]:
    return [data] if data is not None else [Path(path) for path in (config.data.path, listed.root) if path]


def _changes_in_store(rows: Sequence[ListedRecording], manifest: Manifest) -> list[str]:
    """Return how the recordings of a store differ from the list."""
    stored = _contents_in(manifest)
    changes = []
    for row in rows:
        found = stored.get(row.key)
        if found is None:
            changes.append(f"{row.key} (missing)")
        elif row.sha256 is not None and found.sha256 != row.sha256:
            changes.append(f"{row.key} (now {found}; listed with {row.content})")
    return changes


def _stored_contents(config: TrainConfig) -> dict[str, Content] | None:
    """Return the contents of the recordings of the store by their keys; None without a store."""
    return None if config.data.prepared is None else _contents_in(read_manifest(Path(config.data.prepared)))


def _contents_in(manifest: Manifest) -> dict[str, Content]:
    files = [Content(file.bytes, file.sha256) for file in manifest.files]
    by_file = {entry.requested_key or entry.key: files[entry.file] for entry in manifest.entries}
    return by_file | {entry.key: files[entry.file] for entry in manifest.entries}


def _root(config: TrainConfig, split: Split) -> Path:
    """Return the folder of the recordings: the given one, the store's, or the dataset's; else that of the files."""
    if config.data.path is None and config.data.prepared is not None:
        return Path(read_manifest(Path(config.data.prepared)).root)
    if config.data.path is None and DATASETS[config.data.dataset].default_folder is None:
        return split.train.entries[0].path.parent
    return recordings_folder(config.data, f"recipe {config.name}")


def _say_unlisted(folder: Path) -> None:
    text = (
        f"{folder}: no {SPLIT_FILE}, since an older version trained it; the recordings are split again, and what was "
        "added or removed since then may have moved recordings that it was trained on to the held-out side"
    )
    warnings.warn(text, RecordingWarning, stacklevel=4)
