"""One training step of a single layer, run alone under the memory meter.

B batch, C channels, H height, W width, K classes.
"""

import dataclasses
import functools
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from stdl_events.learning.grid import Trace
from stdl_events.learning.lean import alike_parts_skipped, check_layer
from stdl_events.learning.lean.chain import LeanChain
from stdl_events.learning.lean.pooling import Pooled, Window
from stdl_events.learning.lean.signals import Counts, Dense, Scaled, Shape, Spikes, Traced, moved
from stdl_events.learning.lean.signals import Signal as LeanSignal
from stdl_events.learning.precision import mixed_precision
from stdl_events.learning.targets import example_targets
from stdl_events.learning.traced_spikes import Signal, TracedSpikes, spikes_of
from stdl_events.learning.traces import make_factory, state_holds
from stdl_events.memory.layer_setting import Entering, LayerSetting, SpikesInput, TensorInput, loss_bytes
from stdl_events.memory.meter import LiveBytes, metering, tensor_bytes
from stdl_events.network.layers import Layer
from stdl_events.network.notation import parse_layers
from stdl_events.network.spec import LayerSpec
from stdl_events.network.synapse import convolve_in
from stdl_events.plan.cost import LayerCost, Preceding


def run_layer(setting: LayerSetting, spec: LayerSpec, needs_input_gradient: bool, entering: Entering) -> LayerCost:
    """The metered cost of a layer, `entering` its input."""
    with metering() as live, alike_parts_skipped():
        layer = _layer(setting, spec)
        fixed, update = _fixed(layer, setting, live)
        cost = _stepped(setting, layer, needs_input_gradient, entering, live)
    return dataclasses.replace(cost, fixed=fixed, update=update)


def _layer(setting: LayerSetting, spec: LayerSpec) -> Layer:
    made = Layer(spec, make_factory(setting.spec, setting.trace, setting.dtype))
    convolve_in(setting.convolving, [made])
    return made


def _stepped(
    setting: LayerSetting, layer: Layer, needs_input_gradient: bool, entering: Entering, live: LiveBytes
) -> LayerCost:
    shape = (setting.batch_size, *layer.spec.input_shape)
    if setting.lean:
        check_layer(f"layer {layer.spec}", layer)
        x = _lean_input(setting, shape, entering)
        return _lean_step(layer, x, setting, live, needs_input=needs_input_gradient)
    x_BCHW = torch.empty(shape, dtype=setting.flowing)
    x_BCHW.requires_grad_(needs_input_gradient)
    return _step(layer, x_BCHW, setting, live)


def _lean_input(setting: LayerSetting, shape: Shape, entering: Entering) -> LeanSignal:
    device = torch.device("cpu")
    if entering == "frames":
        return Dense(torch.empty(shape, dtype=setting.flowing))
    if isinstance(entering, TensorInput):
        return _tensor_input(setting.batch_size, entering)
    if isinstance(entering, tuple):
        return _run_preceding(setting, entering)
    values: LeanSignal
    if entering.counted:
        counts_BCHW = _empty(shape, torch.uint8, channels_last=entering.channels_last)
        values = Counts(counts_BCHW, setting.flowing, divisor=4)
    else:
        values = Spikes(shape, setting.flowing, device, channels_last=entering.channels_last)
    if setting.trace is not None:
        # The trace is kept by the layer in front, in its state or beside it.
        values = Traced(values, Dense(torch.empty(shape, dtype=setting.flowing)))
    gain = make_factory(setting.spec, setting.trace, setting.dtype).gain()
    return values if gain == 1.0 else moved(values, functools.partial(Scaled, factor=gain))


def _tensor_input(batch_size: int, entering: TensorInput) -> LeanSignal:
    shape, dtype, divisor = (batch_size, *entering.shape), entering.dtype, entering.divisor
    held: LeanSignal
    if divisor is None:
        held = Dense(_empty(shape, dtype, channels_last=entering.channels_last))
    else:
        held = Counts(_empty(shape, torch.uint8, channels_last=entering.channels_last), dtype, divisor)
    return held if entering.pool is None else Pooled(held, nn.AvgPool2d(*entering.pool))


