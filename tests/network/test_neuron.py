"""Neurons against Norse's functional step, a scalar loop, and each other; as cells of Norse's SequentialState."""

import dataclasses
import math

import norse.torch as snn
import pytest
import torch
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
from norse.torch.functional.reset import reset_subtract, reset_value
from torch import Tensor, nn

from stdl_events.network.neurons.alif import ALIFState
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.neurons.lif import LIFState
from stdl_events.network.registries import NEURONS as KINDS
from stdl_events.network.spec import NeuronSpec

STEPS, NEURONS = 6, 200
THRESHOLD = 0.8


def random_inputs(seed: int = 0, steps: int = STEPS) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, NEURONS, generator=generator, dtype=torch.float64)


def norse_parameters(decay: float, reset: str) -> LIFBoxParameters:
    """Norse's parameters of the same neuron: dt tau_mem_inv = 1 - λ."""
    return LIFBoxParameters(
        tau_mem_inv=1 - decay,
        v_leak=0.0,
        v_th=THRESHOLD,
        v_reset=0.0,
        method="triangle",
        alpha=1.0,
        reset_method=reset_subtract if reset == "soft" else reset_value,
    )


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("decay", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["lif", "plif"])
def test_steps_and_gradients_are_norses(kind, decay, reset):
    cell = NeuronCell(NeuronSpec(kind=kind, decay=decay, threshold=THRESHOLD, reset=reset), dtype=torch.float64)
    p = norse_parameters(decay, reset)
    ours = random_inputs().requires_grad_()
    theirs = random_inputs().requires_grad_()
    state = None
    norse_state = LIFBoxFeedForwardState(v=torch.zeros(NEURONS, dtype=torch.float64))
    readout = random_inputs(1)
    spikes, norse_spikes = [], []
    for t in range(STEPS):
        s, state = cell(ours[t], state)
        z, norse_state = lif_box_feed_forward_step(theirs[t] / (1 - decay), norse_state, p, dt=1.0)
        torch.testing.assert_close(state.u, norse_state.v, rtol=0, atol=4e-15)
        spikes.append(s)
        norse_spikes.append(z)
    assert torch.equal(torch.stack(spikes), torch.stack(norse_spikes))
    assert 0.05 < torch.stack(spikes).mean().item() < 0.6
    (torch.stack(spikes) * readout).sum().backward()
    (torch.stack(norse_spikes) * readout).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-13)


