"""Rates of events in clips of labelled movements, and in the parts of the same recordings where nothing moves.

Both are of the frames that the model sees: after filters, geometry and cap, as the decisions of a live run count them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.movement_score import EARLY_US, LATE_US
from stdl_events.frames import FrameSpec
from stdl_events.recordings.cutting import cut_clips
from stdl_events.recordings.entry import WHOLE, Entry
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
from stdl_events.training.evaluation.evaluate_clips import Evaluation

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClipRates:
    """Events per second of clips.

    Attributes:
        refused: why there are none, in words; empty if there are.
    """

    moving_hz_N: Floats
    still_hz_M: Floats
    refused: str = ""


def clip_rates(evaluation: Evaluation, folder: Path) -> ClipRates:
    """Return the rates of the clips of an evaluation of the run in `folder`, and of its recordings' still parts.

    A still clip is one on the recording's own grid that lies in the window of no labelled movement, see
    `stdl_events.analysis.movement_score`. Only recordings whose parts are all on the evaluated side are read.
    """
    spec, parts = evaluation.frame_spec, _parts(evaluation, folder)
    if spec is None or spec.kind != "stream" or spec.dt_us is None:
        return _refused("the model's frames are not windows of a fixed time")
    if not parts:
        return _refused("no recording of this side alone has labelled movements")
    if any(not entries[0].path.exists() for entries in parts):
        return _refused("the recordings are not there, only the clips of a store")
    still_hz = [rate for entries in parts for rate in _still_rates(entries, spec)]
    if not still_hz:
        return _refused("no clip lies between the labelled movements")
    clip_s = spec.steps * spec.dt_us / 1e6
    frames_NTCHW = evaluation.clips.frames_NTCHW
    moving_hz = [int(np.asarray(frames_NTCHW[clip]).sum()) / clip_s for clip in range(len(evaluation.clips))]
    return ClipRates(np.array(moving_hz), np.array(still_hz))


def _refused(why: str) -> ClipRates:
    return ClipRates(np.zeros(0), np.zeros(0), why)


def _parts(evaluation: Evaluation, folder: Path) -> list[list[Entry]]:
    """Return the labelled parts of each recording that no other side of the split has a part of."""
    listed = read_split_list(folder / SPLIT_FILE)
    rows = () if listed is None else listed.recordings
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row.path, set()).add(row.side)
    shared = {row.key for row in rows if len(sides[row.path]) > 1}
    found: dict[tuple[object, ...], list[Entry]] = {}
    for entry in evaluation.recordings.entries:
        if not entry.is_whole and entry.key not in shared:
            found.setdefault(entry.recording, []).append(entry)
    return list(found.values())


def _still_rates(entries: list[Entry], spec: FrameSpec) -> list[float]:
    """Return the rate of each clip of a recording that is in no window of a movement."""
    windows = [(start - EARLY_US, stop + LATE_US) for start, stop in (entry.times_us() for entry in entries)]
    whole = replace(entries[0], span=WHOLE, begin=None)
    return [
        int(clip.frames_TCHW.sum()) * 1e6 / (clip.t_end_us - clip.t_start_us)
        for clip in cut_clips(whole, whole.open(), spec)
        if not any(clip.t_start_us < stop and start < clip.t_end_us for start, stop in windows)
    ]
