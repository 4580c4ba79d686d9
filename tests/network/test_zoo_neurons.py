"""The reset of truncated local BPTT, and conversion of neurons to Norse's cells."""

import norse.torch as norse
import pytest
import torch
from torch import nn

from stdl_events.errors import NotationError
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.spec import NeuronSpec

STEPS = 12


def currents(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((STEPS, 40), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["lif", "plif"])
@pytest.mark.parametrize(("decay", "amount"), [(0.9, 0.3), (0.3, 0.3), (0.8, 0.0), (0.5, None)])
def test_the_reset_subtracts_an_undecayed_amount(kind, decay, amount):
    """Truncated local BPTT, eq. (1) and (2): u[t+1] = τ u[t] + x[t+1] - θ s[t], with u before the reset."""
    threshold = 0.4
    spec = NeuronSpec(kind=kind, decay=decay, threshold=threshold, reset_amount=amount)
    cell = NeuronCell(spec, dtype=torch.float64)
    theta = decay * threshold if amount is None else amount
    u, s, state = torch.zeros(40, dtype=torch.float64), torch.zeros(40, dtype=torch.float64), None
    fired = 0.0
    for x in currents():
        u = decay * u + x - theta * s
        s = (u >= threshold).to(u.dtype)
        spikes, state = cell(x, state)
        assert torch.equal(spikes, s)
        fired += s.sum().item()
    assert fired > STEPS


def test_the_gradient_through_the_reset_is_its_amount():
    """Truncated local BPTT, eq. (4) and (5): ∂u[t+1]/∂u[t] = τ - θ Θ'(u[t]), with the rectangle of eq. (6)."""
    spec = NeuronSpec(decay=0.9, threshold=0.5, reset_amount=0.3, surrogate="rectangle", surrogate_width=0.5)
    cell = NeuronCell(spec)
    first = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64, requires_grad=True)
    _, state = cell(first, cell.initial_state(first))
    (gradient,) = torch.autograd.grad(spec.decay * state.u.sum(), first)
    inside = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(gradient, 0.9 - 0.3 * inside / 0.5)


@pytest.mark.parametrize("change", [{"reset_amount": -0.1}, {"reset": "hard"}, {"decay": 0.0}])
def test_an_amount_that_no_reset_can_have_is_told(change):
    with pytest.raises(NotationError) as caught:
        NeuronSpec(**({"reset_amount": 0.2, "decay": 0.5} | change))
    amount = change.get("reset_amount", 0.2)
    assert str(caught.value) == (
        f"reset_amount: got {amount}; expected 0 or more, with reset soft and a decay above 0; change reset_amount"
    )


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_norses_cell_for_a_neuron_does_what_the_neuron_does(reset):
    cell = NeuronCell(NeuronSpec(decay=0.75, threshold=0.4, reset=reset))
    theirs = cell.to_norse()
    assert isinstance(theirs, norse.LIFBoxCell)
    state, norse_state = None, None
    for x in currents():
        spikes, state = cell(x, state)
        expected, norse_state = theirs(x / (1 - 0.75), norse_state)
        assert torch.equal(spikes, expected)
        torch.testing.assert_close(state.u, norse_state.v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "got"),
    [
        (NeuronSpec(kind="plif"), "the neuron"),
        (NeuronSpec(kind="alif"), "the neuron"),
        (NeuronSpec(reset_amount=0.5), "the neuron"),
        (NeuronSpec(surrogate="sigmoid", surrogate_width=4.0), "the surrogate sigmoid of width 4"),
        (NeuronSpec(surrogate_width=2.0), "the surrogate triangle of width 2"),
    ],
)
def test_a_neuron_that_norse_lacks_is_told(spec, got):
    with pytest.raises(NotationError) as caught:
        NeuronCell(spec).to_norse()
    assert f"Norse cell: got {got}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # nirtorch traces with an interface of torch that torch calls old
def test_norses_cell_goes_through_to_nir_in_steps():
    cell = NeuronCell(NeuronSpec(decay=0.75, threshold=0.4, reset="hard"))
    model = norse.SequentialState(nn.Conv2d(2, 3, 3), cell.to_norse(), nn.Linear(4, 2))
    graph = norse.to_nir(model, torch.rand(1, 2, 6, 6), dt=1.0)
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert kinds == {"input": "Input", "0": "Conv2d", "1": "LIF", "2": "Affine", "output": "Output"}
    assert float(graph.nodes["1"].tau) == pytest.approx(1 / (1 - 0.75))
    assert float(graph.nodes["1"].v_threshold) == pytest.approx(0.4)
