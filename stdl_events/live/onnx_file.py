"""An .onnx file before onnxruntime sees it: what it may contain, its weights' checksum and its metadata.

What would loop for ever, allocate without bound, read other files or compute anything but a network is refused.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from stdl_events.errors import ModelError
from stdl_events.live.onnx_messages import parse_model
from stdl_events.live.signature import read_public_key, require_signature, signature_path

Signature: TypeAlias = Literal["verified", "not checked", "none"]

MAX_BYTES = 1 << 30
MAX_NODES = 1 << 14
# What joins repeat of one tensor: the steps of the longest clip, or the channels of a densely connected network.
MAX_JOINED = 1 << 12
CHANNEL_AXIS = 1
# What an exported network computes: elementwise, linear, pooling, and what keeps the number of values. None of these
# loops, draws or reads files, and none but a product and Concat makes a tensor larger than its inputs: `session` bounds
# the products.
_OPERATORS = """
Abs Add And AveragePool BatchNormalization Cast Clip Concat Constant Conv DequantizeLinear Div Equal Exp Flatten
    Floor Gemm GlobalAveragePool Greater GreaterOrEqual Identity LayerNormalization Less LessOrEqual Log MatMul Max
    MaxPool Min Mul Neg Not Or Pow QuantizeLinear Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape
    Round Sigmoid Sign Softmax Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Where
"""
OPERATORS = frozenset(_OPERATORS.split())
# Of constants alone only these: weights of fewer bits, which grow at most eight times as large.
_WIDENED = frozenset({"Cast", "DequantizeLinear"})
_STANDARD_DOMAINS = ("", "ai.onnx")

# TensorProto.DataType -> dtype of the raw bytes, and the field that holds the values otherwise.
_DTYPES: dict[int, tuple[np.dtype[Any], str]] = {
    1: (np.dtype("<f4"), "float_data"),
    2: (np.dtype("u1"), "int32_data"),
    3: (np.dtype("i1"), "int32_data"),
    6: (np.dtype("<i4"), "int32_data"),
    7: (np.dtype("<i8"), "int64_data"),
    9: (np.dtype("?"), "int32_data"),
    10: (np.dtype("<f2"), "int32_data"),
    11: (np.dtype("<f8"), "double_data"),
}
_FLOAT16 = 10


@dataclass(frozen=True)
class OnnxFile:
    """A file that passed.

    Attributes:
        content: all its bytes, those that were looked at.
        size: number of them.
        sha256: of them.
        weights_sha256: of the names, shapes, dtypes and values of its constant tensors; see `weights_sha256`.
        weights: number of values in them.
        metadata: its entries.
        operators: number of nodes of each operator.
        signature: "verified" by a key; "not checked", but beside the file; or "none".
    """

    content: bytes
    size: int
    sha256: str
    weights_sha256: str
    weights: int
    metadata: dict[str, str]
    operators: dict[str, int]
    signature: Signature


def read_onnx_file(path: Path, signed_by: Path | None = None) -> OnnxFile:
    """Read the file at `path` and check what it contains.

    Args:
        signed_by: the public key whose owner must have signed the file; see `signature`. Checked before anything else.

    Raises:
        ModelError: it is not there, too large, no ONNX file, or holds what no exported network has: other files' data,
            operators outside `OPERATORS`, custom functions, tensors without their values, weights that are not finite,
            joins of joins that grow without bound; or it is not signed as required.
    """
    content = _read(path)
    signature = _check_signature(path, content, signed_by)
    model = _parse(path, content)
    graph = model.graph
    _refuse_unknown(path, model)
    _refuse_computed_constants(path, graph)
    _refuse_growth(path, graph)
    tensors = [*graph.initializer, *(tensor for node in graph.node for tensor in _tensors_of(node))]
    values = {tensor.name: _values(path, tensor) for tensor in tensors}
    return OnnxFile(
        content=content,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        weights_sha256=_sha256_of(graph.initializer, values),
        weights=sum(array.size for array in values.values()),
        metadata={entry.key: entry.value for entry in model.metadata_props},
        operators=dict(sorted(Counter(node.op_type for node in graph.node).items())),
        signature=signature,
    )


def initializers_of(graph: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the constant tensors of a graph that was checked, by name."""
    path = Path("the exported model")
    return {tensor.name: _values(path, tensor).reshape(tensor.dims) for tensor in graph.initializer}


def weights_sha256(content: bytes) -> str:
    """Return the checksum that a file's card states: of its initializers in the order of their names."""
    path = Path("the exported model")
    graph = _parse(path, content).graph
    return _sha256_of(graph.initializer, {t.name: _values(path, t) for t in graph.initializer})


