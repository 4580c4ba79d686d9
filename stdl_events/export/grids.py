"""Which tensors of an exported file are whole multiples of a known step: spikes, sums and means of spikes, counts.

Eight bits hold such a tensor exactly. Spikes are 0 or 1, their mean over a window of four pixels a multiple of 1/4, the
sum of two of them 0, 1 or 2. This follows from the graph, whatever the input.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx import numpy_helper, shape_inference

# Processors without a product of eight bits in one instruction add two products of a byte and a signed byte in sixteen
# bits: 2 * 128 * 127 fits, more saturates. So a tensor is exact, on every processor, if it needs no more than 0 to 128.
LARGEST_INTEGER = 128
COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "And", "Or", "Not"})
_UNCHANGED = frozenset({"MaxPool", "Reshape", "Flatten", "Identity", "Squeeze", "Unsqueeze", "Transpose"})


@dataclass(frozen=True)
class Grid:
    """Values 0, 1/`parts`, 2/`parts` and so on up to `largest`.

    Attributes:
        is_exact: True if eight bits hold them.
    """

    parts: int
    largest: int

    @property
    def is_exact(self) -> bool:
        return self.parts * self.largest <= LARGEST_INTEGER


def grids_of(model: onnx.ModelProto, largest_count: int | None) -> dict[str, Grid]:
    """Return the grid of each tensor that has one.

    Args:
        largest_count: of an event frame; None if frames are no counts.
    """
    graph = shape_inference.infer_shapes(model).graph
    producers = {name: node for node in graph.node for name in node.output}
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in graph.value_info}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    grids = {} if largest_count is None else {"frame": Grid(1, largest_count)}
    for node in graph.node:
        of_inputs = [grids.get(name) for name in node.input]
        if node.op_type == "Cast" and node.input[0] in producers:
            if producers[node.input[0]].op_type in COMPARISONS:
                grids[node.output[0]] = Grid(1, 1)
        elif of_inputs and (first := of_inputs[0]) is not None:
            second = of_inputs[1] if len(of_inputs) > 1 else None
            if node.op_type in _UNCHANGED:
                grids[node.output[0]] = first
            elif node.op_type == "Add" and second is not None:
                grids[node.output[0]] = Grid(math.lcm(first.parts, second.parts), first.largest + second.largest)
            elif (count := _averaged(node, shapes.get(node.input[0], []), constants)) is not None:
                grids[node.output[0]] = Grid(first.parts * count, first.largest)
    return grids


def _averaged(node: onnx.NodeProto, shape: list[int], constants: dict[str, onnx.TensorProto]) -> int | None:
    """Return the number of values in each mean that `node` computes; None if it computes none, or of unlike numbers."""
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "AveragePool":
        padded = any(attributes.get("pads", ())) and not attributes.get("count_include_pad")
        return None if padded or attributes.get("ceil_mode") else math.prod(attributes["kernel_shape"])
    axes = _axes(node, attributes, constants)
    count = math.prod(shape[axis] for axis in axes) if axes and shape else 0
    return count or None


def _axes(node: onnx.NodeProto, attributes: dict[str, object], constants: dict[str, onnx.TensorProto]) -> list[int]:
    if node.op_type == "GlobalAveragePool":
        return [2, 3]
    if node.op_type != "ReduceMean":
        return []
    return list(_values(attributes.get("axes"))) or (
        numpy_helper.to_array(constants[node.input[1]]).tolist()
        if len(node.input) > 1 and node.input[1] in constants
        else []
    )


def _values(listed: object) -> Iterator[int]:
    yield from listed if isinstance(listed, list | tuple) else ()
