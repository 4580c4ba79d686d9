"""Labels of samples, which may be numbers or names, as indices into one list of classes."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stdl_events.errors import DatasetError
from stdl_events.events.stream import RecordingWarning

Label = int | str
_KINDS_SHOWN = 3
_NAMES_SHOWN = 10


def class_indices(
    subject: str, sides: Sequence[Sequence[object]], names: object
) -> tuple[tuple[str, ...], list[list[int]]]:
    """Return (classes, the class index of each sample of each side).

    Args:
        subject: name of the data set in messages.
        sides: labels of the samples: whole numbers from 0 on, or names.
        names: the data set's own list of classes: names in the order of their numbers, a map from names to numbers, or
            None. Without it, classes are the names in alphabetical order, or the numbers.

    Raises:
        DatasetError: labels are neither, or a label has no class.
    """
    plain = [[_plain(label) for label in side] for side in sides]
    found = {label for side in plain for label in side if isinstance(label, int | str)}
    kinds = {int if isinstance(label, int) else type(label) for side in plain for label in side}
    if len(kinds) > 1 or kinds - {int, str}:
        shown = sorted(kind.__name__ for kind in kinds)[:_KINDS_SHOWN]
        raise DatasetError(
            subject, got=f"labels of type {' and '.join(shown)}",
            expected="one class per sample, as a whole number or a name", todo="choose a data set of labelled classes",
        )  # fmt: skip
    own = _names(names)
    if names is not None and not own:
        text = f"{subject}: its classes are no list of different names, so that labels are shown as they are"
        warnings.warn(text, RecordingWarning, stacklevel=2)
    if kinds == {str}:
        words = {str(label) for label in found}
        if words & set(own) and words - set(own):
            raise DatasetError(
                subject, got=f"the label {min(words - set(own))!r}", expected=f"one of {', '.join(own[:_NAMES_SHOWN])}",
                todo="correct the label, or the data set's list of classes",
            )  # fmt: skip
        classes = own if words <= set(own) else tuple(sorted(words))
        index_of: dict[object, int] = {name: index for index, name in enumerate(classes)}
        return classes, [[index_of[label] for label in side] for side in plain]
    numbers = sorted(int(label) for label in found)
    classes = own or tuple(map(str, range(max(numbers, default=-1) + 1)))
    if numbers and not 0 <= numbers[0] <= numbers[-1] < len(classes):
        raise DatasetError(
            subject, got=f"the label {numbers[0] if numbers[0] < 0 else numbers[-1]}",
            expected=f"0 to {len(classes) - 1}", todo="correct the label, or the data set's list of classes",
        )  # fmt: skip
    return classes, [[int(label) for label in side] for side in plain]  # type: ignore[call-overload]


def _plain(label: Any) -> object:
    """Return a number or a name of Python for one of numpy or PyTorch; other values unchanged."""
    if getattr(label, "ndim", None) == 0 or (getattr(label, "shape", None) == (1,)):
        label = label.item()
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    return int(label) if isinstance(label, int | np.integer) else label


def _names(names: Any) -> tuple[str, ...]:
    if isinstance(names, Mapping) and sorted(names.values()) == list(range(len(names))):
        names = sorted(names, key=lambda name: names[name])
    if isinstance(names, str | bytes | Mapping) or not isinstance(names, Iterable):
        return ()
    plain = [_plain(name) for name in names]
    return tuple(str(name) for name in plain) if len(set(plain)) == len(plain) else ()
