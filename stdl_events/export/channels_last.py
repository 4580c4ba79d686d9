"""States of an int8 file with their channels last, as onnxruntime convolves integers.

With channels first it spends a fifth of a step on turning results of convolutions to the states, and spikes to the next
convolution. States that are turned at the edge of the graph leave nothing to turn within. The values are the same, bit
for bit.
"""

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper

from stdl_events.export.grids import COMPARISONS

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def states_channels_last(model: onnx.ModelProto) -> None:
    """Turn the states of the file to channels last, [B, H, W, C], but those that a convolution of the frame feeds.

    That convolution stays in float32 and makes channels first: turning its spikes is cheaper than turning its currents.
    """
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    pairs = zip(graph.input[1:], graph.output[1:], strict=True)
    turned = [pair for pair in pairs if len(_sizes(pair[0])) == 4 and not _follows_frame(pair[1].name, makers)]
    names = {value.name: f"{value.name}_channels_first" for pair in turned for value in pair}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    begin = [_turn(old.name, names[old.name], FIRST) for old, _ in turned]
    end = [_turn(names[new.name], new.name, LAST) for _, new in turned]
    nodes = [*begin, *graph.node, *end]
    del graph.node[:]
    graph.node.extend(nodes)
    for pair in turned:
        for value in pair:
            sizes = _sizes(value)
            dtype = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, dtype, [sizes[axis] for axis in LAST]))


def _turn(name: str, turned: str, axes: Sequence[int]) -> onnx.NodeProto:
    return helper.make_node("Transpose", [name], [turned], f"turn_{name}", perm=axes)


def _sizes(value: onnx.ValueInfoProto) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def _follows_frame(name: str, makers: Mapping[str, onnx.NodeProto]) -> bool:
    """True if a convolution of the frame feeds the tensor without a layer of spikes between them."""
    node = makers.get(name)
    if node is None or node.op_type in COMPARISONS:
        return False
    if node.op_type == "Conv":
        return node.input[0] == "frame"
    return any(_follows_frame(entering, makers) for entering in node.input)
