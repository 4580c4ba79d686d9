"""Multiply-accumulates of training, counted on the dispatched operations."""

import dataclasses
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.targets import example_targets
from stdl_events.memory.cost_store import remembered, whole_number
from stdl_events.memory.meter import metering
from stdl_events.network.spec import LayerSpec, NetworkSpec
from stdl_events.plan.plan import Plan

FLOPS_PER_MAC = 2


class MultiplyAccumulates(TorchDispatchMode):
    """Counts multiply-accumulates of convolutions and matrix products, forward and backward, in `count`."""

    def __init__(self) -> None:
        super().__init__()
        from torch.utils.flop_counter import flop_registry  # which imports Triton

        self._formulas = flop_registry
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = self._formulas.get(func.overloadpacket)
        if formula is not None:
            self.count += formula(*args, **(kwargs or {}), out_val=out) // FLOPS_PER_MAC
        return out


def _count_from(value: Any) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return float(value)


@remembered(float, _count_from, most=256)
def step_macs(blueprint: Blueprint, plan: Plan | None) -> float:
    """Multiply-accumulates of one batch per time step, averaged over a sequence, for `blueprint` cut by `plan`."""
    steps = blueprint.rule.time.steps_to_meter(blueprint.steps)
    host = dataclasses.replace(blueprint.on_host(), steps=steps)
    with metering():
        learner = host.build(plan)
        frames_TBCHW = torch.empty((steps, host.batch_size, *host.spec.input_shape), dtype=torch.uint8)
        targets = example_targets(host.loss, host.batch_size, host.spec.classes or 1)
        with MultiplyAccumulates() as macs:
            learner.backward(frames_TBCHW, targets)
    return macs.count / steps


def forward_macs(layer: LayerSpec, network: NetworkSpec) -> int:
    """Multiply-accumulates of one forward step of one sample through `layer`, built with the settings of `network`."""
    return _layer_macs(dataclasses.replace(network, layers=(), input_shape=(1, 1, 1)), layer)


@remembered(int, whole_number, most=4096)
def _layer_macs(network: NetworkSpec, layer: LayerSpec) -> int:
    from stdl_events.learning.traces import make_factory
    from stdl_events.network.layers import Layer

    with metering(), torch.no_grad():
        module = Layer(layer, make_factory(network, None, torch.float32))
        x_BCHW, state = torch.empty((1, *layer.input_shape)), module.initial_state(1)
        with MultiplyAccumulates() as macs:
            module.step(x_BCHW, state)
    return macs.count
