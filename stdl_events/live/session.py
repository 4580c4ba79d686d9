"""An exported model as a pure step: frame and state in, logits and state out. The one door to onnxruntime.

Shape letters: B batch, C=2 polarities, H and W pixels of a frame, K classes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from stdl_events.errors import ModelError
from stdl_events.model_card import METADATA_KEY, ModelCard
from stdl_events.models import model_path

State: TypeAlias = tuple[npt.NDArray[Any], ...]

_DTYPES: dict[str, np.dtype[Any]] = {"tensor(float)": np.dtype(np.float32), "tensor(float16)": np.dtype(np.float16)}


@dataclass(frozen=True)
class _Tensor:
    """A declared input or output of the file; a free dimension is None."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class StepSession(Protocol):
    """One step of a model in any runtime, as a `Recogniser` calls it; the caller keeps the state."""

    @property
    def path(self) -> Path:
        """Where the model is from, for messages."""
        ...

    @property
    def card(self) -> ModelCard: ...

    def initial_state(self, batch: int = 1) -> Any:
        """Return the state before the first step."""
        ...

    def step(self, frame_BCHW: npt.NDArray[Any], state: Any) -> tuple[npt.NDArray[np.float32], Any]:
        """Return (logits_BK, next state) for a frame of raw counts."""
        ...


class OnnxSession:
    """One step of an exported model in onnxruntime.

    Args:
        path: the .onnx file, whose metadata holds the model card; or `models:NAME`, one that comes with the package.
        threads: threads within one step. One has the best tail latency for live inference.

    Attributes:
        path: the file.
        card: the model card of the file.

    Raises:
        ModelError: onnxruntime rejects the file, it has no card, or it does not match its card.
    """

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        self.path = model_path(path)
        self._session = _open(self.path, threads)
        entries = self._metadata()
        if METADATA_KEY not in entries:
            raise ModelError(
                str(path), got="no model card in its metadata", expected=f"the entry {METADATA_KEY}",
                todo="export it with stdl-events",
            )  # fmt: skip
        self.card = ModelCard.from_json(entries[METADATA_KEY], subject=str(path))
        self._input_dtypes = self._check()

    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first step: zeros."""
        shapes = self.card.state_shapes
        return tuple(np.zeros((batch, *shape), self._input_dtypes[f"state_{n}"]) for n, shape in enumerate(shapes))

    def step(self, frame_BCHW: npt.NDArray[Any], state: State) -> tuple[npt.NDArray[np.float32], State]:
        """Return (logits_BK, next state); the session keeps no state.

        Args:
            frame_BCHW: raw counts of any numeric type; for a model of pictures, what `PictureSpec.scaled` returns.

        Raises:
            ModelError: the frame or the state has another shape than the model's.
        """
        expected = self.card.frame.frame_shape_CHW
        if frame_BCHW.ndim != 4 or frame_BCHW.shape[1:] != expected or len(state) != len(self.card.state_shapes):
            raise ModelError(
                str(self.path),
                got=f"a frame of shape {frame_BCHW.shape} and {len(state)} state tensors",
                expected=f"(batch, {', '.join(map(str, expected))}) and {len(self.card.state_shapes)}",
                todo="make frames with the model's own frame spec",
            )
        feed = {"frame": frame_BCHW.astype(self._input_dtypes["frame"])}
        feed |= {f"state_{n}": tensor for n, tensor in enumerate(state)}
        logits_BK, *next_state = self._session.run(self._outputs, feed)
        return logits_BK.astype(np.float32, copy=False), tuple(next_state)

    def _metadata(self) -> dict[str, str]:
        try:
            return dict(self._session.get_modelmeta().custom_metadata_map)
        except UnicodeDecodeError as error:
            raise ModelError(
                str(self.path), got=f"metadata that is no text in UTF-8 ({error.reason})",
                expected="a model card in it", todo="export the model again",
            ) from None  # fmt: skip

    @property
    def _outputs(self) -> list[str]:
        return ["logits", *(f"next_state_{n}" for n in range(len(self.card.state_shapes)))]

    def _check(self) -> dict[str, np.dtype[Any]]:
        """Compare the file's inputs and outputs with its card; return the dtypes of the inputs."""
        card = self.card
        wanted_in: dict[str, tuple[int, ...]] = {"frame": card.frame.frame_shape_CHW}
        wanted_in |= {f"state_{n}": shape for n, shape in enumerate(card.state_shapes)}
        wanted_out: dict[str, tuple[int, ...]] = {"logits": (len(card.labels),)}
        wanted_out |= {f"next_state_{n}": shape for n, shape in enumerate(card.state_shapes)}
        dtypes: dict[str, np.dtype[Any]] = {}
        for what, declared, wanted in (
            ("inputs", self._session.get_inputs(), wanted_in),
            ("outputs", self._session.get_outputs(), wanted_out),
        ):
            tensors = [_tensor(self.path, value) for value in declared]
            got = {tensor.name: tensor.shape[1:] for tensor in tensors}
            if got != wanted or any(not tensor.shape for tensor in tensors):
                raise ModelError(
                    str(self.path),
                    got=f"the {what} {_listed(got)}",
                    expected=f"{_listed(wanted)}, as its model card says (without the batch)",
                    todo="export the model again",
                )
            dtypes |= {tensor.name: tensor.dtype for tensor in tensors}
        return {name: dtypes[name] for name in wanted_in}


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise ModelError(
            str(path), got="no such file", expected="an exported .onnx model", todo="check the path, or export one"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exception classes have no closer common base
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(
            str(path), got=f"a file that onnxruntime refuses ({reason})", expected="an exported .onnx model",
            todo="export the model again",
        ) from None  # fmt: skip


def _tensor(path: Path, declared: Any) -> _Tensor:
    dtype = _DTYPES.get(declared.type)
    if dtype is None:
        raise ModelError(
            str(path), got=f"{declared.name} of type {declared.type}", expected=" or ".join(_DTYPES),
            todo="export the model again",
        )  # fmt: skip
    shape = tuple(size if isinstance(size, int) else None for size in declared.shape)
    return _Tensor(declared.name, dtype, shape)


def _listed(shapes: dict[str, Any]) -> str:
    return ", ".join(f"{name}{list(shape)}" for name, shape in shapes.items())
