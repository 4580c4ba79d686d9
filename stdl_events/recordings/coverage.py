"""Which recordings and classes of a side have clips: those without one are counted and said, or are an error."""

import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress

from stdl_events.errors import DatasetError, FrameSpecError, UserError
from stdl_events.events.filter_spec import FILTERS
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.recordings.entry import WHOLE, Entry, RecordingSet
from stdl_events.recordings.splits.sides import Side

TO_TRAIN = "to train on"
TO_VALIDATE = "to validate on"
HELD_OUT = "held out"
SIDE_TEXT: dict[Side, str] = {"train": TO_TRAIN, "validation": TO_VALIDATE, "test": HELD_OUT}
MAX_BAD_NAMED = 20
CLASSES_NAMED = 5
NAMES_SHOWN = 3
_ACROSS = {
    "clock": "across the grid of their clock; clips begin with each recording without frames.grid=clock (prepare: "
    "--frames without grid=clock)",
    "recording": "across the grid of the whole recording, on which parts stay; use shorter clips or longer parts",
}
_MEASURED = 100
_UNEQUAL = 10
_TODO_SHORT = "use fewer or shorter frames (frames.steps, frames.dt_us)"
_TODO_SPLIT = "hold out others (--split)"


def unreadable(subject: str, bad: Sequence[object], total: int, todo: str) -> DatasetError:
    """Return the error that names all recordings that cannot be read, up to `MAX_BAD_NAMED`."""
    if any(isinstance(getattr(one, "error", None), FrameSpecError) for one in bad):
        todo = f"keep the recordings of each sensor in a folder of their own; {todo}"
    return DatasetError(
        subject, got=f"{len(bad)} of {total} unreadable recordings: {named(bad)}", expected="readable recordings",
        todo=todo,
    )  # fmt: skip


def named(bad: Sequence[object]) -> str:
    more = f"; and {len(bad) - MAX_BAD_NAMED} more" if len(bad) > MAX_BAD_NAMED else ""
    return "; ".join(map(str, bad[:MAX_BAD_NAMED])) + more


def say_too_short(side: str, recordings: RecordingSet, clips_E: Sequence[int], frame_spec: FrameSpec) -> None:
    """Warn of the recordings of a side without a clip.

    Args:
        clips_E: number of clips of each recording.
    """
    without = [entry for entry, clips in zip(recordings.entries, clips_E, strict=True) if not clips]
    across = [entry for entry in without if _lies_across(entry, frame_spec)]
    short = [entry for entry in without if entry not in across]
    if short:
        text = f"are too short for one clip of {length(frame_spec)}: {_keys(short)}{_divided(short, frame_spec)}"
        text += after_filters(frame_spec)
        warnings.warn(f"{len(short)} of {len(recordings)} recordings {side} {text}", RecordingWarning, stacklevel=3)
    if across:
        text = (
            f"are longer than a clip of {length(frame_spec)} but hold none: {_keys(across)}; they lie "
            f"{_ACROSS[frame_spec.grid]}"
        )
        warnings.warn(f"{len(across)} of {len(recordings)} recordings {side} {text}", RecordingWarning, stacklevel=3)


def require_every_class(
    side: str,
    recordings: RecordingSet,
    clips_E: Sequence[int],
    frame_spec: FrameSpec,
    *,
    bad_labels: Collection[int] = (),
    labels_of_all: Collection[int] = (),
) -> None:
    """Check that every class of a side has a clip.

    A class without readable recordings is a warning on other sides than that to train on, and once where none has it.

    Args:
        side: one of `SIDE_TEXT`.
        clips_E: number of clips of each recording.
        bad_labels: of unreadable recordings of this side.
        labels_of_all: of the recordings of all sides, if all are checked.

    Raises:
        DatasetError: a class has none; the message says why.
    """
    with_clips = {entry.label for entry, clips in zip(recordings.entries, clips_E, strict=True) if clips}
    counts = Counter(entry.label for entry in recordings.entries)
    errors, absent, are_short = [], [], False
    for label, name in enumerate(recordings.classes):
        if label in with_clips:
            continue
        if counts[label]:
            are_short = True
            entries = [entry for entry in recordings.entries if entry.label == label]
            theirs = "its recording is" if len(entries) == 1 else f"its {len(entries)} recordings are"
            if all(_lies_across(entry, frame_spec) for entry in entries):
                errors.append(f"{name} ({theirs} {_ACROSS[frame_spec.grid]})")
            else:
                short = f"too short{longest(entries, frame_spec)}"
                errors.append(f"{name} ({theirs} {short}{after_filters(frame_spec)})")
        elif side == TO_TRAIN and label in bad_labels:
            errors.append(f"{name} (none of its recordings is readable)")
        elif side == TO_TRAIN and label in labels_of_all:
            errors.append(f"{name} (all its recordings are on other sides)")
        elif side == TO_TRAIN or not labels_of_all or label in labels_of_all:
            absent.append(name)
    if errors:
        raise DatasetError(
            f"recordings {side}", got=f"no clip of the classes {_listed(errors)}",
            expected=f"at least one clip of {length(frame_spec)} of every class",
            todo=f"{_TODO_SHORT if are_short else _TODO_SPLIT}, add recordings, or remove the class",
        )  # fmt: skip
    if len(absent) == len(recordings.classes):
        raise DatasetError(
            f"recordings {side}", got="no readable one", expected=f"at least one clip of {length(frame_spec)}",
            todo=f"repair those that are named, or {_TODO_SPLIT}, such as with another seed",
        )  # fmt: skip
    unreadable_ones = [name for name in absent if recordings.classes.index(name) in bad_labels]
    for what, names in (
        ("readable recordings", unreadable_ones),
        ("recordings", [name for name in absent if name not in unreadable_ones]),
    ):
        if names:
            text = f"no {what} {side} of {len(names)} of {len(recordings.classes)} classes: {_listed(names)}"
            warnings.warn(text, RecordingWarning, stacklevel=3)


