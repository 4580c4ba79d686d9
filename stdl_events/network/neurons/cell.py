"""A layer of neurons as a Norse cell: `(input, state) -> (spikes, state)`, nothing hidden.

The cells compose in `norse.torch.SequentialState`.
"""

from typing import Any

import torch
from norse.torch.module.snn import SNNCell
from torch import Tensor, nn

from stdl_events.errors import NotationError
from stdl_events.network.neurons.neuron import NeuronState, Parameters
from stdl_events.network.registries import NEURONS
from stdl_events.network.spec import NeuronSpec


class NeuronCell(SNNCell):
    """A layer of neurons, made from a `NeuronSpec`.

    Args:
        spec: which neuron, and its parameters.

    Attributes:
        neuron: the registered neuron.
        p: its parameters: the spec, or the module of the learned ones.
        lean: how lean mode runs it, None for by ordinary autograd; see `Neuron`.

    Forward takes the input current and the state (a named tuple, or None for a silent past) and returns both anew.
    """

    def __init__(
        self, spec: NeuronSpec, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> None:
        neuron = NEURONS[spec.kind]
        p: Parameters = spec if neuron.parameters is None else neuron.parameters(spec, dtype, device)
        super().__init__(activation=neuron.step, state_fallback=self.initial_state, p=p, dt=1.0)
        self.spec, self.neuron = spec, neuron
        self.lean = neuron.lean(spec)
        self.state_type: type[Any] = neuron.state

    def distance_to_threshold(self, x: Tensor, state: NeuronState) -> Tensor:
        """How far each neuron's membrane potential is above its threshold in the step with input `x`."""
        return self.neuron.charge(x, state, self.p) - self.neuron.threshold(state, self.p)

    @property
    def state_count(self) -> int:
        """How many tensors the state has."""
        return len(self.state_type._fields)

    def initial_state(self, x: Tensor) -> NeuronState:
        """The silent past for inputs like `x`: zeros that need no gradient."""
        return self.state_type(*(torch.zeros_like(x, requires_grad=False) for _ in range(self.state_count)))

    def to_norse(self) -> nn.Module:
        """Norse's own cell for the same neuron, such as `norse.torch.to_nir` knows (with `dt=1.0`, time in steps).

        It takes the input current divided by 1 - λ, and fires above the threshold, not at it.

        Raises:
            NotationError: Norse has no such neuron: only LIF with the triangle of width 1 and the papers' resets.
        """
        if self.neuron.to_norse is None:
            raise NotationError(
                "Norse cell",
                got=f"a neuron that is {self.p}",
                expected="a neuron that Norse has: "
                + ", ".join(name for name in NEURONS if NEURONS[name].to_norse is not None),
                todo="change the neuron's settings",
            )
        return self.neuron.to_norse(self.spec)
