"""Costs of single layers for the planner: one layer's step, run alone under the memory meter."""

import dataclasses
import functools
import math
from typing import Any

import torch

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Trace
from stdl_events.learning.lean.parts import channel_parts
from stdl_events.learning.losses import InstantaneousLoss, Loss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.precision import convolving_dtype
from stdl_events.memory.cost_store import remembered, whole_number
from stdl_events.memory.layer_setting import Entering, LayerSetting, SpikesInput, TensorInput, loss_bytes
from stdl_events.memory.meter import metering, tensor_bytes
from stdl_events.network.spec import LayerSpec, NetworkSpec
from stdl_events.plan.cost import LayerCost, Preceding

# Bodies whose outputs are packed spikes.
SPIKING = ("C", "R")


@dataclasses.dataclass(frozen=True)
class LayerMeter:
    """Costs of the layers of one network at one batch size; calling it is `plan.cost.CostOf`.

    Args:
        spec: the network with the neuron, norm and classifier of the layers.
        lean: True for lean mode.
        trace: presynaptic trace of the neurons, None for rules without traces.
        kept: in lean mode, True if outputs of convolutions are saved for backward.
        flowing: the activation dtype; None for the parameter dtype.
        convolving: the dtype of convolutions; None for the activation dtype.
        averaged: True for an averaged copy of the network.
    """

    spec: NetworkSpec
    batch_size: int
    optimizer: OptimizerSpec
    dtype: torch.dtype
    lean: bool
    trace: Trace | None
    kept: bool = False
    flowing: torch.dtype | None = None
    convolving: torch.dtype | None = None
    loss: Loss = dataclasses.field(default_factory=InstantaneousLoss)
    averaged: bool = False
    _known: dict[tuple[LayerSpec, bool, Entering], LayerCost] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, blueprint: Blueprint) -> "LayerMeter":
        """The meter for the layers of a blueprint's learner."""
        return cls(
            blueprint.spec,
            blueprint.batch_size,
            blueprint.optimizer,
            blueprint.dtype,
            blueprint.is_lean,
            blueprint.rule.time.trace,
            blueprint.memory == "kept",
            blueprint.flowing,
            convolving_dtype(blueprint.precision),
            blueprint.loss,
            blueprint.average_decay is not None,
        )

    @property
    def other_bytes(self) -> int:
        """Resident bytes besides layers: labels, the sum of the logits over time, the loss of the block before.

        And the averaged copy of the network, if there is one.
        """
        summed = self.dtype if self.lean else self.flowing or self.dtype
        logits = self.batch_size * (self.spec.classes or 0) * summed.itemsize
        copy = weight_bytes(self.spec, self.dtype) if self.averaged else 0
        return self.batch_size * torch.int64.itemsize + logits + loss_bytes(self.dtype) + copy

    def __call__(self, layer: LayerSpec, needs_input_gradient: bool, preceding: Preceding = ()) -> LayerCost:
        entering = self._entering(layer, needs_input_gradient, preceding)
        key = (layer, needs_input_gradient, entering)
        if key not in self._known:
            if isinstance(entering, tuple):
                # Deep networks have many layers with the same costs behind different ones.
                entering = _tensor_output(self._setting, entering) or entering
            self._known[key] = _measured(self._setting, layer, needs_input_gradient, entering)
        return self._known[key]

    @functools.cached_property
    def _setting(self) -> LayerSetting:
        return LayerSetting(
            dataclasses.replace(self.spec, layers=(), input_shape=(1, 1, 1)),
            self.batch_size,
            self.optimizer,
            self.loss,
            self.dtype,
            self.lean,
            self.trace,
            self.kept,
            self.flowing or self.dtype,
            self.convolving,
        )

    def _entering(self, layer: LayerSpec, needs_input_gradient: bool, preceding: Preceding) -> Entering:
        # Frames are counts, which cannot be packed; other blocks' inputs are spikes.
        if layer == self.spec.layers[0] and not needs_input_gradient:
            return "frames"
        if not preceding or not self.lean:
            return SpikesInput()
        before = preceding[-1]
        behind = before.ops.index(before.body) + 1
        after = before.ops[behind:]
        if before.body.kind not in SPIKING or len(after) > 1 or any(op.kind != "AP" for op in after):
            return preceding
        if after and self.trace is not None:  # the trace is pooled where it is read
            return preceding
        return SpikesInput(bool(after), self._lies_last(before, before.shape_before(behind)))

    @functools.cached_property
    def _likes_last(self) -> bool:
        return _spikes_lie_last(dataclasses.replace(self._setting, batch_size=1, kept=False))

    def _lies_last(self, layer: LayerSpec, spikes_shape: tuple[int, int, int]) -> bool:
        """True if the layer's spikes, of this shape, lie channels last."""
        if layer.body.kind != "C" or not self._likes_last:
            return False
        return self.kept or len(channel_parts((self.batch_size, *spikes_shape), self._setting.flowing)) == 1


@remembered(int, whole_number, most=64)
def weight_bytes(spec: NetworkSpec, dtype: torch.dtype) -> int:
    """Bytes of a network's parameters and running statistics."""
    from stdl_events.network.network import SpikingNetwork

    with metering():
        network = SpikingNetwork.build(spec, dtype=dtype)
        return tensor_bytes([*network.parameters(), *network.buffers()])


def _input_from(document: Any) -> TensorInput | None:
    if document is None:
        return None
    dtype, divisor = getattr(torch, document["dtype"], None), document["divisor"]
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{document!r} is no input")
    shape, pool = _three(document["shape"]), document["pool"]
    divisor = None if divisor is None else whole_number(divisor)
    return TensorInput(
        dtype, shape, divisor, None if pool is None else _three(pool), _yes_or_no(document["channels_last"])
    )


def _three(values: Any) -> tuple[int, int, int]:
    first, second, third = map(whole_number, values)
    return first, second, third


def _input_to(found: TensorInput | None) -> dict[str, Any] | None:
    return None if found is None else dataclasses.asdict(found) | {"dtype": str(found.dtype).removeprefix("torch.")}


@remembered(_input_to, _input_from, most=4096)
def _tensor_output(setting: LayerSetting, preceding: Preceding) -> TensorInput | None:
    from stdl_events.memory.layer_step import tensor_output

    return tensor_output(setting, preceding)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


@remembered(bool, _yes_or_no, most=64)
def _spikes_lie_last(setting: LayerSetting) -> bool:
    from stdl_events.memory.layer_step import spikes_lie_last

    return spikes_lie_last(setting)


def _cost_from(numbers: Any) -> LayerCost:
    if len(numbers) != len(dataclasses.fields(LayerCost)):
        raise ValueError(f"{numbers!r} is no cost")
    return LayerCost(*map(whole_number, numbers))


# Networks repeat their layers, and plans for several rules, modes and budgets share them.
@remembered(dataclasses.astuple, _cost_from, most=4096)
def _measured(setting: LayerSetting, spec: LayerSpec, needs_input_gradient: bool, entering: Entering) -> LayerCost:
    from stdl_events.learning.traces import state_holds
    from stdl_events.memory.layer_step import run_layer

    cost = run_layer(setting, spec, needs_input_gradient, entering)
    if setting.trace is None or entering == "frames" or state_holds(setting.trace):
        return cost
    shape = (setting.batch_size, *spec.input_shape)
    return dataclasses.replace(cost, input=cost.input + math.prod(shape) * setting.flowing.itemsize)