def scalar_neuron(inputs: list[float], spec: NeuronSpec) -> tuple[list[int], list[float]]:
    """STDL eq. (1) to (4) for one neuron, with ALIF's threshold."""
    u = a = 0.0
    spikes, potentials = [], []
    for x in inputs:
        m = spec.decay * u + x
        threshold = spec.threshold + (spec.adaptation * a if spec.kind == "alif" else 0.0)
        s = 1 if m >= threshold else 0
        u = m - spec.threshold * s if spec.reset == "soft" else m * (1 - s)
        a = spec.adaptation_decay * a + s
        spikes.append(s)
        potentials.append(u)
    return spikes, potentials


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kind", ["lif", "plif", "alif"])
def test_steps_are_those_of_a_scalar_loop(kind, reset):
    spec = NeuronSpec(kind=kind, decay=0.6, threshold=0.7, reset=reset, adaptation=0.3, adaptation_decay=0.8)
    cell = NeuronCell(spec, dtype=torch.float64)
    inputs = random_inputs(2, steps=20)[:, :30]
    state, spikes, potentials = None, [], []
    for x in inputs:
        s, state = cell(x, state)
        spikes.append(s)
        potentials.append(state.u)
    for neuron in range(inputs.shape[1]):
        expected_spikes, expected_potentials = scalar_neuron(inputs[:, neuron].tolist(), spec)
        assert [int(s[neuron]) for s in spikes] == expected_spikes
        got = torch.stack([u[neuron] for u in potentials])
        torch.testing.assert_close(got, torch.tensor(expected_potentials, dtype=torch.float64), rtol=0, atol=1e-14)
    assert 0.05 < torch.stack(spikes).mean().item() < 0.6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("reset", ["soft", "hard", "amount"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_without_gradients_has_the_bits_of_one_with(kind, reset, dtype):
    """The first takes fewer passes over memory."""
    spec = NeuronSpec(kind=kind, decay=0.6, threshold=0.7, reset="hard" if reset == "hard" else "soft")
    if reset == "amount":
        spec = dataclasses.replace(spec, reset_amount=0.37)
    cell = NeuronCell(spec, dtype=dtype)
    with_gradients = without = None
    for x in random_inputs(3, steps=20).to(dtype):
        s, with_gradients = cell(x, with_gradients)
        with torch.no_grad():
            same, without = cell(x, without)
        assert same.dtype == s.dtype
        assert torch.equal(same, s)
        assert all(map(torch.equal, without, with_gradients))


def test_adaptation_makes_a_neuron_fire_less():
    x = torch.full((1,), 0.9, dtype=torch.float64)
    counts = {}
    for kind in ("lif", "alif"):
        cell = NeuronCell(NeuronSpec(kind=kind, decay=0.5, adaptation=0.5), dtype=torch.float64)
        state, counts[kind] = None, 0.0
        for _ in range(40):
            s, state = cell(x, state)
            counts[kind] += s.item()
    assert 0 < counts["alif"] < counts["lif"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_neuron_fires_at_exactly_its_threshold(kind):
    """Norse, with a strict threshold, does not fire there."""
    cell = NeuronCell(NeuronSpec(kind=kind, threshold=0.5), dtype=torch.float64)
    x = torch.tensor([math.nextafter(0.5, 0), 0.5], dtype=torch.float64)
    spikes, state = cell(x)
    assert spikes.tolist() == [0, 1]
    assert state.u.tolist() == [math.nextafter(0.5, 0), 0]


def test_hard_reset_forgets_what_soft_reset_keeps():
    x = torch.tensor([2.75], dtype=torch.float64)
    for reset, left in (("soft", 1.75), ("hard", 0.0)):
        _, state = NeuronCell(NeuronSpec(reset=reset), dtype=torch.float64)(x)
        assert state.u.item() == left


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_the_decay_of_plif_learns_by_its_true_gradient_where_nothing_fires(reset):
    """Away from the threshold the surrogate is zero, so that autograd and finite differences must agree."""
    spec = NeuronSpec(kind="plif", decay=0.4, threshold=10.0, surrogate_width=0.1, reset=reset)
    inputs = random_inputs(3, steps=4).clamp(-2, 2)

    def energy(cell: NeuronCell) -> Tensor:
        state = None
        for x in inputs:
            s, state = cell(x, state)
            assert not s.any()
        return (state.u**2).sum()

    cell = NeuronCell(spec, dtype=torch.float64)
    (logit,) = cell.parameters()
    assert torch.sigmoid(logit).item() == pytest.approx(0.4, abs=1e-15)
    energy(cell).backward()
    h = 1e-6
    with torch.no_grad():
        logit += h
        above = energy(cell)
        logit -= 2 * h
        below = energy(cell)
    assert logit.grad.item() == pytest.approx(((above - below) / (2 * h)).item(), rel=1e-7)


@pytest.mark.parametrize("kind", ["lif", "alif"])
def test_other_neurons_have_no_parameters(kind):
    assert list(NeuronCell(NeuronSpec(kind=kind)).parameters()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_changes_neither_its_input_nor_its_state(kind):
    cell = NeuronCell(NeuronSpec(kind=kind), dtype=torch.float64)
    x = random_inputs(4)[0]
    state = cell.state_type(*(random_inputs(5 + i)[0].abs() for i in range(cell.state_count)))
    x_before, state_before = x.clone(), [entry.clone() for entry in state]
    first = cell(x, state)
    assert torch.equal(x, x_before)
    assert all(torch.equal(a, b) for a, b in zip(state, state_before, strict=True))
    second = cell(x, state)
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))


@pytest.mark.parametrize(("kind", "state_type"), [("lif", LIFState), ("plif", LIFState), ("alif", ALIFState)])
def test_the_silent_past_is_full_sized_zeros_without_gradient(kind, state_type):
    cell = NeuronCell(NeuronSpec(kind=kind), dtype=torch.float64)
    state = cell.initial_state(torch.ones(2, 3, requires_grad=True))
    assert type(state) is state_type
    assert cell.state_count == len(state)
    assert all(entry.shape == (2, 3) and not entry.requires_grad and not entry.any() for entry in state)


@pytest.mark.parametrize("kind", ["lif", "plif", "alif"])
def test_cells_compose_in_norses_sequential_state(kind):
    generator = torch.Generator().manual_seed(6)
    spec = NeuronSpec(kind=kind, decay=0.5, threshold=0.3)
    conv = nn.Conv2d(2, 3, 3, padding=1, dtype=torch.float64)
    linear = nn.Linear(3 * 4, 5, dtype=torch.float64)
    for weight in (conv.weight, linear.weight):
        nn.init.uniform_(weight, -0.5, 0.5, generator=generator)
    cells = NeuronCell(spec, dtype=torch.float64), NeuronCell(spec, dtype=torch.float64)
    model = snn.SequentialState(conv, cells[0], nn.AvgPool2d(2), nn.Flatten(), linear, cells[1])
    frames = torch.rand(STEPS, 2, 2, 4, 4, generator=generator, dtype=torch.float64)

    by_hand, first, second = [], None, None
    for x in frames:
        s, first = cells[0](conv(x), first)
        s, second = cells[1](linear(nn.functional.avg_pool2d(s, 2).flatten(1)), second)
        by_hand.append(s)
    state, outputs, kept = None, [], None
    for t, x in enumerate(frames):
        out, state = model(x, state)
        outputs.append(out)
        if t == 2:
            kept = list(state)
    assert torch.equal(torch.stack(outputs), torch.stack(by_hand))
    assert 0 < torch.stack(outputs).mean().item() < 1

    assert type(kept[1]) is cells[0].state_type
    copied = [None if entry is None else type(entry)(*(part.clone() for part in entry)) for entry in kept]
    again = []
    for x in frames[3:]:
        out, copied = model(x, copied)
        again.append(out)
    assert torch.equal(torch.stack(again), torch.stack(outputs[3:]))
