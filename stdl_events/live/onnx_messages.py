"""The part of onnx.proto that is looked at before onnxruntime reads a file. The one door to protobuf.

The numbers of the fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; onnxruntime brings
protobuf, and the base install has no onnx.
"""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_DOUBLE, _FLOAT, _INT64, _INT32, _STRING, _MESSAGE, _BYTES = 1, 2, 3, 5, 9, 11, 12  # FieldDescriptorProto.Type
_OPTIONAL, _REPEATED = 1, 3  # FieldDescriptorProto.Label

# Message -> its fields: name, number, type, label, and the message that a field holds. All text is declared, so that
# what is no UTF-8 is refused here: onnxruntime takes it, and fails later.
_FIELDS: dict[str, tuple[tuple[str, int, int, int, str | None], ...]] = {
    "Entry": (("key", 1, _STRING, _OPTIONAL, None), ("value", 2, _STRING, _OPTIONAL, None)),
    "Dimension": (("dim_param", 2, _STRING, _OPTIONAL, None), ("denotation", 3, _STRING, _OPTIONAL, None)),
    "Shape": (("dim", 1, _MESSAGE, _REPEATED, "Dimension"),),
    "TensorType": (("shape", 2, _MESSAGE, _OPTIONAL, "Shape"),),
    "Type": (("tensor_type", 1, _MESSAGE, _OPTIONAL, "TensorType"), ("denotation", 6, _STRING, _OPTIONAL, None)),
    "Value": (
        ("name", 1, _STRING, _OPTIONAL, None),
        ("type", 2, _MESSAGE, _OPTIONAL, "Type"),
        ("doc_string", 3, _STRING, _OPTIONAL, None),
    ),
    "Tensor": (
        ("dims", 1, _INT64, _REPEATED, None),
        ("data_type", 2, _INT32, _OPTIONAL, None),
        ("float_data", 4, _FLOAT, _REPEATED, None),
        ("int32_data", 5, _INT32, _REPEATED, None),
        ("int64_data", 7, _INT64, _REPEATED, None),
        ("name", 8, _STRING, _OPTIONAL, None),
        ("raw_data", 9, _BYTES, _OPTIONAL, None),
        ("double_data", 10, _DOUBLE, _REPEATED, None),
        ("doc_string", 12, _STRING, _OPTIONAL, None),
        ("external_data", 13, _MESSAGE, _REPEATED, "Entry"),
        ("data_location", 14, _INT32, _OPTIONAL, None),
    ),
    "SparseTensor": (("values", 1, _MESSAGE, _OPTIONAL, "Tensor"),),
    "Attribute": (
        ("name", 1, _STRING, _OPTIONAL, None),
        ("f", 2, _FLOAT, _OPTIONAL, None),
        ("i", 3, _INT64, _OPTIONAL, None),
        ("s", 4, _BYTES, _OPTIONAL, None),
        ("tensor", 5, _MESSAGE, _OPTIONAL, "Tensor"),
        ("graph", 6, _MESSAGE, _OPTIONAL, "Graph"),
        ("floats", 7, _FLOAT, _REPEATED, None),
        ("ints", 8, _INT64, _REPEATED, None),
        ("tensors", 10, _MESSAGE, _REPEATED, "Tensor"),
        ("graphs", 11, _MESSAGE, _REPEATED, "Graph"),
        ("doc_string", 13, _STRING, _OPTIONAL, None),
        ("ref_attr_name", 21, _STRING, _OPTIONAL, None),
        ("sparse_tensor", 22, _MESSAGE, _OPTIONAL, "SparseTensor"),
        ("sparse_tensors", 23, _MESSAGE, _REPEATED, "SparseTensor"),
    ),
    "Node": (
        ("input", 1, _STRING, _REPEATED, None),
        ("output", 2, _STRING, _REPEATED, None),
        ("name", 3, _STRING, _OPTIONAL, None),
        ("op_type", 4, _STRING, _OPTIONAL, None),
        ("attribute", 5, _MESSAGE, _REPEATED, "Attribute"),
        ("doc_string", 6, _STRING, _OPTIONAL, None),
        ("domain", 7, _STRING, _OPTIONAL, None),
        ("overload", 8, _STRING, _OPTIONAL, None),
    ),
    "Graph": (
        ("node", 1, _MESSAGE, _REPEATED, "Node"),
        ("name", 2, _STRING, _OPTIONAL, None),
        ("initializer", 5, _MESSAGE, _REPEATED, "Tensor"),
        ("doc_string", 10, _STRING, _OPTIONAL, None),
        ("input", 11, _MESSAGE, _REPEATED, "Value"),
        ("output", 12, _MESSAGE, _REPEATED, "Value"),
        ("value_info", 13, _MESSAGE, _REPEATED, "Value"),
        ("sparse_initializer", 15, _MESSAGE, _REPEATED, "SparseTensor"),
    ),
    "OperatorSet": (("domain", 1, _STRING, _OPTIONAL, None),),
    "Training": (("algorithm", 2, _MESSAGE, _OPTIONAL, "Graph"),),
    "Function": (("name", 1, _STRING, _OPTIONAL, None),),
    "Model": (
        ("producer_name", 2, _STRING, _OPTIONAL, None),
        ("producer_version", 3, _STRING, _OPTIONAL, None),
        ("domain", 4, _STRING, _OPTIONAL, None),
        ("doc_string", 6, _STRING, _OPTIONAL, None),
        ("graph", 7, _MESSAGE, _OPTIONAL, "Graph"),
        ("opset_import", 8, _MESSAGE, _REPEATED, "OperatorSet"),
        ("metadata_props", 14, _MESSAGE, _REPEATED, "Entry"),
        ("training_info", 20, _MESSAGE, _REPEATED, "Training"),
        ("functions", 25, _MESSAGE, _REPEATED, "Function"),
    ),
}


def parse_model(content: bytes) -> Any:
    """Return the fields of a ModelProto.

    Raises:
        ValueError: `content` is none.
    """
    model = _messages()["Model"]()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ValueError(str(error).rsplit(": ", 1)[-1]) from None
    return model


@cache
def _messages() -> dict[str, Any]:
    """Return the message classes of `_FIELDS`."""
    file = descriptor_pb2.FileDescriptorProto(
        name="stdl_events/onnx_subset.proto", package="stdl_events.onnx", syntax="proto3"
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, label, of in fields:
            field = message.field.add(name=field_name, number=number, type=kind, label=label)
            if of is not None:
                field.type_name = f".stdl_events.onnx.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"stdl_events.onnx.{name}"))
        for name in _FIELDS
    }
