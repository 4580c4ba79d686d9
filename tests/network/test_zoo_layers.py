"""Norm-free blocks, standardised convolutions and dropout, against literal formulas."""

from collections import deque

import pytest
import torch
import torch.nn.functional as F

from stdl_events.errors import ShapeError
from stdl_events.network.layers import NormFreeBody, ScaledWSConv2d, Synapse
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec, NeuronSpec

GAMMA = 2.74
ALPHA = 0.2
NEURON = NeuronSpec(decay=0.5, threshold=0.6)


def build(notation: str, shape=(2, 12, 12), **settings) -> SpikingNetwork:
    """A network in float64 with gains and biases other than their initial values."""
    spec = NetworkSpec.parse(notation, input_shape=shape, neuron=NEURON, **settings)
    network = SpikingNetwork.build(spec, seed=2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


def frames(steps: int, shape=(2, 12, 12), batch: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(6)
    return 2 * torch.rand((steps, batch, *shape), generator=generator, dtype=torch.float64)


def ottts_weight(weight: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """OTTT: (w - μ) / sqrt(var fan_in + 1e-4) gain, channel by channel, var over fan_in - 1."""
    channels = []
    for kernel, factor in zip(weight, gain.flatten(), strict=True):
        values = kernel.flatten().tolist()
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        channels.append((kernel - mean) / (variance * len(values) + 1e-4) ** 0.5 * factor)
    return torch.stack(channels)


def convolve(synapse: Synapse, x: torch.Tensor) -> torch.Tensor:
    conv = synapse.conv
    assert isinstance(conv, ScaledWSConv2d)
    return F.conv2d(x, ottts_weight(conv.weight, conv.gain), conv.bias, conv.stride, conv.padding)


def fire(current: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    m = NEURON.decay * u + current
    s = (m >= NEURON.threshold).to(m.dtype)
    return s, m - NEURON.threshold * s


def test_a_standardised_convolution_is_ottts_and_its_gain_learns():
    network = build("5C3-3FC", norm="ws")
    body = network.layers[0].body
    frame = frames(1)[0]
    expected, u = fire(convolve(body.synapse, frame), torch.zeros(3, 5, 12, 12, dtype=torch.float64))
    out, (state,) = body.step(frame, (torch.zeros_like(u),))
    torch.testing.assert_close(out, GAMMA * expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, u, rtol=1e-12, atol=1e-12)
    out.sum().backward()
    assert body.synapse.conv.gain.shape == (5, 1, 1, 1)
    assert body.synapse.conv.gain.grad.abs().min() > 0


def test_standardised_weights_bring_a_standardised_spike_to_unit_variance():
    """γ: where a standard normal reaches the threshold 1, a spike has variance 1 / γ²."""
    probability = 0.5 * (1 - torch.erf(torch.tensor(1.0) / 2**0.5))
    assert (probability * (1 - probability)).item() ** -0.5 == pytest.approx(GAMMA, abs=0.01)


@pytest.mark.parametrize("norm", ["batch", "ws", "none"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kind", "kernels"), [("NFR", (3, 3)), ("NFB", (1, 3, 1))])
def test_norm_free_blocks_are_sltts_formula(kind, kernels, stride, norm):
    """x + α g f(x / β), with f from neurons and standardised convolutions, for two blocks in a row."""
    width = 8
    network = build(f"{width}S3-{width}{kind}(s{stride})-{width}{kind}-3FC", norm=norm)
    stem, *blocks = network.layers_in_order()[:3]
    state = network.initial_state(3)
    states = [torch.zeros_like(entry) for entry in state]
    for frame in frames(4):
        logits, state = network.step(frame, state)
        x = stem.body.synapse(frame)
        variance, position = 1.0, 0
        for block in blocks:
            assert isinstance(block.body, NormFreeBody)
            reshapes = block.body.shortcut is not None
            assert reshapes == (stride == 2 and block is blocks[0])
            current, shortcut = x / variance**0.5, x
            for index, (unit, kernel) in enumerate(zip(block.body.units, kernels, strict=True)):
                s, states[position] = fire(current, states[position])
                position += 1
                if index == 0 and reshapes:
                    shortcut = convolve(block.body.shortcut, GAMMA * s)
                assert unit.synapse.conv.kernel_size == (kernel, kernel)
                current = convolve(unit.synapse, GAMMA * s)
            x = shortcut + ALPHA * block.body.skip_gain * current
            variance = (1.0 if reshapes else variance) + ALPHA**2
        expected = F.linear(x.mean((2, 3)), network.layers[3].body.linear.weight, network.layers[3].body.linear.bias)
        torch.testing.assert_close(logits, expected, rtol=1e-11, atol=1e-11)
        for ours, theirs in zip(state, states, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
        network.eval()  # the stem's batch norm would update its statistics in training mode, and runs twice here


def test_inner_shapes_of_a_bottleneck():
    network = build("8S3-16NFB(s2)-3FC")
    assert network.state_shapes == ((8, 12, 12), (4, 12, 12), (4, 6, 6))
    convolutions = [unit.synapse.conv for unit in network.layers[1].body.units]
    assert [(conv.in_channels, conv.out_channels, conv.stride) for conv in convolutions] == [
        (8, 4, (1, 1)),
        (4, 4, (2, 2)),
        (4, 16, (1, 1)),
    ]


def test_a_fresh_norm_free_block_is_its_shortcut():
    spec = NetworkSpec.parse("8S3-8NFR-3FC", input_shape=(2, 12, 12))
    network = SpikingNetwork.build(spec, dtype=torch.float64)
    x = frames(1, (8, 12, 12))[0]
    block = network.layers[1]
    out, _ = block.step(x, block.initial_state(3))
    assert torch.equal(out, x)


def betas(network: SpikingNetwork) -> list[float]:
    bodies = [layer.body for layer in network.layers_in_order()]
    return [round(body.beta**2, 6) for body in bodies if isinstance(body, NormFreeBody)]


def test_expected_variance_follows_the_whole_network_into_slices_and_auxiliaries():
    spec = NetworkSpec.parse("8S3-8NFR-8NFR-16NFR(s2)-16NFR-16NFR-8C3-8NFR-3FC", input_shape=(2, 12, 12))
    assert betas(SpikingNetwork.build(spec)) == [1.0, 1.04, 1.08, 1.04, 1.08, 1.0]
    assert betas(SpikingNetwork.build(spec.slice(2, 5))) == [1.04, 1.08, 1.04]
    again = NetworkSpec.from_dict(spec.slice(2, 5).to_dict())
    assert betas(SpikingNetwork.build(again)) == [1.04, 1.08, 1.04]
    assert betas(SpikingNetwork.build(spec.auxiliary("16NFR-3FC", 5))) == [1.08]


DROPPED = "4C3-DP(0.5)-AP2-6R-DP(0.25)-DP(0)-3FC"


def test_one_mask_serves_the_whole_sequence():
    network = build(DROPPED)
    state = network.initial_state(3, torch.Generator().manual_seed(1))
    assert [entry.dtype for entry in state] == [torch.float64, torch.bool] + 2 * [torch.float64] + [torch.bool]
    masks = state[1], state[4]
    assert [tuple(mask.shape) for mask in masks] == [(3, 4, 12, 12), (3, 6, 6, 6)]
    first = network.layers[0]
    fired = torch.zeros_like(masks[0])
    for frame in frames(5):
        spikes, _ = first.body.step(frame, state[:1])
        out, _ = first.step(frame, state[:2])
        expected = F.avg_pool2d(torch.where(masks[0], 2 * spikes, 0), 2)
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=0)
        fired |= (spikes > 0) & ~masks[0]
        _, state = network.step(frame, state)
        assert state[1] is masks[0]
        assert state[4] is masks[1]
    assert fired.any(), "a mask that drops nothing would not be noticed"


def test_masks_come_from_the_generator_alone_and_drop_their_share():
    network = build(DROPPED)
    first, again, other = (network.initial_state(64, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    assert not torch.equal(first[1][0], first[1][1]), "each sequence has its own"
    assert first[1].double().mean().item() == pytest.approx(0.5, abs=0.02)
    assert first[4].double().mean().item() == pytest.approx(0.75, abs=0.02)
    torch.manual_seed(3)
    drawn = network.initial_state(4)[1]
    torch.manual_seed(3)
    assert torch.equal(network.initial_state(4)[1], drawn), "without a generator, torch's global one"


def test_evaluation_has_no_masks_and_training_refuses_to_go_without():
    network = build(DROPPED)
    frame = frames(1)[0]
    training = network.initial_state(3)
    network.eval()
    state = network.initial_state(3)
    assert tuple(tuple(entry.shape[1:]) for entry in state) == network.state_shapes
    plain = build("4C3-AP2-6R-3FC")
    plain.load_state_dict(network.state_dict())
    plain.eval()
    torch.testing.assert_close(network.step(frame, state)[0], plain.step(frame, plain.initial_state(3))[0])
    with pytest.raises(ShapeError, match="network state: got 5 tensors"):
        network.step(frame, training)
    network.train()
    with pytest.raises(ShapeError, match="network state: got 3 tensors"):
        network.step(frame, state)


def test_a_deque_gives_up_masks_with_the_rest_of_a_layers_state():
    network = build(DROPPED)
    state = deque([*network.initial_state(3), torch.ones(1)])
    _, new = network.step(frames(1)[0], state)
    assert len(state) == 1
    assert len(new) == 5


def test_gradients_pass_only_where_the_mask_does():
    network = build("4C3-DP(0.5)-3FC", norm="none")
    frame = frames(1)[0].requires_grad_()
    state = list(network.initial_state(3))
    state[1] = torch.zeros_like(state[1])
    network.step(frame, tuple(state))[0].sum().backward()
    assert frame.grad.abs().max() == 0
    state[1][0] = True
    network.step(frame, tuple(state))[0].sum().backward()
    assert frame.grad[0].abs().max() > 0
    assert frame.grad[1:].abs().max() == 0
