"""Mixed precision: parameters, their gradients and statistics in float32, activations and states in bfloat16."""

import contextlib
from typing import Literal, TypeAlias

import torch

from stdl_events.errors import RuleError
from stdl_events.learning.grid import Rule, require_choice

Precision: TypeAlias = Literal["fp32", "bf16"]


def flowing_dtype(precision: Precision, weights: torch.dtype, rule: Rule) -> torch.dtype:
    """The activation dtype: that of membrane potentials, currents and their gradients, for weights of dtype `weights`.

    Raises:
        RuleError: bf16 with other weights than float32, or with a rule that keeps traces.
    """
    require_choice("precision", precision, ("fp32", "bf16"))
    if precision == "fp32":
        return weights
    if weights != torch.float32 or rule.time.trace is not None:
        got = f"weights of {weights}" if rule.time.trace is None else f"rule {rule.name}, which keeps traces"
        raise RuleError(
            "precision bf16", got=got, expected="float32 weights and a rule without traces", todo="use fp32"
        )
    return torch.bfloat16


def mixed_precision(device: torch.device, flowing: torch.dtype) -> contextlib.AbstractContextManager[None]:
    """Autocast of autograd's operations to the activation dtype, where that is bfloat16."""
    if flowing != torch.bfloat16:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=flowing)