def _empty(shape: Shape, dtype: torch.dtype, *, channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, memory_format=layout)


def tensor_output(setting: LayerSetting, preceding: Preceding) -> TensorInput | None:
    """The output of these layers, the first of which has spikes as input; None if it is no `TensorInput`."""
    with metering(), alike_parts_skipped():
        out = _run_preceding(setting, preceding)
        source, pool = (out.source, (*Window.of(out.pool),)) if isinstance(out, Pooled) else (out, None)
        if not isinstance(source, Dense | Counts):
            return None
        values_BCHW, divisor = (
            (source.values_BCHW, None) if isinstance(source, Dense) else (source.counts_BCHW, source.divisor)
        )
        is_alone = values_BCHW.untyped_storage().nbytes() == tensor_bytes([values_BCHW])
        return TensorInput(source.dtype, source.shape[1:], divisor, pool, source.channels_last) if is_alone else None


def spikes_lie_last(setting: LayerSetting) -> bool:
    """True if spikes lie channels last behind a convolution whose channels are all convolved together."""
    (layer,) = parse_layers("2C3", (2, 4, 4), 1.0)
    with metering(), alike_parts_skipped():
        return _run_preceding(setting, (layer,)).channels_last


@torch.no_grad()
def _run_preceding(setting: LayerSetting, preceding: Preceding) -> LeanSignal:
    layers = [_layer(setting, spec) for spec in preceding]
    received = _lean_input(setting, (setting.batch_size, *preceding[0].input_shape), SpikesInput())
    states = (layer.initial_state(setting.batch_size, dtype=setting.flowing) for layer in layers)
    out, _ = LeanChain().forward(layers, received, deque(itertools.chain.from_iterable(states)))
    out.dense()  # unpacked spikes beside the packed ones are freed after their first use
    return out


def _fixed(layer: Layer, setting: LayerSetting, live: LiveBytes) -> tuple[int, int]:
    """Resident bytes: weights, gradients, optimiser states, buffers, membrane potentials, a block's loss.

    Also returns the peak of the weights' update beyond them.
    """
    weights = list(layer.parameters())
    for weight in weights:
        weight.grad = torch.zeros_like(weight, requires_grad=False)
    optimizer = setting.optimizer.build(weights)
    optimizer.step()
    before = live.now
    live.reset_peak()
    optimizer.step()
    update = live.peak - before
    states = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    kept = [*weights, *weights, *states, *layer.buffers()]
    moving = layer.initial_state(setting.batch_size, dtype=setting.flowing)
    loss = loss_bytes(setting.dtype) if layer.spec.classifier else 0
    return tensor_bytes([*kept, *moving]) + loss, update


def _step(layer: Layer, leaf_BCHW: Tensor, setting: LayerSetting, live: LiveBytes) -> LayerCost:
    # A separate storage for the input shows whether the graph saves it; that of a block's first layer is resident.
    x_BCHW = leaf_BCHW + 0 if leaf_BCHW.requires_grad else leaf_BCHW
    # Kept by the layer in front, in its state or beside it.
    trace = None if setting.trace is None else torch.empty_like(leaf_BCHW, requires_grad=False)
    x: Signal = x_BCHW if trace is None else TracedSpikes(x_BCHW, trace)
    state = layer.initial_state(len(leaf_BCHW), dtype=leaf_BCHW.dtype)
    targets_B = example_targets(setting.loss, len(leaf_BCHW), layer.spec.body.channels)
    before = live.now
    live.reset_peak()
    with mixed_precision(leaf_BCHW.device, setting.flowing):
        out, new = layer.step(cast(Tensor, x), state)
    # The loop detaches the state, so only the graph of the output stays alive.
    new = tuple(entry.detach() for entry in new)
    del state
    if layer.spec.classifier:
        logits = [spikes_of(out).to(setting.dtype)]
        end = setting.loss.chunk(logits, targets_B, 1)
    else:
        logits = []
        end = _Rest.apply(spikes_of(out))
    saved, forward = live.now - before, live.peak - before
    copied = 0 if x_BCHW is leaf_BCHW else tensor_bytes([x_BCHW])
    received = live.hold(_storages(x))  # by the own layers of the block, whose auxiliary network begins here
    del x, x_BCHW
    released = before + saved - live.now
    output = 0 if logits else _own_bytes(out, new)
    passed_on = live.hold(_storages(out) if output else ())  # a next block's input, alive in this block's backward
    if not logits:  # which the learner keeps in both number formats
        del out
    live.reset_peak()
    end.backward(torch.ones_like(end, requires_grad=False))
    backward = live.peak - before - saved
    shared = output - (passed_on.peak - live.peak)
    reused = received.peak - released - live.peak
    leaf_BCHW.grad = None
    # Autograd holds the gradient of the loss until the backward of all layers is over.
    left = live.now - before + copied + tensor_bytes([end]) if logits else 0
    return LayerCost(
        tensor_bytes([leaf_BCHW]), forward, saved, backward, 0, released, left, output, shared, reused=reused
    )


