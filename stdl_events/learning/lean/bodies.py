"""The layers' bodies in lean mode: forward saves packed spikes, backward recomputes the rest.

Each function runs one step of a body and returns its output, its new state and its backward function.

B batch, C channels, H height, W width.
"""

import contextlib
import functools
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from stdl_events.learning.lean.classifier import classifier_step
from stdl_events.learning.lean.kernels import in_rows, pack_, turned
from stdl_events.learning.lean.membranes import takes_channels_last
from stdl_events.learning.lean.neurons import LeanNeurons
from stdl_events.learning.lean.parts import accumulate, channel_parts, of_channels, put_part, unlike
from stdl_events.learning.lean.signals import Dense, Scaled, Signal, Spikes, Traced, added, dense_in, moved
from stdl_events.learning.lean.steps import Step, UnitStep
from stdl_events.learning.lean.supported import runs_by_hand, steps_as
from stdl_events.learning.lean.synapse import LeanSynapse
from stdl_events.learning.precision import mixed_precision
from stdl_events.learning.rates import ChunkRates
from stdl_events.learning.traced_spikes import TracedSpikes, spikes_of
from stdl_events.network.layers import Body, ClassifierBody, ResidualBody, SEWBody, SpikingUnit


def body_step(
    body: Body,
    x: Signal,
    state: list[Tensor],
    *,
    saves_output: bool = False,
    needs_input: bool = True,
    rates: ChunkRates | None = None,
    packs_only: bool = False,
) -> Step:
    """One step of any body; by ordinary autograd where the body or its neurons have no lean form.

    Args:
        state: overwritten; entries may be replaced, so that the old ones are freed.
        saves_output: True to save outputs of convolutions for backward instead of recomputing them.
        needs_input: True if backward will compute the gradient of the input.
        rates: counts and penalises the spikes of the body's neurons; None for no penalty.
        packs_only: True if the next layer reads packed spikes alone. Other spikes are unpacked again.
    """
    if not runs_by_hand(body):
        return _autograd_step(body, x, state, needs_input, rates)
    if isinstance(body, SpikingUnit):
        return Step(*_unit_step(body, x, state, saves_output, rates, packs_only))
    if isinstance(body, ResidualBody):
        return _residual_step(body, x, state, saves_output, rates)
    if isinstance(body, SEWBody):
        return _sew_step(body, x, state, saves_output, rates)
    assert isinstance(body, ClassifierBody), "there is no other body that runs by hand"
    return classifier_step(body, x)


def _unit_step(
    unit: SpikingUnit,
    x: Signal,
    state: list[Tensor],
    saves_output: bool,
    rates: ChunkRates | None,
    packs_only: bool = False,
) -> UnitStep:
    likes_last = takes_channels_last(unit.cell, state[0].device, x.dtype)
    synapse = LeanSynapse(unit.synapse, x, saves_output=saves_output, channels_last=likes_last)
    if synapse.channels_last:  # of the first step; those that follow lie so
        state[0] = turned(state[0], channels_last=True)
    neurons = LeanNeurons(
        unit.cell,
        tuple(state),
        synapse.shape,
        x.dtype,
        rates,
        packs_only=packs_only,
        channels_last=synapse.channels_last,
    )
    del state
    if synapse.channels_last:  # the kernels have no temporary tensors, and a wide slice is one run of memory
        runs = unlike(synapse.groups)
    else:
        runs = unlike(channel_parts(synapse.shape, neurons.dtype), synapse.groups)
    fuses = neurons.fuses_norm and synapse.normalises
    for channels in runs:
        neurons.fire(channels, synapse.before_norm(channels) if fuses else synapse.current(channels))
    synapse.pause()
    neurons.pause()

    def backward(gradients: list[Tensor], needs_input: bool, onto: Tensor | None = None) -> Tensor | None:
        gradient = _behind_gain(unit, gradients.pop())
        if fuses and synapse.learns_norm:
            gradient = turned(gradient, channels_last=synapse.channels_last)
            for channels in runs:
                neurons.backward(channels, of_channels(gradient, channels), synapse.before_norm(channels))
        else:
            for channels in runs:
                current = neurons.backward(channels, of_channels(gradient, channels))
                gradient = put_part(gradient, channels, synapse.backward(channels, current))
        return synapse.finish(gradient, needs_input=needs_input, onto=onto)

    return UnitStep(_scaled(unit, neurons.out), neurons.state, backward)


def _residual_step(
    body: ResidualBody, x: Signal, state: list[Tensor], saves_output: bool, rates: ChunkRates | None
) -> Step:
    count = body.first.cell.state_count
    hidden, first_state, first_backward = _unit_step(body.first, x, state[:count], saves_output, rates)
    synapse = LeanSynapse(body.second.synapse, hidden, saves_output=saves_output)
    shortcut = None if body.shortcut is None else LeanSynapse(body.shortcut, x, saves_output=saves_output)
    neurons = LeanNeurons(body.second.cell, tuple(state[count:]), synapse.shape, x.dtype, rates)
    del state
    runs = channel_parts(synapse.shape, neurons.dtype)
    for channels in unlike(runs, synapse.groups):
        passed = x.dense(channels=channels) if shortcut is None else shortcut.current(channels)
        neurons.fire(channels, synapse.current(channels) + passed)
    synapse.pause()
    neurons.pause()
    if shortcut is not None:
        shortcut.pause()

    def backward(gradients: list[Tensor], needs_input: bool) -> Tensor | None:
        gradient = _behind_gain(body.second, gradients.pop())
        for channels in unlike(runs):
            gradient = put_part(gradient, channels, neurons.backward(channels, gradient[:, channels]))
        passed = gradient if shortcut is None else _synapse_backward(shortcut, gradient, needs_input, keep=True)
        hidden_gradient = _synapse_backward(synapse, gradient, True, keep=shortcut is None)
        del gradient
        assert hidden_gradient is not None, "the hidden gradient was asked for"
        box = [hidden_gradient]
        del hidden_gradient
        return first_backward(box, needs_input, onto=passed if needs_input else None)

    return Step(_scaled(body.second, neurons.out), first_state + neurons.state, backward)


