"""Evaluation of a network on clips that it was not trained on.

The readout is that of live inference: state zeroed at each clip, logits averaged over the clip, softmax of the mean.

Shape letters: N clips, B clips of a batch, T time steps, C channels, H rows, W columns, K classes,
R recordings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from stdl_events.analysis.baselines import chance
from stdl_events.frames import FrameSpec
from stdl_events.live.readout import softmax
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.readout import Readout
from stdl_events.recordings.clips import ClipArray
from stdl_events.recordings.entry import RecordingSet
from stdl_events.training.data import Counts, batch_of, ordered_batches

Floats = npt.NDArray[np.float64]
MeanLogits = Callable[[Counts], npt.NDArray[np.floating]]
"""frames_TBCHW -> the mean over time of the logits, [B, K]."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions for every clip of a set of recordings.

    Attributes:
        recordings: the recordings of the clips; its classes are the labels.
        probabilities_NK: softmax of each clip's mean logits.
        frame_spec: of the clips, if known.
    """

    recordings: RecordingSet
    clips: ClipArray
    probabilities_NK: Floats
    frame_spec: FrameSpec | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return self.recordings.classes

    @cached_property
    def predicted_N(self) -> npt.NDArray[np.intp]:
        return self.probabilities_NK.argmax(1)

    @property
    def accuracy(self) -> float:
        return float((self.predicted_N == self.clips.targets_N).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy of the clips."""
        own_N = self.probabilities_NK[np.arange(len(self.clips)), self.clips.targets_N]
        return float(-np.log(np.maximum(own_N, np.finfo(np.float64).tiny)).mean())

    @property
    def chance(self) -> float:
        """Accuracy of always predicting the most frequent class."""
        return chance(self.clips)

    @cached_property
    def recording_is_right_R(self) -> npt.NDArray[np.bool_]:
        """For each recording with a clip: True if the mean of its clips' probabilities is highest for its class."""
        entry_R, first_R = np.unique(self.clips.entry_index_N, return_index=True)
        sums_RK = np.zeros((len(entry_R), len(self.labels)))
        np.add.at(sums_RK, np.searchsorted(entry_R, self.clips.entry_index_N), self.probabilities_NK)
        right_R: npt.NDArray[np.bool_] = sums_RK.argmax(1) == self.clips.targets_N[first_R]
        return right_R

    @property
    def recording_accuracy(self) -> float:
        return float(self.recording_is_right_R.mean())

    @property
    def confusion_KK(self) -> npt.NDArray[np.int64]:
        """Counts of clips, row: true class, column: predicted class."""
        counts_KK = np.zeros((len(self.labels),) * 2, np.int64)
        np.add.at(counts_KK, (self.clips.targets_N, self.predicted_N), 1)
        return counts_KK

    @property
    def class_accuracy_K(self) -> Floats:
        """Accuracy on the clips of each class; NaN for a class without clips."""
        confusion_KK = self.confusion_KK
        counts_K = confusion_KK.sum(1).astype(np.float64)
        return np.divide(confusion_KK.diagonal(), counts_K, out=np.full_like(counts_K, np.nan), where=counts_K > 0)

    @property
    def mean_class_accuracy(self) -> float:
        """Mean of the classes' accuracies, whatever their sizes; one answer for all has one over their number."""
        return float(np.nanmean(self.class_accuracy_K))

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "accuracy": self.accuracy,
            "n": len(self.clips),
            "chance": self.chance,
            "class_accuracy": [None if np.isnan(value) else float(value) for value in self.class_accuracy_K],
            "mean_class_accuracy": self.mean_class_accuracy,
            "recording_accuracy": self.recording_accuracy,
            "recordings": len(self.recording_is_right_R),
            "too_short": len(self.recordings) - len(self.recording_is_right_R),
            "labels": list(self.labels),
            "confusion": self.confusion_KK.tolist(),
        }

    def predictions(self) -> list[dict[str, Any]]:
        """JSON-ready, one entry per clip: recording, start, true and predicted class, all probabilities."""
        return [
            {
                "key": self.recordings.entries[entry_index].key,
                "t_start_us": int(t_start_us),
                "label": self.labels[label],
                "predicted": self.labels[predicted],
                "probabilities": [round(float(value), 6) for value in row_K],
            }
            for entry_index, t_start_us, label, predicted, row_K in zip(
                self.clips.entry_index_N,
                self.clips.t_start_us_N,
                self.clips.targets_N,
                self.predicted_N,
                self.probabilities_NK,
                strict=True,
            )
        ]


def evaluate_clips(
    mean_logits: MeanLogits, recordings: RecordingSet, clips: ClipArray, *, batch_size: int
) -> Evaluation:
    """Run every clip of `recordings` through `mean_logits`, `batch_size` at a time."""
    logits_NK = np.concatenate(
        [mean_logits(batch_of(clips, indices)[0]) for indices in ordered_batches(len(clips), batch_size)]
    )
    return Evaluation(recordings, clips, softmax(logits_NK.astype(np.float64)))


def measures(name: str, evaluation: Evaluation) -> dict[str, float]:
    """Return its accuracy and loss for a row of the metrics, under a name."""
    return {f"{name}_accuracy": evaluation.accuracy, f"{name}_loss": evaluation.loss}


def held_out_measures(evaluation: Evaluation) -> dict[str, Any]:
    """Return its accuracy and number of clips for a model card."""
    return {"held_out_accuracy": evaluation.accuracy, "held_out_clips": len(evaluation.clips)}


def network_logits(network: SpikingNetwork) -> MeanLogits:
    """The trained network as a `MeanLogits`; switches it to evaluation mode."""
    weight = next(network.parameters())

    @torch.no_grad()
    def mean_logits(frames_TBCHW: Counts) -> npt.NDArray[np.floating]:
        network.eval()
        state = network.initial_state(frames_TBCHW.shape[1])
        readout = Readout()
        for frame_BCHW in torch.from_numpy(frames_TBCHW):
            logits_BK, state = network.step(frame_BCHW.to(device=weight.device, dtype=weight.dtype), state)
            readout.add([logits_BK])
        result: npt.NDArray[np.floating] = readout.mean().cpu().numpy()
        return result

    return mean_logits