def _check_signature(path: Path, content: bytes, signed_by: Path | None) -> Signature:
    if signed_by is not None:
        require_signature(path, content, read_public_key(signed_by))
        return "verified"
    return "not checked" if signature_path(path).is_file() else "none"


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise _refused(path, "a folder" if path.is_dir() else "no regular file", "check the path, or export one")
        if size > MAX_BYTES:
            raise _refused(path, f"{size:,} bytes", "check the path", f"at most {MAX_BYTES:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise _refused(path, "no such file", "check the path, or export one") from None
    except OSError as error:
        raise _refused(path, (error.strerror or str(error)).lower(), "check the path and its permissions") from None


def _parse(path: Path, content: bytes) -> Any:
    try:
        model = parse_model(content)
    except ValueError as error:
        raise _refused(path, f"a file that is no ONNX model ({error})") from None
    if not 0 < len(model.graph.node) <= MAX_NODES:
        raise _refused(path, f"a graph of {len(model.graph.node):,} nodes", expected=f"1 to {MAX_NODES:,} of them")
    return model


def _refuse_unknown(path: Path, model: Any) -> None:
    graph = model.graph
    for got, there in {
        "functions of its own": model.functions,
        "sparse tensors": graph.sparse_initializer,
        "graphs of a training": model.training_info,
    }.items():
        if there:
            raise _refused(path, got)
    for node in graph.node:
        operator = node.op_type
        if node.domain not in _STANDARD_DOMAINS or operator not in OPERATORS:
            name = f"{node.domain}:{operator}" if node.domain else operator
            raise _refused(path, f"the operator {name[:60]!r}", expected="operators of an exported network")
        for attribute in node.attribute:
            sparse = attribute.HasField("sparse_tensor") or attribute.sparse_tensors
            if attribute.graphs or attribute.HasField("graph") or sparse:
                raise _refused(path, f"{operator} with a graph or sparse tensor of its own")
            if not all(map(math.isfinite, (attribute.f, *attribute.floats))):
                raise _refused(path, f"{operator} with numbers that are not finite", expected="finite numbers")


def _refuse_computed_constants(path: Path, graph: Any) -> None:
    """Refuse nodes that onnxruntime would run while it loads the file: an exported network holds the results.

    Weights in half precision or eight bits are the exception, see `_WIDENED`.
    """
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update(node.output)
        elif node.op_type not in _WIDENED and all(name in constants for name in node.input):
            raise _refused(path, f"{node.op_type} of constants alone")


def _refuse_growth(path: Path, graph: Any) -> None:
    """Refuse joins that repeat a tensor more than `MAX_JOINED` times, before anything of that size is made.

    A convolution by weights of the file has their channels, whatever is joined before it.
    """
    constants = {tensor.name for tensor in graph.initializer}
    times = dict.fromkeys([*constants, *(value.name for value in graph.input), ""], 1.0)
    for node in graph.node:
        # What no node before has made, onnxruntime may order first: it counts as if it had no end.
        of_inputs = [times.get(name, math.inf) for name in node.input]
        grown = max(of_inputs, default=1.0)
        if node.op_type == "Conv" and len(node.input) > 1 and node.input[1] in constants:
            grown = 1.0
        elif node.op_type == "Concat":
            grown = sum(of_inputs)
            axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
            if axes != [CHANNEL_AXIS] or grown > MAX_JOINED:
                raise _refused(
                    path, "a Concat that grows without bound",
                    expected=f"channels or steps, joined at most {MAX_JOINED:,} times",
                )  # fmt: skip
        times.update(dict.fromkeys(node.output, grown))


def _tensors_of(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from attribute.tensors
        if attribute.HasField("tensor"):
            yield attribute.tensor


def _values(path: Path, tensor: Any) -> npt.NDArray[Any]:
    """Return the values of a tensor, flat."""
    name = tensor.name
    if tensor.external_data or tensor.data_location:
        raise _refused(path, f"the tensor {name[:60]!r} in another file", expected="all weights in the file")
    if tensor.data_type not in _DTYPES:
        raise _refused(path, f"the tensor {name[:60]!r} of data type {tensor.data_type}")
    dtype, field = _DTYPES[tensor.data_type]
    listed = getattr(tensor, field)
    if tensor.raw_data:
        count, left_over = divmod(len(tensor.raw_data), dtype.itemsize)
        values = np.frombuffer(tensor.raw_data, dtype, count)
    elif tensor.data_type == _FLOAT16:
        count, left_over = len(listed), 0
        values = np.array(listed, np.int64).astype(np.uint16).view(dtype)
    else:
        count, left_over = len(listed), 0
        values = np.array(listed).astype(dtype)
    if left_over or any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) != count:
        shape = [*tensor.dims][:8]
        raise _refused(path, f"the tensor {name[:60]!r} of shape {shape} with {count:,} values")
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise _refused(path, f"the tensor {name[:60]!r} with values that are not finite", expected="finite weights")
    return values


def _sha256_of(tensors: Iterable[Any], values: dict[str, npt.NDArray[Any]]) -> str:
    checksum = hashlib.sha256()
    for tensor in sorted(tensors, key=lambda tensor: tensor.name):
        array = values[tensor.name]
        checksum.update(f"{tensor.name.encode().hex()} {[*tensor.dims]} {array.dtype.str} ".encode())
        checksum.update(array.tobytes())
    return checksum.hexdigest()


def _refused(
    path: Path, got: str, todo: str = "export the model again", expected: str = "an exported .onnx model"
) -> ModelError:
    return ModelError(str(path), got=got, expected=expected, todo=todo)
