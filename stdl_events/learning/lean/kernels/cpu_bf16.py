"""Numbers in memory as the CPU kernels read and write them: float32 and float64 as they are, bfloat16 as uint16.

Numba has no bfloat16. A bfloat16 is the upper half of a float32, so it is widened by a shift. All arithmetic is in
float32. What is stored is rounded to the nearest, ties to even, as torch does. The functions are chosen by an array's
dtype when a kernel is compiled, so that one kernel serves all dtypes.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor

_SHIFT, _HALF, _ONE = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)
_MAGNITUDE, _INFINITY, _NOT_A_NUMBER = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000), np.uint16(0x7FC0)
_POSITIVE = np.uint16(0x7FFF)


def as_array(x: Tensor) -> Any:
    """The tensor's memory as a numpy array: uint16 for bfloat16."""
    return x.view(torch.int16).numpy().view(np.uint16) if x.dtype == torch.bfloat16 else x.numpy()


def number_type(array: Any) -> Callable[[float], Any]:
    """The type of the arithmetic on an array's numbers."""
    kind: Callable[[float], Any] = np.float32 if array.dtype == np.uint16 else array.dtype.type
    return kind


@functools.lru_cache(maxsize=256)
def as_numbers(kind: Callable[[float], Any], *values: float) -> tuple[Any, ...]:
    """A kernel's constants in the type of its arithmetic."""
    return tuple(map(kind, values))


def load(x_P: Any, p: int) -> Any:
    """The number at `p`, in the arithmetic's type."""
    raise NotImplementedError("compiled functions alone")


def store(x_P: Any, p: int, value: Any) -> None:
    """Write a number to `p`, rounded to the array's dtype."""
    raise NotImplementedError("compiled functions alone")


def rounded(x_P: Any, value: Any) -> Any:
    """The number that `store` would write and `load` read again."""
    raise NotImplementedError("compiled functions alone")


def number_of(x_P: Any, value: Any) -> Any:
    """A number in the arithmetic's type."""
    raise NotImplementedError("compiled functions alone")


def is_set(x_P: Any, p: int) -> Any:
    """True if the number at `p` is not zero, of either sign."""
    raise NotImplementedError("compiled functions alone")


def _widened(half: Any) -> Any:
    raise NotImplementedError("compiled functions alone")


def _narrowed(value: Any) -> Any:
    raise NotImplementedError("compiled functions alone")


@overload(_widened, strict=False)
def _(half: Any) -> Any:
    return lambda half: np.uint32(np.uint32(half) << _SHIFT).view(np.float32)


@overload(_narrowed, strict=False)
def _(value: Any) -> Any:
    def narrowed(value: Any) -> Any:
        # Numba's integers become 64 bits wide in every operation, half as many in a vector.
        bits = np.float32(value).view(np.uint32)
        odd = np.uint32(np.uint32(bits >> _SHIFT) & _ONE)
        nearest = np.uint32(np.uint32(bits + _HALF) + odd)
        is_number = np.uint32(bits & _MAGNITUDE) <= _INFINITY
        return np.uint16(np.uint32(nearest >> _SHIFT)) if is_number else _NOT_A_NUMBER

    return narrowed


def _is_half(x_P: Any) -> bool:
    return bool(x_P.dtype == types.uint16)


@overload(load, strict=False)
def _(x_P: Any, p: Any) -> Any:
    if _is_half(x_P):
        return lambda x_P, p: _widened(x_P[p])
    return lambda x_P, p: x_P[p]


@overload(store, strict=False)
def _(x_P: Any, p: Any, value: Any) -> Any:
    if _is_half(x_P):

        def store_half(x_P: Any, p: int, value: Any) -> None:
            x_P[p] = _narrowed(value)

        return store_half

    def store_number(x_P: Any, p: int, value: Any) -> None:
        x_P[p] = value

    return store_number


@overload(rounded, strict=False)
def _(x_P: Any, value: Any) -> Any:
    if _is_half(x_P):
        return lambda x_P, value: _widened(_narrowed(value))
    return lambda x_P, value: value


@overload(number_of, strict=False)
def _(x_P: Any, value: Any) -> Any:
    kind = types.float32 if _is_half(x_P) else x_P.dtype
    return lambda x_P, value: kind(value)


@overload(is_set, strict=False)
def _(x_P: Any, p: Any) -> Any:
    if _is_half(x_P):
        return lambda x_P, p: np.uint16(x_P[p] & _POSITIVE) != 0
    return lambda x_P, p: x_P[p] != 0
