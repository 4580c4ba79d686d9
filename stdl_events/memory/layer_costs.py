"""Measures single layers for the planner: one layer's step, run alone under the memory meter."""

import dataclasses
import functools
import math
from collections import deque
from typing import Any, cast

import torch
from torch import Tensor

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Trace
from stdl_events.learning.lean import check_layer
from stdl_events.learning.lean.chain import LeanChain
from stdl_events.learning.lean.signals import Dense, Shape, Spikes, Traced
from stdl_events.learning.lean.signals import Signal as LeanSignal
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.precision import mixed_precision
from stdl_events.learning.traced_spikes import Signal, TracedSpikes, spikes_of
from stdl_events.learning.traces import make_factory, state_holds
from stdl_events.memory.meter import LiveBytes, metering, tensor_bytes
from stdl_events.network.layers import Layer
from stdl_events.network.spec import LayerSpec, NetworkSpec
from stdl_events.plan.cost import LayerCost


@dataclasses.dataclass(frozen=True)
class LayerMeter:
    """Costs of the layers of one network at one batch size; calling it is `plan.cost.CostOf`.

    Args:
        spec: whose neuron, norm and classifier the layers have.
        lean: whether layers run in lean mode.
        trace: what the neurons keep for learning, None for rules without traces.
        kept: in lean mode, whether outputs of convolutions stay until the backward.
        flowing: the type of states and of what travels between layers; None for that of the weights.
    """

    spec: NetworkSpec
    batch_size: int
    optimizer: OptimizerSpec
    dtype: torch.dtype
    lean: bool
    trace: Trace | None
    kept: bool = False
    flowing: torch.dtype | None = None
    _known: dict[tuple[LayerSpec, bool], LayerCost] = dataclasses.field(default_factory=dict, repr=False)

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
        )

    def __call__(self, layer: LayerSpec, needs_input_gradient: bool) -> LayerCost:
        key = (layer, needs_input_gradient)
        if key not in self._known:
            # Frames are counts, which do not pack; what other blocks receive is spikes.
            frames = layer == self.spec.layers[0] and not needs_input_gradient
            self._known[key] = _measured(_Setting.of(self), layer, needs_input_gradient, frames)
        return self._known[key]


@dataclasses.dataclass(frozen=True)
class _Setting:
    """All that a layer's cost depends on, the layer itself apart.

    Args:
        spec: what the layers of the network share; it has none of its own.
    """

    spec: NetworkSpec
    batch_size: int
    optimizer_slots: int
    dtype: torch.dtype
    lean: bool
    trace: Trace | None
    kept: bool
    flowing: torch.dtype

    @classmethod
    def of(cls, meter: LayerMeter) -> "_Setting":
        shared = dataclasses.replace(meter.spec, layers=(), input_shape=(1, 1, 1))
        return cls(
            shared,
            meter.batch_size,
            meter.optimizer.slots,
            meter.dtype,
            meter.lean,
            meter.trace,
            meter.kept,
            meter.flowing or meter.dtype,
        )


# Networks repeat their layers, and plans for several rules, modes and budgets ask for the same ones.
@functools.lru_cache(maxsize=4096)
def _measured(setting: _Setting, spec: LayerSpec, needs_input_gradient: bool, frames: bool) -> LayerCost:
    with metering() as live:
        layer = Layer(spec, make_factory(setting.spec, setting.trace, setting.dtype))
        fixed = _fixed(layer, setting)
        for parameter in layer.parameters():
            # There from the second step of training on, and fixed cost.
            parameter.grad = torch.empty_like(parameter, requires_grad=False)
        shape = (setting.batch_size, *spec.input_shape)
        if setting.lean:
            check_layer(f"layer {layer.spec}", layer)
            x = _lean_input(setting, shape, frames)
            chain = LeanChain((0,) if setting.kept else (), needs_input=needs_input_gradient)
            cost = _lean_step(chain, layer, x, fixed, live)
        else:
            x_BCHW = torch.empty(shape, dtype=setting.flowing)
            x_BCHW.requires_grad_(needs_input_gradient)
            with mixed_precision(x_BCHW.device, setting.flowing):
                cost = _step(layer, x_BCHW, setting.trace is not None, fixed, live)
    if setting.trace is None or frames or state_holds(setting.trace):
        return cost
    return dataclasses.replace(cost, input=cost.input + math.prod(shape) * setting.flowing.itemsize)


