"""A corpus of model files that a stranger may hand over: each is refused, or runs as what it says it is.

`CORPUS` gives, for each, what makes its bytes from a good model, and a word of the refusal; None if it runs.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_models import make_card, stream_spec

from stdl_events.model_card import METADATA_KEY

Change = Callable[[onnx.ModelProto], None]
CORPUS: dict[str, tuple[Callable[[onnx.ModelProto], bytes], str | None]] = {}


def add(name: str, word: str | None, change: Change) -> None:
    def bytes_of(model: onnx.ModelProto) -> bytes:
        change(model)
        return model.SerializeToString()

    assert name not in CORPUS
    CORPUS[name] = (bytes_of, word)


def add_bytes(name: str, word: str | None, change: Callable[[bytes], bytes]) -> None:
    assert name not in CORPUS
    CORPUS[name] = (lambda model: change(model.SerializeToString()), word)


def tensor_of(model: onnx.ModelProto, name: str = "weights") -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def node_before(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Put a node before all others; its output takes the place of the frame."""
    for other in model.graph.node:
        other.input[:] = ["made" if name == "frame" else name for name in other.input]
    model.graph.node.insert(0, node)


def constant(model: onnx.ModelProto, name: str, values: Any) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def unary(operator: str, domain: str = "", **attributes: Any) -> Change:
    return lambda model: node_before(
        model, helper.make_node(operator, ["frame"], ["made"], domain=domain, **attributes)
    )


