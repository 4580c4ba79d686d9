"""Steps of neurons on one row of the CPU kernels, chosen by the dtype of the membrane potentials when compiled.

Potentials in the activation dtype are stepped with fused products and sums. Those in eight bits are rounded product by
product and sum by sum, so that spikes are those of plain torch and of an exported file bit for bit.

Numba keeps a kernel's machine code until the kernel's own file changes. After a change here, touch those files.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from stdl_events.compiled import cached_njit
from stdl_events.learning.lean.kernels.cpu_bf16 import load, number_of, rounded, store
from stdl_events.network.surrogate import RECTANGLE, SIGMOID, TRIANGLE, Surrogate
from stdl_events.scatter.compiled import inlined

_TRIANGLE, _RECTANGLE, _SIGMOID = range(3)
FORMULAS: dict[Surrogate, int] = {TRIANGLE: _TRIANGLE, RECTANGLE: _RECTANGLE, SIGMOID: _SIGMOID}

# Kernels hand their own options on to what they call, unless it has its own.
_never_fused = cached_njit(fastmath=False)


def fire_row(y_P: Any, scale: Any, offset: Any, u_P: Any, fired_P: Any, neurons: Any) -> None:
    """Step one row of neurons, whose current is `y_P` times `scale` plus `offset`; writes potentials and spikes.

    Args:
        scale: one number for the row, or one for each place in it; so is `offset`.
        neurons: decay, threshold and amount; of potentials in eight bits what `cpu_state8` makes of them.
    """
    raise NotImplementedError("compiled functions alone")


def _of_place(numbers: Any, p: int) -> Any:
    raise NotImplementedError("compiled functions alone")


@overload(_of_place, strict=False)
def _(numbers: Any, p: Any) -> Any:
    if isinstance(numbers, types.Array):
        return lambda numbers, p: numbers[p]
    return lambda numbers, p: numbers


@inlined
def _fire_numbers(y_P: Any, scale: Any, offset: Any, u_P: Any, fired_P: Any, neurons: Any) -> None:
    decay, threshold, amount = neurons
    for p in range(len(y_P)):
        current = rounded(y_P, load(y_P, p) * _of_place(scale, p) + _of_place(offset, p))
        m = rounded(u_P, current + decay * load(u_P, p))  # STDL eq. (1)
        fired = m >= threshold  # STDL eq. (2)
        store(u_P, p, m - amount if fired else m)  # STDL eq. (3)
        fired_P[p] = fired


@_never_fused
def _fire_eight_bits(y_P: Any, scale: Any, offset: Any, kept_P: Any, fired_P: Any, neurons: Any) -> None:
    factor, threshold, amount, per_step, least, most, rounds = neurons
    for p in range(len(y_P)):
        current = rounded(y_P, load(y_P, p) * _of_place(scale, p) + _of_place(offset, p))
        m = current + factor * np.float32(kept_P[p])  # STDL eq. (1)
        fired = m >= threshold  # STDL eq. (2)
        u = ((m - amount) if fired else m) * per_step  # STDL eq. (3)
        kept_P[p] = np.int8((min(max(u, least), most) + rounds) - rounds)
        fired_P[p] = fired


@overload(fire_row, strict=False)
def _(y_P: Any, scale: Any, offset: Any, u_P: Any, fired_P: Any, neurons: Any) -> Any:
    step = _fire_eight_bits if u_P.dtype == types.int8 else _fire_numbers
    return lambda y_P, scale, offset, u_P, fired_P, neurons: step(y_P, scale, offset, u_P, fired_P, neurons)


def _potential(u_P: Any, p: int, numbers: Any) -> Any:
    raise NotImplementedError("compiled functions alone")


@overload(_potential, strict=False)
def _(u_P: Any, p: Any, numbers: Any) -> Any:
    if u_P.dtype == types.int8:  # the step is a power of two, so that the product is exact
        return lambda u_P, p, numbers: numbers[3] * np.float32(u_P[p])
    return lambda u_P, p, numbers: load(u_P, p)


@inlined
def surrogate_row(grad_P: Any, u_P: Any, fired_P: Any, numbers: Any, surrogate: int) -> None:
    """Overwrite the gradient of one row's spikes with that of their current.

    Args:
        numbers: threshold, amount and width; of potentials in eight bits their step too.
        surrogate: a value of `FORMULAS`.
    """
    threshold, amount, width = numbers[:3]
    zero, one = number_of(grad_P, 0), number_of(grad_P, 1)
    if surrogate == _TRIANGLE:  # STDL eq. (7)
        for p in range(len(grad_P)):
            distance = abs(((amount if fired_P[p] else zero) + _potential(u_P, p, numbers)) - threshold)
            store(grad_P, p, load(grad_P, p) * (min(distance - width, zero) / (-width * width)))
    elif surrogate == _RECTANGLE:
        for p in range(len(grad_P)):
            distance = abs(((amount if fired_P[p] else zero) + _potential(u_P, p, numbers)) - threshold)
            store(grad_P, p, load(grad_P, p) * ((one if distance < width / 2 else zero) / width))
    elif surrogate == _SIGMOID:
        for p in range(len(grad_P)):
            distance = ((amount if fired_P[p] else zero) + _potential(u_P, p, numbers)) - threshold
            sigmoid = one / (one + np.exp(-distance * width))
            store(grad_P, p, load(grad_P, p) * (sigmoid * (one - sigmoid) * width))
