"""What one training step takes: peak bytes, seconds in turns, and the seconds of its convolutions alone.

T time, B batch, C channels, H height, W width.
"""

import functools
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from stdl_events.memory.meter import LiveBytes
from stdl_events.network.spec import NetworkSpec

CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)


def clip(spec: NetworkSpec, batch_size: int, steps: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Random event counts_TBCHW float32, about as dense as real frames, and targets_B."""
    generator = torch.Generator().manual_seed(0)
    frames_TBCHW = torch.poisson(torch.full((steps, batch_size, *spec.input_shape), 0.3), generator)
    return frames_TBCHW.to(device), (torch.arange(batch_size) % (spec.classes or 1)).to(device)


def peak_bytes(make: Callable[[], Callable[..., object]], inputs: Sequence[Tensor]) -> int:
    """The peak of a settled step, with its network and without `inputs`.

    On CUDA these are the bytes of torch's allocator, workspaces of libraries and its rounding included; on the CPU
    those of live tensors. The second step is measured, in which CUDA graphs are recorded: a replay allocates nothing.

    Args:
        make: builds the network and returns its step.
        inputs: the step's arguments, on its device.
    """
    if inputs[0].device.type == "cuda":
        gc.collect()
        before = torch.cuda.memory_allocated()
        step = make()
        step(*inputs)
        torch.cuda.reset_peak_memory_stats()
        step(*inputs)
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with LiveBytes() as live:
        step = make()
        for tensor in inputs:
            live.exclude(tensor)
        step(*inputs)
        live.reset_peak()
        step(*inputs)
    return live.peak


def in_turns(
    steps: Sequence[Callable[[], object]], rounds: int, device: torch.device, until: float = float("inf")
) -> list[list[float]]:
    """Seconds of each step per round, in turns, after one round of warm-up.

    Args:
        until: of `time.monotonic`; no further round begins after it, except for the first.
    """
    seconds: list[list[float]] = [[] for _ in steps]
    wait = functools.partial(torch.cuda.synchronize, device) if device.type == "cuda" else (lambda: None)
    for number in range(rounds + 1):
        if number > 1 and time.monotonic() > until:
            break
        for index, step in enumerate(steps):
            wait()
            started = time.perf_counter()
            step()
            wait()
            if number:
                seconds[index].append(time.perf_counter() - started)
    return seconds


def bare_convolutions(step: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """The convolutions that `step` runs, forward and backward, on random tensors of the same shapes and layouts.

    Args:
        step: a training step in plain mode; lean mode's would hold recomputations and parts of layers.
    """
    with _Recorded() as recorded:
        step()
    random: dict[tuple[Any, ...], Tensor] = {}

    def tensor(shape: _Layout) -> Tensor:
        key = (shape.role, shape.size, shape.stride, shape.dtype)
        if key not in random:
            random[key] = torch.empty_strided(shape.size, shape.stride, dtype=shape.dtype, device=device).normal_()
        return random[key]

    calls = [(func, tree_map_only(_Layout, tensor, arguments)) for func, arguments in recorded.calls]

    def run() -> None:
        with torch.no_grad():
            for func, arguments in calls:
                func(*arguments)

    return run


class _Layout:
    """A tensor's size, strides and dtype, and its place among the arguments, so that two of one call stay two."""

    def __init__(self, tensor: Tensor, role: int) -> None:
        self.size, self.stride, self.dtype, self.role = tuple(tensor.size()), tensor.stride(), tensor.dtype, role


class _Recorded(TorchDispatchMode):
    """Records the convolutions that run, without their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in CONVOLUTIONS:
            kept = (_Layout(x, place) if isinstance(x, Tensor) else x for place, x in enumerate(args))
            self.calls.append((func, tuple(kept)))
        return func(*args, **(kwargs or {}))
