"""The ridge on summed events beside the accuracies of a run: what the same clips tell without time.

It depends on the split and the frames alone, so a run fits it once and keeps the result in its folder.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from stdl_events.analysis.baselines import POOLS, ridge_accuracies, ridge_bytes, ridge_multiplications
from stdl_events.errors import DatasetError, RunError
from stdl_events.frames import FrameSpec
from stdl_events.recordings.clips import ClipArray
from stdl_events.recordings.splits.sides import Side
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
from stdl_events.training.run_folder import BASELINES_FILE, write_json
from stdl_events.training.settings import TrainConfig

ANYWAY = "stdl-events evaluate --baseline fits it anyway"
# About ten seconds of one core, and what a laptop spares.
MAX_MULTIPLICATIONS = 2 * 10**11
MAX_BYTES = 1 << 30
# Files of training recordings that are read within seconds.
MAX_FILE_BYTES = 200 * 10**6


@dataclass(frozen=True)
class Ridge:
    """The accuracy of the ridge, or why there is none.

    Attributes:
        accuracy: None if it was left out.
        left_out: why; empty if it was not, or not asked for.
        finest: side of the smallest squares of pixels that it sums over; 1 is every pixel.
    """

    accuracy: float | None = None
    left_out: str = ""
    finest: int = 1


NO_RIDGE = Ridge()
Ridges = Callable[[Mapping[Side, ClipArray]], dict[Side, Ridge]]


class _Stored(BaseModel):
    """The file of a run."""

    frames: dict[str, Any]
    train_clips: int
    ridge: dict[Side, float] | None
    left_out: str
    finest: int = 1
    seconds: float


def ridges_of(clips: Mapping[Side, ClipArray], *, at_any_cost: bool = False) -> dict[Side, Ridge]:
    """Return the ridge fitted to the training clips, for each other side.

    Squares of pixels for which it would take long or much memory are not tried.

    Args:
        at_any_cost: try them too.
    """
    train = clips["train"]
    others = {side: own for side, own in clips.items() if side != "train"}
    pools = POOLS if at_any_cost else [pool for pool in POOLS if _is_cheap(train, pool)]
    if not pools:
        problem = f"{len(train)} training clips of this size take minutes or much memory; {ANYWAY}"
        return dict.fromkeys(others, Ridge(None, problem))
    try:
        found = ridge_accuracies(train, others, pools=pools)
    except DatasetError as error:
        return dict.fromkeys(others, Ridge(None, f"{error.got}, where it needs {error.expected}"))
    return {side: Ridge(accuracy, finest=min(pools)) for side, accuracy in found.items()}


def fit_ridges(
    folder: Path, clips: Mapping[Side, ClipArray], frame_spec: FrameSpec, ridges: Ridges = ridges_of
) -> dict[Side, Ridge]:
    """Return the ridge for each side but the training side, and keep it in the folder of the run.

    Args:
        ridges: returns them for the clips.

    Raises:
        RunError: the folder cannot be written to.
    """
    began_s = time.perf_counter()
    found = ridges(clips)
    accuracies = {side: ridge.accuracy for side, ridge in found.items()}
    document = {
        "frames": frame_spec.model_dump(mode="json"),
        "train_clips": len(clips["train"]),
        "ridge": None if None in accuracies.values() else accuracies,
        "left_out": found["test"].left_out,
        "finest": found["test"].finest,
        "seconds": time.perf_counter() - began_s,
    }
    write_json(folder / BASELINES_FILE, document)
    return found


def stored_ridge(folder: Path, frame_spec: FrameSpec, side: Side) -> Ridge | None:
    """Return the ridge that the run in `folder` has kept for clips of `frame_spec`; None if it has none.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / BASELINES_FILE
    try:
        stored = _Stored.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise RunError(
            str(path), got="a file that is damaged", expected="the baselines that a training wrote",
            todo="delete it; --baseline fits them again",
        ) from None  # fmt: skip
    if stored.frames != frame_spec.model_dump(mode="json"):
        return None
    if stored.ridge is None:
        return Ridge(None, stored.left_out)
    return Ridge(stored.ridge[side], finest=stored.finest) if side in stored.ridge else None


def too_much_to_read(config: TrainConfig, folder: Path) -> str:
    """Return why the training recordings of a run are not read for a ridge alone; empty if they are few or prepared."""
    listed = None if config.data.prepared is not None else read_split_list(folder / SPLIT_FILE)
    total = 0 if listed is None else sum(row.bytes or 0 for row in listed.side("train"))
    return f"{total / 1e9:.1f} GB of training recordings would be read; {ANYWAY}" if total > MAX_FILE_BYTES else ""


def _is_cheap(train: ClipArray, pool: int) -> bool:
    return ridge_multiplications(train, pool) <= MAX_MULTIPLICATIONS and ridge_bytes(train, pool) <= MAX_BYTES
