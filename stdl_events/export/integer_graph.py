"""Rewrites around onnxruntime's quantisation: spikes and their means that are never made in float32.

Elementwise kernels are bound by memory, so that each pass saved counts. The values are the same, bit for bit.

C channels.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from stdl_events.export.grids import COMPARISONS, Grid


def means_as_products(model: onnx.ModelProto, grids: dict[str, Grid], products: Collection[str]) -> None:
    """Replace each average pooling of spikes by a convolution of its channels, which runs on integers.

    Args:
        grids: see `grids_of`.
        products: names of what convolutions and linear layers receive.
    """
    graph = shape_inference.infer_shapes(model).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    for node in model.graph.node:
        pooled, mean = node.input[0] if node.input else "", node.output[0]
        if node.op_type != "AveragePool" or mean not in products or pooled not in grids or mean not in grids:
            continue
        settings = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if not grids[mean].is_exact or set(settings.get("dilations", [1])) != {1}:
            continue
        channels, kernel = shapes[pooled][1].dim_value, settings["kernel_shape"]
        weights_C1KK = np.full((channels, 1, *kernel), 1 / np.prod(kernel), np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights_C1KK, f"{mean}_weights"))
        kept = {name: settings[name] for name in ("strides", "pads", "auto_pad") if name in settings}
        node.CopyFrom(
            helper.make_node(
                "Conv", [pooled, f"{mean}_weights"], [mean], node.name, group=channels, kernel_shape=kernel, **kept
            )
        )


def spikes_as_integers(model: onnx.ModelProto) -> None:
    """Cast spikes that are stored as integers from the comparison itself, not from its result in float32."""
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
    kept_float = {value.name for value in graph.output}
    nodes: list[onnx.NodeProto] = []
    moved: list[Any] = []
    for node in graph.node:
        if any(node is other for other in moved):
            continue
        nodes.append(node)
        maker = makers.get(node.input[0]) if node.op_type == "Cast" else None
        if maker is None or maker.op_type not in COMPARISONS or node.output[0] in kept_float:
            continue
        spikes = node.output[0]
        stored = [user for user in users[spikes] if user.op_type == "QuantizeLinear"]
        if not stored:
            continue
        (quantize,) = stored
        (dequantize,) = users[quantize.output[0]]
        nodes[-1] = helper.make_node("Cast", node.input, quantize.output, node.name, to=TensorProto.UINT8)
        nodes.append(dequantize)
        moved += [quantize, dequantize]
        for user in users[spikes]:
            user.input[:] = [dequantize.output[0] if name == spikes else name for name in user.input]
    del graph.node[:]
    graph.node.extend(nodes)
