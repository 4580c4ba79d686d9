"""The part of onnx.proto that is looked at before onnxruntime reads a file. The one door to protobuf.

The numbers of the fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; onnxruntime brings
protobuf, and the base install has no onnx.
"""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_DOUBLE, _FLOAT, _INT64, _INT32, _MESSAGE, _BYTES = 1, 2, 3, 5, 11, 12  # FieldDescriptorProto.Type
# Message -> fields: name, number, type, repeated, and the message of the field. Text is read as bytes: what is no UTF-8
# must not end in an exception of protobuf's.
_FIELDS: dict[str, tuple[tuple[str, int, int, bool, str | None], ...]] = {
    "Entry": (("key", 1, _BYTES, False, None), ("value", 2, _BYTES, False, None)),
    "Tensor": (
        ("dims", 1, _INT64, True, None),
        ("data_type", 2, _INT32, False, None),
        ("float_data", 4, _FLOAT, True, None),
        ("int32_data", 5, _INT32, True, None),
        ("int64_data", 7, _INT64, True, None),
        ("name", 8, _BYTES, False, None),
        ("raw_data", 9, _BYTES, False, None),
        ("double_data", 10, _DOUBLE, True, None),
        ("external_data", 13, _MESSAGE, True, "Entry"),
        ("data_location", 14, _INT32, False, None),
    ),
    "SparseTensor": (("values", 1, _MESSAGE, False, "Tensor"),),
    "Attribute": (
        ("name", 1, _BYTES, False, None),
        ("tensor", 5, _MESSAGE, False, "Tensor"),
        ("graph", 6, _MESSAGE, False, "Graph"),
        ("ints", 8, _INT64, True, None),
        ("tensors", 10, _MESSAGE, True, "Tensor"),
        ("graphs", 11, _MESSAGE, True, "Graph"),
        ("sparse_tensor", 22, _MESSAGE, False, "SparseTensor"),
    ),
    "Node": (
        ("input", 1, _BYTES, True, None),
        ("output", 2, _BYTES, True, None),
        ("op_type", 4, _BYTES, False, None),
        ("attribute", 5, _MESSAGE, True, "Attribute"),
        ("domain", 7, _BYTES, False, None),
    ),
    "Graph": (
        ("node", 1, _MESSAGE, True, "Node"),
        ("initializer", 5, _MESSAGE, True, "Tensor"),
        ("sparse_initializer", 15, _MESSAGE, True, "SparseTensor"),
    ),
    "Function": (("name", 1, _BYTES, False, None),),
    "Model": (
        ("graph", 7, _MESSAGE, False, "Graph"),
        ("metadata_props", 14, _MESSAGE, True, "Entry"),
        ("functions", 25, _MESSAGE, True, "Function"),
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
    file = descriptor_pb2.FileDescriptorProto(name="stdl_events/onnx_subset.proto", package="stdl_events.onnx")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, repeated, of in fields:
            field = message.field.add(name=field_name, number=number, type=kind, label=3 if repeated else 1)
            if of is not None:
                field.type_name = f".stdl_events.onnx.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"stdl_events.onnx.{name}"))
        for name in _FIELDS
    }
