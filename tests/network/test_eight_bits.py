"""Membrane potentials in eight bits against a literal transcription in float64, and the gradients of their rounding."""

import math

import numpy as np
import pytest
import torch

from stdl_events.errors import NotationError
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.neurons.eight_bits import EightBits
from stdl_events.network.spec import NetworkSpec, NeuronSpec

SETTINGS = [
    NeuronSpec(decay=0.1, state="int8"),
    NeuronSpec(decay=0.5, threshold=0.3, state="int8", surrogate="sigmoid", surrogate_width=4.0),
    NeuronSpec(decay=0.5, threshold=1.0, reset_amount=0.75, state="int8", surrogate="rectangle"),
]
# The smallest power of two q with 128 q >= threshold + what a spike subtracts: 2, 0.6 and 1 + 0.75 / 0.5.
STEPS = [1 / 64, 1 / 128, 1 / 32]
PAIRS = list(zip(SETTINGS, STEPS, strict=True))


def literal_step(x: np.ndarray, kept: np.ndarray, spec: NeuronSpec, q: float) -> tuple[np.ndarray, np.ndarray]:
    """One neuron after the other, in Python's float64."""
    spikes, new = np.zeros_like(x), np.zeros_like(kept)
    amount = spec.threshold if spec.reset_amount is None else spec.reset_amount / spec.decay
    for place, current in np.ndenumerate(x):
        m = current + spec.decay * (int(kept[place]) * q)
        fires = m >= spec.threshold
        u = m - amount if fires else m
        whole = round(u / q)  # half to even
        spikes[place], new[place] = float(fires), max(-128, min(127, whole))
    return spikes, new


def currents(*shape: int) -> np.ndarray:
    """Many far outside the range; a quarter exactly between two integers, where ties are broken."""
    generator = np.random.default_rng(0)
    x = 4 * generator.standard_normal(shape)
    ties = (generator.integers(-300, 300, shape) + 0.5) / 256
    return np.where(generator.random(shape) < 0.25, ties, x)


@pytest.mark.parametrize(("spec", "q"), PAIRS)
def test_steps_are_the_equations(spec, q):
    cell = NeuronCell(spec, dtype=torch.float64)
    assert cell.eight_bits.scale == q
    x_TBP = currents(6, 3, 50)
    state, kept = cell.initial_state(torch.zeros(3, 50)), np.zeros((3, 50), np.int8)
    ends = set()
    for x_BP in x_TBP:
        spikes, kept = literal_step(x_BP, kept, spec, q)
        found, state = cell(torch.from_numpy(x_BP), state)
        assert state.u.dtype == torch.int8
        assert np.array_equal(found.numpy(), spikes)
        assert np.array_equal(state.u.numpy(), kept)
        ends |= set(kept[(kept == -128) | (kept == 127)].tolist())
    assert ends == {-128, 127}, "some were clamped"


@pytest.mark.parametrize("spec", SETTINGS)
def test_potentials_on_the_grid_are_exact_in_bfloat16(spec):
    kept = torch.arange(-128, 128)
    potentials = kept.double() * EightBits.of(spec).scale
    assert torch.equal(potentials.bfloat16().double(), potentials)


@pytest.mark.parametrize(("spec", "q"), PAIRS)
def test_gradients_flow_through_the_rounding_and_not_through_the_clamp(spec, q):
    """Backward through two steps, by hand: potentials kept as floating point numbers, as rules through time do."""
    x = torch.tensor([[0.3, 0.9, 1.4, -0.7, -9.0, 3.0], [0.2, 0.3, 0.1, 1.2, 0.4, -0.5]], dtype=torch.float64)
    g = torch.tensor([0.5, -1.0, 2.0, 1.5, -0.25, 1.0], dtype=torch.float64)
    leaves = x.clone().requires_grad_()
    cell = NeuronCell(spec, dtype=torch.float64)
    u = torch.zeros(6, dtype=torch.float64)
    first, state = cell(leaves[0], cell.state_type(u))
    second, state = cell(leaves[1], state)
    assert state.u.dtype == torch.float64
    (found,) = torch.autograd.grad([first, second], [leaves], [g, g])
    amount = spec.threshold if spec.reset_amount is None else spec.reset_amount / spec.decay

    def slope(kept: float, s: float) -> float:
        distance = kept * q + amount * s - spec.threshold
        if spec.surrogate == "triangle":
            return max(0.0, 1 - abs(distance))
        if spec.surrogate == "rectangle":
            return float(abs(distance) < 0.5)
        sigmoid = 1 / (1 + math.exp(-4 * distance))
        return 4 * sigmoid * (1 - sigmoid)

    for place in range(6):
        m0 = float(x[0, place])
        s0 = float(m0 >= spec.threshold)
        u0 = m0 - amount * s0
        k0 = max(-128, min(127, round(u0 / q)))
        m1 = float(x[1, place]) + spec.decay * k0 * q
        s1 = float(m1 >= spec.threshold)
        k1 = max(-128, min(127, round((m1 - amount * s1) / q)))
        on_m1 = float(g[place]) * slope(k1, s1)
        on_u0 = spec.decay * on_m1 if round(u0 / q) == k0 else 0.0
        on_m0 = on_u0 + slope(k0, s0) * (float(g[place]) - amount * on_u0)
        assert found[1, place] == pytest.approx(on_m1, abs=1e-12)
        assert found[0, place] == pytest.approx(on_m0, abs=1e-12)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (NeuronSpec(reset="hard", state="int8"), "neuron lif with reset hard, which needs more than eight bits"),
        (NeuronSpec("plif", state="int8"), "neuron plif with reset soft, which needs more than eight bits"),
        (NeuronSpec("alif", state="int8"), "neuron alif with reset soft, which needs more than eight bits"),
    ],
)
def test_neurons_that_need_more_say_what_works(spec, text):
    network = NetworkSpec.parse("4C3-3FC", input_shape=(2, 6, 6), neuron=spec)
    with pytest.raises(NotationError, match=f"state int8: got {text}; expected neuron lif with reset soft"):
        SpikingNetwork.build(network)


def test_the_format_belongs_to_the_network_and_older_documents_are_as_they_were():
    spec = NetworkSpec.parse("4C3-3FC", input_shape=(2, 6, 6), neuron=SETTINGS[1])
    assert NetworkSpec.from_dict(spec.to_dict()) == spec
    assert "state" not in NetworkSpec.parse("4C3-3FC", input_shape=(2, 6, 6)).to_dict()["neuron"]
    network = SpikingNetwork.build(spec)
    assert network.state_scale == STEPS[1]
    assert {entry.dtype for entry in network.initial_state(2)} == {torch.int8}
    assert {entry.dtype for entry in network.initial_state(2, differentiable=True)} == {torch.float32}
