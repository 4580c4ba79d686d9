"""Results of one step of a layer's body in lean mode: its output, its new state and its backward function."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from torch import Tensor

from stdl_events.learning.lean.signals import Signal
from stdl_events.network.units import State

Backward: TypeAlias = Callable[[list[Tensor], bool], Tensor | None]
"""([gradient of the output], True if that of the input is needed) -> gradient of the input.

The gradient is removed from the list, so that no other reference keeps it alive, and may be overwritten.
"""


class UnitBackward(Protocol):
    """A `Backward` with an in-place add: adds the gradient of its input to the tensor `onto` and returns it."""

    def __call__(self, gradients: list[Tensor], needs_input: bool, onto: Tensor | None = None) -> Tensor | None: ...


class Step(NamedTuple):
    """Result of one step of a body."""

    out: Signal
    state: State
    backward: Backward


class UnitStep(NamedTuple):
    """Result of one step of a unit."""

    out: Signal
    state: State
    backward: UnitBackward
