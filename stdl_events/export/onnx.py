"""The ONNX file: one time step per call, state as inputs and outputs, the model card in the metadata.

Inputs are `frame` and `state_0` to `state_<n>`, outputs `logits` and `next_state_0` to `next_state_<n>`. Values of an
ONNX graph have unique names, so outputs cannot be named like the inputs. The first dimension of all is the batch.

B batch, C channels, H height, W width, K classes.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from stdl_events.errors import ModelError, VerificationError
from stdl_events.export.agreement import Agreement
from stdl_events.export.fold import fold_norms
from stdl_events.export.opsets import at_opset, exporter_opset
from stdl_events.export.order import states_last
from stdl_events.export.verify import STEPS, Progress, compare
from stdl_events.live.onnx_file import weights_sha256
from stdl_events.model_card import METADATA_KEY, ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.whole_file import whole_path

# The dynamic batch needs an example other than 0 or 1: the exporter takes these for constants.
EXAMPLE_BATCH = 2


def export_onnx(
    network: SpikingNetwork,
    card: ModelCard,
    path: Path,
    held_out_NTCHW: npt.NDArray[Any] | None = None,
    *,
    held_out_of: str = "",
    steps: int = STEPS,
    opset: int | None = None,
    progress: Progress | None = None,
) -> Agreement:
    """Write `network` to `path` after a comparison of the file with the network, which its card then states.

    Args:
        network: ends in its classifier; it is not modified.
        card: the model card for the metadata.
        path: replaced atomically; unchanged if the comparison fails.
        held_out_NTCHW: clips of held-out recordings as the network takes them, to compare on besides simulated frames.
        held_out_of: their dataset, for the card.
        steps: of each sequence.
        opset: version of the operator set, one of `OPSETS`; None is the exporter's own choice.
        progress: called after each step that is compared.

    Returns:
        The agreement of the file with the network.

    Raises:
        ModelError: the card is of another network, or `path` cannot be written.
        VerificationError: the file disagrees with the network; it is removed.
    """
    _check(network, card)
    with whole_path(path, room_for="model", error=ModelError) as partial:
        write_step(network, card, partial, opset)
        agreement = compare(network, partial, held_out_NTCHW, steps=steps, progress=progress)
        problem = agreement.problem()
        if problem is not None:
            raise VerificationError(
                str(path), got=problem, expected="a file that agrees with the network", todo="report this network"
            )
        state_in_card(partial, verification=agreement.verification(held_out_of))
    return agreement


class _Step(nn.Module):
    """The network's step with its state as separate arguments."""

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor, state: list[Tensor]) -> tuple[Tensor, ...]:
        logits, new = self.network.step(frame, tuple(state))
        return logits, *new


def write_step(network: SpikingNetwork, card: ModelCard, path: Path, opset: int | None = None) -> None:
    """Write the step of `network` to `path` without comparing it; see `export_onnx` for the arguments."""
    step = _Step(fold_norms(network).cpu().float())
    frame = torch.zeros((EXAMPLE_BATCH, *network.spec.input_shape))
    state = list(step.network.initial_state(EXAMPLE_BATCH))
    names = range(len(state))
    batch = torch.export.Dim("batch", min=1)
    with silenced(), torch.no_grad():
        program = torch.onnx.export(
            step.eval(),
            (frame, state),
            dynamo=True,
            input_names=["frame", *(f"state_{n}" for n in names)],
            output_names=["logits", *(f"next_state_{n}" for n in names)],
            dynamic_shapes=({0: batch}, [{0: batch} for _ in names]),
            verbose=False,
            opset_version=exporter_opset(opset),
        )
    assert program is not None, "the dynamo exporter returns its program"
    write_model(at_opset(program.model_proto, opset), card, path)


def write_model(model: onnx.ModelProto, card: ModelCard, path: Path) -> None:
    """Write `model` with its card, which holds the checksum of its weights, and nothing else but the graph.

    What the card states of another graph is omitted; see `state_in_card`.
    """
    _remove_notes(model)
    states_last(model.graph)
    of_this_graph = {
        "weights_sha256": weights_sha256(model.SerializeToString()),
        "verification": None,
        "accuracy": None,
    }
    _write_with_card(model, card.model_copy(update=of_this_graph), path)


def state_in_card(path: Path, **measured: BaseModel | None) -> None:
    """Replace entries of the card of the file at `path`, whose graph stays.

    Args:
        measured: on this very graph: `verification`, `accuracy`.

    Raises:
        ModelError: the file cannot be replaced.
    """
    model = onnx.load(path)
    card = ModelCard.from_json({entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY])
    with whole_path(path, room_for="model", error=ModelError) as partial:
        _write_with_card(model, card.model_copy(update=measured), partial)


def _write_with_card(model: onnx.ModelProto, card: ModelCard, path: Path) -> None:
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _remove_notes(model: onnx.ModelProto) -> None:
    """Remove the exporter's metadata: stack traces with the paths of this machine, names of its own graph."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Suppress the exporter's progress and deprecation messages, on which the user cannot act."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _check(network: SpikingNetwork, card: ModelCard) -> None:
    scale = None if card.state_format is None else card.state_format.scale
    stated = card.network, card.state_shapes, scale
    if stated != (network.spec.to_dict(), network.state_shapes, network.state_scale):
        raise ModelError(
            "model card",
            got=f"one for {card.network.get('notation')}",
            expected=f"the card of {network.spec.notation}",
            todo="export a network with its own card",
        )
