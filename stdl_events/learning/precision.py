"""Number formats of a training step; parameters, their gradients and statistics are always in the weights' own."""

import contextlib
import dataclasses
import functools
import warnings

import torch

from stdl_events.errors import RuleError
from stdl_events.learning.grid import Rule
from stdl_events.learning.registries import STEP_PRECISIONS
from stdl_events.network.spec import Kept

# Instructions for products of bfloat16, by the names of `torch.cpu.get_capabilities`, that oneDNN's convolutions use.
BF16_PRODUCTS = ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16", "sve_bf16")


@dataclasses.dataclass(frozen=True)
class Precision:
    """One choice of number formats, an entry of `STEP_PRECISIONS`.

    Args:
        flowing: the activation dtype; None for that of the weights.
        convolving: the dtype in which synapses convolve; None for the activation dtype.
        state: number format of membrane potentials between two steps, see `NeuronSpec.state`; "float" is the activation
            dtype.
        settled: names of the entries that it stands for on devices with bfloat16 convolutions, and without; None if it
            is the same on every device.
        candidates: names of the entries of which it stands for the first that fits into a memory budget, see
            `stdl_events.memory.choose_precision`; empty for all others.
    """

    flowing: torch.dtype | None = None
    convolving: torch.dtype | None = None
    state: Kept = "float"
    settled: tuple[str, str] | None = None
    candidates: tuple[str, ...] = ()


FP32 = Precision()
BF16 = Precision(torch.bfloat16, settled=("bf16-convolutions", "bf16-states"))
BF16_CONVOLUTIONS = Precision(torch.bfloat16)
BF16_STATES = Precision(torch.bfloat16, torch.float32)
INT8_STATE = Precision(state="int8")
INT8_STATE_BF16 = Precision(
    torch.bfloat16, state="int8", settled=("int8-state+bf16-convolutions", "int8-state+bf16-states")
)
INT8_STATE_BF16_CONVOLUTIONS = Precision(torch.bfloat16, state="int8")
INT8_STATE_BF16_STATES = Precision(torch.bfloat16, torch.float32, "int8")
AUTO = Precision(candidates=("fp32", "bf16", "int8-state", "int8-state+bf16"))


def settled_precision(precision: str, device: torch.device) -> str:
    """`precision` on `device`: "bf16" becomes "bf16-convolutions" or "bf16-states", the latter with a warning.

    Raises:
        RuleError: `precision` is unknown, or still to be chosen for a memory budget.
    """
    if STEP_PRECISIONS[precision].candidates:
        raise RuleError(
            f"precision {precision}",
            got="a learner without a search for its plan",
            expected="a precision by its name here",
            todo="choose it by `plan_learner`, `build_learner` or `stdl-events plan`, with a budget",
        )
    settled = precision_on(precision, device)
    if settled.endswith("-states") and settled != precision:
        _say_that_convolutions_are_in_float32(precision, settled)
    return settled


def precision_on(precision: str, device: torch.device) -> str:
    """`settled_precision` without the warning, for one that may not be chosen."""
    choices = STEP_PRECISIONS[precision].settled
    if choices is None:
        return precision
    convolves, does_not = choices
    return convolves if device.type != "cpu" or cpu_convolves_in_bf16() else does_not


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
def _say_that_convolutions_are_in_float32(precision: str, settled: str) -> None:
    warnings.warn(
        f"precision {precision}: this processor has no bfloat16 convolutions, so they run in float32 ({settled})",
        stacklevel=2,
    )


def flowing_dtype(precision: str, weights: torch.dtype, rule: Rule) -> torch.dtype:
    """The activation dtype: that of currents and their gradients, for weights of dtype `weights`.

    Raises:
        RuleError: bf16 with other weights than float32, or anything but fp32 with a rule that keeps traces.
    """
    chosen = STEP_PRECISIONS[precision]
    if chosen == FP32:
        return weights
    of_weights = chosen.flowing is not None and weights != torch.float32
    if of_weights or rule.time.trace is not None:
        got = f"weights of {weights}" if of_weights else f"rule {rule.name}, which keeps traces"
        raise RuleError(
            f"precision {precision.removesuffix('-convolutions').removesuffix('-states')}",
            got=got,
            expected="float32 weights and a rule without traces" if chosen.flowing else "a rule without traces",
            todo="use fp32",
        )
    return chosen.flowing or weights


def convolving_dtype(precision: str) -> torch.dtype | None:
    """The dtype in which synapses convolve; None for the activation dtype."""
    return STEP_PRECISIONS[precision].convolving


def mixed_precision(device: torch.device, flowing: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Autocast of autograd's operations to the activation dtype, where that is bfloat16."""
    if flowing != torch.bfloat16:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=flowing)
