"""A learner's state: saved, checked and loaded; and restoration of a learner after a failed sequence."""

import contextlib
import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stdl_events.errors import RunError
from stdl_events.learning.averaging import AveragedWeights
from stdl_events.learning.block import LocalBlock
from stdl_events.learning.proximal import Anchor
from stdl_events.network.network import SpikingNetwork


@dataclasses.dataclass(frozen=True)
class LearnerState:
    """The parts of a learner with a state.

    Args:
        anchor: of the proximal term, if there is one.
        average: the averaged weights, if there are any.
    """

    network: SpikingNetwork
    blocks: Sequence[LocalBlock]
    optimizer: torch.optim.Optimizer
    random: np.random.Generator
    anchor: Anchor | None
    average: AveragedWeights | None

    def to_state(self) -> dict[str, Any]:
        """See `Learner.state_dict`."""
        return {
            "network": self.network.state_dict(),
            "auxiliary": [block.auxiliary.state_dict() if block.auxiliary else {} for block in self.blocks],
            "optimizer": self.optimizer.state_dict(),
            "random": self.random.bit_generator.state,
            "anchor": [] if self.anchor is None else self.anchor.state(),
            "average": {} if self.average is None else self.average.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """See `Learner.load_state_dict`."""
        if isinstance(state, Mapping):  # states of older versions know no average
            state = {"average": {}, **state}
        check_state(state, self.to_state())
        self.network.load_state_dict(state["network"])
        for block, weights in zip(self.blocks, state["auxiliary"], strict=True):
            if block.auxiliary is not None:
                block.auxiliary.load_state_dict(weights)
        self.optimizer.load_state_dict(state["optimizer"])
        self.random.bit_generator.state = state["random"]
        if self.average is not None:
            self.average.restore(state["average"])
        if self.anchor is not None and state["anchor"]:
            self.anchor.restore(state["anchor"])
        elif self.anchor is not None:
            self.anchor.move()

    @torch.no_grad()
    def move(self, device: torch.device) -> None:
        """See `Learner.to`."""
        networks = [self.network, *(part for block in self.blocks for part in block.parts)]
        networks += [] if self.average is None else [self.average.network]
        # In place, since the traced copies of a network share its tensors, and optimisers know them.
        for tensor in itertools.chain.from_iterable((*each.parameters(), *each.buffers()) for each in networks):
            gradient, tensor.grad = tensor.grad, None
            tensor.data = tensor.data.to(device)
            tensor.grad = None if gradient is None else gradient.to(device)
        if self.anchor is not None:
            self.anchor.to(device)
        # Loading casts each state to its weight's device, and leaves the counts of steps where the optimiser has them.
        self.optimizer.load_state_dict(self.optimizer.state_dict())

    def buffers(self) -> Iterator[Tensor]:
        """Running statistics, those of auxiliary networks included."""
        for block in self.blocks:
            yield from block.subnetwork.buffers()
            if block.auxiliary is not None:
                yield from block.auxiliary.buffers()


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

    A state without an anchor is that of a first phase, one without an average may be; both are accepted.

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
    if given["average"]:
        _same_keys("average", given["average"], own["average"])
        _same_tensors("average", given["average"]["network"], own["average"]["network"])


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
