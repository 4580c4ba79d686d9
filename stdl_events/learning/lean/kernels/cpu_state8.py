"""CPU kernels of neurons that keep their membrane potential in eight bits; see `network.neurons.eight_bits`.

For float32 and bfloat16, with arithmetic in float32. The loops are those of other potentials, with the steps of
`cpu_neurons.py` for int8 inside. Surrogate gradients without an exact formula there come from a table that plain torch
computes: every registered surrogate has it.
"""

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stdl_events.learning.lean.kernels.cpu import (
    fire_in_rows,
    flat,
    run_on_rows,
    sizes,
    surrogate_backward_in_rows,
)
from stdl_events.learning.lean.kernels.cpu_bf16 import as_numbers
from stdl_events.learning.lean.kernels.cpu_neurons import BY_TABLE, EXACT_FORMULAS
from stdl_events.learning.lean.kernels.cpu_norm import slope_normed, step_normed
from stdl_events.network.neurons.eight_bits import LEAST, MOST
from stdl_events.network.registries import SURROGATES
from stdl_events.network.surrogate import Surrogate

# Adding and subtracting it rounds a small float32 to the nearest whole one, half to even.
_ROUNDS = 1.5 * 2**23


def fire_eight_bits_(
    current_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    decay: float,
    threshold: float,
    amount: float,
    step: float,
) -> None:
    arrays = (*flat(current_BCHW), *flat(kept_BCHW), *flat(bits_BCQ))
    numbers = _numbers(decay, threshold, amount, step)
    run_on_rows(fire_in_rows, *arrays, *sizes(current_BCHW), numbers)


def surrogate_backward_eight_bits_(
    grad_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    threshold: float,
    amount: float,
    step: float,
    surrogate: str,
    width: float,
) -> None:
    slopes = _slopes(SURROGATES[surrogate], width, threshold, amount, step)
    arrays = (*flat(grad_BCHW), *flat(kept_BCHW), *flat(bits_BCQ))
    run_on_rows(surrogate_backward_in_rows, *arrays, *sizes(grad_BCHW), *slopes)


def fire_eight_bits_normed_(
    spikes_BCHW: Tensor,
    y_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    momentum: float,
    eps: float,
    neurons: list[float],
) -> None:
    numbers = _numbers(*neurons)
    step_normed(spikes_BCHW, y_BCHW, kept_BCHW, bits_BCQ, norm_C, momentum, eps, numbers)


def surrogate_backward_eight_bits_normed_(
    grad_BCHW: Tensor,
    y_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    neurons: list[float],
    surrogate: str,
    width: float,
) -> None:
    slopes = _slopes(SURROGATES[surrogate], width, *neurons)
    slope_normed(grad_BCHW, y_BCHW, kept_BCHW, bits_BCQ, norm_C, *slopes)


def _numbers(decay: float, threshold: float, amount: float, step: float) -> tuple[Any, ...]:
    """Arguments of `fire_row`."""
    return as_numbers(np.float32, decay * step, threshold, amount, 1 / step, LEAST, MOST, _ROUNDS)


@functools.lru_cache(maxsize=64)
def _slopes(
    surrogate: Surrogate, width: float, threshold: float, amount: float, step: float
) -> tuple[tuple[Any, ...], int]:
    """Arguments of `surrogate_row`: its numbers and the formula."""
    is_exact = np.float32(width) * np.float32(width) == np.float32(width * width)  # plain torch squares it in float64
    if is_exact and (formula := EXACT_FORMULAS.get(surrogate)) is not None:
        return as_numbers(np.float32, threshold, amount, width, step), formula
    return (_table(surrogate, width, threshold, amount, step),), BY_TABLE


def _table(surrogate: Surrogate, width: float, threshold: float, amount: float, step: float) -> Any:
    """The surrogate gradient of every kept integer, without a spike and then with one."""
    with torch.inference_mode(False), torch.no_grad():
        u = torch.arange(LEAST, MOST + 1).float().mul_(step)
        s = torch.tensor([[0.0], [1.0]])
        return surrogate.gradient_((s * amount + u).sub_(threshold), width).flatten().numpy()
