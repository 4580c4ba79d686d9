"""The weights of a trained network as the start of another training, such as a second stage with more time steps."""

import dataclasses
from pathlib import Path

from stdl_events.errors import RunError
from stdl_events.network.network import SpikingNetwork
from stdl_events.training.bundle import load_bundle
from stdl_events.training.run_folder import BUNDLE_FOLDER
from stdl_events.training.run_weights import weights_folder


def start_from(network: SpikingNetwork, folder: Path) -> None:
    """Copy the weights and running statistics of a finished network into `network`.

    T, the frames and the neurons' settings may differ; layers, input and classes must not.

    Args:
        folder: of a finished run, whose best weights are taken if a validation part chose some, or a bundle.

    Raises:
        RunError: there is no finished network, or it has other layers, another input or other classes.
    """
    trained, _ = load_bundle(weights_folder(folder) if (folder / BUNDLE_FOLDER).is_dir() else folder)
    # Neurons without weights of their own may change: a longer memory for more steps.
    theirs, ours = (dataclasses.replace(each.spec, neuron=network.spec.neuron) for each in (trained, network))
    kinds = trained.spec.neuron.kind, network.spec.neuron.kind
    if theirs != ours or kinds[0] != kinds[1]:
        raise RunError(
            str(folder),
            got=_described(trained),
            expected=_described(network),
            todo="start from a network of the same layers, input and classes, or leave init out",
        )
    network.load_state_dict(trained.state_dict())


def _described(network: SpikingNetwork) -> str:
    spec = network.spec
    shape = "x".join(map(str, spec.input_shape))
    return f"{spec.notation} of {spec.neuron.kind} neurons, norm {spec.norm}, for frames of {shape}"
