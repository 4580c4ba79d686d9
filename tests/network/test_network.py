"""SpikingNetwork: a pure step, explicit state, slices that share weights, and weights that depend on spec and seed."""

import dataclasses
import weakref
from collections import deque

import norse.torch as snn
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from stdl_events.errors import ShapeError
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.registries import NEURONS, NORMS
from stdl_events.network.spec import NetworkSpec, NeuronSpec

SHAPE = (2, 8, 8)
BATCH = 3
NOTATION = "AP(k3s1p1)-3C3-AP2-3R-4R(s2)-4SEWR-5SEWR(s2)-6FC-4FC"
NORMS = NORMS


def make_spec(notation: str = NOTATION, norm: str = "batch", kind: str = "lif") -> NetworkSpec:
    return NetworkSpec.parse(notation, input_shape=SHAPE, neuron=NeuronSpec(kind=kind, threshold=0.1), norm=norm)


def make_network(notation: str = NOTATION, norm: str = "batch", kind: str = "lif", seed: int = 0) -> SpikingNetwork:
    return SpikingNetwork.build(make_spec(notation, norm, kind), seed=seed, dtype=torch.float64)


def random_frames(steps: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(steps, BATCH, *SHAPE, generator=generator, dtype=torch.float64) * 3


def equal(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", NEURONS)
@pytest.mark.parametrize("norm", NORMS)
def test_shapes_of_outputs_and_states_are_those_announced(norm, kind):
    network = make_network(norm=norm, kind=kind)
    state = network.initial_state(BATCH)
    entries = len(NEURONS[kind].state._fields)
    # One neuron layer in C and in FC, two in R and SEWR, three in a SEWR whose shortcut spikes; FC at the end has none.
    assert len(state) == entries * (1 + 2 + 2 + 2 + 3 + 1)
    assert all(not entry.any() and not entry.requires_grad and entry.dtype == torch.float64 for entry in state)
    logits, new = network.step(random_frames(1)[0], state)
    assert logits.shape == (BATCH, 4)
    assert [tuple(entry.shape) for entry in new] == [(BATCH, *shape) for shape in network.state_shapes]
    assert [tuple(entry.shape) for entry in state] == [tuple(entry.shape) for entry in new]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", NORMS)
def test_step_is_a_pure_function(norm, training):
    network = make_network(norm=norm).train(training)
    frames = random_frames(3)
    _, state = network.step(frames[0], network.initial_state(BATCH))
    frame_before, state_before = frames[1].clone(), tuple(entry.clone() for entry in state)
    weights_before = [parameter.clone() for parameter in network.parameters()]
    first = network.step(frames[1], state)
    network.step(frames[2], first[1])
    assert torch.equal(frames[1], frame_before)
    assert equal(state, state_before)
    again = network.step(frames[1], state)
    assert torch.equal(first[0], again[0])
    assert equal(first[1], again[1])
    assert equal(tuple(network.parameters()), tuple(weights_before))


def test_evaluation_changes_no_buffer_and_drops_nothing():
    network = make_network("3C3-DP(0.9)-4FC").eval()
    buffers = [buffer.clone() for buffer in network.buffers()]
    frame = random_frames(1)[0]
    first = network.step(frame, network.initial_state(BATCH))
    assert torch.equal(first[0], network.step(frame, network.initial_state(BATCH))[0])
    assert equal(tuple(network.buffers()), tuple(buffers))
    plain = make_network("3C3-4FC").eval()
    assert torch.equal(first[0], plain.step(frame, plain.initial_state(BATCH))[0])


@pytest.mark.parametrize("momentum", [0.1, 0.02])
def test_running_statistics_move_once_per_step(momentum):
    spec = dataclasses.replace(make_spec("3C3-4FC"), norm_momentum=momentum)
    network = SpikingNetwork.build(spec, dtype=torch.float64).train()
    conv, norm = network.layers[0].body.synapse.children()
    mean, variance = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    state = network.initial_state(BATCH)
    for t, frame in enumerate(random_frames(4), start=1):
        _, state = network.step(frame, state)
        x = nn.functional.conv2d(frame, conv.weight, padding=1)
        mean = (1 - momentum) * mean + momentum * x.mean((0, 2, 3))
        variance = (1 - momentum) * variance + momentum * x.var((0, 2, 3), unbiased=True)
        assert norm.num_batches_tracked.item() == t
        torch.testing.assert_close(norm.running_mean, mean, rtol=0, atol=1e-14)
        torch.testing.assert_close(norm.running_var, variance, rtol=0, atol=1e-14)


def test_a_deque_gives_up_its_own_entries_and_keeps_the_rest():
    network = make_network("3C3-4C3-4FC").eval()
    frame = random_frames(1)[0]
    expected = network.step(frame, network.initial_state(BATCH))
    stranger = torch.ones(1)
    state = deque([*network.initial_state(BATCH), stranger])
    out, new = network.step(frame, state)
    assert list(state) == [stranger]
    assert torch.equal(out, expected[0])
    assert equal(new, expected[1])


def test_a_deque_releases_each_old_state_when_its_layer_has_moved_on():
    network = make_network("3C3-4C3-4FC")
    state = deque(network.initial_state(BATCH))
    first_layer_state = weakref.ref(state[0])
    alive_in_second_layer = []
    network.layers[1].body.synapse.register_forward_pre_hook(
        lambda module, inputs: alive_in_second_layer.append(first_layer_state() is not None)
    )
    network.step(random_frames(1)[0], state)
    assert alive_in_second_layer == [False]


@pytest.mark.parametrize("norm", NORMS)
def test_slices_share_weights_and_compose_to_the_whole(norm):
    network = make_network(norm=norm).eval()
    layers = len(network.layers)
    frames = random_frames(3)
    expected, state = [], network.initial_state(BATCH)
    for frame in frames:
        logits, state = network.step(frame, state)
        expected.append(logits)
    for cut in range(1, layers):
        front, back = network.slice(0, cut), network.slice(cut, layers)
        assert front.spec.notation + "-" + back.spec.notation == network.spec.notation
        parts = [*front.parameters(), *back.parameters()]
        assert [id(part) for part in parts] == [id(parameter) for parameter in network.parameters()]
        front_state, back_state = front.initial_state(BATCH), back.initial_state(BATCH)
        for frame, logits in zip(frames, expected, strict=True):
            hidden, front_state = front.step(frame, front_state)
            out, back_state = back.step(hidden, back_state)
            assert torch.equal(out, logits)
        assert equal(front_state + back_state, state)
    assert len({tuple(logits.flatten().tolist()) for logits in expected}) == len(frames)


def test_a_network_is_what_norses_sequential_state_makes_of_the_same_layers():
    network = make_network("3C3-AP2-4C3-4FC").eval()
    first, second, last = (layer.body for layer in network.layers)
    model = snn.SequentialState(
        *first.synapse.children(), first.cell, nn.AvgPool2d(2), *second.synapse.children(), second.cell,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), last.linear,
    )  # fmt: skip
    state, norse_state = network.initial_state(BATCH), None
    for frame in random_frames(4):
        logits, state = network.step(frame, state)
        norse_logits, norse_state = model(frame, norse_state)
        torch.testing.assert_close(logits, norse_logits, rtol=0, atol=1e-14)
        torch.testing.assert_close(state, (norse_state[2].u, norse_state[6].u), rtol=0, atol=1e-14)


@pytest.mark.parametrize("frame_shape", [(BATCH, 2, 8, 7), (BATCH, 1, 8, 8), (2, 8, 8)])
def test_a_frame_of_another_size_is_told(frame_shape):
    network = make_network("3C3-4FC")
    with pytest.raises(ShapeError) as caught:
        network.step(torch.zeros(frame_shape, dtype=torch.float64), network.initial_state(BATCH))
    assert str(caught.value) == (
        f"network input: got shape {frame_shape}; expected (batch, 2, 8, 8); "
        "frame the events at the size that the network was built for"
    )


def test_a_state_of_another_network_or_batch_is_told():
    network = make_network("3C3-4C3-4FC")
    frame = random_frames(1)[0]
    state = network.initial_state(BATCH)
    wrong = [(), state[:1], (*state, state[0]), network.initial_state(BATCH + 1), (state[1], state[0])]
    for given in wrong:
        with pytest.raises(ShapeError) as caught:
            network.step(frame, given)
        assert str(caught.value) == (
            f"network state: got {len(given)} tensors of shapes {[tuple(entry.shape) for entry in given]}; "
            f"expected {[(BATCH, 3, 8, 8), (BATCH, 4, 8, 8)]}; "
            "pass initial_state(batch_size) or the state that the last step returned"
        )
    with pytest.raises(ShapeError, match="network state: got 1 tensors"):
        network.step(frame, deque(state[:1]))


@pytest.mark.parametrize("norm", NORMS)
def test_weights_depend_on_spec_and_seed_alone(norm):
    torch.manual_seed(1)
    one = make_network(norm=norm, seed=5).state_dict()
    torch.manual_seed(2)
    two = make_network(norm=norm, seed=5).state_dict()
    other = make_network(norm=norm, seed=6).state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name, weight in other.items():
        if name.endswith("weight") and weight.ndim > 1:
            assert not torch.equal(one[name], weight), name


@pytest.mark.parametrize("kind", NEURONS)
@pytest.mark.parametrize("norm", NORMS)
def test_builds_and_steps_with_fake_tensors(norm, kind):
    real = make_network(norm=norm, kind=kind)
    with FakeTensorMode():
        network = make_network(norm=norm, kind=kind)
        assert all(isinstance(parameter, FakeTensor) for parameter in network.parameters())
        logits, state = network.step(torch.empty(BATCH, *SHAPE, dtype=torch.float64), network.initial_state(BATCH))
        logits.sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
    assert [tuple(p.shape) for p in network.parameters()] == [tuple(p.shape) for p in real.parameters()]
    assert [tuple(entry.shape) for entry in state] == [(BATCH, *shape) for shape in real.state_shapes]
    assert logits.shape == (BATCH, 4)


@pytest.mark.parametrize("kind", NEURONS)
def test_every_weight_gets_a_gradient(kind):
    network = make_network(kind=kind)
    state, total = network.initial_state(BATCH), torch.zeros((), dtype=torch.float64)
    for t, frame in enumerate(random_frames(4)):
        logits, state = network.step(frame, state)
        total = total + logits[:, t].sum()
    total.backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
