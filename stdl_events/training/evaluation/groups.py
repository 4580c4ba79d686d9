"""Accuracy by who was recorded and when, where the recordings say it.

Shape letters: N clips.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.training.evaluation.spread import accuracy_interval


def group_rows(
    names: Sequence[str | None],
    right_N: npt.NDArray[np.bool_],
    recording_N: npt.NDArray[np.integer],
    part_N: npt.NDArray[np.integer],
) -> list[dict[str, Any]]:
    """Return the accuracy of each group of clips, JSON-ready, by name; none if no clip names its group.

    Clips without a name come last, as one row whose name is None.

    Args:
        names: the group of each clip.
        right_N: whether the clip's prediction is right.
        recording_N, part_N: see `accuracy_interval`.
    """
    known = sorted({name for name in names if name is not None})
    if not known:
        return []
    rows = []
    for name in (*known, None):
        chosen_N = np.array([own == name for own in names])
        if not chosen_N.any():
            continue
        interval = accuracy_interval(right_N[chosen_N], recording_N[chosen_N], part_N[chosen_N])
        rows.append(
            {
                "name": name,
                "clips": int(chosen_N.sum()),
                "recordings": len(np.unique(recording_N[chosen_N])),
                "accuracy": float(right_N[chosen_N].mean()),
                "interval": None if interval is None else interval.document(),
            }
        )
    return rows
