"""Evaluation of a network on clips that it was not trained on.

The readout is that of live inference: state zeroed at each clip, logits averaged over the clip, softmax of the mean.

Shape letters: N clips, B clips of a batch, T time steps, C channels, H rows, W columns, K classes,
R recordings.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.baselines import chance
from stdl_events.analysis.thresholds import DecidedClips
from stdl_events.frames import FrameSpec
from stdl_events.live.readout import mean_logits, softmax
from stdl_events.live.session import OnnxSession
from stdl_events.model_card import ModelCard
from stdl_events.recordings.clips import ClipArray
from stdl_events.recordings.entry import RecordingSet
from stdl_events.training.data import Counts, batch_of, ordered_batches
from stdl_events.training.evaluation.density import Density
from stdl_events.training.evaluation.groups import group_rows
from stdl_events.training.evaluation.measures import ClassMeasures, Reliability, brier_score, or_none, top_accuracy
from stdl_events.training.evaluation.ridge_beside import NO_RIDGE, Ridge
from stdl_events.training.evaluation.spread import Interval, accuracy_interval, recording_of_entries

if TYPE_CHECKING:
    from stdl_events.network.network import SpikingNetwork

Floats = npt.NDArray[np.float64]
MeanLogits = Callable[[Counts], npt.NDArray[np.floating]]
"""frames_TBCHW -> the mean over time of the logits, [B, K]; over time, that of the first 1 to T steps, [T, B, K]."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions for every clip of a set of recordings.

    Attributes:
        recordings: the recordings of the clips; its classes are the labels.
        probabilities_NK: softmax of each clip's mean logits.
        frame_spec: of the clips, if known.
        predicted_TN: class predicted by the first 1 to T steps of each clip, if asked for.
        decided: the clips by the thresholds of the model's card, if it has some and the logits over time are known.
        running_logits_TNK: mean logits of the first 1 to T steps of each clip, float32, if asked for.
        ridge: accuracy of a ridge on summed events on the same clips.
        own: of the run's network, if this is the evaluation of a file exported from it.
        density: of the network's signals on these clips, if they were counted.
    """

    recordings: RecordingSet
    clips: ClipArray
    probabilities_NK: Floats
    frame_spec: FrameSpec | None = None
    predicted_TN: npt.NDArray[np.int32] | None = None
    running_logits_TNK: npt.NDArray[np.float32] | None = None
    decided: DecidedClips | None = None
    ridge: Ridge = NO_RIDGE
    own: "Evaluation | None" = None
    density: Density | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return self.recordings.classes

    @cached_property
    def predicted_N(self) -> npt.NDArray[np.intp]:
        return self.probabilities_NK.argmax(1)

    @cached_property
    def right_N(self) -> npt.NDArray[np.bool_]:
        right_N: npt.NDArray[np.bool_] = self.predicted_N == self.clips.targets_N
        return right_N

    @property
    def accuracy(self) -> float:
        return float(self.right_N.mean())

    @cached_property
    def recording_N(self) -> npt.NDArray[np.int64]:
        """Index of the recording of each clip; parts and takes of one file are one recording."""
        return recording_of_entries(self.recordings.entries)[self.clips.entry_index_N]

    @cached_property
    def accuracy_interval(self) -> Interval | None:
        """The 95 % interval of the accuracy; see `spread.accuracy_interval`."""
        return accuracy_interval(self.right_N, self.recording_N, self.clips.entry_index_N)

    @property
    def accuracy_T(self) -> Floats | None:
        """Accuracy of the first 1 to T steps of the clips; None unless it was asked for."""
        if self.predicted_TN is None:
            return None
        accuracy_T: Floats = (self.predicted_TN == self.clips.targets_N).mean(1)
        return accuracy_T

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

    @cached_property
    def class_measures(self) -> ClassMeasures:
        """Precision, recall and F1 of each class."""
        return ClassMeasures.of(self.confusion_KK)

    @property
    def class_accuracy_K(self) -> Floats:
        """Accuracy on the clips of each class, its recall; NaN for a class without clips."""
        return self.class_measures.recall_K

    @property
    def mean_class_accuracy(self) -> float:
        """Mean of the classes' accuracies, whatever their sizes; one answer for all has one over their number."""
        return float(np.nanmean(self.class_accuracy_K))

    def reliability(self) -> Reliability:
        """Return the accuracy by confidence, in bins."""
        return Reliability.of(self.probabilities_NK, self.clips.targets_N)

    def per_group(self, attribute: Literal["subject", "session"]) -> list[dict[str, Any]]:
        """Return the accuracy for each subject or session, JSON-ready; see `groups.group_rows`."""
        names = [getattr(self.recordings.entries[index], attribute) for index in self.clips.entry_index_N]
        return group_rows(names, self.right_N, self.recording_N, self.clips.entry_index_N)

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        interval, accuracy_T, reliability = self.accuracy_interval, self.accuracy_T, self.reliability()
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": None if interval is None else interval.document(),
            "n": len(self.clips),
            "chance": self.chance,
            "baselines": {
                "chance": self.chance,
                "ridge": self.ridge.accuracy,
                "finest_px": self.ridge.finest,
                "left_out": self.ridge.left_out,
            },
            "through": None if self.own is None else self._beside(self.own),
            "top5": top_accuracy(self.probabilities_NK, self.clips.targets_N),
            "macro_f1": self.class_measures.macro_f1,
            "nll": self.loss,
            "brier": brier_score(self.probabilities_NK, self.clips.targets_N),
            "ece": reliability.ece,
            "reliability": reliability.document(),
            "decided": None if self.decided is None else self.decided.document(),
            "over_time": None if accuracy_T is None else accuracy_T.tolist(),
            "density": None if self.density is None else self.density.document(),
            "per_class": self.class_measures.rows(self.labels),
            "per_subject": self.per_group("subject"),
            "per_session": self.per_group("session"),
            "class_accuracy": [or_none(value) for value in self.class_accuracy_K],
            "mean_class_accuracy": self.mean_class_accuracy,
            "recording_accuracy": self.recording_accuracy,
            "recordings": len(self.recording_is_right_R),
            "too_short": len(self.recordings) - len(self.recording_is_right_R),
            "labels": list(self.labels),
            "confusion": self.confusion_KK.tolist(),
        }

    def _beside(self, own: "Evaluation") -> dict[str, Any]:
        differ = int((own.predicted_N != self.predicted_N).sum())
        return {"network_accuracy": own.accuracy, "clips_that_differ": differ}

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
    mean_logits: MeanLogits,
    recordings: RecordingSet,
    clips: ClipArray,
    *,
    batch_size: int,
    over_time: bool = False,
    keep_logits: bool = False,
    temperature: float = 1.0,
) -> Evaluation:
    """Run every clip of `recordings` through `mean_logits`, `batch_size` at a time.

    Args:
        over_time: `mean_logits` returns the mean of the first 1 to T steps, and the class that each predicts is kept.
        keep_logits: with `over_time`, keep these means too, [T, N, K] float32.
        temperature: of the model's card, which divides the logits before the softmax, and not those that are kept.
    """
    logits_BK: list[npt.NDArray[np.floating]] = []
    predicted_TB: list[npt.NDArray[np.int32]] = []
    running_TBK: list[npt.NDArray[np.float32]] = []
    for indices in ordered_batches(len(clips), batch_size):
        logits = mean_logits(batch_of(clips, indices)[0])
        if over_time:
            predicted_TB.append(logits.argmax(-1).astype(np.int32))
            if keep_logits:
                running_TBK.append(logits.astype(np.float32))
            logits = logits[-1]
        logits_BK.append(logits)
    return Evaluation(
        recordings,
        clips,
        softmax(np.concatenate(logits_BK).astype(np.float64), temperature),
        predicted_TN=np.concatenate(predicted_TB, 1) if over_time else None,
        running_logits_TNK=np.concatenate(running_TBK, 1) if running_TBK else None,
    )


