"""An exported model as a pure step: frame and state in, logits and state out. The one door to onnxruntime.

Shape letters: B batch, C=2 polarities, H and W pixels of a frame, K classes.
"""

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from stdl_events.errors import MissingExtraError, ModelError
from stdl_events.live.declared import input_dtypes
from stdl_events.live.onnx_file import OnnxFile, read_onnx_file
from stdl_events.live.providers import (
    CPU,
    Provider,
    ProviderCheck,
    check_against_cpu,
    check_scattering,
    installed_provider,
)
from stdl_events.model_card import METADATA_KEY, ModelCard
from stdl_events.models import model_path

if TYPE_CHECKING:
    from stdl_events.live.scattered import Scattered, ScatteredGraph

State: TypeAlias = tuple[npt.NDArray[Any], ...]

# Of all sessions of a process: a batch of a hundred of the largest published network needs less.
MAX_ARENA_BYTES = 4 << 30
MAX_REASON = 300
SAME_AS_REQUESTED = 1  # onnxruntime's other way, doubling, would reach the bound at half of it


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
        signed_by: the public key whose owner must have signed the file; see `signature`.
        provider: a name in `PROVIDERS`. The first steps of another than the CPU are compared with the CPU's.
        whole_clips: True opens files of whole clips too, which have `steps` and no `step`.

    Attributes:
        path: the file.
        card: the model card of the file.
        file: the facts of the file, whose content is not kept.
        provider_check: that comparison; None on the CPU.

    Raises:
        ModelError: the file holds what no exported network has (see `onnx_file`), onnxruntime rejects it, it has no
            card, or it does not match its card; there is no such provider.
        MissingExtraError: the installed onnxruntime lacks the provider, or it does not start.
        VerificationError: the provider computes something else than the CPU.
    """

    def __init__(
        self, path: str | Path, *, threads: int = 1, signed_by: Path | None = None, provider: str = CPU,
        whole_clips: bool = False,
    ) -> None:  # fmt: skip
        self.path = model_path(path)
        file = read_onnx_file(self.path, signed_by)
        self.file = replace(file, content=b"")
        if METADATA_KEY not in file.metadata:
            raise ModelError(
                str(path), got="no model card in its metadata", expected=f"the entry {METADATA_KEY}",
                todo="export it with stdl-events",
            )  # fmt: skip
        self.card = ModelCard.from_json(file.metadata[METADATA_KEY], subject=str(path))
        _check_weights(self.path, file, self.card)
        if self.card.steps_per_call > 1 and not (whole_clips and provider == CPU):
            raise ModelError(
                str(path), got=f"a file of whole clips, {self.card.steps_per_call} frames in a call",
                expected="one frame in a call", todo="export it without --whole-clip; evaluate takes it, on the CPU",
            )  # fmt: skip
        available = onnxruntime.get_available_providers()
        chosen = installed_provider(provider, available)
        self._session = _open(self.path, file.content, threads, chosen)
        self._run_options = onnxruntime.RunOptions()
        self._input_dtypes = input_dtypes(self.path, self._session, self.card)
        # Named once: a small network takes 0.2 ms a step.
        self._frame_shape_CHW = self.card.frame.frame_shape_CHW
        self._states = [f"state_{n}" for n in range(len(self.card.state_shapes))]
        self._outputs = ["logits", *(f"next_{name}" for name in self._states)]
        self.provider_check: ProviderCheck | None = None
        self._graph: ScatteredGraph | None = None
        if chosen.scatters:
            self._session = self._graph = _scattered(self._session, self.path, file.content, threads, chosen)
            self.provider_check = check_scattering(self.path, provider, self._graph, self)
        elif provider != CPU:
            on_cpu = copy.copy(self)
            on_cpu._session = _open(self.path, file.content, threads, installed_provider(CPU, available))
            self.provider_check = check_against_cpu(self.path, provider, self, on_cpu)

    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first step: zeros."""
        shapes = self.card.state_shapes
        return tuple(
            np.zeros((batch, *shape), self._input_dtypes[name])
            for name, shape in zip(self._states, shapes, strict=True)
        )

    def step(self, frame_BCHW: npt.NDArray[Any], state: State) -> tuple[npt.NDArray[np.float32], State]:
        """Return (logits_BK, next state); the session keeps no state.

        Args:
            frame_BCHW: raw counts of any numeric type; for a model of pictures, what `PictureSpec.scaled` returns.

        Raises:
            ModelError: the frame or the state has another shape than the model's, or onnxruntime fails.
        """
        if self.card.steps_per_call > 1:
            raise ModelError(
                str(self.path), got="one frame for a file of whole clips",
                expected=f"{self.card.steps_per_call} frames", todo="call steps, or export it without --whole-clip",
            )  # fmt: skip
        return self._call("frame", "a frame", frame_BCHW, self._frame_shape_CHW, state)

    def steps(self, frames_TBCHW: npt.NDArray[Any], state: State) -> tuple[npt.NDArray[np.float32], State]:
        """Return (logits_TBK, next state) of several steps, of a file of whole clips in one call; else as `step`."""
        if (count := self.card.steps_per_call) > 1:
            shape = (count, *self._frame_shape_CHW)
            logits_BTK, state = self._call("frames", "frames", frames_TBCHW.swapaxes(0, 1), shape, state)
            return logits_BTK.swapaxes(0, 1), state
        logits_TBK = []
        for frame_BCHW in frames_TBCHW:
            logits_BK, state = self.step(frame_BCHW, state)
            logits_TBK.append(logits_BK)
        return np.stack(logits_TBK), state

    def _call(
        self, name: str, what: str, x: npt.NDArray[Any], expected: tuple[int, ...], state: State
    ) -> tuple[npt.NDArray[np.float32], State]:
        shapes = [each.shape for each in state]
        if x.shape[1:] != expected or not x.shape or shapes != [(len(x), *shape) for shape in self.card.state_shapes]:
            raise self._misfit(what, x.shape, expected, shapes)
        feed = dict(zip(self._states, state, strict=True))
        feed[name] = x.astype(self._input_dtypes[name])
        try:
            logits, *next_state = self._session.run(self._outputs, feed, self._run_options)
        except Exception as error:  # onnxruntime's exception classes have no closer common base
            raise ModelError(
                str(self.path), got=f"a step that fails in onnxruntime ({_reason(error)})",
                expected=f"one in less than {MAX_ARENA_BYTES >> 30} GiB", todo="use a smaller batch, or another model",
            ) from None  # fmt: skip
        return logits.astype(np.float32, copy=False), tuple(next_state)

    def _misfit(
        self, what: str, got: tuple[int, ...], expected: tuple[int, ...], shapes: list[tuple[int, ...]]
    ) -> ModelError:
        """Return the error of a call: onnxruntime would repeat a state of one clip for all of a batch."""
        if got[1:] != expected or not got or len(shapes) != len(self._states):
            return ModelError(
                str(self.path), got=f"{what} of shape {got} and {len(shapes)} state tensors",
                expected=f"(batch, {', '.join(map(str, expected))}) and {len(self._states)}",
                todo="make frames with the model's own frame spec",
            )  # fmt: skip
        wanted = [(got[0], *shape) for shape in self.card.state_shapes]
        name, shape, fit = next(row for row in zip(self._states, shapes, wanted, strict=True) if row[1] != row[2])
        return ModelError(
            str(self.path), got=f"{name} of shape {shape}", expected=f"{fit}, as {what} of shape {got} needs",
            todo="begin with initial_state(batch), and give each step the state of the one before",
        )  # fmt: skip

    @property
    def scattered(self) -> "Scattered | None":
        """How often convolutions were scattered; None with other providers."""
        return None if self._graph is None else self._graph.scattered

    def stop(self) -> None:
        """End a step that another thread runs, between two of its operators, with a ModelError; and all later ones."""
        self._run_options.terminate = True


