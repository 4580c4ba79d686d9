"""The rate penalty: a term of each block's local loss that makes its layers of neurons quiet.

With r the share of a layer's neurons that fire at a step, for each clip of the batch, and r* the target,

    penalty[t] = beta / T · Σ over layers, mean over clips of max(0, r[t] - r*)

This is the upper bound on the activity of a population of Zenke and Vogels (Neural Computation 33(4), 2021, activity
regularisation) with exponent 1. They bound the spikes of a whole sequence; here each step is bounded by itself, as an
online rule needs it. Spikes of auxiliary networks and of a spiking classifier are not penalised: the former are not
part of the trained network, the latter are the answer that the loss asks for.

B batch, C channels, H height, W width, L layers of neurons.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from stdl_events.arguments import is_number
from stdl_events.errors import RuleError
from stdl_events.events.defects import count_of
from stdl_events.learning.block import LocalBlock
from stdl_events.learning.registries import LARGEST_PENALTY
from stdl_events.learning.traced_spikes import spikes_of
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.populations import populations
from stdl_events.network.spec import NetworkSpec

DEFAULT_TARGET = 0.02
# bfloat16 holds whole numbers exactly up to this one.
_WHOLE_IN_BF16 = 256


@dataclasses.dataclass(frozen=True)
class RatePenalty:
    """The settings of the penalty.

    Args:
        weight: beta; 0 watches the rates without a penalty.
        target: r*, the share of neurons that may fire in a step without a penalty; one for all layers of neurons, or
            one for each in order.

    Raises:
        RuleError: a value is impossible.
    """

    weight: float
    target: float | tuple[float, ...] = DEFAULT_TARGET

    def __post_init__(self) -> None:
        if not (is_number(self.weight) and 0 <= self.weight <= LARGEST_PENALTY):
            raise RuleError(
                "rate_penalty", got=repr(self.weight), expected=f"a number from 0 to {LARGEST_PENALTY:g}",
                todo="begin with 1; None is no penalty",
            )  # fmt: skip
        targets = self.target if isinstance(self.target, tuple) else (self.target,)
        if not all(is_number(target) and 0 <= target < 1 for target in targets):
            raise RuleError(
                "target_rate", got=repr(self.target), expected="shares of a layer's neurons, 0 <= target_rate < 1",
                todo="change target_rate, such as 0.02",
            )  # fmt: skip

    def check(self, spec: NetworkSpec) -> None:
        """Raise RuleError if `spec` has no layers of neurons, or not as many as there are targets."""
        names = populations(SpikingNetwork.build(spec, device="meta"))
        if not names:
            raise RuleError(
                self._setting, got=f"{spec.notation}, which has no neurons in front of its classifier",
                expected="layers with spikes", todo=f"leave {self._setting} out",
            )  # fmt: skip
        if isinstance(self.target, tuple) and len(self.target) != len(names):
            raise RuleError(
                "target_rate", got=count_of(len(self.target), "target"),
                expected=f"one, or {len(names)}, one for each of {', '.join(names)}", todo="give as many",
            )  # fmt: skip

    @property
    def _setting(self) -> str:
        return "rate_penalty" if self.weight else "watch_rates"

    def of_blocks(
        self, blocks: Sequence[LocalBlock], steps: int, shares: Callable[[], Tensor | None]
    ) -> list["BlockPenalty"]:
        """The penalty of each block for a sequence of `steps`; `shares` as in `BlockPenalty`."""
        cells = [list(populations(block.parts[0]).values()) for block in blocks]
        count = sum(map(len, cells))
        targets = iter(self.target if isinstance(self.target, tuple) else (self.target,) * count)
        return [BlockPenalty(self.weight / steps, {cell: next(targets) for cell in own}, shares) for own in cells]


def make_rate_penalty(weight: float, target: float | Sequence[float] | None, spec: NetworkSpec) -> RatePenalty:
    """The penalty on the rates of `spec`, of weight 0 to watch them alone; a target of None is the default.

    Raises:
        RuleError: a value is impossible, or the network has no such layers.
    """
    chosen = DEFAULT_TARGET if target is None else target
    penalty = RatePenalty(weight, tuple(chosen) if isinstance(chosen, Sequence) else chosen)
    penalty.check(spec)
    return penalty


@dataclasses.dataclass(frozen=True)
class BlockPenalty:
    """The penalty of one block.

    Args:
        weight: beta / T.
        targets: of each layer of neurons, in order.
        shares: the weight of each clip in the mean over the batch, which sum to 1; None for equal ones. It is called
            in each chunk, since a recorded graph may not refer to a tensor from outside it.
    """

    weight: float
    targets: dict[NeuronCell, float]
    shares: Callable[[], Tensor | None]


class ChunkRates:
    """The rates of a block's layers of neurons in one chunk, and the penalty on them.

    Args:
        like: a weight of the block, with the dtype and device of the results.

    Attributes:
        total: the penalty of all spikes noted so far, a 0-d tensor.
        rates_L: mean share of neurons that fire, over the batch, summed over the chunk's steps.
    """

    def __init__(self, penalty: BlockPenalty, like: Tensor) -> None:
        self._penalty, self._dtype = penalty, like.dtype
        self._at = {cell: index for index, cell in enumerate(penalty.targets)}
        self._shares_B = penalty.shares()
        self.total = like.new_zeros((), requires_grad=False)
        self.rates_L = like.new_zeros((len(self._at),), requires_grad=False)

    def __contains__(self, cell: NeuronCell) -> bool:
        return cell in self._at

    def note_spikes(self, cell: NeuronCell, spikes_BCHW: Tensor) -> None:
        """Add the penalty of one step's spikes to `total`, for autograd."""
        with contextlib.nullcontext() if self._penalty.weight else torch.no_grad():
            self._note(cell, _per_clip(spikes_BCHW, self._dtype) / spikes_BCHW[0].numel())

    def note_counts(self, cell: NeuronCell, counts_B: Tensor, neurons: int) -> Tensor:
        """Add the penalty of one step. Returns the derivative by a spike of each clip, slope_B.

        Args:
            counts_B: spikes of each clip.
            neurons: their number in the layer.
        """
        excess_B = self._note(cell, counts_B.to(self._dtype) / neurons)
        slope = self._penalty.weight / neurons
        over_B = (excess_B > 0).to(self._dtype)
        return over_B * (slope / len(over_B)) if self._shares_B is None else over_B * self._shares_B * slope

    def _note(self, cell: NeuronCell, rate_B: Tensor) -> Tensor:
        excess_B = F.relu(rate_B - self._penalty.targets[cell])
        mean = excess_B.mean() if self._shares_B is None else (excess_B * self._shares_B).sum()
        self.total = self.total + mean * self._penalty.weight
        with torch.no_grad():
            self.rates_L[self._at[cell]] += rate_B.mean()
        return excess_B

    def cut(self) -> GradientEdge | None:
        """Detach `total`. Returns the edge of its graph, None if it has none."""
        edge = get_gradient_edge(self.total) if self.total.requires_grad else None
        self.total = self.total.detach()
        return edge

    @contextlib.contextmanager
    def watching(self, module: nn.Module) -> Iterator[None]:
        """Note the spikes of the penalised layers inside `module` whenever they fire."""
        hooks = [
            cell.register_forward_hook(self._hook)
            for cell in module.modules()
            if isinstance(cell, NeuronCell) and cell in self
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, cell: nn.Module, received: Any, given: Any) -> None:
        del received
        assert isinstance(cell, NeuronCell), "only cells are watched"
        self.note_spikes(cell, spikes_of(given[0]))


def _per_clip(spikes_BCHW: Tensor, dtype: torch.dtype) -> Tensor:
    """The number of spikes of each clip, without a copy of all of them in another dtype."""
    if spikes_BCHW.dtype != dtype:
        is_exact = spikes_BCHW.shape[-1] <= _WHOLE_IN_BF16
        spikes_BCHW = (spikes_BCHW.sum(-1) if is_exact else spikes_BCHW).to(dtype)
    return spikes_BCHW.flatten(1).sum(1)
