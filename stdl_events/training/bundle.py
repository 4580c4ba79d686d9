"""The finished network on disk: `model.safetensors` and `model.json`. No auxiliary nets, no optimiser, no pickle."""

import importlib.metadata
import platform
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from stdl_events.errors import ModelError, NotationError, RunError
from stdl_events.frames import FrameSpec
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.recordings.entry import Split
from stdl_events.training.evaluate import Evaluation
from stdl_events.training.run_folder import CARD_FILE
from stdl_events.training.settings import TrainConfig
from stdl_events.whole_file import make_folder, whole_folder

WEIGHTS_FILE = "model.safetensors"


def save_bundle(folder: Path, network: SpikingNetwork, card: ModelCard) -> None:
    """Write the bundle to `folder`, replacing an older one as a whole.

    Raises:
        RunError: it cannot be written.
    """
    make_folder(folder.parent, error=RunError)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole_folder(folder, room_for="network", error=RunError) as partial:
        (partial / WEIGHTS_FILE).write_bytes(save(weights))
        (partial / CARD_FILE).write_text(card.to_json() + "\n", encoding="utf-8")


def load_bundle(folder: Path, device: torch.device | str | None = None) -> tuple[SpikingNetwork, ModelCard]:
    """The network of a bundle, in evaluation mode, and its card.

    Raises:
        RunError: the folder is not a bundle, or its weights do not match its card.
        ModelError: the card is invalid.
    """
    for path in (folder / CARD_FILE, folder / WEIGHTS_FILE):
        if not path.is_file():
            raise RunError(
                str(folder),
                got=f"no {path.name}",
                expected=f"a finished network: {CARD_FILE} and {WEIGHTS_FILE}",
                todo="let the training finish: stdl-events train ... --resume",
            )
    card_path, weights_path = folder / CARD_FILE, folder / WEIGHTS_FILE
    card = ModelCard.read(card_path)
    try:
        spec = NetworkSpec.from_dict(card.network)
    except NotationError as error:
        raise ModelError(
            f"{card_path}: network", got=error.got, expected=error.expected, todo="use an undamaged bundle"
        ) from error
    network = SpikingNetwork.build(spec)
    try:
        network.load_state_dict(load_file(weights_path))
    except (SafetensorError, RuntimeError) as error:
        raise RunError(
            str(weights_path),
            got=f"weights that do not load ({str(error).splitlines()[0]})",
            expected=f"the weights of {spec.notation}",
            todo="use an undamaged bundle",
        ) from error
    return network.to(device).eval(), card


def describe_run(
    config: TrainConfig, frame_spec: FrameSpec, split: Split, network: SpikingNetwork, evaluation: Evaluation
) -> ModelCard:
    """The card of a network trained by `config`: frame spec, labels of the outputs, provenance."""
    return ModelCard(
        network=network.spec.to_dict(),
        frame=frame_spec,
        labels=split.train.classes,
        readout="reset",
        state_shapes=network.state_shapes,
        versions=package_versions(),
        provenance={
            "recipe": config.name,
            "rule": config.learning.rule,
            "seed": config.seed,
            "epochs": config.epochs,
            "split": split.text,
            "held_out_accuracy": evaluation.accuracy,
            "held_out_clips": len(evaluation.clips),
        },
    )


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    packages = {name: importlib.metadata.version(name) for name in ("stdl-events", "torch", "numpy")}
    return packages | {"python": platform.python_version()}
