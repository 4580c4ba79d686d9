"""The declared inputs and outputs of an exported model, compared with its card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stdl_events.errors import ModelError
from stdl_events.model_card import ModelCard

MAX_LISTED = 8
_FLOATING = np.dtype(np.float32), np.dtype(np.float16)
_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int8)": np.dtype(np.int8),
}


@dataclass(frozen=True)
class _Tensor:
    """A declared input or output of the file; a free dimension is None."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


def input_dtypes(path: Path, session: Any, card: ModelCard) -> dict[str, np.dtype[Any]]:
    """Compare the inputs and outputs of a session of onnxruntime with the card; return the dtypes of the inputs.

    Raises:
        ModelError: they differ.
    """
    several = (card.steps_per_call,) if card.steps_per_call > 1 else ()
    wanted_in: dict[str, tuple[int, ...]] = {"frames" if several else "frame": several + card.frame.frame_shape_CHW}
    wanted_in |= {f"state_{n}": shape for n, shape in enumerate(card.state_shapes)}
    wanted_out: dict[str, tuple[int, ...]] = {"logits": (*several, len(card.labels))}
    wanted_out |= {f"next_state_{n}": shape for n, shape in enumerate(card.state_shapes)}
    of_states = _FLOATING if card.state_format is None else (np.dtype(card.state_format.dtype),)
    dtypes: dict[str, np.dtype[Any]] = {}
    for what, declared, wanted in (
        ("inputs", session.get_inputs(), wanted_in),
        ("outputs", session.get_outputs(), wanted_out),
    ):
        tensors = [_tensor(path, value) for value in declared]
        got = {tensor.name: tensor.shape[1:] for tensor in tensors}
        if got != wanted or any(not tensor.shape for tensor in tensors):
            raise ModelError(
                str(path), got=f"the {what} {_listed(got)}",
                expected=f"{_listed(wanted)}, as its model card says (without the batch)",
                todo="export the model again",
            )  # fmt: skip
        for tensor in tensors:
            _check_dtype(path, tensor, of_states if "state_" in tensor.name else _FLOATING)
        dtypes |= {tensor.name: tensor.dtype for tensor in tensors}
    return {name: dtypes[name] for name in wanted_in}


def _check_dtype(path: Path, tensor: _Tensor, wanted: tuple[np.dtype[Any], ...]) -> None:
    if tensor.dtype not in wanted:
        raise ModelError(
            str(path), got=f"{tensor.name} of type {tensor.dtype}",
            expected=f"{' or '.join(map(str, wanted))}, as its model card says", todo="export the model again",
        )  # fmt: skip


def _tensor(path: Path, declared: Any) -> _Tensor:
    dtype = _DTYPES.get(declared.type)
    if dtype is None:
        raise ModelError(
            str(path), got=f"{declared.name} of type {declared.type}", expected=" or ".join(_DTYPES),
            todo="export the model again",
        )  # fmt: skip
    shape = tuple(size if isinstance(size, int) else None for size in declared.shape)
    if shape and shape[0] is not None:
        raise ModelError(
            str(path), got=f"{declared.name} of a batch of {shape[0]}", expected="a batch of any size",
            todo="export the model again",
        )  # fmt: skip
    return _Tensor(declared.name, dtype, shape)


def _listed(shapes: dict[str, Any]) -> str:
    shown = [f"{name}{list(shape)}" for name, shape in list(shapes.items())[:MAX_LISTED]]
    return ", ".join([*shown, *([f"and {len(shapes) - MAX_LISTED} more"] if len(shapes) > MAX_LISTED else [])])
