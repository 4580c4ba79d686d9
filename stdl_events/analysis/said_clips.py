"""The predictions recorded beside a recording, clip by clip, for its pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.live.decision import WORDS
from stdl_events.live.recogniser import Prediction
from stdl_events.live.recorded_predictions import predictions_beside, read_predictions


@dataclass(frozen=True)
class SaidClip:
    """What was said of a clip.

    Attributes:
        t_start_us, t_end_us: of the clip, in the recording's clock.
        word: the decision, or the word for none.
        probability: of the most probable class at the clip's end.
    """

    t_start_us: int
    t_end_us: int
    word: str
    probability: float

    @property
    def text(self) -> str:
        return f"{self.word} {self.probability:.2f}"


def clips_said(recording: Path, start_us: int, stop_us: int) -> list[SaidClip]:
    """Return what is said in the file beside `recording` of the clips from `start_us` to before `stop_us`.

    None if there is no such file.

    Raises:
        RecordingError: it is unreadable, or holds something else.
    """
    path = predictions_beside(recording)
    if not path.is_file():
        return []
    clips = groupby(read_predictions(path), key=lambda prediction: (prediction.clip, prediction.t_start_us))
    said = [_said(list(of_clip)) for _, of_clip in clips]
    return [clip for clip in said if clip.t_end_us > start_us and clip.t_start_us < stop_us]


def _said(predictions: Sequence[Prediction]) -> SaidClip:
    last = predictions[-1]
    word = last.decision or WORDS.get(last.state, "undecided")
    start_us = last.t_us if last.t_start_us is None else last.t_start_us
    return SaidClip(start_us, last.t_us, word, max(last.probabilities.values()))


def said_at(clips: Sequence[SaidClip], times_us_N: npt.NDArray[np.int64]) -> list[str]:
    """Return what was said of the clip around each time; empty where there is none."""
    found = []
    for t_us in times_us_N.tolist():
        found.append(next((clip.text for clip in clips if clip.t_start_us <= t_us < clip.t_end_us), ""))
    return found


def runs_said(clips: Sequence[SaidClip]) -> list[tuple[SaidClip, int]]:
    """Return clips that follow each other and say the same as one, with their number and their mean probability."""
    runs = []
    for _, group in groupby(clips, key=lambda clip: clip.word):
        same = list(group)
        mean = sum(clip.probability for clip in same) / len(same)
        runs.append((SaidClip(same[0].t_start_us, same[-1].t_end_us, same[0].word, mean), len(same)))
    return runs
