"""Variants of an exported file: other number formats, each compared with the float32 file before it is kept.

N clips, T time steps, C channels, H height, W width, K classes.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from stdl_events.errors import ModelError, VerificationError
from stdl_events.export.onnx import write_model
from stdl_events.export.precisions import PRECISIONS, ClipsNTCHW
from stdl_events.live.readout import mean_logits
from stdl_events.live.session import OnnxSession
from stdl_events.whole_file import whole_path

CLIPS = 64
LEAST_AGREEMENT = 0.9


@dataclass(frozen=True)
class Variant:
    """A file in another number format, and what became of the clips that it was compared on.

    Attributes:
        precision: what is in which format, in words.
        clips: number of clips to train.
        agreeing: clips to which both files give the same class.
        largest_difference: of the mean logits of a clip.
        float32_bytes, bytes: sizes of the files.
    """

    precision: str
    clips: int
    agreeing: int
    largest_difference: float
    float32_bytes: int
    bytes: int


def write_variant(precision: str, source: Path, frames_NTCHW: ClipsNTCHW, path: Path) -> Variant:
    """Write the file at `source` in another number format to `path`.

    Args:
        precision: a name of `PRECISIONS`.
        source: a verified float32 file.
        frames_NTCHW: clips to train, as the model takes them; never held-out ones.
        path: replaced atomically; unchanged if the files disagree.

    Raises:
        ModelError: the format is unknown or does not hold the weights, or `path` cannot be written.
        VerificationError: too many clips get another class.
    """
    session, convert = OnnxSession(source), PRECISIONS[precision].convert
    model, words = (onnx.load(source), precision) if convert is None else convert(source, frames_NTCHW)
    shapes = [[size.dim_value for size in value.type.tensor_type.shape.dim[1:]] for value in model.graph.input[1:]]
    card = session.card.model_copy(
        update={
            "provenance": {**session.card.provenance, "precision": words},
            "state_shapes": tuple(map(tuple, shapes)),
        }
    )
    with whole_path(path, room_for="model", error=ModelError) as partial:
        write_model(model, card, partial)
        ours_NK = clip_logits(session, frames_NTCHW)
        theirs_NK = clip_logits(OnnxSession(partial), frames_NTCHW)
        clips = len(frames_NTCHW)
        agreeing = int((ours_NK.argmax(1) == theirs_NK.argmax(1)).sum())
        if agreeing < LEAST_AGREEMENT * clips:
            raise VerificationError(
                str(path), got=f"another class for {clips - agreeing} of {clips} clips to train",
                expected=f"the same for at least {LEAST_AGREEMENT:.0%}", todo="export it with --precision float32",
            )  # fmt: skip
        size = partial.stat().st_size
    largest = float(np.abs(ours_NK - theirs_NK).max())
    return Variant(words, clips, agreeing, largest, source.stat().st_size, size)


def keep_variant(made: Path, path: Path) -> None:
    """Copy the file at `made` to `path`, which is replaced atomically.

    Raises:
        ModelError: `path` cannot be written.
    """
    with whole_path(path, room_for="model", error=ModelError) as partial:
        shutil.copyfile(made, partial)


def clip_logits(session: OnnxSession, frames_NTCHW: ClipsNTCHW) -> npt.NDArray[np.floating]:
    """Return the mean logits of each clip, [N, K]."""
    logits_TNK, _ = session.steps(frames_NTCHW.swapaxes(0, 1), session.initial_state(len(frames_NTCHW)))
    return mean_logits(list(logits_TNK))
