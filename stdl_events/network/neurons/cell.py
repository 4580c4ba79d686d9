"""A layer of neurons as a Norse cell: `(input, state) -> (spikes, state)`, without hidden state.

The cells can be used in `norse.torch.SequentialState`.
"""

from typing import Any

import torch
from norse.torch.module.snn import SNNCell
from torch import Tensor, nn

from stdl_events.errors import NotationError
from stdl_events.network.neurons.eight_bits import EightBits
from stdl_events.network.neurons.neuron import NeuronState, Parameters
from stdl_events.network.registries import NEURONS
from stdl_events.network.spec import NeuronSpec


class NeuronCell(SNNCell):
    """A layer of neurons, built from a `NeuronSpec`.

    `forward` takes the input current and the state (a named tuple, or None for zeros). It returns the spikes and the
    new state.

    Args:
        spec: kind and parameters of the neuron.

    Attributes:
        neuron: the registered neuron.
        p: its parameters: the spec, or the module of the learned ones.
        lean: its lean form, see `Neuron`; None runs it by ordinary autograd.
        eight_bits: the neurons that keep their membrane potentials in eight bits; None for all others.
    """

    def __init__(
        self, spec: NeuronSpec, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> None:
        neuron = NEURONS[spec.kind]
        p: Parameters = spec if neuron.parameters is None else neuron.parameters(spec, dtype, device)
        eight_bits = EightBits.of(spec)
        step = neuron.step if eight_bits is None else eight_bits.step
        super().__init__(activation=step, state_fallback=self.initial_state, p=p, dt=1.0)
        self.spec, self.neuron, self.eight_bits = spec, neuron, eight_bits
        self.lean = neuron.lean(spec)
        self.state_type: type[Any] = neuron.state

    def distance_to_threshold(self, x: Tensor, state: NeuronState) -> Tensor:
        """Membrane potential minus threshold of each neuron in the step with input `x`."""
        if self.eight_bits is not None:
            return self.eight_bits.charge(x, state.u) - self.eight_bits.form.threshold
        return self.neuron.charge(x, state, self.p) - self.neuron.threshold(state, self.p)

    def distance_to_rounding(self, x: Tensor, state: NeuronState) -> Tensor:
        """See `EightBits.distance_to_rounding`; infinite for neurons that keep floating point numbers."""
        if self.eight_bits is None:
            return torch.full_like(x, torch.inf)
        return self.eight_bits.distance_to_rounding(self.eight_bits.charge(x, state.u))

    @property
    def state_count(self) -> int:
        """Number of tensors in the state."""
        return len(self.state_type._fields)

    def initial_state(self, x: Tensor) -> NeuronState:
        """The state before the first step for inputs like `x`: zeros that need no gradient."""
        dtype = x.dtype if self.eight_bits is None else torch.int8
        zeros = (torch.zeros_like(x, dtype=dtype, requires_grad=False) for _ in range(self.state_count))
        return self.state_type(*zeros)

    def to_norse(self) -> nn.Module:
        """Norse's own cell for the same neuron, which `norse.torch.to_nir` supports (with `dt=1.0`, time in steps).

        Its input is the input current divided by 1 - λ. It fires above the threshold, not at it.

        Raises:
            NotationError: Norse has no such neuron. It has LIF with the triangle of width 1 and the papers' resets.
        """
        if self.neuron.to_norse is None:
            raise NotationError(
                "Norse cell",
                got=f"the neuron {self.p}",
                expected="a neuron with a counterpart in Norse: "
                + ", ".join(name for name in NEURONS if NEURONS[name].to_norse is not None),
                todo="change the neuron's settings",
            )
        return self.neuron.to_norse(self.spec)
