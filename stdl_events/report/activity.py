"""Firing rates and synaptic operations of a trained network on clips.

Shape letters: T time steps, B clips, C channels, H rows, W columns.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stdl_events.analysis.cost import Unit
from stdl_events.analysis.energy import ADDITION_PJ, CROSSOVER, OFF_CHIP_PJ, ON_CHIP_PJ, Energy, clip_energy
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.recordings.clips import ClipArray
from stdl_events.report.tables import Bar, Table
from stdl_events.training.data import batch_of
from stdl_events.training.evaluation.evaluate_clips import network_logits

CLIPS_MEASURED = 16


@dataclass(frozen=True)
class LayerActivity:
    """Activity of one layer.

    Attributes:
        name: in the paper's notation.
        neurons: 0 for a classifier without neurons.
        rate: spikes per neuron and step.
        spikes: per clip.
        input_share: share of its inputs that are not 0.
        additions: synaptic operations per clip.
    """

    name: str
    neurons: int
    rate: float
    spikes: float
    input_share: float
    additions: float


@dataclass(frozen=True)
class Activity:
    """Activity of a network.

    Attributes:
        clips: number of clips measured.
        rate: spikes per neuron and step, of all neurons.
        spikes: per clip.
    """

    layers: tuple[LayerActivity, ...]
    clips: int
    steps: int
    rate: float
    spikes: float
    energy: Energy

    @property
    def silent(self) -> tuple[str, ...]:
        """Layers whose neurons never fire."""
        return tuple(layer.name for layer in self.layers if layer.neurons and not layer.spikes)


@dataclass
class _Counter:
    """Sums of one layer, on the network's device; each module adds its own size once."""

    neurons: int = 0
    weights: int = 0
    operations: int = 0
    inputs: int = 0
    active: Tensor | int = 0
    spikes: Tensor | int = 0
    additions: Tensor | float = 0.0
    seen: set[int] = field(default_factory=set)

    def fired(self, module: nn.Module, inputs: tuple[Any, ...], output: tuple[Tensor, Any]) -> None:
        spikes_BCHW = output[0]
        self.spikes = self.spikes + torch.count_nonzero(spikes_BCHW)
        if self._is_new(module):
            self.neurons += spikes_BCHW[0].numel()

    def added(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.Linear)
        is_active = inputs[0] != 0
        self.inputs += is_active.numel()
        self.active = self.active + is_active.sum()
        self.additions = self.additions + additions_of(module, is_active, output.shape)
        if self._is_new(module):
            self.operations += module.weight[0].numel() * output[0].numel()
            self.weights += module.weight.numel()

    def _is_new(self, module: nn.Module) -> bool:
        new = id(module) not in self.seen
        self.seen.add(id(module))
        return new