def _check_weights(path: Path, file: OnnxFile, card: ModelCard) -> None:
    if card.weights_sha256 not in (None, file.weights_sha256):
        raise ModelError(
            str(path), got=f"weights of the SHA-256 {file.weights_sha256[:16]}…",
            expected=f"{str(card.weights_sha256)[:16]}…, as its model card says",
            todo="copy it again from where it was exported: it was changed since",
        )  # fmt: skip


def _open(path: Path, content: bytes, threads: int, provider: Provider) -> onnxruntime.InferenceSession:
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised
    options.add_session_config_entry("session.use_env_allocators", "1")
    providers = [(provider.execution, provider.options_for(threads))]
    onnxruntime.set_default_logger_severity(4)  # what fails to start is found below
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's exception classes have no closer common base
        raise ModelError(
            str(path), got=f"a file that onnxruntime refuses ({_reason(error)})", expected="an exported .onnx model",
            todo="export the model again",
        ) from None  # fmt: skip
    # A provider whose libraries are missing is left out with a line in onnxruntime's log.
    if provider.execution not in session.get_providers():
        raise MissingExtraError(
            f"--provider: {provider.execution}", got="one that does not start here",
            expected="its libraries and device", todo=f"install what {provider.package} needs, or leave --provider out",
        )  # fmt: skip
    return session


def _scattered(
    whole: onnxruntime.InferenceSession, path: Path, content: bytes, threads: int, provider: Provider
) -> "ScatteredGraph":
    from stdl_events.live.scattered import ScatteredGraph

    return ScatteredGraph(content, whole, lambda part: _open(path, part, threads, provider), threads)


def _reason(error: Exception) -> str:
    """Return the last line of an error of onnxruntime, which may repeat what the file says."""
    line = str(error).strip().splitlines()[-1]
    return "".join(each if each.isprintable() else "?" for each in line)[:MAX_REASON]


@cache
def _bound_memory() -> None:
    """Bound what all sessions of this process may allocate: products of small tensors can be of any size."""
    arena = onnxruntime.OrtArenaCfg({"max_mem": MAX_ARENA_BYTES, "arena_extend_strategy": SAME_AS_REQUESTED})
    kinds = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", *kinds), arena)
