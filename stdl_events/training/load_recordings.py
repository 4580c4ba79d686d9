"""The recordings of a configuration on all sides of its split, and their clips."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stdl_events.errors import DatasetError, RecipeError, RecordingError
from stdl_events.events.hot_pixels import PixelCounts, say_hot_pixels
from stdl_events.frames import FrameSpec
from stdl_events.prepared import PreparedSet
from stdl_events.recordings.clips import (
    BadRecording,
    ClipArray,
    ClipFrames,
    load_clips,
    load_readable_clips,
    no_clips,
)
from stdl_events.recordings.coverage import (
    HELD_OUT,
    TO_TRAIN,
    require_every_class,
    say_too_short,
    say_unequal,
    unreadable,
)
from stdl_events.recordings.entry import RecordingSet, Split
from stdl_events.recordings.framers import FRAMERS, Cut
from stdl_events.recordings.pictures import load_pictures, load_readable_pictures, require_files, say_equal_pictures
from stdl_events.recordings.registry import DATASETS, RECORDING_OPTIONS, SPLIT_RULES
from stdl_events.recordings.splits.split_parts import one_recording_each
from stdl_events.recordings.takes import say_takes
from stdl_events.training.bad_recordings import say_left_out, todo_bad, without_bad
from stdl_events.training.data_settings import DataSettings, FrameSettings, Section, WalkersSettings
from stdl_events.training.room_for_clips import RoomForClips
from stdl_events.training.settings import TrainConfig
from stdl_events.training.split_rules import prepared_split, require_used, split_by_rule
from stdl_events.training.validation import validated

# The arguments and the result of `load_sides`.
SidesLoader = Callable[[TrainConfig, Mapping[str, RecordingSet], FrameSpec], list[tuple[RecordingSet, ClipArray]]]


def load_split(config: TrainConfig) -> Split:
    """The split of the recordings of `config`; missing walkers are simulated.

    Raises:
        DatasetError: the folder of recordings is not given, missing, or has another layout.
        SplitError: the recordings cannot be split as asked.
        RecipeError: the split rule lacks a setting.
    """
    if config.data.prepared is not None and config.data.path is None:
        return prepared_split(config)
    return split_recordings(config.data, config.frames, f"recipe {config.name}")


def load_config_clips(config: TrainConfig, recordings: RecordingSet, frame_spec: FrameSpec) -> ClipArray:
    """The clips of one side of the split of `config`: cut from the recordings, or read from its store.

    Raises:
        DatasetError: the store is incomplete, or not of the current recordings; or there is no clip.
        FrameSpecError: its clips have another frame spec, or a recording has another sensor size.
        RecordingError: a recording cannot be read.
    """
    if config.data.prepared is None:
        pictures = _pictures(config)
        if pictures is not None:
            return load_pictures(pictures, recordings, frame_spec)
        return load_clips(recordings, frame_spec, cut=RoomForClips(FRAMERS[config.data.framer]))
    return PreparedSet.open(config.data.prepared, frames=frame_spec, data=config.data.path).clips(recordings)


def load_sides(
    config: TrainConfig, sides: Mapping[str, RecordingSet], frame_spec: FrameSpec
) -> list[tuple[RecordingSet, ClipArray]]:
    """The readable recordings of each side, and their clips; recordings too short for a clip are warned of.

    Args:
        sides: by their words in `coverage.SIDE_TEXT`.

    Raises:
        RecipeError: the clips have no room in memory.
        DatasetError: recordings are unreadable without `data.skip_bad`, all of them named; a class has no clip; or the
            store is incomplete, or not of the current recordings.
        FrameSpecError: the store has another frame spec.
    """
    bad: list[BadRecording] = []
    loaded: list[tuple[str, RecordingSet, ClipArray, set[int]]] = []
    cut, pixels = RoomForClips(FRAMERS[config.data.framer]), PixelCounts(frame_spec.sensor_size)
    for side, recordings in sides.items():
        readable, clips, bad_here = _readable(config, recordings, frame_spec, cut, pixels)
        bad += bad_here
        loaded.append((side, readable, clips, {one.entry.label for one in bad_here}))
    if bad:
        total = sum(map(len, sides.values()))
        if not config.data.skip_bad:
            raise unreadable(f"recipe {config.name}", bad, total, todo_bad(config.data, bad))
        say_left_out(bad, total)
    say_hot_pixels([pixels.hot()], frame_spec.filters.hot_pixels)
    labels = {entry.label for recordings in sides.values() for entry in recordings.entries} if len(sides) > 1 else set()
    for side, readable, clips, bad_labels in loaded:
        if not len(clips):
            raise no_clips(readable.entries, frame_spec)
        counts = np.bincount(clips.entry_index_N, minlength=len(readable)).tolist()
        require_every_class(side, readable, counts, frame_spec, bad_labels=bad_labels, labels_of_all=labels)
        present = np.unique(clips.targets_N)
        if side == TO_TRAIN and len(present) < 2:
            raise DatasetError(
                f"recordings {side}", got=f"clips of one class, {readable.classes[present[0]]}",
                expected="clips of at least two classes", todo="add recordings of another class, or correct the labels",
            )  # fmt: skip
        if side == TO_TRAIN and config.sampling == "all" and config.learning.class_weights is None:
            say_unequal(readable.classes, clips.targets_N.tolist())
        say_too_short(side, readable, counts, frame_spec)
        say_takes(side, readable.entries)
    if {TO_TRAIN, HELD_OUT} <= sides.keys():
        clips_of = {side: clips for side, _, clips, _ in loaded}
        say_equal_pictures(clips_of[TO_TRAIN], clips_of[HELD_OUT])
    return [(readable, clips) for _, readable, clips, _ in loaded]


def _readable(
    config: TrainConfig, recordings: RecordingSet, frame_spec: FrameSpec, cut: Cut, pixels: PixelCounts
) -> tuple[RecordingSet, ClipArray, list[BadRecording]]:
    if config.data.prepared is None:
        pictures = _pictures(config)
        if pictures is not None:
            loaded = load_readable_pictures(pictures, recordings, frame_spec)
            if config.augment.crop != "none":
                require_files(loaded[1])
            return loaded
        return load_readable_clips(recordings, frame_spec, cut=cut, watch=pixels.add)
    if config.data.framer != "own":
        raise RecipeError(
            "data.framer", got=f"{config.data.framer}, and a store of clips", expected="own, which cut the clips",
            todo="leave data.framer or data.prepared out",
        )  # fmt: skip
    prepared = PreparedSet.open(config.data.prepared, frames=frame_spec, data=config.data.path)
    readable = prepared.in_takes(recordings)
    return readable, prepared.clips(readable), []


def _pictures(config: TrainConfig) -> Callable[..., ClipFrames] | None:
    """The reader of static pictures of the dataset of `config`; None if it holds events.

    Raises:
        RecipeError: a framer of events is asked for.
    """
    pictures = DATASETS[config.data.dataset].pictures
    if pictures is not None and config.data.framer != "own":
        raise RecipeError(
            "data.framer", got=config.data.framer, expected=f"own, since {config.data.dataset} holds static pictures",
            todo="leave data.framer out",
        )  # fmt: skip
    return pictures


def split_recordings(data: DataSettings, frames: FrameSettings, asker: str) -> Split:
    """The recordings of all sides in the folder `data.path`; missing walkers are simulated.

    Args:
        frames: settings of the clips, whose length is the default gap of a split by time.
        asker: name of the caller in messages.

    Raises:
        DatasetError, SplitError, RecipeError: see `load_split`.
    """
    return validated(_split_in_two(data, frames, asker), data, frames, asker)


def _split_in_two(data: DataSettings, frames: FrameSettings, asker: str) -> Split:
    """Hold recordings out; a given split may have a validation part too."""
    dataset, root, rule = DATASETS[data.dataset], recordings_folder(data, asker), data.split.rule
    options = dataset_options(data)
    has_own = dataset.split is not None and (rule == "given" or dataset.is_split(root, **options))
    if rule in ("auto", "given") and has_own:
        assert dataset.split is not None
        require_used(data.split, "given")
        split = dataset.split(root, **options)
        _require_kind(data, frames)
        return split.with_sides({side: opened_as(recordings, data) for side, recordings in split.sides.items()})
    if dataset.read is None or rule == "given":
        raise _not_for(data, "another rule" if dataset.split is None else "auto or given")
    recordings = opened_as(dataset.read(root, **options), data)
    _require_kind(data, frames)
    if rule == "auto":
        rule = "time" if one_recording_each(recordings) else "recording"
    require_used(data.split, rule)
    if dataset.pictures is not None and SPLIT_RULES[rule].reads_events:
        raise _not_for(data, "recording")
    try:
        return split_by_rule(recordings, rule, data, frames)
    except RecordingError:
        if not SPLIT_RULES[rule].reads_events:
            raise
        # The rule ended at the first recording that it could not read.
        readable, left_out = without_bad(recordings, data, asker)
        return replace(split_by_rule(readable, rule, data, frames), left_out=left_out)


def _require_kind(data: DataSettings, frames: FrameSettings) -> None:
    """Check that pictures are trained on as pictures, and events as events.

    Raises:
        RecipeError: they are not.
    """
    has_pictures = DATASETS[data.dataset].pictures is not None
    if has_pictures == (frames.kind == "picture"):
        return
    if has_pictures:
        expected = f"picture, since {data.dataset} holds static pictures"
        todo = "train with --set frames.kind=picture --set frames.dt_us=none; pictures need no store"
    else:
        expected = f"stream or recording, since {data.dataset} holds events"
        todo = "say how events are cut, such as --set frames.kind=recording --set frames.by=count"
    raise RecipeError("frames.kind", got=frames.kind, expected=expected, todo=todo)


def opened_as(recordings: RecordingSet, data: DataSettings) -> RecordingSet:
    """The recordings, to be opened with `data.repair` and `data.strict`."""
    if not (data.repair or data.strict):
        return recordings
    return recordings.with_entries(
        replace(entry, repair=data.repair, strict=data.strict) for entry in recordings.entries
    )


def recordings_folder(data: DataSettings, asker: str) -> Path:
    """The folder of the recordings of `data`; for a simulated dataset, its target folder.

    Args:
        asker: name of the caller in messages.

    Raises:
        DatasetError: no folder is given, and the dataset has none of its own.
    """
    if data.path is not None:
        return Path(data.path)
    dataset = DATASETS[data.dataset]
    if dataset.default_folder is None:
        raise DatasetError(
            asker, got="no folder of recordings", expected="the folder where they are", todo="name it with --data DIR"
        )
    return dataset.default_folder(**dataset_options(data))


def sensor_and_classes(config: TrainConfig) -> tuple[tuple[int, int], int]:
    """The sensor's (width, height) and the number of classes of `config`; nothing is simulated or split.

    Recordings are decoded only if a label file has times.

    Read from the dataset itself, else from the store of clips, else from the headers of the recordings.

    Raises:
        DatasetError: the recordings are needed, and their folder is not given, missing, or has another layout.
    """
    data = config.data
    dataset = DATASETS[data.dataset]
    _require_kind(data, config.frames)
    if dataset.sensor_size is not None and dataset.classes is not None:
        return dataset.sensor_size, dataset.classes
    if data.path is None and data.prepared is not None:
        prepared = PreparedSet.open(data.prepared)
        return prepared.manifest.sensor_size, len(prepared.classes)
    options = dataset_options(data)
    if data.path is None and dataset.makes is not None:
        return dataset.makes(**options)
    root = recordings_folder(data, f"recipe {config.name}")
    if dataset.split is not None and (dataset.read is None or dataset.is_split(root, **options)):
        recordings = dataset.split(root, **options).train
    else:
        assert dataset.read is not None, "a dataset is read or split"
        recordings = dataset.read(root, **options)
    return recordings.sensor_size, len(recordings.classes)


def dataset_options(data: DataSettings) -> dict[str, Any]:
    """The keyword arguments of the dataset's functions.

    Raises:
        RecipeError: a setting is given that the dataset does not have.
    """
    takes = DATASETS[data.dataset].options
    for name in RECORDING_OPTIONS:
        if getattr(data, name) not in (None, DataSettings.model_fields[name].default) and name not in takes:
            raise RecipeError(
                f"data.{name}", got=str(getattr(data, name)), expected=f"none, since {data.dataset} has its own",
                todo="leave it out",
            )  # fmt: skip
    if "walkers" not in takes and data.walkers != WalkersSettings():
        changed = ", ".join(data.walkers.model_dump(exclude_defaults=True))
        raise RecipeError(
            "data.walkers", got=f"{changed}, and the dataset {data.dataset}",
            expected="settings of the dataset that is used", todo="leave it out, or set data.dataset=walkers",
        )  # fmt: skip
    options: dict[str, Any] = {}
    for name in takes:
        value = getattr(data, name)
        options |= value.model_dump() if isinstance(value, Section) else {name: value}
    return options


def _not_for(data: DataSettings, possible: str) -> RecipeError:
    why = "has no split of its own" if DATASETS[data.dataset].split is None else "comes with its own split"
    return RecipeError(
        "data.split.rule", got=data.split.rule, expected=f"{possible}, since {data.dataset} {why}",
        todo="leave the rule out",
    )  # fmt: skip