def additions_of(module: nn.Conv2d | nn.Linear, is_active: Tensor, output_shape: Sequence[int]) -> Tensor:
    """The synapses behind the inputs that are not 0, a 0-d tensor. Inputs at a border have fewer, and padding has none.

    Args:
        is_active: of the input, (B, C, H, W) of a convolution; True where it is not 0.
    """
    if isinstance(module, nn.Linear):
        return is_active.sum() * module.out_features
    ones = partial(torch.ones, dtype=torch.float64, device=is_active.device, requires_grad=False)
    sides = zip(is_active.shape[2:], output_shape[2:], module.kernel_size, module.stride, _padding(module), strict=True)
    rest = [size - ((places - 1) * stride + kernel - 2 * padding) for size, places, kernel, stride, padding in sides]
    fan_out_HW = nn.functional.conv_transpose2d(
        ones(1, 1, *output_shape[2:]), ones(1, 1, *module.kernel_size), stride=module.stride,
        padding=_padding(module), output_padding=rest,
    )[0, 0]  # fmt: skip
    return (is_active.sum((0, 1)) * fan_out_HW).sum() * (module.out_channels // module.groups)


def _padding(module: nn.Conv2d) -> tuple[int, ...]:
    assert not isinstance(module.padding, str), "paddings are numbers"
    return module.padding


def measure_activity(network: SpikingNetwork, clips: ClipArray, *, batch_size: int) -> Activity:
    """Run clips, spread evenly over `clips`, through `network`, which is switched to evaluation mode."""
    count = min(len(clips), CLIPS_MEASURED)
    chosen = np.linspace(0, len(clips) - 1, count).round().astype(np.intp)
    logits_of, steps = network_logits(network), 0
    with _counting(network) as counters:
        for start in range(0, count, batch_size):
            frames_TBCHW, _ = batch_of(clips, chosen[start : start + batch_size])
            steps = len(frames_TBCHW)
            logits_of(frames_TBCHW)
    names = [str(layer) for layer in network.spec.layers]
    layers = tuple(_layer(*pair, count, steps) for pair in zip(names, counters, strict=True))
    *units, classifier = [Unit(one.weights, one.neurons, one.operations) for one in counters]
    spikes, neurons = sum(layer.spikes for layer in layers), sum(layer.neurons for layer in layers)
    energy = clip_energy(units, classifier, steps=steps, additions=sum(layer.additions for layer in layers))
    return Activity(layers, count, steps, spikes / (steps * max(1, neurons)), spikes, energy)


def _layer(name: str, counted: _Counter, clips: int, steps: int) -> LayerActivity:
    spikes, additions = float(counted.spikes) / clips, float(counted.additions) / clips
    rate = spikes / (steps * counted.neurons) if counted.neurons else 0.0
    share = float(counted.active) / max(1, counted.inputs)
    return LayerActivity(name, counted.neurons, rate, spikes, share, additions)


@contextmanager
def _counting(network: SpikingNetwork) -> Iterator[list[_Counter]]:
    """Context in which a counter per layer follows the network's steps."""
    counters, handles = [], []
    for layer in network.layers_in_order():
        counter = _Counter()
        counters.append(counter)
        for module in layer.modules():
            hook: Callable[..., None] | None = None
            if isinstance(module, NeuronCell):
                hook = counter.fired
            elif isinstance(module, nn.Conv2d | nn.Linear):
                hook = counter.added
            if hook is not None:
                handles.append(module.register_forward_hook(hook))
    try:
        yield counters
    finally:
        for handle in handles:
            handle.remove()


def rate_table(activity: Activity) -> Table:
    """Return the table of the layers."""
    head = ("layer", "neurons", "spikes per neuron and step", "spikes per clip", "inputs not 0", "operations per clip")
    most = max((layer.rate for layer in activity.layers), default=0.0) or 1.0
    rows = [
        (
            f"{number}. {layer.name}",
            f"{layer.neurons:,}",
            Bar(layer.rate / most, f"{layer.rate:.4f}") if layer.neurons else "no neurons",
            f"{layer.spikes:,.0f}",
            f"{layer.input_share:.1%}",
            f"{layer.additions:,.0f}",
        )
        for number, layer in enumerate(activity.layers, start=1)
    ]
    return Table.of("layers in order", head, rows)


def energy_facts(activity: Activity) -> tuple[tuple[str, str], ...]:
    """Return the three numbers of the energy, in words."""
    energy, rate = activity.energy, activity.rate
    side = "below it" if rate < CROSSOVER else "above it: a quantised network would need less"
    low, high = (each / max(energy.additions_uj, 1e-9) for each in (energy.on_chip_uj, energy.off_chip_uj))
    return (
        (
            "1. spikes",
            f"{activity.spikes:,.0f} spikes, {energy.additions:,.0f} synaptic operations; {energy.additions_uj:,.2f} "
            f"µJ at {ADDITION_PJ} pJ per addition. This number alone leaves out all memory traffic.",
        ),
        (
            "2. with memory traffic",
            f"{energy.on_chip_uj:,.1f} µJ if all {energy.accesses:,.0f} accesses to weights and membrane potentials "
            f"are in on-chip memory ({ON_CHIP_PJ:g} pJ each), {energy.off_chip_uj:,.0f} µJ if they are in off-chip "
            f"memory ({OFF_CHIP_PJ:g} pJ): {low:,.1f} to {high:,.0f} times the first number.",
        ),
        (
            "3. crossover",
            f"{rate:.1%} of the neurons fire in a step. Below about {CROSSOVER:.1%} a spiking network of 5 to 10 steps "
            f"needs less than a quantised network of as many bits; this one is {side}.",
        ),
    )
