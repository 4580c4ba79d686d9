"""A neuron and a surrogate that the package does not have, each one object, to be registered by tests."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stdl_events.network.neurons.neuron import Neuron
from stdl_events.network.registries import NEURONS
from stdl_events.network.spec import NeuronSpec
from stdl_events.network.surrogate import Surrogate
from stdl_events.registry import Registry


class AdaptiveExponentialState(NamedTuple):
    """u: membrane potential after reset; w: adaptation current."""

    u: Tensor
    w: Tensor


class Sharpness(nn.Module):
    """Steepness of the membrane potential near its threshold: one learned value per layer."""

    def __init__(self, spec: NeuronSpec, dtype: torch.dtype | None, device: torch.device | str | None) -> None:
        super().__init__()
        self.spec = spec
        self.rise = nn.Parameter(torch.full((), 0.3, dtype=dtype, device=device))


def _charge(x: Tensor, state: AdaptiveExponentialState, p: Sharpness) -> Tensor:
    rise = p.rise * torch.exp(state.u - p.spec.threshold)
    return x + p.spec.decay * state.u + rise - state.w


def _settle(m: Tensor, s: Tensor, state: AdaptiveExponentialState, p: Sharpness) -> AdaptiveExponentialState:
    spec = p.spec
    return AdaptiveExponentialState(m - spec.threshold * s, spec.adaptation_decay * state.w + spec.adaptation * s)


# After the adaptive exponential integrate-and-fire neuron of Brette and Gerstner (2005).
ADAPTIVE_EXPONENTIAL = Neuron(
    "adaptive exponential integrate-and-fire",
    state=AdaptiveExponentialState,
    charge=_charge,
    settle=_settle,
    parameters=Sharpness,
)


def _arctan(distance: Tensor, width: float) -> Tensor:
    return width / 2 / (1 + (math.pi / 2 * width * distance) ** 2)


# Fang et al., arXiv:2007.05785, section 4.3.
ARCTAN = Surrogate(_arctan, "derivative of the arctangent")


@contextmanager
def registered(registry: Registry[Any], name: str, entry: object) -> Iterator[str]:
    """Register `entry` in `registry` as `name` within the context."""
    registry.register(name, entry)
    try:
        yield name
    finally:
        registry.unregister(name)


def neuron_settings() -> dict[str, NeuronSpec]:
    """Every registered kind of neuron with either reset, at settings at which small networks fire."""
    return {
        kind + ending: NeuronSpec(kind, decay=0.5, threshold=0.5, reset=reset)
        for kind in NEURONS
        for ending, reset in (("", "soft"), ("-hard", "hard"))
    }
