"""From the data section of a configuration to recordings to train on and recordings held out, and to their clips."""

from collections.abc import Callable
from pathlib import Path

from stdl_events.errors import DatasetError, RecipeError
from stdl_events.frames import FrameSpec
from stdl_events.prepared import PreparedSet
from stdl_events.recordings import (
    ClipArray,
    RecordingSet,
    Split,
    by_order,
    by_recording,
    by_time,
    generate_walkers,
    load_clips,
    read_cifar10_dvs,
    read_folder,
    read_given_split,
    read_nmnist,
    split_cifar10_dvs,
    split_dvs_gesture,
    split_gait_day,
    split_har_dvs,
    split_nmnist,
)
from stdl_events.recordings.entry import WHOLE
from stdl_events.recordings.folder import is_split
from stdl_events.training.settings import DataSettings, FrameSettings, TrainConfig

OWN_SPLITS: dict[str, Callable[[Path], Split]] = {
    "nmnist": split_nmnist,
    "gait_day": split_gait_day,
    "har_dvs": split_har_dvs,
    "cifar10_dvs": split_cifar10_dvs,
    "dvs_gesture": split_dvs_gesture,
}
# Datasets that may also be split by the rules for one's own recordings.
UNSPLIT: dict[str, Callable[[Path], RecordingSet]] = {"nmnist": read_nmnist, "cifar10_dvs": read_cifar10_dvs}


def load_split(config: TrainConfig) -> Split:
    """The recordings that `config` trains on and those that it holds out; walkers are made where they are missing.

    Raises:
        DatasetError: the folder of recordings is not given, missing, or laid out in another way.
        SplitError: the recordings cannot be split as asked.
        RecipeError: the split rule lacks a setting.
    """
    if config.data.prepared is not None and config.data.path is None:
        return _prepared_split(config)
    return split_recordings(config.data, config.frames, f"recipe {config.name}")


def load_config_clips(config: TrainConfig, recordings: RecordingSet, frame_spec: FrameSpec) -> ClipArray:
    """The clips of one side of the split of `config`: cut now, or read from the store that it names.

    Raises:
        DatasetError: the store is not whole, or not of these recordings as they are now; or there is no clip.
        FrameSpecError: its clips were cut in another way, or a recording has another sensor size.
        RecordingError: a recording cannot be read.
    """
    if config.data.prepared is None:
        return load_clips(recordings, frame_spec)
    return PreparedSet.open(config.data.prepared, frames=frame_spec, data=config.data.path).clips(recordings)


def split_recordings(data: DataSettings, frames: FrameSettings, asker: str) -> Split:
    """The recordings in the folder `data.path` as two sides; walkers are made where they are missing.

    Args:
        frames: clips whose length is the gap of a split by time, where that says none.
        asker: who asks, for messages.

    Raises:
        DatasetError, SplitError, RecipeError: see `load_split`.
    """
    if data.dataset == "walkers":
        if data.split.rule not in ("auto", "given"):
            raise _own_split_only(data)
        return _walkers(data)
    root, rule = _root(data, asker), data.split.rule
    if rule == "given" or (rule == "auto" and (data.dataset in OWN_SPLITS or is_split(root))):
        if data.dataset in OWN_SPLITS:
            return OWN_SPLITS[data.dataset](root)
        return read_given_split(root, format=data.format, sensor_size=data.sensor_size)
    if data.dataset == "folder":
        recordings = read_folder(root, format=data.format, sensor_size=data.sensor_size)
    elif data.dataset in UNSPLIT:
        recordings = UNSPLIT[data.dataset](root)
    else:
        raise _own_split_only(data)
    if rule == "auto":
        rule = "time" if len(recordings) == len(recordings.classes) else "recording"
    return _split(recordings, rule, data, frames)


def recordings_folder(data: DataSettings) -> Path:
    """Where the recordings of `data` are; for walkers without a path, where they are or will be made."""
    if data.path is not None or data.dataset != "walkers":
        return Path(data.path or "")
    asked = data.walkers
    width, height = asked.sensor_size
    return (
        Path("runs") / f"walkers-{asked.people}x{asked.per_person}-{width}x{height}-{asked.duration_us}us-{asked.seed}"
    )


def _prepared_split(config: TrainConfig) -> Split:
    """The split that the store of `config` was prepared with; its recordings split anew where that takes no events."""
    data = config.data
    assert data.prepared is not None
    prepared = PreparedSet.open(data.prepared)
    if prepared.manifest.dataset != data.dataset:
        raise DatasetError(
            data.prepared, got=f"a store of {prepared.manifest.dataset}", expected=f"one of {data.dataset}",
            todo=f"use --set data.dataset={prepared.manifest.dataset}, or prepare {data.dataset}",
        )  # fmt: skip
    split, asked = prepared.split(), data.split
    if asked.rule == "auto" or asked.model_dump() == prepared.manifest.split.settings:
        return split
    entries = (*split.train.entries, *split.test.entries)
    if asked.rule in ("order", "recording") and all(entry.span == WHOLE for entry in entries):
        return _split(split.train.with_entries(entries), asked.rule, data, config.frames)
    raise DatasetError(
        data.prepared, got=f"a store of recordings split {split.rule}",
        expected=f"one prepared with the split rule {asked.rule} and its settings",
        todo="leave the rule out to take the store's own, or say where the recordings are with --data",
    )  # fmt: skip


def _walkers(data: DataSettings) -> Split:
    asked = data.walkers
    return generate_walkers(
        recordings_folder(data),
        people=asked.people,
        per_person=asked.per_person,
        sensor_size=asked.sensor_size,
        duration_us=asked.duration_us,
        seed=asked.seed,
    )


def _root(data: DataSettings, asker: str) -> Path:
    if data.path is None:
        raise DatasetError(
            asker,
            got="no folder of recordings",
            expected="the folder where they are",
            todo="name it with --data DIR",
        )
    return Path(data.path)


def _split(recordings: RecordingSet, rule: str, data: DataSettings, frames: FrameSettings) -> Split:
    split = data.split
    if rule == "order":
        if split.train is None or split.test is None:
            raise _lacking("data.split.train and data.split.test", "how many recordings are on each side")
        return by_order(recordings, train=split.train, test=split.test)
    if rule == "recording":
        return by_recording(recordings, held_out=split.held_out, seed=split.seed)
    gap_us = split.gap_us
    if gap_us is None:
        if frames.dt_us is None:
            raise _lacking("data.split.gap_us", "the time between the two sides, since clips have no fixed length")
        gap_us = frames.dt_us * frames.steps
    return by_time(recordings, held_out=split.held_out, gap_us=gap_us)


def _own_split_only(data: DataSettings) -> RecipeError:
    return RecipeError(
        "data.split.rule",
        got=data.split.rule,
        expected=f"auto or given, since {data.dataset} comes with its own split",
        todo="leave the rule out",
    )


def _lacking(keys: str, expected: str) -> RecipeError:
    return RecipeError(
        keys, got="nothing", expected=expected, todo=f"give --set {keys.split()[0]}=N, or say it in prepare's --split"
    )
