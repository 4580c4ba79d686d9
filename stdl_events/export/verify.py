"""Comparison of the exported file with the network, through the session that will run it on the device.

Two comparisons on the same simulated frames. Teacher-forced: in every step both start from the network's state, so that
a difference shows where it arises. Free-running: each keeps its own state, as on the device.

Folded norms round differently, so a neuron within rounding of its threshold may fire on one side only. Such neurons,
and the values that later layers compute from them in that step, are counted instead of compared.

B batch, C channels, H height, W width, K classes.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stdl_events.frames import FrameSpec
from stdl_events.frames.picture import repeated
from stdl_events.live.readout import mean_logits
from stdl_events.live.session import OnnxSession, StepSession
from stdl_events.network.layers import State
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.cell import NeuronCell

STEPS = 50
TOLERANCE = 1e-4
# Events per pixel and step of the simulated frames: from an almost still scene to a busy one.
MEAN_COUNTS = (0.02, 0.1, 0.3, 1.0)
# Two classes whose mean logits differ by less than this are a tie.
TIE = 1e-3


@dataclasses.dataclass
class Agreement:
    """Result of the comparison.

    Attributes:
        steps: time steps compared, each for `len(MEAN_COUNTS)` sequences.
        compared: number of values compared, teacher-forced.
        largest_difference: the largest among them.
        near_threshold: neurons that fired on one side only, all within `TOLERANCE` of their threshold.
        skipped: values behind such neurons in the same step, not compared.
        never_compared: states that were skipped in every step.
        same_predictions: True if the free-running predictions agree.
    """

    steps: int = 0
    compared: int = 0
    largest_difference: float = 0.0
    near_threshold: int = 0
    skipped: int = 0
    never_compared: int = 0
    same_predictions: bool = True

    def problem(self) -> str | None:
        """The disagreement, in words; None if there is none."""
        if not self.largest_difference <= TOLERANCE:
            return f"numbers that differ by {self.largest_difference:.2g} (at most {TOLERANCE:g} are allowed)"
        if self.never_compared:
            return f"{self.never_compared} outputs that could never be compared"
        if not self.same_predictions:
            return "other predictions over a whole sequence"
        return None


def compare(network: SpikingNetwork, path: Path, *, seed: int = 0) -> Agreement:
    """Run the ONNX file at `path` beside `network` over simulated frames.

    Raises:
        ModelError: the file does not load.
    """
    return compare_session(network, OnnxSession(path), seed=seed)


def compare_session(network: SpikingNetwork, session: StepSession, *, seed: int = 0) -> Agreement:
    """Run the model in `session` beside `network`, whose state it has, over simulated frames."""
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            return _compare(network, session, _frames(network.spec.input_shape, seed, session.card.frame))
    finally:
        network.train(was_training)


def _frames(shape_CHW: tuple[int, int, int], seed: int, spec: FrameSpec) -> npt.NDArray[np.float32]:
    """Draw Poisson counts, [T, B, C, H, W], one sequence per mean count; for a model of pictures, random pictures."""
    rng = np.random.default_rng(seed)
    if spec.kind == "picture":
        pixels_BCHW = rng.integers(0, 256, (len(MEAN_COUNTS), *shape_CHW), np.uint8)
        return repeated(spec.picture.scaled(pixels_BCHW), STEPS)
    means = np.reshape(MEAN_COUNTS, (1, -1, 1, 1, 1))
    return rng.poisson(means, (STEPS, len(MEAN_COUNTS), *shape_CHW)).astype(np.float32)


def _compare(network: SpikingNetwork, session: StepSession, frames_TBCHW: npt.NDArray[np.float32]) -> Agreement:
    agreement = Agreement(steps=len(frames_TBCHW))
    batch = frames_TBCHW.shape[1]
    weight = next(network.parameters())
    state, own_state = network.initial_state(batch), session.initial_state(batch)
    logits_T: list[npt.NDArray[Any]] = []
    own_logits_T: list[npt.NDArray[Any]] = []
    ever = np.zeros(len(state) + 1, dtype=bool)
    for frame_BCHW in frames_TBCHW:
        forced = session.step(frame_BCHW, _to_numpy(state))
        with _WatchedCells(network) as cells:
            frame = torch.from_numpy(frame_BCHW).to(weight)
            logits, state = network.step(frame, state)
        ever |= _compare_step(agreement, cells.near, (*_to_numpy(state), logits.cpu().numpy()), (*forced[1], forced[0]))
        own_logits, own_state = session.step(frame_BCHW, own_state)
        logits_T.append(logits.cpu().numpy())
        own_logits_T.append(own_logits)
    agreement.never_compared = int(np.sum(~ever))
    agreement.same_predictions = _same_predictions(mean_logits(logits_T), mean_logits(own_logits_T))
    return agreement


def _compare_step(
    agreement: Agreement,
    near: list[npt.NDArray[np.bool_]],
    expected: tuple[npt.NDArray[Any], ...],
    got: tuple[npt.NDArray[Any], ...],
) -> npt.NDArray[np.bool_]:
    """Compare states in the order of the layers, then the logits; returns the mask of those compared.

    A sequence in which a neuron fired on one side only is not compared in later layers of this step.
    """
    followed = np.ones(len(expected[-1]), dtype=bool)
    compared = np.zeros(len(expected), dtype=bool)
    for index, (ours, theirs) in enumerate(zip(expected, got, strict=True)):
        difference = np.abs(ours - theirs)[followed]
        agreement.skipped += ours[~followed].size
        if difference.size == 0:
            continue
        compared[index] = True
        excused = (
            (difference > TOLERANCE) & near[index][followed] if index < len(near) else np.zeros_like(difference, bool)
        )
        agreement.near_threshold += int(excused.sum())
        agreement.compared += int(difference.size - excused.sum())
        agreement.largest_difference = max(
            agreement.largest_difference, float(np.max(difference, initial=0, where=~excused))
        )
        followed[followed] = ~excused.reshape(len(excused), -1).any(1)
    return compared


def _same_predictions(ours_BK: npt.NDArray[Any], theirs_BK: npt.NDArray[Any]) -> bool:
    chosen = np.take_along_axis(ours_BK, theirs_BK.argmax(1)[:, None], 1)[:, 0]
    return bool(np.all(ours_BK.max(1) - chosen < TIE))


class _WatchedCells:
    """Records, for each entry of the state, the neurons within the tolerance of their threshold."""

    def __init__(self, network: SpikingNetwork) -> None:
        self._cells = [module for module in network.modules() if isinstance(module, NeuronCell)]
        self._handles: list[Any] = []
        self.near: list[npt.NDArray[np.bool_]] = []

    def __enter__(self) -> "_WatchedCells":
        self._handles = [cell.register_forward_pre_hook(self._note) for cell in self._cells]
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _note(self, cell: NeuronCell, arguments: tuple[Tensor, Any]) -> None:
        near = (cell.distance_to_threshold(*arguments).abs() <= TOLERANCE).cpu().numpy()
        self.near.extend([near] * cell.state_count)


def _to_numpy(state: State) -> tuple[npt.NDArray[Any], ...]:
    return tuple(entry.cpu().numpy() for entry in state)
