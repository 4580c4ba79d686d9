"""Choice of the kernels for a device and a dtype. Compilers are imported at their first use."""

import functools
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from stdl_events.learning.lean.kernels import reference
from stdl_events.network.registries import SURROGATES

ON_CPU = (torch.float32, torch.float64, torch.bfloat16)
# Nothing but checks of gradients keeps eight bits beside float64, for which compiling takes longer than running.
EIGHT_BITS_ON_CPU = (torch.float32, torch.bfloat16)
# Kernels of packed spikes alone, whatever dtype they are unpacked to.
OF_BITS = ("fired", "count_")
ON_CUDA = ("fire_", "surrogate_backward_", "unpack")
OF_NORM = ("fire_normed_", "surrogate_backward_normed_")
OF_EIGHT_BITS = (
    "fire_eight_bits_",
    "surrogate_backward_eight_bits_",
    "fire_eight_bits_normed_",
    "surrogate_backward_eight_bits_normed_",
)


def fuses_norm(device: torch.device, dtype: torch.dtype) -> bool:
    """True where batch norm in training and the neurons behind it have one kernel."""
    return device.type == "cpu" and dtype in ON_CPU


def kernel(name: str, device: torch.device, dtype: torch.dtype, surrogate: str | None = None) -> Callable[..., Any]:
    """The fastest kernel called `name` for a device and a dtype.

    Args:
        surrogate: name of the kernel's surrogate gradient. The plain kernel supports every registered one, compiled
            ones those in their `FORMULAS`.

    Raises:
        NotationError: `surrogate` is unknown.
    """
    module = _compiled_for(name, device, dtype)
    if surrogate is not None and module is not reference and SURROGATES[surrogate] not in module.FORMULAS:
        module = reference
    chosen: Callable[..., Any] = getattr(module, name)
    return chosen


@functools.cache
def _compiled_for(name: str, device: torch.device, dtype: torch.dtype) -> ModuleType:
    """The module with the fastest kernels of a name, whatever the surrogate."""
    dtypes = EIGHT_BITS_ON_CPU if name in OF_EIGHT_BITS else ON_CPU
    if device.type == "cpu" and (dtype in dtypes or name in OF_BITS):
        from stdl_events.learning.lean.kernels import cpu, cpu_norm, cpu_state8

        return cpu_state8 if name in OF_EIGHT_BITS else cpu_norm if name in OF_NORM else cpu
    return _for_cuda(device, dtype) if device.type == "cuda" and name in ON_CUDA else reference


@functools.cache
def _for_cuda(device: torch.device, dtype: torch.dtype) -> ModuleType:
    """Triton's kernels, if Triton is installed and they equal the plain ones on this device and dtype."""
    if find_spec("triton") is None:
        return reference
    from stdl_events.learning.lean.kernels import cuda

    return proven(cuda, device, dtype)


def proven(kernels: ModuleType, device: torch.device, dtype: torch.dtype) -> ModuleType:
    """`kernels` if one step of them on `device` equals that of the plain ones; else the plain ones, with a warning.

    Compilers depend on drivers and devices, not all of which are tested. A wrong kernel would train badly, in silence.
    """
    try:
        compiled = [name for name, surrogate in SURROGATES.items() if surrogate in kernels.FORMULAS]
        same = all(_same(kernels, device, dtype, surrogate) for surrogate in compiled)
        problem = "their results are not those of plain torch"
    except Exception as error:  # compilers and drivers may raise anything
        same, problem = False, f"{type(error).__name__}: {error}"
    if not same:
        where = f"on {device} in {dtype}"
        warnings.warn(f"compiled kernels are not used {where}, training is slower: {problem}", stacklevel=2)
    return kernels if same else reference


def _same(kernels: ModuleType, device: torch.device, dtype: torch.dtype, surrogate: str) -> bool:
    ours, plain = (_step(module, device, dtype, surrogate) for module in (kernels, reference))
    room = 16 * torch.finfo(dtype).eps
    return all(torch.allclose(found, wanted, rtol=room, atol=room) for found, wanted in zip(ours, plain, strict=True))


def _step(kernels: ModuleType, device: torch.device, dtype: torch.dtype, surrogate: str) -> tuple[Tensor, ...]:
    # Multiples of 1/8, so that the potential is exact in every dtype.
    size = (3, 5, 6, 7)
    eighths = torch.randint(-16, 17, (3, *size), generator=torch.Generator().manual_seed(0)) / 8
    current, u, grad = eighths.to(device, dtype)
    bits = torch.zeros((3, 5, 6), dtype=torch.uint8, device=device)
    kernels.fire_(current, u, bits, 0.5, 0.75, 1.0)
    kernels.surrogate_backward_(grad, u, bits, 0.75, 1.0, surrogate, 1.0)
    return current, u, grad, bits, kernels.unpack(bits, 42, dtype)
