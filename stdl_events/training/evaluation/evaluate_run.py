"""Evaluation of a finished run on recordings that it was not trained on: of its network, or of an exported file.

Shape letters: B clips of a batch, T time steps, K classes.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stdl_events.errors import ModelError
from stdl_events.frames import FrameSpec
from stdl_events.live import OnnxSession
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.recordings.clips import ClipArray
from stdl_events.recordings.coverage import SIDE_TEXT, TO_TRAIN
from stdl_events.recordings.entry import RecordingSet
from stdl_events.recordings.splits.sides import Side
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.density import DensityCount
from stdl_events.training.evaluation.evaluate_clips import (
    Evaluation,
    MeanLogits,
    decided_by,
    evaluate_clips,
    network_logits,
    session_logits,
)
from stdl_events.training.evaluation.ridge_beside import NO_RIDGE, Ridge, ridges_of, stored_ridge, too_much_to_read
from stdl_events.training.load_recordings import SidesLoader, load_sides
from stdl_events.training.run_device import resolve_device
from stdl_events.training.run_folder import load_config
from stdl_events.training.run_split import recordings_of_run
from stdl_events.training.run_weights import Weights, weights_folder
from stdl_events.training.settings import TrainConfig

Through = Literal["onnx"]


@dataclass(frozen=True)
class HeldOut:
    """What a finished run was not trained on, and what recognises it.

    Attributes:
        config: of the run, with the current folder of the recordings.
        recordings: those held out, or those to validate on.
        card: of the network, or of the exported file in its place.
        logits_of: the network, or the exported file.
        own_logits_of: the network, if `logits_of` is a file exported from it.
        network: the run's, unless a file is evaluated in its place.
    """

    config: TrainConfig
    recordings: RecordingSet
    card: ModelCard
    logits_of: MeanLogits
    own_logits_of: MeanLogits | None = None
    network: SpikingNetwork | None = None


def open_held_out(
    folder: Path | str,
    *,
    weights: Weights | None = None,
    model: Path | str | None = None,
    data: Path | str | None = None,
    device: str = "auto",
    verify: bool = False,
    side: Side = "test",
    over_time: bool = False,
    through: Through | None = None,
) -> HeldOut:
    """Open the network of the finished run in `folder`, and the recordings of one side that `split.json` lists.

    Args:
        weights, model, data, device, verify, side, through: see `evaluate`.
        over_time: the logits are those of the first 1 to T steps; see `evaluate_clips`.

    Raises:
        RunError, ModelError, DatasetError: see `evaluate`; no recording is read yet.
    """
    folder = Path(folder)
    config = load_config(folder)
    if data is not None:
        config = config.derive(data={"path": str(data)})
    own_logits_of, network = None, None
    if model is not None and through is not None:
        raise ModelError(
            str(model), got=f"a file, and to go through {through}", expected="one of the two",
            todo="leave --model out, or --through",
        )  # fmt: skip
    if model is None:
        kept = weights_folder(folder, weights)
        network, card = load_bundle(kept, resolve_device(device), convolutions=config.learning.convolutions)
        logits_of = network_logits(network, over_time=over_time)
        if through is not None:
            own_logits_of = logits_of
            logits_of = session_logits(exported_session(network, card), over_time=over_time)
    else:
        session = OnnxSession(model, whole_clips=True)
        card, logits_of = session.card, session_logits(session, over_time=over_time)
    recordings = recordings_of_run(config, folder, side, data=None if data is None else Path(data), verify=verify)
    if card.labels != recordings.classes:
        raise ModelError(
            str(model or folder),
            got=f"the classes {', '.join(card.labels)}",
            expected=f"{', '.join(recordings.classes)}, the classes of the recordings",
            todo="evaluate a model on recordings of the classes that it was trained for",
        )
    return HeldOut(config, recordings, card, logits_of, own_logits_of, network)


def evaluate(
    folder: Path | str,
    *,
    weights: Weights | None = None,
    model: Path | str | None = None,
    data: Path | str | None = None,
    device: str = "auto",
    verify: bool = False,
    side: Side = "test",
    over_time: bool = False,
    keep_logits: bool = False,
    through: Through | None = None,
    baseline: bool | None = None,
    load: SidesLoader = load_sides,
) -> Evaluation:
    """Evaluate the finished run in `folder` on the recordings of one side, as `split.json` lists them.

    Args:
        weights: the best ones or the last ones; None is the best ones if a validation part chose some.
        model: an exported file to evaluate instead of the run's own network, on the CPU.
        data: current folder of the recordings.
        verify: also check that the recordings of its other sides have not changed.
        side: the held-out recordings ("test"), or those that chose the weights ("validation").
        over_time: also keep the class that the first 1 to T steps of each clip predict.
        keep_logits: also keep the mean logits of these steps, [T, N, K] float32.
        through: "onnx" exports the network to a temporary file, verifies it and evaluates it, on the CPU; the result's
            `own` is then the evaluation of the network itself.
        baseline: put a ridge on summed events beside the accuracy. None takes the one that the training has kept, or
            fits it if the training recordings are small or prepared; True fits it at any cost.
        load: reads the clips.

    Raises:
        RunError: there is no finished run in `folder`, or it has no such side.
        ModelError: `model` is unusable, or has other classes than the run; or it is given with `through`.
        VerificationError: the exported file disagrees with the network.
        DatasetError: recordings are missing, have changed or cannot be read, or a class has no clip.
    """
    over_time = over_time or keep_logits
    opened = open_held_out(
        folder, weights=weights, model=model, data=data, device=device, verify=verify, side=side, over_time=over_time,
        through=through,
    )  # fmt: skip
    [(recordings, clips)] = load(opened.config, {SIDE_TEXT[side]: opened.recordings}, opened.card.frame)
    run = partial(
        evaluate_clips, recordings=recordings, clips=clips, batch_size=opened.config.batch_size, over_time=over_time,
        temperature=opened.card.temperature,
    )  # fmt: skip
    count = None if opened.network is None else DensityCount(opened.network)
    with nullcontext() if count is None else count.counting():
        evaluation = run(opened.logits_of, keep_logits=keep_logits or (over_time and opened.card.decision is not None))
        own = None if opened.own_logits_of is None else run(opened.own_logits_of)
    return replace(
        evaluation,
        frame_spec=opened.card.frame,
        decided=decided_by(evaluation, opened.card),
        running_logits_TNK=evaluation.running_logits_TNK if keep_logits else None,
        own=own,
        density=None if count is None else count.read(),
        ridge=_ridge(Path(folder), opened, side, clips, asked=baseline, data=data),
    )


def _ridge(
    folder: Path, opened: HeldOut, side: Side, clips: ClipArray, *, asked: bool | None, data: Path | str | None
) -> Ridge:
    """Return the ridge on the same clips: the one that the training has kept, or a new one."""
    if asked is False:
        return NO_RIDGE
    kept = stored_ridge(folder, opened.card.frame, side)
    if kept is not None and (not asked or (kept.accuracy is not None and kept.finest == 1)):
        return kept
    problem = "" if asked else too_much_to_read(opened.config, folder)
    if problem:
        return Ridge(None, problem)
    train = recordings_of_run(opened.config, folder, "train", data=None if data is None else Path(data))
    [(_, train_clips)] = load_sides(opened.config, {TO_TRAIN: train}, opened.card.frame)
    return ridges_of({"train": train_clips, side: clips}, at_any_cost=bool(asked))[side]


def clips_to_train(folder: Path, frame: FrameSpec, count: int, data: Path | None = None) -> npt.NDArray[Any]:
    """Return up to `count` clips that a run was trained on, [N, T, C, H, W], evenly spaced over its recordings.

    Raises:
        DatasetError: recordings are missing, have changed or cannot be read.
    """
    config = load_config(folder)
    if data is not None:
        config = config.derive(data={"path": str(data)})
    recordings = recordings_of_run(config, folder, "train", data=data)
    [(_, clips)] = load_sides(config, {TO_TRAIN: recordings}, frame)
    return evenly_chosen(clips, count)


def evenly_chosen(clips: ClipArray, count: int) -> npt.NDArray[Any]:
    """Return up to `count` clips as the network takes them, [N, T, C, H, W], evenly spaced."""
    chosen_N = np.unique(np.linspace(0, len(clips) - 1, count).astype(int))
    frames_TNCHW = np.stack([clips.frames_NTCHW[index] for index in chosen_N], axis=1)
    return np.ascontiguousarray(clips.to_input(frames_TNCHW).swapaxes(0, 1))


def exported_session(network: SpikingNetwork, card: ModelCard) -> OnnxSession:
    """Return a session of the file that a network exports to; it is verified, and removed again.

    Raises:
        VerificationError: the file disagrees with the network.
    """
    from stdl_events.export.onnx import export_onnx

    with TemporaryDirectory(prefix="stdl-events-") as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(network, card, path)
        return OnnxSession(path)
