"""Mixes of the clips of a batch in pairs, with targets that are weights of the classes.

Shape letters: B clips of a batch, T time steps, C channels, H rows, W columns, K classes.
"""

import inspect

import numpy as np
import numpy.typing as npt

from stdl_events.events.transform_spec import TransformSpec
from stdl_events.frames.mix_registry import MIXES
from stdl_events.training.data import Counts


def mixed(
    frames_TBCHW: Counts,
    targets_B: npt.NDArray[np.int64],
    mix: TransformSpec,
    *,
    classes: int,
    cap: int,
    rng: np.random.Generator,
) -> tuple[Counts, npt.NDArray[np.float32]]:
    """(frames_TBCHW, targets_BK): each clip mixed with another of the batch by a draw of its own.

    The pairs are those of a random permutation, in which a clip may be its own partner. The input is not changed.

    Args:
        mix: of `MIXES`; its probability is the share of clips that are mixed.
        classes: K.
        cap: counts saturate at this value.
    """
    function = MIXES[mix.name]
    given = {name: value for name, value in {"rng": rng, "cap": cap}.items() if name in _takes(function)}
    own_BK = np.eye(classes, dtype=np.float32)[targets_B]
    frames, targets_BK = frames_TBCHW.copy(), own_BK.copy()
    for clip, partner in enumerate(rng.permutation(len(targets_B))):
        if rng.random() < mix.probability:
            pair = frames_TBCHW[:, clip], frames_TBCHW[:, partner]
            frames[:, clip], share = function(*pair, **mix.settings, **given)
            targets_BK[clip] = share * own_BK[clip] + (1 - share) * own_BK[partner]
    return frames, targets_BK


def _takes(function: object) -> set[str]:
    return set(inspect.signature(function).parameters) if callable(function) else set()
