"""An exported file with its products in eight bits: Conv and Gemm, weights per channel, activations calibrated.

onnxruntime's static quantisation in QDQ form. Neurons stay in float32, so the state is what it was. Spikes survive
exactly, since 0 and 1 are the ends of their range; pooled spikes, counts and weights are rounded.

N clips, T time steps, B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from stdl_events.errors import ModelError, VerificationError
from stdl_events.export.onnx import silenced, write_model
from stdl_events.live.readout import mean_logits
from stdl_events.live.session import OnnxSession
from stdl_events.whole_file import whole_path

OPERATORS = ("Conv", "Gemm")
CALIBRATION_CLIPS = 64
LEAST_AGREEMENT = 0.9


@dataclass(frozen=True)
class Quantized:
    """What became of the clips that calibrated the file.

    Attributes:
        clips: number of them.
        agreeing: clips to which both files give the same class.
        largest_difference: of the mean logits of a clip.
        float32_bytes, bytes: sizes of the files.
    """

    clips: int
    agreeing: int
    largest_difference: float
    float32_bytes: int
    bytes: int


def quantize(source: Path, frames_NTCHW: npt.NDArray[Any], path: Path) -> Quantized:
    """Write the file at `source` with its products in eight bits to `path`.

    Args:
        source: a verified float32 file.
        frames_NTCHW: clips to train, as the model takes them; never held-out ones.
        path: replaced atomically; unchanged if the files disagree.

    Raises:
        ModelError: `path` cannot be written.
        VerificationError: too many clips get another class.
    """
    session = OnnxSession(source)
    with whole_path(path, room_for="model", error=ModelError) as partial:
        with silenced():
            quantize_static(
                str(source), str(partial), _Steps(session, frames_NTCHW), quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS), per_channel=True, activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )  # fmt: skip
        precision = f"int8 {' and '.join(OPERATORS)}, calibrated on {len(frames_NTCHW)} clips to train"
        card = session.card.model_copy(update={"provenance": {**session.card.provenance, "precision": precision}})
        write_model(onnx.load(partial), card, partial)
        ours_NK, theirs_NK = _logits(session, frames_NTCHW), _logits(OnnxSession(partial), frames_NTCHW)
        agreeing = int((ours_NK.argmax(1) == theirs_NK.argmax(1)).sum())
        others = len(frames_NTCHW) - agreeing
        if agreeing < LEAST_AGREEMENT * len(frames_NTCHW):
            raise VerificationError(
                str(path), got=f"another class for {others} of {len(frames_NTCHW)} clips to train",
                expected=f"the same for at least {LEAST_AGREEMENT:.0%}", todo="export it with --precision float32",
            )  # fmt: skip
        size = partial.stat().st_size
    largest = float(np.abs(ours_NK - theirs_NK).max())
    return Quantized(len(frames_NTCHW), agreeing, largest, source.stat().st_size, size)


def _logits(session: OnnxSession, frames_NTCHW: npt.NDArray[Any]) -> npt.NDArray[np.floating]:
    state, logits_TNK = session.initial_state(len(frames_NTCHW)), []
    for frame_NCHW in frames_NTCHW.swapaxes(0, 1):
        logits_NK, state = session.step(frame_NCHW, state)
        logits_TNK.append(logits_NK)
    return mean_logits(logits_TNK)


class _Steps(CalibrationDataReader):
    """Every step of the clips, each from the state that the float32 file reaches."""

    def __init__(self, session: OnnxSession, frames_NTCHW: npt.NDArray[Any]) -> None:
        self._feeds = self._iterate(session, frames_NTCHW)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        return next(self._feeds, None)

    @staticmethod
    def _iterate(session: OnnxSession, frames_NTCHW: npt.NDArray[Any]) -> Iterator[dict[str, npt.NDArray[Any]]]:
        state: Sequence[npt.NDArray[Any]] = session.initial_state(len(frames_NTCHW))
        for frame_NCHW in frames_NTCHW.swapaxes(0, 1):
            yield {"frame": frame_NCHW.astype(np.float32)} | {f"state_{n}": entry for n, entry in enumerate(state)}
            _, state = session.step(frame_NCHW, tuple(state))
