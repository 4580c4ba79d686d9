"""Mixed precision: parameters, their gradients and statistics in float32, activations and states in bfloat16."""

import contextlib
import functools
import warnings
from collections.abc import Iterable
from typing import get_args

import torch
from torch import nn

from stdl_events.errors import RuleError
from stdl_events.learning.grid import Precision, Rule, require_choice
from stdl_events.network.synapse import Synapse

# Instructions for products of bfloat16, by the names of `torch.cpu.get_capabilities`, that oneDNN's convolutions use.
BF16_PRODUCTS = ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16", "sve_bf16")


def settled_precision(precision: Precision, device: torch.device) -> Precision:
    """`precision` on `device`: "bf16" becomes "bf16-convolutions" or "bf16-states", the latter with a warning.

    Raises:
        RuleError: `precision` is unknown.
    """
    require_choice("precision", precision, get_args(Precision))
    if precision != "bf16":
        return precision
    if device.type != "cpu" or cpu_convolves_in_bf16():
        return "bf16-convolutions"
    _say_that_convolutions_are_in_float32()
    return "bf16-states"


@functools.cache
def cpu_convolves_in_bf16() -> bool:
    """True if this processor has instructions for products in bfloat16 and torch's convolutions use them.

    Without such instructions oneDNN emulates them (AVX-512), or torch's own loop runs, 80 times slower than float32.
    """
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    # torch 2.9 has no `get_capabilities`; what oneDNN says is all there is then.
    capabilities = getattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(BF16_PRODUCTS, True))()
    return any(capabilities.get(name, False) for name in BF16_PRODUCTS)


@functools.cache
def _say_that_convolutions_are_in_float32() -> None:
    warnings.warn(
        "precision bf16: this processor has no bfloat16 convolutions, so they run in float32 (bf16-states)",
        stacklevel=2,
    )


def flowing_dtype(precision: Precision, weights: torch.dtype, rule: Rule) -> torch.dtype:
    """The activation dtype: that of membrane potentials, currents and their gradients, for weights of dtype `weights`.

    Raises:
        RuleError: bf16 with other weights than float32, or with a rule that keeps traces.
    """
    if precision == "fp32":
        return weights
    if weights != torch.float32 or rule.time.trace is not None:
        got = f"weights of {weights}" if rule.time.trace is None else f"rule {rule.name}, which keeps traces"
        raise RuleError(
            "precision bf16", got=got, expected="float32 weights and a rule without traces", todo="use fp32"
        )
    return torch.bfloat16


def convolving_dtype(precision: Precision) -> torch.dtype | None:
    """The dtype in which synapses convolve; None for the activation dtype."""
    return torch.float32 if precision == "bf16-states" else None


def convolve_in(dtype: torch.dtype | None, modules: Iterable[nn.Module]) -> None:
    """Let all synapses of some modules convolve in `dtype`; None is the dtype of their input."""
    for module in modules:
        for part in module.modules():
            if isinstance(part, Synapse):
                part.convolves_in = dtype


def mixed_precision(device: torch.device, flowing: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Autocast of autograd's operations to the activation dtype, where that is bfloat16."""
    if flowing != torch.bfloat16:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=flowing)
