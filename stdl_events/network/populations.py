"""Populations: the layers of neurons whose spikes another layer receives; and the weights that receive them."""

from torch import nn

from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.cell import NeuronCell

# Names of modules inside a unit, of which a population's name has none.
_INSIDE = ("body", "synapse", "conv", "linear", "cell")


def populations(network: SpikingNetwork, first: int = 0) -> dict[str, NeuronCell]:
    """Each layer of neurons by its name, in order, such as `layers.0`, or `layers.3.first` inside a residual block.

    A spiking classifier is not among them: its spikes are the answer, which no layer receives.

    Args:
        first: index of the network's first layer in the whole network.
    """
    return {name: module for name, module in _inside(network, first) if isinstance(module, NeuronCell)}


def receivers(network: SpikingNetwork) -> dict[str, nn.Conv2d | nn.Linear]:
    """Each convolution or linear layer by the name of the population that it is part of; the classifier is left out."""
    return {name: module for name, module in _inside(network, 0) if isinstance(module, nn.Conv2d | nn.Linear)}


def _inside(network: SpikingNetwork, first: int) -> list[tuple[str, nn.Module]]:
    found = []
    for index, layer in enumerate(network.layers_in_order(), start=first):
        if not layer.spec.classifier:
            for path, module in layer.named_modules():
                names = [name for name in path.split(".") if name not in _INSIDE]
                found.append((".".join([f"layers.{index}", *filter(None, names)]), module))
    return found
