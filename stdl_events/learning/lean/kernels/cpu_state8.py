"""CPU kernels of neurons that keep their membrane potential in eight bits; see `network.neurons.eight_bits`.

For float32 and bfloat16, with arithmetic in float32. The loops are those of other potentials, with the steps of
`cpu_neurons.py` for int8 inside.
"""

from typing import Any

import numpy as np
from torch import Tensor

from stdl_events.learning.lean.kernels.cpu import (
    fire_in_rows,
    flat,
    run_on_rows,
    sizes,
    surrogate_backward_in_rows,
)
from stdl_events.learning.lean.kernels.cpu_bf16 import as_numbers
from stdl_events.learning.lean.kernels.cpu_neurons import FORMULAS
from stdl_events.learning.lean.kernels.cpu_norm import slope_normed, step_normed
from stdl_events.network.neurons.eight_bits import LEAST, MOST
from stdl_events.network.registries import SURROGATES

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
    numbers = as_numbers(np.float32, threshold, amount, width, step)
    arrays = (*flat(grad_BCHW), *flat(kept_BCHW), *flat(bits_BCQ))
    run_on_rows(surrogate_backward_in_rows, *arrays, *sizes(grad_BCHW), numbers, FORMULAS[SURROGATES[surrogate]])


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
    threshold, amount, step = neurons
    numbers = as_numbers(np.float32, threshold, amount, width, step)
    slope_normed(grad_BCHW, y_BCHW, kept_BCHW, bits_BCQ, norm_C, numbers, FORMULAS[SURROGATES[surrogate]])


def _numbers(decay: float, threshold: float, amount: float, step: float) -> tuple[Any, ...]:
    """Arguments of `fire_row`."""
    return as_numbers(np.float32, decay * step, threshold, amount, 1 / step, LEAST, MOST, _ROUNDS)
