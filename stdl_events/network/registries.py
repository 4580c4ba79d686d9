"""Registries of neurons, surrogate gradients and norms. No torch until an entry is used."""

from typing import TYPE_CHECKING

from stdl_events.errors import NotationError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.network.neurons.neuron import Neuron
    from stdl_events.network.norms import Norm
    from stdl_events.network.surrogate import Surrogate

NEURONS: "Registry[Neuron]" = Registry(
    "neuron",
    NotationError,
    {
        "lif": "stdl_events.network.neurons.lif:LIF",
        "plif": "stdl_events.network.neurons.plif:PLIF",
        "alif": "stdl_events.network.neurons.alif:ALIF",
    },
    reserved=("paper",),  # the neuron that a rule was published with
)
SURROGATES: "Registry[Surrogate]" = Registry(
    "surrogate",
    NotationError,
    {
        "triangle": "stdl_events.network.surrogate:TRIANGLE",
        "rectangle": "stdl_events.network.surrogate:RECTANGLE",
        "sigmoid": "stdl_events.network.surrogate:SIGMOID",
    },
)
NORMS: "Registry[Norm]" = Registry(
    "norm",
    NotationError,
    {
        "batch": "stdl_events.network.norms:BATCH",
        "ws": "stdl_events.network.norms:SCALED_WS",
        "none": "stdl_events.network.norms:NONE",
    },
)
