"""Execution providers of onnxruntime: what computes the steps of an exported model, and the check against the CPU.

B batch, C channels, H height, W width, K classes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stdl_events.errors import MissingExtraError, ModelError, VerificationError
from stdl_events.live.synthetic import busy_frames
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.live.scattered import ScatteredGraph
    from stdl_events.live.session import StepSession

CPU, SCATTER = "cpu", "scatter"
CHECKED_STEPS = 10
# A neuron within rounding of its threshold may fire on one side alone, and changes what it feeds in that step.
TOLERANCE = 1e-3
LEAST_SHARE = 0.999


@dataclasses.dataclass(frozen=True)
class Provider:
    """An execution provider.

    Args:
        summary: one-line description.
        execution: its name in onnxruntime.
        package: what brings it.
        options: of onnxruntime. They ask for float32 where the provider would round more coarsely by itself.
        threads: its option for the threads within a step; None where onnxruntime's own holds, or it has none.
        scatters: convolutions of sparse inputs are computed by `scattered` instead; `package` is then what that needs.
    """

    summary: str
    execution: str
    package: str
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    threads: str | None = None
    scatters: bool = False

    def options_for(self, threads: int) -> dict[str, str]:
        """The options of a session with `threads` threads."""
        return {**self.options, **({} if self.threads is None else {self.threads: str(threads)})}


PROVIDERS: Registry[Provider] = Registry(
    "provider",
    ModelError,
    {
        CPU: Provider("the processor", "CPUExecutionProvider", "onnxruntime"),
        SCATTER: Provider(
            "the processor, where convolutions of quiet inputs follow the spikes",
            "CPUExecutionProvider",
            "numba",
            scatters=True,
        ),
        "cuda": Provider("NVIDIA GPU", "CUDAExecutionProvider", "onnxruntime-gpu", {"use_tf32": "0"}),
        "tensorrt": Provider("NVIDIA GPU through TensorRT", "TensorrtExecutionProvider", "onnxruntime-gpu"),
        "openvino": Provider(
            "Intel processor through OpenVINO",
            "OpenVINOExecutionProvider",
            "onnxruntime-openvino",
            {"device_type": "CPU", "precision": "FP32"},
            threads="num_of_threads",
        ),
        "coreml": Provider("Apple's GPU and neural engine", "CoreMLExecutionProvider", "onnxruntime on macOS"),
    },
)


def installed_provider(name: str, available: Sequence[str]) -> Provider:
    """The provider called `name`, if the installed onnxruntime has it.

    Args:
        available: providers of the installed onnxruntime.

    Raises:
        ModelError: there is no provider of that name.
        MissingExtraError: another build of onnxruntime has it.
    """
    provider = PROVIDERS[name]
    if provider.scatters and find_spec(provider.package) is None:
        raise MissingExtraError(
            f"--provider {name}", got=f"no package {provider.package}", expected="the extra fast",
            todo="pip install 'stdl-events[fast]'",
        )  # fmt: skip
    if provider.execution not in available:
        raise MissingExtraError(
            f"--provider {name}", got=f"an onnxruntime with {', '.join(available)}", expected=provider.execution,
            todo=f"install {provider.package} in place of onnxruntime, or leave --provider out",
        )  # fmt: skip
    return provider


@dataclasses.dataclass(frozen=True)
class ProviderCheck:
    """Result of `check_against_cpu`.

    Attributes:
        provider: the name of the provider.
        compared: number of values compared.
        differing: those that differ by more than `TOLERANCE`.
        largest_difference: among all values.
        of: what was compared, in words.
    """

    provider: str
    compared: int
    differing: int
    largest_difference: float
    of: str

    def to_text(self) -> str:
        """One line."""
        share = f", {self.differing} of {self.compared} by more than {TOLERANCE:g}" if self.differing else ""
        return (
            f"provider {self.provider}: its {self.of} differ from the CPU's by at most "
            f"{self.largest_difference:.1g}{share}"
        )


def check_against_cpu(path: Path, provider: str, session: "StepSession", cpu: "StepSession") -> ProviderCheck:
    """Run ten steps of random frames in both sessions, each from the CPU's state, and compare logits and states.

    Raises:
        VerificationError: more values differ than neurons at their threshold explain, or one is not finite.
    """
    state, differences = cpu.initial_state(), []
    for frame_BCHW in busy_frames(cpu.card, CHECKED_STEPS, 1):
        logits_BK, entries = session.step(frame_BCHW, state)
        expected_BK, state = cpu.step(frame_BCHW, state)
        pairs = zip((logits_BK, *entries), (expected_BK, *state), strict=True)
        differences += [np.abs(got.astype(np.float64) - expected).ravel() for got, expected in pairs]
    return _judged(path, provider, np.concatenate(differences), f"first {CHECKED_STEPS} steps", LEAST_SHARE)


def check_scattering(path: Path, provider: str, graph: "ScatteredGraph", cpu: "StepSession") -> ProviderCheck:
    """Compute each convolution of a graph on random inputs by scattering and in onnxruntime.

    Raises:
        VerificationError: they differ by more than rounding explains.
    """
    feed = {"frame": busy_frames(cpu.card, 1, 1)[0].astype(np.float32)}
    feed |= {f"state_{n}": entry for n, entry in enumerate(cpu.initial_state())}
    pairs = graph.check(feed)
    scales = [max(1.0, float(np.abs(dense_BOHW).max())) for _, dense_BOHW in pairs]
    differences = [np.abs(ours - dense).ravel() / scale for (ours, dense), scale in zip(pairs, scales, strict=True)]
    return _judged(path, provider, np.concatenate([np.zeros(0), *differences]), f"{len(pairs)} convolutions", 1.0)


def _judged(path: Path, provider: str, difference: npt.NDArray[np.floating], of: str, least: float) -> ProviderCheck:
    differing = int(np.sum(~(difference <= TOLERANCE)))
    check = ProviderCheck(provider, difference.size, differing, float(np.max(difference, initial=0.0)), of)
    if differing > (1 - least) * difference.size or not np.isfinite(check.largest_difference):
        raise VerificationError(
            f"{path} with --provider {provider}",
            got=f"{differing} of {difference.size} values of its {of} that differ from the CPU's by "
            f"more than {TOLERANCE:g}, the largest by {check.largest_difference:.2g}",
            expected=f"at least {least:.1%} of them within it", todo="run it with --provider cpu",
        )  # fmt: skip
    return check
