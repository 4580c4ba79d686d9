"""A network on disk: `model.safetensors` with its SHA-256, and `model.json`.

No auxiliary networks, no optimiser, no pickle.
"""

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from stdl_events import __version__
from stdl_events.errors import ModelError, NotationError, RunError
from stdl_events.frames import FrameSpec
from stdl_events.model_card import ModelCard, StateFormat
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.scattered import Convolutions
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.synapse import set_convolutions
from stdl_events.recordings.entry import Split
from stdl_events.recordings.file_digest import file_digest
from stdl_events.training.run_folder import CARD_FILE
from stdl_events.training.settings import TrainConfig
from stdl_events.whole_file import make_folder, whole_file, whole_folder

WEIGHTS_FILE = "model.safetensors"
# As `sha256sum --check` reads it.
DIGEST_FILE = "model.safetensors.sha256"


def save_bundle(folder: Path, network: SpikingNetwork, card: ModelCard) -> None:
    """Write the bundle to `folder`, replacing an older one as a whole.

    Raises:
        RunError: it cannot be written.
    """
    make_folder(folder.parent, error=RunError)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole_folder(folder, room_for="network", error=RunError) as partial:
        content = save(weights)
        (partial / WEIGHTS_FILE).write_bytes(content)
        (partial / DIGEST_FILE).write_text(f"{hashlib.sha256(content).hexdigest()}  {WEIGHTS_FILE}\n", encoding="utf-8")
        (partial / CARD_FILE).write_text(card.to_json() + "\n", encoding="utf-8")


def write_card(folder: Path, card: ModelCard) -> None:
    """Replace the card of the bundle in `folder`, as a whole.

    Raises:
        RunError: it cannot be written.
    """
    with whole_file(folder / CARD_FILE, room_for="model card", error=RunError) as file:
        file.write(f"{card.to_json()}\n".encode())


def load_bundle(
    folder: Path, device: torch.device | str | None = None, *, convolutions: Convolutions = "dense"
) -> tuple[SpikingNetwork, ModelCard]:
    """The network of a bundle, in evaluation mode, and its card.

    Args:
        convolutions: see `stdl_events.network.scattered`.

    Raises:
        RunError: the folder is not a bundle, its weights do not match its card, or they have changed since they were
            written.
        ModelError: the card is invalid.
    """
    if not folder.is_dir():
        raise RunError(
            str(folder), got="a file" if folder.exists() else "nothing there",
            expected=f"the folder of a run or of a network: {CARD_FILE} and {WEIGHTS_FILE}",
            todo="correct the path, or let the training finish with stdl-events train --resume RUN",
        )  # fmt: skip
    for path in (folder / CARD_FILE, folder / WEIGHTS_FILE):
        if not path.is_file():
            raise RunError(
                str(folder),
                got=f"no {path.name}",
                expected=f"a finished network: {CARD_FILE} and {WEIGHTS_FILE}",
                todo="let the training finish with stdl-events train --resume RUN",
            )
    card_path, weights_path = folder / CARD_FILE, folder / WEIGHTS_FILE
    card = ModelCard.read(card_path)
    try:
        spec = NetworkSpec.from_dict(card.network)
    except NotationError as error:
        raise ModelError(
            f"{card_path}: network", got=error.got, expected=error.expected, todo="use an undamaged bundle"
        ) from error
    _check_digest(folder)
    network = SpikingNetwork.build(spec)
    set_convolutions([network], convolutions)
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


def _check_digest(folder: Path) -> None:
    """Compare the weights with the SHA-256 beside them; bundles of older versions have none."""
    path = folder / DIGEST_FILE
    if not path.is_file():
        return
    expected = path.read_text(encoding="utf-8", errors="replace").partition(" ")[0].strip()
    found = file_digest(folder / WEIGHTS_FILE)
    if found != expected:
        raise RunError(
            str(folder / WEIGHTS_FILE), got=f"damaged weights, SHA-256 {found[:16]}...",
            expected=f"{expected[:16]}..., as {DIGEST_FILE} says", todo="use an undamaged bundle, or train again",
        )  # fmt: skip


def describe_run(
    config: TrainConfig, frame_spec: FrameSpec, split: Split, network: SpikingNetwork, measured: Mapping[str, Any]
) -> ModelCard:
    """The card of a network trained by `config`: frame spec, labels of the outputs, provenance.

    Args:
        measured: the epochs trained so far, accuracies.
    """
    return ModelCard(
        network=network.spec.to_dict(),
        frame=frame_spec,
        labels=split.train.classes,
        readout="reset",
        state_shapes=network.state_shapes,
        state_format=state_format(network),
        versions=package_versions(),
        provenance={
            "recipe": config.name,
            "rule": config.learning.rule,
            "seed": config.seed,
            "split": split.text,
            **measured,
        },
    )


def state_format(network: SpikingNetwork) -> StateFormat | None:
    """The entry of the card: the format of states in eight bits."""
    return None if network.state_scale is None else StateFormat(dtype="int8", scale=network.state_scale)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    packages = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    # Not from its metadata, which an editable installation keeps from the day it was made.
    return {"stdl-events": __version__} | packages | {"python": platform.python_version()}