def decided_by(evaluation: Evaluation, card: ModelCard) -> DecidedClips | None:
    """The decisions by the thresholds of a card; None without thresholds, or without logits over time."""
    running_TNK = evaluation.running_logits_TNK
    if running_TNK is None or card.decision is None:
        return None
    probabilities_NTK = softmax(running_TNK.transpose(1, 0, 2).astype(np.float64), card.temperature)
    return DecidedClips.of(probabilities_NTK, evaluation.clips.targets_N, card.decision)


def measures(name: str, evaluation: Evaluation) -> dict[str, float]:
    """Return its accuracy and loss for a row of the metrics, under a name."""
    return {f"{name}_accuracy": evaluation.accuracy, f"{name}_loss": evaluation.loss}


def held_out_measures(evaluation: Evaluation) -> dict[str, Any]:
    """Return its accuracy and number of clips for a model card."""
    return {"held_out_accuracy": evaluation.accuracy, "held_out_clips": len(evaluation.clips)}


def network_logits(network: "SpikingNetwork", *, over_time: bool = False) -> MeanLogits:
    """The trained network as a `MeanLogits`; switches it to evaluation mode."""
    import torch

    from stdl_events.network.readout import running_means

    def of_clips(frames_TBCHW: Counts) -> npt.NDArray[np.floating]:
        means = running_means(network, torch.from_numpy(frames_TBCHW))
        mean = torch.stack(list(means)) if over_time else deque(means, maxlen=1)[0]
        found: npt.NDArray[np.floating] = mean.cpu().numpy()
        return found

    return of_clips


def session_logits(session: OnnxSession, *, over_time: bool = False) -> MeanLogits:
    """An exported model as a `MeanLogits`."""

    def of_clips(frames_TBCHW: Counts) -> npt.NDArray[np.floating]:
        logits_TBK, _ = session.steps(frames_TBCHW, session.initial_state(frames_TBCHW.shape[1]))
        if not over_time:
            return mean_logits(list(logits_TBK))
        counts_T11 = np.arange(1, len(logits_TBK) + 1)[:, None, None]
        running_TBK: npt.NDArray[np.floating] = np.cumsum(logits_TBK, axis=0, dtype=np.float64) / counts_T11
        return running_TBK

    return of_clips
