"""Evaluation of a finished run on its held-out recordings: of its own network, or of a file exported from it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.errors import ModelError
from stdl_events.live import OnnxSession
from stdl_events.live.readout import mean_logits
from stdl_events.model_card import ModelCard
from stdl_events.recordings.coverage import HELD_OUT
from stdl_events.recordings.entry import RecordingSet
from stdl_events.training.bundle import load_bundle
from stdl_events.training.data import Counts
from stdl_events.training.device import resolve_device
from stdl_events.training.evaluate import Evaluation, MeanLogits, evaluate_clips, network_logits
from stdl_events.training.keeping import Weights, weights_folder
from stdl_events.training.run_folder import load_config
from stdl_events.training.run_split import held_out_recordings
from stdl_events.training.settings import TrainConfig
from stdl_events.training.sources import load_sides


@dataclass(frozen=True)
class HeldOut:
    """What a finished run held out, and what recognises it.

    Attributes:
        config: of the run, with the current folder of the recordings.
        recordings: those held out.
        card: of the network, or of the exported file in its place.
        logits_of: the network, or the exported file.
    """

    config: TrainConfig
    recordings: RecordingSet
    card: ModelCard
    logits_of: MeanLogits


def open_held_out(
    folder: Path | str,
    *,
    weights: Weights | None = None,
    model: Path | str | None = None,
    data: Path | str | None = None,
    device: str = "auto",
    verify: bool = False,
) -> HeldOut:
    """Open the network of the finished run in `folder`, and the recordings that `split.json` lists as held out.

    Args:
        weights, model, data, device, verify: see `evaluate`.

    Raises:
        RunError, ModelError, DatasetError: see `evaluate`; no recording is read yet.
    """
    folder = Path(folder)
    config = load_config(folder)
    if data is not None:
        config = config.derive(data={"path": str(data)})
    if model is None:
        network, card = load_bundle(weights_folder(folder, weights), resolve_device(device))
        logits_of = network_logits(network)
    else:
        session = OnnxSession(model)
        card, logits_of = session.card, session_logits(session)
    recordings = held_out_recordings(config, folder, data=None if data is None else Path(data), verify=verify)
    if card.labels != recordings.classes:
        raise ModelError(
            str(model or folder),
            got=f"the classes {', '.join(card.labels)}",
            expected=f"{', '.join(recordings.classes)}, the classes of the recordings",
            todo="evaluate a model on recordings of the classes that it was trained for",
        )
    return HeldOut(config, recordings, card, logits_of)


def evaluate(
    folder: Path | str,
    *,
    weights: Weights | None = None,
    model: Path | str | None = None,
    data: Path | str | None = None,
    device: str = "auto",
    verify: bool = False,
) -> Evaluation:
    """Evaluate the finished run in `folder` on the recordings that it held out, as `split.json` lists them.

    Args:
        weights: the best ones or the last ones; None is the best ones if a validation part chose some.
        model: an exported file to evaluate instead of the run's own network, on the CPU.
        data: current folder of the recordings.
        verify: also check that the recordings that it trained on have not changed.

    Raises:
        RunError: there is no finished run in `folder`.
        ModelError: `model` is unusable, or has other classes than the run.
        DatasetError: recordings are missing, have changed or cannot be read, or a class has no clip.
    """
    opened = open_held_out(folder, weights=weights, model=model, data=data, device=device, verify=verify)
    [(recordings, clips)] = load_sides(opened.config, {HELD_OUT: opened.recordings}, opened.card.frame)
    evaluation = evaluate_clips(opened.logits_of, recordings, clips, batch_size=opened.config.batch_size)
    return replace(evaluation, frame_spec=opened.card.frame)


def session_logits(session: OnnxSession) -> MeanLogits:
    """An exported model as a `MeanLogits`."""

    def of_clips(frames_TBCHW: Counts) -> npt.NDArray[np.floating]:
        state = session.initial_state(frames_TBCHW.shape[1])
        logits_TBK = []
        for frame_BCHW in frames_TBCHW:
            logits_BK, state = session.step(frame_BCHW, state)
            logits_TBK.append(logits_BK)
        return mean_logits(logits_TBK)

    return of_clips
