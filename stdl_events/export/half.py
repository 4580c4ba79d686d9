"""An exported file with its weights in half precision: half as large, as quick as float32, and with its state.

onnxruntime's CPU has no products in half precision on x86-64: a graph in float16 is computed in float32 between casts.
So the weights alone are stored in float16; onnxruntime widens them once, when it loads the file.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stdl_events.errors import ModelError
from stdl_events.export.precisions import ClipsNTCHW, Precision

# A weight of less gains nothing by a node of its own.
LEAST_VALUES = 64
SUFFIX = "_half"
LARGEST = float(np.finfo(np.float16).max)


def to_half(source: Path, frames_NTCHW: ClipsNTCHW) -> tuple[onnx.ModelProto, str]:
    """Return the model at `source` with its weights rounded to float16.

    Raises:
        ModelError: a weight is beyond float16's range.
    """
    del frames_NTCHW  # nothing is calibrated
    model = onnx.load(source)
    graph = model.graph
    widened = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LEAST_VALUES:
            continue
        name, largest = tensor.name, float(np.abs(values).max())
        if largest > LARGEST:
            raise ModelError(
                str(source), got=f"a weight of {largest:.3g} in {name}",
                expected=f"at most {LARGEST:g}, the largest of float16", todo="use --precision float32",
            )  # fmt: skip
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + SUFFIX))
        widened.append(helper.make_node("Cast", [name + SUFFIX], [name], to=TensorProto.FLOAT))
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model, "float16 weights, products and state in float32"


FLOAT16 = Precision(to_half)
