"""Versions of the ONNX operator set that an exported file may use."""

import onnx
from onnx import version_converter

from stdl_events.errors import UserError

# The oldest has all operators of a network; the newest is what the runtimes of two years run.
OPSETS = range(17, 23)
# The exporter's own oldest: an older one is converted from it.
_EXPORTED = 18


def check_opset(opset: int) -> None:
    """Refuse a version that is not among `OPSETS`.

    Raises:
        UserError: it is another.
    """
    if opset not in OPSETS:
        raise UserError(
            "--opset", got=str(opset), expected=f"{OPSETS[0]} to {OPSETS[-1]}",
            todo="leave it out, unless a runtime needs one of these",
        )  # fmt: skip


def exporter_opset(opset: int | None) -> int | None:
    """Return what to ask of the exporter, for `at_opset`."""
    return None if opset is None else max(opset, _EXPORTED)


def at_opset(model: onnx.ModelProto, opset: int | None) -> onnx.ModelProto:
    """Return the model in the operator set `opset`, in the oldest file format that has it; None leaves it."""
    if opset is None:
        return model
    if opset < _EXPORTED:
        _remove_defaults(model)
        model = version_converter.convert_version(model, opset)
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import))
    return model


def _remove_defaults(model: onnx.ModelProto) -> None:
    """Remove an attribute that the older version does not know, where it says nothing."""
    for node in model.graph.node:
        for attribute in list(node.attribute):
            if attribute.name == "noop_with_empty_axes" and not attribute.i:
                node.attribute.remove(attribute)