def _synapse_backward(synapse: LeanSynapse, gradient: Tensor, needs_input: bool, *, keep: bool) -> Tensor | None:
    """Backward through a whole synapse; overwrites `gradient` unless `keep` is set."""
    if not synapse.has_norm:
        return synapse.finish(gradient.clone() if keep else gradient, needs_input=needs_input)
    parts = channel_parts(synapse.shape, gradient.dtype)
    target = torch.empty_like(gradient) if keep and len(parts) > 1 else gradient
    for channels in unlike(parts, synapse.groups):
        target = put_part(target, channels, synapse.backward(channels, gradient[:, channels]))
    return synapse.finish(target, needs_input=needs_input)


def _sew_step(body: SEWBody, x: Signal, state: list[Tensor], saves_output: bool, rates: ChunkRates | None) -> Step:
    count = body.first.cell.state_count
    middle = state[count : 2 * count]
    hidden, first_state, first_backward = _unit_step(body.first, x, state[:count], saves_output, rates)
    spikes, second_state, second_backward = _unit_step(body.second, hidden, middle, saves_output, rates)
    new = first_state + second_state
    passed, passed_backward = x, None
    if body.shortcut is not None:
        passed, third_state, passed_backward = _unit_step(body.shortcut, x, state[2 * count :], saves_output, rates)
        new = new + third_state
    del state

    def backward(gradients: list[Tensor], needs_input: bool) -> Tensor | None:
        gradient = gradients.pop()
        hidden_gradient = second_backward([gradient.clone()], True)
        assert hidden_gradient is not None, "the hidden gradient was asked for"
        box = [hidden_gradient]
        del hidden_gradient
        grad_passed = gradient if passed_backward is None else passed_backward([gradient], needs_input)
        return first_backward(box, needs_input, onto=grad_passed if needs_input else None)

    return Step(added(spikes, passed), new, backward)


def _autograd_step(body: Body, x: Signal, state: list[Tensor], needs_input: bool, rates: ChunkRates | None) -> Step:
    x_BCHW = dense_in(x.dtype, x, channels_last=False).detach().requires_grad_(needs_input)  # modules flatten it
    received = TracedSpikes(x_BCHW, x.trace.dense()) if isinstance(x, Traced) else x_BCHW
    watching = contextlib.nullcontext() if rates is None else rates.watching(_module(body))
    with torch.enable_grad(), mixed_precision(x_BCHW.device, x.dtype), watching:
        # Bodies are typed for tensors; traced spikes behave like one.
        given, new = body.step(cast(Tensor, received), tuple(state))
    # Edges of the graph instead of its last tensors, so that the tensors can be freed.
    end = get_gradient_edge(spikes_of(given)) if spikes_of(given).requires_grad else None
    cost = None if rates is None else rates.cut()

    def backward(gradients: list[Tensor], needs_input: bool) -> Tensor | None:
        ends, errors = ([], []) if end is None else ([end], [gradients[0]])
        gradients.clear()
        if rates is not None and cost is not None:
            ends, errors = [*ends, cost], [*errors, torch.ones_like(rates.total)]
        parameters = [p for p in _module(body).parameters() if p.requires_grad]
        wanted = [*parameters, x_BCHW] if needs_input else parameters
        found = torch.autograd.grad(ends, wanted, errors, allow_unused=True) if wanted and ends else (None,)
        for parameter, part in zip(parameters, found, strict=False):
            accumulate(parameter, part)
        if needs_input and found[-1] is None and rates is not None:
            return torch.zeros_like(x_BCHW, requires_grad=False)  # layers in front still learn to be quiet
        return found[-1] if needs_input else None

    new = tuple(entry.detach().to(old.dtype) for entry, old in zip(new, state, strict=True))
    values = _as_signal(body, spikes_of(given).detach())
    return Step(Traced(values, Dense(given.trace)) if isinstance(given, TracedSpikes) else values, new, backward)


def _as_signal(body: Body, out_BCHW: Tensor) -> Signal:
    """The output of a body that ran by autograd as a signal; spikes of a body that ends in neurons are packed."""
    if not (steps_as(body, SpikingUnit) or steps_as(body, ResidualBody)):
        return Dense(out_BCHW)
    unit = body if isinstance(body, SpikingUnit) else cast(ResidualBody, body).second
    batch, channels, height, width = out_BCHW.shape
    spikes = Spikes((batch, channels, height, width), out_BCHW.dtype, out_BCHW.device)
    pack_(in_rows(out_BCHW), spikes.bits_BCQ)
    return _scaled(unit, spikes)


def _scaled(unit: SpikingUnit, spikes: Signal) -> Signal:
    return spikes if unit.gain == 1.0 else moved(spikes, functools.partial(Scaled, factor=unit.gain))


def _behind_gain(unit: SpikingUnit, gradient: Tensor) -> Tensor:
    """The gradient of a unit's spikes from that of its output, in place."""
    return gradient if unit.gain == 1.0 else gradient.mul_(unit.gain)


def _module(body: Body) -> nn.Module:
    assert isinstance(body, nn.Module), "bodies are modules"
    return body
