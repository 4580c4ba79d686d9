"""The frames on which an exported file is compared with its network: simulated ones, and held-out clips.

N clips, T time steps, B batch, C channels, H height, W width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.frames import FrameSpec
from stdl_events.frames.picture import repeated

# Events per pixel and step of the simulated frames: from an almost still scene to a busy one.
MEAN_COUNTS = (0.02, 0.1, 0.3, 1.0)
# The exporter sees a batch of 2; a size that it took for a constant shows in others.
BATCH_SIZES = (1, 3)
SEQUENCES = sum(BATCH_SIZES)


@dataclass(frozen=True)
class Sequences:
    """A batch of sequences.

    Attributes:
        frames_TBCHW: as the network takes them.
        clip_steps: the state is zeroed every so many steps, as live inference does at each clip.
    """

    frames_TBCHW: npt.NDArray[Any]
    clip_steps: int


def simulated(shape_CHW: tuple[int, int, int], spec: FrameSpec, *, steps: int, seed: int) -> Iterator[Sequences]:
    """Yield Poisson counts, a sequence for each mean count, never zeroed; for a model of pictures, random pictures."""
    rng = np.random.default_rng(seed)
    if spec.kind == "picture":
        pixels_BCHW = rng.integers(0, 256, (len(MEAN_COUNTS), *shape_CHW), np.uint8)
        frames_TBCHW = repeated(spec.picture.scaled(pixels_BCHW), steps)
    else:
        means = np.reshape(MEAN_COUNTS, (1, -1, 1, 1, 1))
        frames_TBCHW = rng.poisson(means, (steps, len(MEAN_COUNTS), *shape_CHW)).astype(np.float32)
    yield from _in_batches(frames_TBCHW, steps)


def clips_needed(steps: int, clip_steps: int) -> int:
    """Return how many clips fill all sequences."""
    return SEQUENCES * -(-steps // clip_steps)


def held_out(clips_NTCHW: npt.NDArray[Any], *, steps: int) -> tuple[int, Iterator[Sequences]]:
    """Join clips to sequences.

    Args:
        clips_NTCHW: repeated where they are too few; those beyond `clips_needed` are left out, evenly.

    Returns:
        The number of different clips, and the sequences.
    """
    count, clip_steps = clips_NTCHW.shape[:2]
    needed = clips_needed(steps, clip_steps)
    few = np.arange(needed) % count
    chosen_N = few if count < needed else np.linspace(0, count - 1, needed).round().astype(int)
    parts = np.split(chosen_N, SEQUENCES)
    joined = [np.concatenate(list(clips_NTCHW[part_N]))[:steps] for part_N in parts]
    return len(np.unique(chosen_N)), _in_batches(np.stack(joined, axis=1), clip_steps)


def _in_batches(frames_TBCHW: npt.NDArray[Any], clip_steps: int) -> Iterator[Sequences]:
    start = 0
    for size in BATCH_SIZES:
        yield Sequences(frames_TBCHW[:, start : start + size], clip_steps)
        start += size
