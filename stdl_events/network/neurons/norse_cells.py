"""LIF as Norse computes it: `LIFBoxCell` with `dt tau_mem_inv = 1 - λ` and the input divided by `1 - λ`.

Norse fires where m > V_th, this package where m >= V_th.
"""

from typing import NamedTuple

import torch
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract, reset_value
from norse.torch.module.lif_box import LIFBoxCell
from torch import Tensor, nn

from stdl_events.errors import NotationError
from stdl_events.network.spec import NeuronSpec, Reset


def norse_cell(spec: NeuronSpec) -> LIFBoxCell:
    """Norse's cell for a LIF neuron; see `NeuronCell.to_norse`.

    Raises:
        NotationError: Norse has no such neuron.
    """
    if spec.reset_amount is not None:
        raise _not_in_norse(f"the neuron {spec}")
    if (spec.surrogate, spec.surrogate_width) != ("triangle", 1.0):
        raise _not_in_norse(f"the surrogate {spec.surrogate} of width {spec.surrogate_width:g}")
    parameters = LIFBoxParameters(
        tau_mem_inv=torch.tensor(1 - spec.decay, dtype=torch.float64),
        v_leak=torch.tensor(0.0),
        v_th=torch.tensor(spec.threshold, dtype=torch.float64),
        v_reset=torch.tensor(0.0),
        method="triangle",
        alpha=torch.tensor(1.0),
        reset_method=reset_subtract if spec.reset == "soft" else reset_value,
    )
    return LIFBoxCell(parameters, dt=1.0)


class NorseNeuron(NamedTuple):
    """A Norse cell as a neuron of this package.

    Args:
        spec: the neuron.
        input_gain: Norse's factor on the input current, 1 - λ.
    """

    spec: NeuronSpec
    input_gain: float


def read_norse_cell(
    cell: nn.Module, *, surrogate: str | None = None, surrogate_width: float = 1.0
) -> NorseNeuron | None:
    """The neuron of a `LIFBoxCell`, None for any other module.

    Potentials are measured from Norse's leak potential, where its cells start: u = v - v_leak.

    Args:
        surrogate, surrogate_width: replace the cell's own surrogate gradient. By default it is kept: Norse's
            "triangle" with alpha 1 is the triangle of width 1, its others have no counterpart.

    Raises:
        NotationError: the neuron has no counterpart in this package.
    """
    if not isinstance(cell, LIFBoxCell):
        return None
    p = cell.p
    decay = 1.0 - float(cell.dt) * _number("tau_mem_inv", p.tau_mem_inv)
    leak, threshold, reset_to = (_number(name, getattr(p, name)) for name in ("v_leak", "v_th", "v_reset"))
    reset: Reset = "soft" if p.reset_method is reset_subtract else "hard"
    if reset == "hard" and (p.reset_method is not reset_value or reset_to != leak):
        raise _not_ours("a reset to another potential than v_leak", "reset_subtract, or reset_value to v_leak")
    if surrogate is None:
        if p.method != "triangle" or _number("alpha", p.alpha) != 1.0:
            raise _not_ours(
                f"the surrogate {p.method!r}", "'triangle' with alpha 1, or another one given as surrogate="
            )
        surrogate, surrogate_width = "triangle", 1.0
    # Norse subtracts v_th, which is not the distance from leak to threshold where v_leak is not 0.
    amount = decay * threshold if reset == "soft" and leak != 0 else None
    spec = NeuronSpec(
        decay=decay,
        threshold=threshold - leak,
        reset=reset,
        reset_amount=amount,
        surrogate=surrogate,
        surrogate_width=surrogate_width,
    )
    return NorseNeuron(spec, 1.0 - decay)


def _number(name: str, value: Tensor | float) -> float:
    values = torch.as_tensor(value)
    if values.numel() != 1:
        raise _not_ours(f"{values.numel()} values of {name}", "one value for all neurons")
    return float(values)


def _not_ours(got: str, expected: str) -> NotationError:
    return NotationError("Norse cell", got=got, expected=expected, todo="change the cell's parameters")


def _not_in_norse(got: str) -> NotationError:
    return NotationError(
        "Norse cell",
        got=got,
        expected="a LIF neuron with the triangle of width 1 and no reset_amount",
        todo="change the neuron's settings",
    )