def _own_bytes(signal: Any, state: Iterable[Any]) -> int:
    """Bytes of a signal between layers, without storages that belong to a state."""
    known = {storage._cdata for entry in state for storage in _storages(entry)}
    own = {storage._cdata: storage.nbytes() for storage in _storages(signal) if storage._cdata not in known}
    return sum(own.values())


def _storages(value: Any) -> Iterator[torch.UntypedStorage]:
    if isinstance(value, Tensor):
        yield value.untyped_storage()
    else:
        for part in getattr(value, "__dict__", {}).values():
            yield from _storages(part)


class _Rest(torch.autograd.Function):
    """Replaces the rest of the chain: its gradient is allocated in backward and freed after its use."""

    @staticmethod
    def forward(ctx: Any, out: Tensor) -> Tensor:
        ctx.like = out.shape, out.dtype
        return out.new_empty((0,))  # no bytes of its own

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del gradients
        shape, dtype = ctx.like
        return torch.empty(shape, dtype=dtype)


@torch.no_grad()
def _lean_step(layer: Layer, x: LeanSignal, setting: LayerSetting, live: LiveBytes, *, needs_input: bool) -> LayerCost:
    chain = LeanChain((0,) if setting.kept else (), needs_input=needs_input)
    state = deque(layer.initial_state(x.shape[0], dtype=x.dtype))
    targets_B = example_targets(setting.loss, x.shape[0], layer.spec.body.channels)
    before = live.now
    live.reset_peak()
    out, new = chain.forward([layer], x, state)
    assert new or not layer.state_shapes, "a layer with neurons returns their state"
    left = output = shared = 0
    if layer.spec.classifier:
        logits_BK = out.dense().detach().requires_grad_()
        with torch.enable_grad():
            loss = setting.loss.chunk([logits_BK], targets_B, 1)
        saved, forward = live.now - before, live.peak - before
        live.reset_peak()
        chain.backward(list(torch.autograd.grad(loss, [logits_BK])))
        left = live.now - before
    else:
        forward = live.peak - before
        gradients = [torch.empty_like(out.dense())]  # which also releases what the next layer would release
        saved = live.now - before - tensor_bytes(gradients)
        # The traces of a sum refer to those of the summands, which are counted for the layer in front.
        states = [*new, x.trace] if isinstance(x, Traced) and state_holds(cast(Trace, setting.trace)) else new
        output = _own_bytes(out, states)
        # The next layer's input, freed when this layer's backward starts, unless a next block uses it.
        passed_on = live.hold(_storages(out))
        del out
        live.reset_peak()
        chain.backward(gradients)
        shared = output - (passed_on.peak - live.peak)
    values = x.spikes if isinstance(x, Traced) else x
    values = values.source if isinstance(values, Scaled) else values
    received = values.bits_BCQ if isinstance(values, Spikes) else values.dense()
    return LayerCost(
        tensor_bytes([received]), forward, saved, live.peak - before - saved, 0, left=left, output=output, shared=shared
    )
