"""Which kernel runs where. Compilers are loaded when there is something to compile for."""

import functools
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from stdl_events.learning.lean.kernels import reference

ON_CUDA = ("fire_", "surrogate_backward_", "unpack")


def kernel(name: str, device: torch.device, dtype: torch.dtype) -> Callable[..., Any]:
    """The quickest kernel called `name` that there is for a device and a type of numbers."""
    module: ModuleType = reference
    if device.type == "cpu" and dtype in (torch.float32, torch.float64):
        from stdl_events.learning.lean.kernels import cpu

        module = cpu
    elif device.type == "cuda" and name in ON_CUDA:
        module = _for_cuda(device)
    chosen: Callable[..., Any] = getattr(module, name)
    return chosen


@functools.cache
def _for_cuda(device: torch.device) -> ModuleType:
    """Triton's kernels where they are installed and do on this device what the plain ones do."""
    if find_spec("triton") is None:
        return reference
    from stdl_events.learning.lean.kernels import cuda

    return proven(cuda, device)


def proven(kernels: ModuleType, device: torch.device) -> ModuleType:
    """`kernels` if a step of theirs on `device` is that of the plain ones, which are returned with a warning if not.

    Compilers depend on drivers and devices that nobody has tested them all with; a wrong step would train, badly.
    """
    try:
        same = all(_same(kernels, device, surrogate) for surrogate in ("triangle", "rectangle", "sigmoid"))
        problem = "their results are not those of plain torch"
    except Exception as error:  # whatever a compiler or a driver may raise
        same, problem = False, f"{type(error).__name__}: {error}"
    if not same:
        warnings.warn(f"compiled kernels are not used on {device}, training is slower: {problem}", stacklevel=2)
    return kernels if same else reference


def _same(kernels: ModuleType, device: torch.device, surrogate: str) -> bool:
    ours, plain = _step(kernels, device, surrogate), _step(reference, device, surrogate)
    return all(torch.allclose(found, wanted, rtol=1e-5, atol=1e-6) for found, wanted in zip(ours, plain, strict=True))


def _step(kernels: ModuleType, device: torch.device, surrogate: str) -> tuple[Tensor, ...]:
    # Eighths, so that nothing is rounded on the way to the threshold.
    size = (3, 5, 6, 7)
    current, u, grad = torch.randint(-16, 17, (3, *size), generator=torch.Generator().manual_seed(0)).to(device) / 8
    bits = torch.zeros((3, 5, 6), dtype=torch.uint8, device=device)
    kernels.fire_(current, u, bits, 0.5, 0.75, 1.0)
    kernels.surrogate_backward_(grad, u, bits, 0.75, 1.0, surrogate, 1.0)
    return current, u, grad, bits, kernels.unpack(bits, 42, torch.float32)
