"""Checks of a saved state before it is loaded, and restoration of a learner after a failed sequence."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stdl_events.errors import RunError


@contextlib.contextmanager
def taken_back_on_error(
    random: np.random.Generator, buffers: Iterable[Tensor], forget_gradients: Callable[[], None]
) -> Iterator[None]:
    """Restore random state and running statistics, and drop gradients, if the body raises."""
    draws = copy.deepcopy(random.bit_generator.state)
    statistics = [(buffer, buffer.clone()) for buffer in buffers]
    try:
        yield
    except BaseException:
        random.bit_generator.state = draws
        with torch.no_grad():
            for buffer, before in statistics:
                buffer.copy_(before)
        forget_gradients()
        raise


def check_state(given: object, own: Mapping[str, Any]) -> None:
    """Refuse a state that does not belong to the learner whose `state_dict()` is `own`.

    A state without an anchor is that of a first phase and is accepted.

    Raises:
        RunError: the state differs; the message names the first part that does.
    """
    if not isinstance(given, Mapping):
        raise _differs("", type(given).__name__, "a mapping")
    _same_keys("", given, own)
    _same_tensors("network", given["network"], own["network"])
    _same_count("auxiliary", given["auxiliary"], own["auxiliary"], "networks, one per block")
    for block, (theirs, ours) in enumerate(zip(given["auxiliary"], own["auxiliary"], strict=True)):
        _same_tensors(f"auxiliary network of block {block}", theirs, ours)
    _check_optimizer(given["optimizer"], own["optimizer"])
    _check_random(given["random"], own["random"])
    if not isinstance(given["anchor"], Sequence) or given["anchor"]:
        _same_count("anchor", given["anchor"], own["anchor"], "tensors")
        _same_tensors("anchor", dict(enumerate(given["anchor"])), dict(enumerate(own["anchor"])))


def _check_optimizer(given: Any, own: Mapping[str, Any]) -> None:
    """Compare the numbers of weights, and the settings, which differ between kinds of optimiser."""
    if not isinstance(given, Mapping):
        raise _differs("optimizer", type(given).__name__, "a mapping")
    _same_keys("optimizer", given, own)
    _same_count("optimizer", given["param_groups"], own["param_groups"], "groups of weights")
    for index, (theirs, ours) in enumerate(zip(given["param_groups"], own["param_groups"], strict=True)):
        subject = f"optimizer group {index}"
        for name in theirs:
            if name not in ours:
                raise _differs(subject, f"the setting {name}", f"only {', '.join(ours)}")
        _same_count(subject, theirs.get("params"), ours["params"], "weights")


def _check_random(given: Any, own: Mapping[str, Any]) -> None:
    kind = given.get("bit_generator") if isinstance(given, Mapping) else None
    if kind != own["bit_generator"]:
        raise _differs("random", f"the state of {kind}", f"that of {own['bit_generator']}")
    _same_keys("random", given, own)


def _same_tensors(subject: str, given: Any, own: Mapping[Any, Tensor]) -> None:
    if not isinstance(given, Mapping):
        raise _differs(subject, type(given).__name__, "a mapping of tensors")
    _same_keys(subject, given, own)
    for name, value in own.items():
        theirs = given[name]
        if not isinstance(theirs, Tensor) or theirs.shape != value.shape:
            shape = tuple(theirs.shape) if isinstance(theirs, Tensor) else type(theirs).__name__
            raise _differs(f"{subject}, {name}", str(shape), str(tuple(value.shape)))


def _same_keys(subject: str, given: Mapping[Any, Any], own: Mapping[Any, Any]) -> None:
    for name in own:
        if name not in given:
            raise _differs(subject, f"no {name}", f"{name}")
    for name in given:
        if name not in own:
            raise _differs(subject, f"{name}", f"no {name}")


def _same_count(subject: str, given: Any, own: Sequence[Any], what: str) -> None:
    count = len(given) if isinstance(given, Sequence) else None
    if count != len(own):
        raise _differs(subject, f"{count or 'no'} {what}", f"{len(own) or 'none'}")


def _differs(subject: str, got: str, expected: str) -> RunError:
    return RunError(
        ", ".join(part for part in ("state of a learner", subject) if part),
        got=got,
        expected=expected,
        todo="load it into a learner of the same network, plan and optimiser",
    )
