"""An exported file with its products in eight bits: Conv, Gemm and MatMul, weights per channel.

onnxruntime's static quantisation in QDQ form. Neurons stay in float32, so the state is what it was, with its channels
last. Spikes, their sums and their means are exact: as integers at the scale of their own grid. Weights and the
convolutions' results, which are the neurons' input, are rounded; so is an input that has no grid. A convolution of the
frame stays in float32: of two channels it is quicker so, and nothing of the input is lost.

N clips, T time steps, B batch, C channels, H height, W width.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from stdl_events.export.channels_last import states_channels_last
from stdl_events.export.grids import LARGEST_INTEGER, Grid, grids_of
from stdl_events.export.integer_graph import means_as_products, spikes_as_integers
from stdl_events.export.onnx import silenced
from stdl_events.export.precisions import ClipsNTCHW, Precision
from stdl_events.frames import FrameSpec
from stdl_events.live.session import OnnxSession

OPERATORS = ("Conv", "Gemm", "MatMul")
# Their results stay in float32: these are logits, and their kernels write float32 as quickly.
UNROUNDED_RESULTS = ("Gemm", "MatMul")


def to_int8(source: Path, frames_NTCHW: ClipsNTCHW) -> tuple[onnx.ModelProto, str]:
    """Return the model at `source` with its products in eight bits.

    Args:
        frames_NTCHW: clips to train, as the model takes them, which calibrate it; never held-out ones.
    """
    session, model = OnnxSession(source), onnx.load(source)
    of_frame = [node.name for node in model.graph.node if node.op_type == "Conv" and node.input[0] == "frame"]
    grids = grids_of(model, _largest_count(session.card.frame, frames_NTCHW))
    inputs = {node.input[0]: grids.get(node.input[0]) for node in _products(model, of_frame)}
    means_as_products(model, grids, inputs)
    products = _products(model, of_frame)
    inputs |= {node.input[0]: grids.get(node.input[0]) for node in products}
    exact = {name: grid for name, grid in inputs.items() if grid is not None and grid.is_exact}
    with silenced(), TemporaryDirectory(prefix="stdl-events-") as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model, str(path), _Steps(session, frames_NTCHW), quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS), per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, nodes_to_exclude=of_frame,
            extra_options={
                "TensorQuantOverrides": {name: [_integers(grid)] for name, grid in exact.items()},
                "OpTypesToExcludeOutputQuantization": list(UNROUNDED_RESULTS),
            },
        )  # fmt: skip
        quantized = onnx.load(path)
    spikes_as_integers(quantized)
    _leave_room(quantized, [name for name in inputs if name not in exact])
    states_channels_last(quantized)
    named = " and ".join(sorted({node.op_type for node in products}))
    return quantized, (
        f"int8 {named}, calibrated on {len(frames_NTCHW)} clips to train, "
        f"{len(exact)} of {len(inputs)} inputs exact, "
        f"{'first layer and ' if of_frame else ''}state in float32"
    )


INT8 = Precision(to_int8)


def _products(model: onnx.ModelProto, but: Sequence[str]) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in OPERATORS and node.name not in but]


def _largest_count(frame: FrameSpec, frames_NTCHW: ClipsNTCHW) -> int | None:
    """Return the largest count in the frames; None of pictures, which are no counts."""
    return None if frame.kind == "picture" else max(1, math.ceil(frames_NTCHW.max(initial=0)))


def _integers(grid: Grid) -> dict[str, npt.NDArray[Any]]:
    """Return scale and zero point of a tensor whose values are whole parts of a grid."""
    return {"scale": np.array(1 / grid.parts, np.float32), "zero_point": np.array(0, np.uint8)}


def _leave_room(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Round these inputs of products to half as many steps, so that no processor's sums of two saturate."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    share = LARGEST_INTEGER / np.iinfo(np.uint8).max
    for name in names:
        for suffix, factor in (("_scale", 1 / share), ("_zero_point", share)):
            tensor = constants[name + suffix]
            values = numpy_helper.to_array(tensor)
            whole = np.rint(values * factor) if values.dtype.kind == "u" else values * factor
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(whole, values.dtype), tensor.name))


class _Steps(CalibrationDataReader):
    """Every step of the clips, each from the state that the float32 file reaches."""

    def __init__(self, session: OnnxSession, frames_NTCHW: ClipsNTCHW) -> None:
        self._feeds = self._iterate(session, frames_NTCHW)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        return next(self._feeds, None)

    @staticmethod
    def _iterate(session: OnnxSession, frames_NTCHW: ClipsNTCHW) -> Iterator[dict[str, npt.NDArray[Any]]]:
        state: Sequence[npt.NDArray[Any]] = session.initial_state(len(frames_NTCHW))
        for frame_NCHW in frames_NTCHW.swapaxes(0, 1):
            yield {"frame": frame_NCHW.astype(np.float32)} | {f"state_{n}": entry for n, entry in enumerate(state)}
            _, state = session.step(frame_NCHW, tuple(state))
