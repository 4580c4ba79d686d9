"""Checkpoints: one safetensors file with the complete state of a run, so that a killed run resumes exactly.

Tensors are stored as tensors; the rest of the tree (numbers, text, lists, mappings) is JSON in the file's header. A
checkpoint is one file, so that one rename replaces it atomically; its SHA-256 is in its header. No pickle.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from stdl_events.errors import RunError
from stdl_events.validation import JSON_ERRORS
from stdl_events.whole_file import as_os_error, whole_path

CHECKPOINT_VERSION = 1
_HEADER_KEY = "stdl_events.checkpoint"
_DIGEST_KEY = "stdl_events.sha256"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to `path` atomically: mappings with str or int keys, lists, tuples, tensors and JSON values.

    Raises:
        RunError: the file cannot be written; the previous one is unchanged.
    """
    tensors: dict[str, torch.Tensor] = {}
    document = {"version": CHECKPOINT_VERSION, "state": _pack(state, "", tensors)}
    with whole_path(path, room_for="checkpoint", error=RunError) as partial:
        header = json.dumps(document)
        try:
            save_file(tensors, partial, metadata={_HEADER_KEY: header, _DIGEST_KEY: _digest(header, tensors)})
        except SafetensorError as error:
            raise as_os_error(error) from None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state that `save_checkpoint` wrote, tensors on the CPU.

    Raises:
        RunError: the file is missing, damaged, or of another version.
    """
    if not path.is_file():
        raise RunError(str(path), got="no such file", expected="a checkpoint", todo="start the run without --resume")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            document = json.loads(metadata[_HEADER_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            version = document["version"]
    except (SafetensorError, KeyError, TypeError, OSError, *JSON_ERRORS) as error:
        raise _unreadable(path, error) from error
    # Checkpoints of older versions have no digest.
    if metadata.get(_DIGEST_KEY, "") not in ("", _digest(metadata[_HEADER_KEY], tensors)):
        raise RunError(
            str(path), got="a damaged checkpoint, whose SHA-256 differs", expected="the one that was written",
            todo="evaluate or export the run's weights, or train again: stdl-events train RUN",
        )  # fmt: skip
    if version != CHECKPOINT_VERSION:
        raise RunError(
            str(path),
            got=f"checkpoint version {version}",
            expected=f"version {CHECKPOINT_VERSION}",
            todo="resume it with the version of stdl-events that wrote it",
        )
    try:
        state: dict[str, Any] = _unpack(document["state"], tensors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(path, error) from error
    return state


def _digest(header: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of the header and of all tensors, in the order of their names."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _unreadable(path: Path, error: Exception) -> RunError:
    return RunError(
        str(path),
        got=f"a file that cannot be read ({type(error).__name__})",
        expected="a checkpoint of stdl-events",
        todo="delete the run folder and train again",
    )


def _pack(node: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Replace tensors by references and containers by tagged lists, so that JSON keeps int keys and tuples."""
    if isinstance(node, torch.Tensor):
        # A copy: safetensors refuses tensors that share storage, as an optimiser's and a network's may.
        tensors[path] = node.detach().to("cpu", copy=True).contiguous()
        return {"tensor": path}
    if isinstance(node, dict):
        return {"dict": [[key, _pack(value, f"{path}/{key}", tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        kind = "list" if isinstance(node, list) else "tuple"
        return {kind: [_pack(value, f"{path}/{index}", tensors) for index, value in enumerate(node)]}
    assert node is None or isinstance(node, bool | int | float | str), f"{path}: {type(node)} is not for checkpoints"
    return {"value": node}


def _unpack(node: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(value, tensors) for key, value in content}
    if kind == "list":
        return [_unpack(value, tensors) for value in content]
    if kind == "tuple":
        return tuple(_unpack(value, tensors) for value in content)
    return content