def _lean_input(setting: _Setting, shape: Shape, frames: bool) -> LeanSignal:
    if frames:
        return Dense(torch.empty(shape, dtype=setting.flowing))
    packed = Spikes(shape, setting.flowing, torch.device("cpu"))
    if setting.trace is None:
        return packed
    # The trace is kept by the layer in front, in its state or beside it.
    return Traced(packed, Dense(torch.empty(shape, dtype=setting.flowing)))


def _fixed(layer: Layer, setting: _Setting) -> int:
    weights = tensor_bytes(layer.parameters()) * (2 + setting.optimizer_slots)
    return (
        weights
        + tensor_bytes(layer.buffers())
        + tensor_bytes(layer.initial_state(setting.batch_size, dtype=setting.flowing))
    )


def _step(layer: Layer, leaf_BCHW: Tensor, traced: bool, fixed: int, live: LiveBytes) -> LayerCost:
    # Memory of its own for the input, so that it shows whether the graph keeps it; that of a block's first layer stays.
    x_BCHW = leaf_BCHW + 0 if leaf_BCHW.requires_grad else leaf_BCHW
    # Kept by the layer in front, in its state or beside it.
    trace = torch.empty_like(leaf_BCHW, requires_grad=False) if traced else None
    x: Signal = x_BCHW if trace is None else TracedSpikes(x_BCHW, trace)
    state = layer.initial_state(len(leaf_BCHW), dtype=leaf_BCHW.dtype)
    before = live.now
    live.reset_peak()
    out, new = layer.step(cast(Tensor, x), state)
    # The loop keeps the state detached; the graph behind it stays only as far as the output needs it.
    new = tuple(entry.detach() for entry in new)
    del state
    saved, forward = live.now - before, live.peak - before
    del x, x_BCHW
    released = before + saved - live.now
    end = _End.apply(spikes_of(out))
    del out
    live.reset_peak()
    end.backward()
    backward = live.peak - before - saved
    return LayerCost(tensor_bytes([leaf_BCHW]), forward, saved, backward, fixed, released)


class _End(torch.autograd.Function):
    """Stands for the rest of the chain: its gradient is born in backward and dies as soon as the layer has used it."""

    @staticmethod
    def forward(ctx: Any, out: Tensor) -> Tensor:
        ctx.like = out.shape, out.dtype
        return out.new_empty(())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del gradients
        shape, dtype = ctx.like
        return torch.empty(shape, dtype=dtype)


@torch.no_grad()
def _lean_step(chain: LeanChain, layer: Layer, x: LeanSignal, fixed: int, live: LiveBytes) -> LayerCost:
    state = deque(layer.initial_state(x.shape[0], dtype=x.dtype))
    before = live.now
    live.reset_peak()
    out, new = chain.forward([layer], x, state)
    forward = live.peak - before
    gradients = [torch.empty_like(out.dense())]  # which also takes what the next layer would take
    saved = live.now - before - tensor_bytes(gradients)
    del out  # the next layer's, which is done when this one's backward starts
    live.reset_peak()
    chain.backward(gradients)
    assert new or not layer.state_shapes, "a layer with neurons returns their state"
    values = x.spikes if isinstance(x, Traced) else x
    received = values.bits_BCQ if isinstance(values, Spikes) else values.dense()
    return LayerCost(tensor_bytes([received]), forward, saved, live.peak - before - saved, fixed)