def say_unequal(classes: Sequence[str], targets_N: Sequence[int]) -> None:
    """Warn of classes with far fewer clips to train on than another one: the others decide what is learnt."""
    counts = Counter(targets_N)
    most_label, most = counts.most_common(1)[0]
    few = [f"{name} {counts[label]}" for label, name in enumerate(classes) if 0 < _UNEQUAL * counts[label] <= most]
    if few:
        text = f"clips to train on: {classes[most_label]} {most}, {_listed(few)}: for equally many of each class set"
        warnings.warn(
            f"{text} sampling=balanced, or weigh them (learning.class_weights)", RecordingWarning, stacklevel=3
        )


def length(frame_spec: FrameSpec) -> str:
    """Describe the length of a clip."""
    if frame_spec.dt_us is not None:
        return f"{frame_spec.steps * frame_spec.dt_us / 1000:g} ms"
    if frame_spec.events_per_frame is not None:
        return f"{frame_spec.steps * frame_spec.events_per_frame} events"
    return f"{frame_spec.steps} frames"


def after_filters(frame_spec: FrameSpec) -> str:
    """Describe the filters that take events before clips are cut; nothing without any."""
    names = [name for name in FILTERS.names if getattr(frame_spec.filters, name)]
    settings = " and ".join(f"frames.filters.{name}" for name in names)
    return f"; clips begin and end with the events that {settings} leave" if names else ""


def _lies_across(entry: Entry, frame_spec: FrameSpec) -> bool:
    """True if a recording or part without a clip would have one on a grid that begins with it."""
    if frame_spec.dt_us is None or (frame_spec.grid == "recording" and entry.span == WHOLE):
        return False
    with suppress(UserError, OSError):
        start_us, stop_us = entry.times_us()
        return stop_us - start_us > (frame_spec.steps - 1) * frame_spec.dt_us
    return False


def _keys(entries: list[Entry]) -> str:
    more = f" and {len(entries) - NAMES_SHOWN} more" if len(entries) > NAMES_SHOWN else ""
    return ", ".join(entry.key for entry in entries[:NAMES_SHOWN]) + more


def longest(entries: Sequence[Entry], frame_spec: FrameSpec) -> str:
    """Describe the longest of the recordings, as far as they can be opened, such as ", 50 ms at most".

    Of recordings that a split by time divided, it is their length, and what of it is on this side.
    """
    divided = _divided(entries, frame_spec)
    if divided:
        return divided
    lengths: list[int] = []
    for entry in entries[:_MEASURED]:
        with suppress(UserError, OSError):
            if frame_spec.dt_us is None:
                lengths.append(entry.open().summary.events)
            else:
                start_us, stop_us = entry.times_us()
                lengths.append(stop_us - start_us)
    if not lengths:
        return ""
    return f", {max(lengths) / 1000:g} ms at most" if frame_spec.dt_us else f", {max(lengths)} events at most"


def _divided(entries: Sequence[Entry], frame_spec: FrameSpec) -> str:
    """Describe the longest of recordings that are divided by time; nothing of others, or of frames by events."""
    parts = [(entry.divided_us, entry.times_us()) for entry in entries[:_MEASURED] if entry.divided_us is not None]
    if not parts or frame_spec.dt_us is None:
        return ""
    whole_us, here_us = max(whole for whole, _ in parts), max(stop - start for _, (start, stop) in parts)
    whole, here = (f"{round(us / 1000, 1):g} ms" for us in (whole_us, here_us))
    return f", {whole} at most, of which the split by time leaves {here} on this side"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - CLASSES_NAMED} more" if len(names) > CLASSES_NAMED else ""
    return ", ".join(names[:CLASSES_NAMED]) + more
