"""Comparison of the exported file with the network, through the session that will run it on the device.

Two comparisons on the same frames, simulated ones and clips of held-out recordings. Teacher-forced: in every step both
start from the network's state, so that a difference shows where it arises. Free-running: each keeps its own state, as
on the device.

Folded norms round differently, so a neuron within rounding of its threshold may fire on one side only. Such neurons,
and the values that later layers compute from them in that step, are counted instead of compared. So are potentials in
eight bits that are rounded to neighbouring integers because they lie within rounding of the middle between both.

B batch, C channels, H height, W width, K classes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from stdl_events.export.agreement import TOLERANCE, Agreement, LayerAgreement
from stdl_events.export.sequences import BATCH_SIZES, SEQUENCES, Sequences, held_out, simulated
from stdl_events.export.watched import Near, WatchedCells
from stdl_events.live.readout import mean_logits
from stdl_events.live.session import OnnxSession, StepSession
from stdl_events.network.layers import Layer, State
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.neurons.eight_bits import LEAST, MOST

Progress: TypeAlias = Callable[[int, int], None]
"""Takes the number of steps that were compared, each of a batch of sequences, and that of all."""

STEPS = 200
# Two classes whose mean logits differ by less than this are a tie.
TIE = 1e-3


def compare(
    network: SpikingNetwork,
    path: Path,
    held_out_NTCHW: npt.NDArray[Any] | None = None,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Agreement:
    """Run the ONNX file at `path` beside `network` over simulated frames and held-out clips.

    Args:
        held_out_NTCHW: clips as the network takes them, joined to sequences of `steps` frames; see `sequences`.
        seed: of the simulated frames.
        progress: called after each step.

    Raises:
        ModelError: the file does not load.
    """
    return compare_session(network, OnnxSession(path), held_out_NTCHW, steps=steps, seed=seed, progress=progress)


def compare_session(
    network: SpikingNetwork,
    session: StepSession,
    held_out_NTCHW: npt.NDArray[Any] | None = None,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Agreement:
    """Run the model in `session` beside `network`, whose state it has; see `compare`."""
    agreement = Agreement(steps, simulated_sequences=SEQUENCES, batch_sizes=BATCH_SIZES)
    parts: Iterable[Sequences] = simulated(network.spec.input_shape, session.card.frame, steps=steps, seed=seed)
    if held_out_NTCHW is not None:
        agreement.held_out_clips, real = held_out(held_out_NTCHW, steps=steps)
        parts = chain(parts, real)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            _Comparison(network, session, agreement, progress).run([*parts])
    finally:
        network.train(was_training)
    return agreement


class _Comparison:
    """Both sides, and what was found so far."""

    def __init__(
        self, network: SpikingNetwork, session: StepSession, agreement: Agreement, progress: Progress | None
    ) -> None:
        self._network, self._session, self._agreement = network, session, agreement
        self._progress, self._done, self._total = progress, 0, 0
        self._weight = next(network.parameters())
        layers = network.layers_in_order()
        agreement.layers = [
            LayerAgreement(f"{number}. {layer.spec}", _neurons(layer)) for number, layer in enumerate(layers, start=1)
        ]
        # The layer of each entry of the state; the logits are the last layer's.
        self._layer_of = [number for number, layer in enumerate(layers) for _ in layer.state_shapes]
        self._layer_of.append(len(layers) - 1)
        self._ever = np.zeros(len(self._layer_of), dtype=bool)

    def run(self, parts: Sequence[Sequences]) -> None:
        """Compare all sequences."""
        found = self._agreement
        self._total = sum(len(part.frames_TBCHW) for part in parts)
        with WatchedCells(self._network, TOLERANCE) as cells:
            for part in parts:
                for start in range(0, len(part.frames_TBCHW), part.clip_steps):
                    self._clip(part.frames_TBCHW[start : start + part.clip_steps], cells)
        for layer, spikes in zip(found.layers, cells.spikes_L, strict=True):
            layer.spikes = spikes
        found.add_up()
        found.never_compared = int(np.sum(~self._ever))

    def _clip(self, frames_TBCHW: npt.NDArray[Any], cells: WatchedCells) -> None:
        """Compare one clip of each sequence, from the zeroed state."""
        batch = frames_TBCHW.shape[1]
        state, own_state = self._network.initial_state(batch), self._session.initial_state(batch)
        logits_TBK: list[npt.NDArray[Any]] = []
        own_logits_TBK: list[npt.NDArray[Any]] = []
        for frame_BCHW in frames_TBCHW:
            forced = self._session.step(frame_BCHW, _to_numpy(state))
            cells.begin_step()
            logits, state = self._network.step(torch.from_numpy(frame_BCHW).to(self._weight), state)
            logits_TBK.append(logits.cpu().numpy())
            self._step(cells.near, (*_to_numpy(state), logits_TBK[-1]), (*forced[1], forced[0]))
            own_logits, own_state = self._session.step(frame_BCHW, own_state)
            own_logits_TBK.append(own_logits)
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)
        self._classes(mean_logits(logits_TBK), mean_logits(own_logits_TBK))

    def _step(
        self, near: Sequence[Near], expected: Sequence[npt.NDArray[Any]], got: Sequence[npt.NDArray[Any]]
    ) -> None:
        """Compare states in the order of the layers, then the logits.

        A sequence in which a neuron fired on one side only is not compared in later layers of this step.
        """
        followed = np.ones(len(expected[-1]), dtype=bool)
        for index, (ours, theirs) in enumerate(zip(expected, got, strict=True)):
            layer = self._agreement.layers[self._layer_of[index]]
            difference = self._difference(index, ours, theirs, near)
            if not followed.all():
                difference = difference[followed]
                layer.skipped += ours[~followed].size
                if difference.size == 0:
                    continue
            self._ever[index] = True
            layer.compared += difference.size
            largest = float(difference.max())
            if largest > TOLERANCE and index < len(near):
                excused = (difference > TOLERANCE) & near[index].threshold()[followed]
                layer.near_threshold += int(excused.sum())
                layer.compared -= int(excused.sum())
                largest = float(np.max(difference, initial=0, where=~excused))
                followed[followed] = ~excused.reshape(len(excused), -1).any(1)
            layer.largest_difference = max(layer.largest_difference, largest)

    def _difference(
        self, index: int, ours: npt.NDArray[Any], theirs: npt.NDArray[Any], near: Sequence[Near]
    ) -> npt.NDArray[Any]:
        """Absolute differences; none where a potential in eight bits was rounded to the neighbouring integer.

        That changes no spike of this step, and each side goes on from the network's state.
        """
        if ours.dtype != np.int8:
            return np.abs(ours - theirs)
        whole = np.abs(ours.astype(np.int16) - theirs)
        layer, apart = self._agreement.layers[self._layer_of[index]], whole == 1
        if apart.any():
            rounded = apart & near[index].rounding()
            layer.near_rounding += int(rounded.sum())
            whole[rounded] = 0
        layer.at_the_ends += int(np.sum((ours == LEAST) | (ours == MOST)))
        return whole * (self._network.state_scale or 1.0)

    def _classes(self, ours_BK: npt.NDArray[Any], theirs_BK: npt.NDArray[Any]) -> None:
        """Compare the readout of a clip; a tie has two classes."""
        chosen_B = np.take_along_axis(ours_BK, theirs_BK.argmax(1)[:, None], 1)[:, 0]
        found = self._agreement
        found.runs += len(ours_BK)
        found.other_classes += int((ours_BK.max(1) - chosen_B >= TIE).sum())
        found.largest_free_difference = max(found.largest_free_difference, float(np.abs(ours_BK - theirs_BK).max()))


def _neurons(layer: Layer) -> int:
    """Return the number of neurons of a layer."""
    counts = [module.state_count for module in layer.modules() if isinstance(module, NeuronCell)]
    return sum(math.prod(shape) for shape in layer.state_shapes) // counts[0] if counts else 0


def _to_numpy(state: State) -> tuple[npt.NDArray[Any], ...]:
    return tuple(entry.cpu().numpy() for entry in state)
