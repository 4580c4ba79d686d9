"""The validation part of a split, as the settings ask for it."""

import warnings
from dataclasses import replace
from functools import partial

from stdl_events.errors import RecipeError, RecordingError
from stdl_events.events.defects import count_of
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.entry import SideRule, Split
from stdl_events.recordings.registry import DATASETS
from stdl_events.recordings.splits.validation_part import validation_kind, with_validation
from stdl_events.training.bad_recordings import without_bad
from stdl_events.training.data_settings import DataSettings, FrameSettings, SplitSettings
from stdl_events.training.settings import TrainConfig

VALIDATION_KEYS = {"validation", "validation_names", "validation_by"}


def validated(
    split: Split, data: DataSettings, frames: FrameSettings, asker: str, *, without_files: bool = False
) -> Split:
    """Return `split` with the validation part that the settings ask for: a new one, its own one, or none.

    Args:
        asker: name of the caller in messages.
        without_files: the recordings may be missing, so that times cannot be divided.

    Raises:
        SplitError: the recordings cannot be divided as asked.
        RecipeError: the settings contradict each other or the split.
        DatasetError: recordings are unreadable, all of them named.
    """
    asked = data.split
    if not asked.asks_for_validation:
        if asked.validation_by != "auto":
            raise _odd("_by", asked.validation_by, "a share or names too", "give data.split.validation=0.1, or names")
        return split if asked.validation is None else _without(split)
    if split.validation is not None:
        given = f"the split gives {count_of(len(split.validation), 'recording')} to validate on"
        raise _odd("", f"another validation part, where {given}", "one", "leave it out, or give 0 for none")
    if asked.validation and asked.validation_names:
        raise _odd("", "a share and names", "one of the two", "leave one out")
    by = validation_kind(split, asked.validation_names, asked.validation_by)
    if by == "time" and asked.validation_names:
        raise _odd("_by", "time, with names", "a share of the time", "give data.split.validation=0.1 instead")
    if by == "time" and DATASETS[data.dataset].pictures is not None:
        raise _odd("_by", "time, of static pictures", "recording", "give data.split.validation_by=recording")
    gap_us = asked.gap_us
    if gap_us is None and frames.dt_us is not None:
        gap_us = frames.dt_us * frames.steps
    if by == "time" and without_files:
        todo = "prepare the store with it (--validation), or say where the recordings are with --data"
        raise _odd("", "a validation part in time, of a store", "one that the store has", todo)
    if by == "time" and gap_us is None:
        todo = "give data.split.gap_us=N, or validation_by=recording"
        raise RecipeError("data.split.gap_us", got="nothing", expected="the time before the validation part", todo=todo)
    divide = partial(
        with_validation, share=asked.validation, names=asked.validation_names, by=by, seed=asked.seed, gap_us=gap_us
    )
    try:
        return divide(split)
    except RecordingError:
        readable, left_out = without_bad(split.train, data, asker)
        return divide(replace(split, train=readable, left_out=(*split.left_out, *left_out)))


def require_validation(config: TrainConfig, split: Split) -> None:
    """Check that an early stop has a validation part that decides it.

    Raises:
        RecipeError: it has none.
    """
    if config.early_stop is not None and split.validation is None:
        raise RecipeError(
            "early_stop", got=f"{config.early_stop}, without a validation part",
            expected="one, which decides when to stop",
            todo="take one from the recordings to train on with --validation 0.1 (data.split.validation)",
        )  # fmt: skip


def joined(split: Split) -> Split:
    """Return `split` with its validation part among the recordings to train on."""
    if split.validation is None:
        return split
    train = split.train.with_entries([*split.train.entries, *split.validation.entries])
    return replace(split, train=train, validation=None, validation_rule=SideRule())


def same_validation(some: SplitSettings, other: SplitSettings) -> bool:
    """Return True if both ask for the same validation part."""
    return all(getattr(some, key) == getattr(other, key) for key in VALIDATION_KEYS)


def _without(split: Split) -> Split:
    if split.validation is None:
        return split
    left_out = count_of(len(split.validation), "recording")
    text = f"split {split.text}: left out {left_out} to validate on (data.split.validation=0)"
    warnings.warn(text, RecordingWarning, stacklevel=3)
    return replace(split, validation=None, validation_rule=SideRule())


def _odd(key: str, got: str, expected: str, todo: str) -> RecipeError:
    return RecipeError(f"data.split.validation{key}", got=got, expected=expected, todo=todo)