def with_constants(operator: str, *values: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        names = [constant(model, f"c{index}", value) for index, value in enumerate(values)]
        node_before(model, helper.make_node(operator, ["frame", *names], ["made"]))

    return change


def of_constants(operator: str, *values: Any, **attributes: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        names = [constant(model, f"c{index}", value) for index, value in enumerate(values)]
        model.graph.node.insert(0, helper.make_node(operator, names, ["unused"], **attributes))

    return change


def external(location: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = tensor_of(model)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        tensor.external_data.add(key="length", value="24")

    return change


def in_attribute(model: onnx.ModelProto) -> None:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[6], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=tensor))


def with_tensor(**fields: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = tensor_of(model)
        for name, value in fields.items():
            if name == "dims":
                tensor.dims[:] = value
            else:
                setattr(tensor, name, value)

    return change


def subgraph(operator: str) -> Change:
    body = helper.make_graph([], "body", [], [])
    return unary(operator, **({"then_branch": body, "else_branch": body} if operator == "If" else {"body": body}))


def endless(model: onnx.ModelProto) -> None:
    inputs = [
        helper.make_tensor_value_info("n", TensorProto.INT64, []),
        helper.make_tensor_value_info("again", TensorProto.BOOL, []),
    ]
    body = helper.make_graph(
        [helper.make_node("Identity", ["again"], ["again_out"])], "body", inputs,
        [helper.make_tensor_value_info("again_out", TensorProto.BOOL, [])],
    )  # fmt: skip
    names = [constant(model, "trips", np.int64(2**62)), constant(model, "true", np.array(True))]
    model.graph.node.insert(0, helper.make_node("Loop", names, [], body=body))


def doubled(times: int, axis: int, *, in_order: bool = True) -> Change:
    """Add a chain of nodes that doubles the frame again and again."""

    def change(model: onnx.ModelProto) -> None:
        last, nodes = "frame", []
        for index in range(times):
            nodes.append(helper.make_node("Concat", [last, last], [f"d{index}"], axis=axis))
            last = f"a{index}"
            nodes.append(helper.make_node("Abs", [f"d{index}"], [last]))
        model.graph.node.extend(nodes if in_order else reversed(nodes))

    return change


def outer_product(model: onnx.ModelProto) -> None:
    """Make a column of the frame's values times a row, then a column of that times the row: 38 thousand million."""
    shape = constant(model, "column", np.array([-1, 1], np.int64))
    row = constant(model, "row", np.ones((1, 20_000), np.float32))
    last = "frame"
    for index in range(2):
        model.graph.node.add(op_type="Reshape", input=[last, shape], output=[f"column{index}"])
        model.graph.node.add(op_type="MatMul", input=[f"column{index}", row], output=[f"product{index}"])
        last = f"product{index}"
    model.graph.node.append(helper.make_node("ReduceSum", [last], ["sum"], keepdims=0))
    model.graph.node[4].output[0] = "logits_before"
    model.graph.node.append(helper.make_node("Add", ["logits_before", "sum"], ["logits"]))


def with_card(**changes: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        card = json.loads(make_card(stream_spec()).to_json())
        for name, value in changes.items():
            part = card
            *path, last = name.split("__")
            for step in path:
                part = part[step]
            part[last] = value
        put_card(model, json.dumps(card))

    return change


def put_card(model: onnx.ModelProto, text: str) -> None:
    helper.set_model_props(model, {METADATA_KEY: text})


def renamed(old: str, new: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.name = new if value.name == old else value.name
        for node in model.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]

    return change


def retyped(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


def of_one_batch(size: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = size

    return change


def repeated_key(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key=METADATA_KEY, value="{}")


def cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "logits"


def own_function(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function("own", "Twice", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [])
    )


def training(model: onnx.ModelProto) -> None:
    initializer = model.training_info.add().algorithm.initializer.add(data_location=TensorProto.EXTERNAL)
    initializer.external_data.add(key="location", value="/etc/passwd")


def sparse_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.add(name="more", type=onnx.AttributeProto.SPARSE_TENSORS).sparse_tensors.add()


def many_nodes(model: onnx.ModelProto) -> None:
    for index in range(100_000):
        model.graph.node.add(op_type="Identity", input=["frame"], output=[f"i{index}"])


add("good", None, lambda model: None)
for share in (0, 1, 2, 10, 50, 90, 99):
    word = "graph" if share == 0 else "no ONNX model" if share < 99 else ""
    add_bytes(f"truncated to {share} %", word or "", lambda data, share=share: data[: len(data) * share // 100])
add_bytes("zeros", "", lambda data: bytes(len(data)))
add_bytes("ones", "no ONNX model", lambda data: b"\xff" * len(data))
add_bytes("text", "no ONNX model", lambda data: b"#!/bin/sh\nrm -rf /\n")
add_bytes("twice", "", lambda data: data + data)
add_bytes("zeros behind", "no ONNX model", lambda data: data + bytes(100))
add_bytes("an archive", "no ONNX model", lambda data: b"PK\x03\x04" + data)
add_bytes("a pickle", "no ONNX model", lambda data: b"\x80\x04cos\nsystem\n(S'true'\ntR.")
add_bytes("an endless varint", "no ONNX model", lambda data: b"\x3a" + b"\xff" * 100)
add_bytes("a length of 2**62", "no ONNX model", lambda data: b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x3f")
add_bytes("groups in groups", "", lambda data: data + b"\x1b" * 10_000)
add_bytes("messages in messages", "", lambda data: deep_graphs(500))
for name, location in {
    "passwd": "/etc/passwd", "parents": "../../../../etc/passwd", "beside": "weights.bin", "device": "/dev/zero",
    "nothing": "", "link": "file:///etc/passwd", "NUL": "a\0b", "network": "//server/share/weights",
}.items():  # fmt: skip
    add(f"external data: {name}", "in another file", external(location))
add("external data in an attribute", "in another file", in_attribute)
for operator in ("Loop", "Scan", "If"):
    add(f"{operator} with a body", operator, subgraph(operator))
add("a loop without end", "Loop", endless)
for operator in (
    "RandomNormalLike", "Bernoulli", "Multinomial", "Expand", "Tile", "Pad", "Resize", "Upsample", "ConstantOfShape",
    "Range", "OneHot", "NonZero", "Unique", "Concat", "ConcatFromSequence", "SequenceInsert", "EyeLike", "Scatter",
    "ConvTranspose", "ImageDecoder", "StringNormalizer", "TfIdfVectorizer", "Gather", "Einsum", "DFT", "LSTM",
    "Optional", "Compress",
):  # fmt: skip
    add(f"the operator {operator}", operator, unary(operator))
add("an operator of another domain", "com.microsoft", unary("Inverse", "com.microsoft"))
add("a Python operator", "ai.onnx.contrib", unary("PyOp", "ai.onnx.contrib"))
add("an unknown operator", "Nothing", unary("Nothing"))
add("an operator that is no text", "operator", unary("Add\n\x1b[31m"))
add("functions of its own", "functions", own_function)
add("graphs of a training", "graphs of a training", training)
add("sparse tensors in an attribute", "sparse tensor", sparse_attribute)
for name, fields in {"a number": {"value_float": np.nan}, "numbers": {"value_floats": [1.0, np.inf]}}.items():
    add(f"a constant that is {name} not finite", "not finite", of_constants("Constant", **fields))
add("an expansion", "Expand", with_constants("Expand", np.array([2**40, 1, 1, 1], np.int64)))
add("a padding", "Pad", with_constants("Pad", np.array([0, 0, 2**30, 2**30] * 2, np.int64)))
for name, change in {
    "of the batch": doubled(100, 0), "of the columns": doubled(9, -1), "of the channels": doubled(13, 1),
    "in another order": doubled(9, 1, in_order=False),
}.items():  # fmt: skip
    add(f"doublings {name}", "a Concat that grows without bound", change)
add("a product of constants", "constants alone", of_constants("MatMul", np.ones((9, 1), "f"), np.ones((1, 9), "f")))
add("a node without inputs", "constants alone", of_constants("Add"))
add("a product of products", "fails in onnxruntime", outer_product)
add("ten thousand nodes and more", "nodes", many_nodes)
add("a cycle", "refuses", cycle)
for name, fields in {
    "a negative side": {"dims": [-2, -3]}, "more than it has": {"dims": [2**40, 2**22]}, "fewer": {"dims": [1, 3]},
    "an overflow": {"dims": [2**33, 2**33]}, "no values": {"raw_data": b""}, "odd bytes": {"raw_data": b"12345"},
    "many sides": {"dims": [1] * 5000 + [6]},
}.items():  # fmt: skip
    add(f"weights with {name}", "", with_tensor(**fields))
for name, kind in {"string": 8, "complex": 15, "unknown": 99, "negative": -1, "none": 0, "double": 11}.items():
    add(f"weights of the type {name}", "", with_tensor(data_type=kind))
for value in (np.nan, np.inf, -np.inf):
    values = np.full((2, 3), value, np.float32).tobytes()
    add(f"weights that are {value}", "not finite", with_tensor(raw_data=values))
add("another name of the frame", "inputs", renamed("frame", "image"))
add("another name of the logits", "outputs", renamed("logits", "scores"))
add("text as its frame", "", retyped)
add("a batch of 65536", "a batch of 65536; expected a batch of any size", of_one_batch(65536))
for name, text in {
    "none": "", "null": "null", "a list": "[]", "a number": "1e999", "not closed": '{"labels": [',
    "a hundred thousand brackets": "[" * 100_000, "NaN": '{"temperature": NaN}', "a huge number": "9" * 100_000,
}.items():  # fmt: skip
    add(f"a card that is {name}", "", partial(put_card, text=text))
add("two cards", "", repeated_key)
add_bytes("a name that is no UTF-8", "no ONNX model", lambda data: data.replace(b"leaky_count", b"leaky\xffcount"))
add_bytes("a dimension that is no UTF-8", "no ONNX model", lambda data: data.replace(b"batch", b"b\xfftch"))
add_bytes("a card that is no UTF-8", "no ONNX model", lambda data: data.replace(b'"labels"', b'"l\xff\xfeels"'))
for name, changes in {
    "a million labels": {"labels": [f"label {n}" for n in range(1_000_000)]},
    "labels of a megabyte": {"labels": ["a" * 1_000_000, "b", "c"]},
    "no labels": {"labels": []}, "one label twice": {"labels": ["a", "a", "b"]},
    "numbers as labels": {"labels": [1, 2, 3]}, "a sensor of 65536": {"frame__sensor_size": [65536, 65536]},
    "another version": {"schema_version": 2}, "a version of text": {"schema_version": "1"},
    "an unknown entry": {"run": "rm -rf /"}, "an entry of two lines": {"a\n\x1b[31mb": 1},
    "no steps": {"frame__steps": 0},
    "a million million steps": {"frame__steps": 10**12}, "a sensor of 2**31": {"frame__sensor_size": [2**31, 2**31]},
    "a sensor without pixels": {"frame__sensor_size": [0, 0]}, "a negative sensor": {"frame__sensor_size": [-8, -6]},
    "windows of no time": {"frame__dt_us": 0}, "windows of 2**70 us": {"frame__dt_us": 2**70},
    "a state of 2**60 values": {"state_shapes": [[2**30, 2**30]]}, "a state of no values": {"state_shapes": [[0]]},
    "ten thousand states": {"state_shapes": [[2]] * 10_000}, "a temperature of 0": {"temperature": 0},
    "a temperature of text": {"temperature": "hot"}, "a probability of 7": {"decision": {"unknown_below": 7}},
    "another checksum": {"weights_sha256": "0" * 64}, "a checksum that is none": {"weights_sha256": "../../x"},
}.items():  # fmt: skip
    add(f"a card with {name}", "", with_card(**changes))
add("a card with a deep network", None, with_card(network=json.loads('{"a":' * 200 + "1" + "}" * 200)))
add("labels of control characters", None, with_card(labels=["\x1b[31mred", "<img src=x onerror=alert(1)>", "‮evil"]))


def deep_graphs(depth: int) -> bytes:
    """Return a model of graphs in attributes of nodes of graphs."""
    graph = onnx.GraphProto(name="leaf").SerializeToString()
    for _ in range(depth):
        attribute = b"\x32" + length(graph) + graph
        node = b"\x22\x02If\x2a" + length(attribute) + attribute
        graph = b"\x0a" + length(node) + node
    return b"\x3a" + length(graph) + graph


def length(data: bytes) -> bytes:
    size, out = len(data), bytearray()
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes([*out, size])
