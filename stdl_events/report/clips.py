"""The worst clips of an evaluation as pictures.

Shape letters: N clips, K classes, T time steps, C=2 polarities, H rows, W columns.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.canvas import Pixels, sum_squares
from stdl_events.analysis.html_page import data_uri
from stdl_events.analysis.plots import full_colour, polarity_picture
from stdl_events.training.evaluation.evaluate_clips import Evaluation

CLIPS_SHOWN = 12
CLIPS_OF_A_PAIR = 3
FRAMES_SHOWN = 8
LARGEST_SIDE = 96
# Few colours make small pictures.
LEVELS = 8
BYTES_OF_PICTURES = 900_000


@dataclass(frozen=True)
class Picture:
    """A frame: the address of its image, and its time step from 1."""

    address: str
    step: int


@dataclass(frozen=True)
class WorstClip:
    """A clip with its true class and the one that it was recognised as.

    Attributes:
        sure, own: probability of the predicted class and of the true one.
        key: its recording.
        start_s: its start in the recording's clock.
    """

    label: str
    predicted: str
    sure: float
    own: float
    key: str
    start_s: float
    steps: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class WorstClips:
    """The clips that were recognised most confidently as another class.

    Attributes:
        wrong: number of wrong clips.
        are_wrong: False if no clip is wrong; the clips are then the least sure ones.
    """

    clips: tuple[WorstClip, ...]
    wrong: int
    are_wrong: bool


def worst_clips(evaluation: Evaluation) -> WorstClips:
    """Return the most confident wrong clips; without any, the right ones with the least confidence."""
    wrong_N = evaluation.predicted_N != evaluation.clips.targets_N
    sure_N = evaluation.probabilities_NK.max(1)
    if wrong_N.any():
        order_N = _mixed(evaluation, np.lexsort((-sure_N, ~wrong_N))[: int(wrong_N.sum())])
    else:
        order_N = np.argsort(sure_N, kind="stable")
    shown = tuple(_within_bytes(_clip(evaluation, int(index)) for index in order_N[:CLIPS_SHOWN]))
    return WorstClips(shown, int(wrong_N.sum()), bool(wrong_N.any()))


def _mixed(evaluation: Evaluation, order_N: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return the order with at most `CLIPS_OF_A_PAIR` clips of each pair of a true and a predicted class."""
    pairs = zip(evaluation.clips.targets_N[order_N].tolist(), evaluation.predicted_N[order_N].tolist(), strict=True)
    seen: Counter[tuple[int, int]] = Counter()
    keep = []
    for pair in pairs:
        seen[pair] += 1
        keep.append(seen[pair] <= CLIPS_OF_A_PAIR)
    return order_N[np.array(keep)]


def _within_bytes(clips: Iterator[WorstClip]) -> Iterator[WorstClip]:
    """Yield clips until their pictures are as large as a page may hold."""
    left = BYTES_OF_PICTURES
    for clip in clips:
        left -= sum(len(picture.address) for picture in clip.pictures)
        if left < 0:
            return
        yield clip


def _clip(evaluation: Evaluation, index: int) -> WorstClip:
    clips, probabilities_K = evaluation.clips, evaluation.probabilities_NK[index]
    label, predicted = int(clips.targets_N[index]), int(evaluation.predicted_N[index])
    frames_TCHW = np.asarray(clips.frames_NTCHW[index])
    return WorstClip(
        evaluation.labels[label],
        evaluation.labels[predicted],
        float(probabilities_K[predicted]),
        float(probabilities_K[label]),
        evaluation.recordings.entries[clips.entry_index_N[index]].key,
        float(clips.t_start_us_N[index]) / 1e6,
        len(frames_TCHW),
        tuple(_pictures(frames_TCHW)),
    )


def _pictures(frames_TCHW: npt.NDArray[np.uint8]) -> Iterator[Picture]:
    """Yield frames spread evenly over a clip; a static picture, which is repeated, once."""
    steps = len(frames_TCHW)
    if frames_TCHW.strides[0] == 0 or frames_TCHW.shape[1] != 2:
        steps = 1
    at = np.unique(np.linspace(0, steps - 1, min(steps, FRAMES_SHOWN)).round().astype(int)).tolist()
    scale = full_colour(frames_TCHW[at])
    for step in islice(at, FRAMES_SHOWN):
        yield Picture(data_uri(_pixels(frames_TCHW[step], scale)), step + 1)


def _pixels(frame_CHW: npt.NDArray[np.uint8], scale: float) -> Pixels:
    if frame_CHW.shape[0] != 2:
        return np.moveaxis(frame_CHW[:3] if len(frame_CHW) >= 3 else frame_CHW[:1].repeat(3, 0), 0, 2)
    factor = -(-max(frame_CHW.shape[1:]) // LARGEST_SIDE)
    counts_CHW = sum_squares(frame_CHW, factor) / factor
    strength_CHW = np.ceil(np.minimum(counts_CHW / scale, 1) * LEVELS)
    return (polarity_picture(strength_CHW, LEVELS) * 255).round().astype(np.uint8)
