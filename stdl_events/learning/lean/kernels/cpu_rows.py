"""Steps of the CPU kernels on one row, the pixels of one channel of one sample; kernels are compiled with them inside.

Numba keeps a kernel's machine code until the kernel's own file changes. After a change here, touch those files.

Eight spikes are packed by one multiplication. With the spikes as the bytes of a 64-bit word, byte j times 2^(63 - 9 j)
moves its bit into the word's highest byte, in order. No two products overlap in a bit.
"""

import sys
from typing import Any

import numpy as np

from stdl_events.compiled import cached_njit
from stdl_events.learning.lean.kernels.cpu_bf16 import load, number_of, rounded, store
from stdl_events.learning.lean.kernels.layout import BITS
from stdl_events.network.surrogate import RECTANGLE, SIGMOID, TRIANGLE, Surrogate
from stdl_events.scatter.compiled import inlined

_TRIANGLE, _RECTANGLE, _SIGMOID = range(3)
# The surrogates that `surrogate_backward_` has a formula for.
FORMULAS: dict[Surrogate, int] = {TRIANGLE: _TRIANGLE, RECTANGLE: _RECTANGLE, SIGMOID: _SIGMOID}
_GATHER, _HIGHEST_BYTE = np.uint64(sum(1 << (63 - 9 * byte) for byte in range(BITS))), np.uint64(56)
# Each byte value, unpacked into the eight bytes of a word.
_WORDS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).reshape(-1).view(np.uint64)

assert sys.byteorder == "little", "the first pixel is the lowest byte of a word"

_inlined = cached_njit()


@_inlined
def pack_row(words_Q: Any, bits: Any, start: int) -> None:
    for q in range(len(words_Q)):
        bits[start + q] = (words_Q[q] * _GATHER) >> _HIGHEST_BYTE


@_inlined
def unpack_row(bits: Any, start: int, words_Q: Any) -> None:
    for q in range(len(words_Q)):
        words_Q[q] = _WORDS[bits[start + q]]


@inlined
def fire_row(
    y_P: Any, scale: Any, offset: Any, u_P: Any, fired_P: Any, decay: Any, threshold: Any, amount: Any
) -> None:
    """Step one row of neurons, whose current is `y_P` times `scale` plus `offset`; writes potentials and spikes."""
    for p in range(len(y_P)):
        current = rounded(y_P, load(y_P, p) * scale + offset)
        m = rounded(u_P, current + decay * load(u_P, p))  # STDL eq. (1)
        fired = m >= threshold  # STDL eq. (2)
        store(u_P, p, m - amount if fired else m)  # STDL eq. (3)
        fired_P[p] = fired


@inlined
def spikes_row(fired_P: Any, spikes_P: Any) -> None:
    """Write spikes as numbers: a loop of its own, in which `spikes_P` may have been the current."""
    for p in range(len(spikes_P)):
        store(spikes_P, p, fired_P[p])


@inlined
def surrogate_row(grad_P: Any, u_P: Any, fired_P: Any, threshold: Any, amount: Any, width: Any, surrogate: int) -> None:
    """Overwrite the gradient of one row's spikes with that of their current."""
    zero, one = number_of(grad_P, 0), number_of(grad_P, 1)
    if surrogate == _TRIANGLE:  # STDL eq. (7)
        for p in range(len(grad_P)):
            distance = abs(((amount if fired_P[p] else zero) + load(u_P, p)) - threshold)
            store(grad_P, p, load(grad_P, p) * (min(distance - width, zero) / (-width * width)))
    elif surrogate == _RECTANGLE:
        for p in range(len(grad_P)):
            distance = abs(((amount if fired_P[p] else zero) + load(u_P, p)) - threshold)
            store(grad_P, p, load(grad_P, p) * ((one if distance < width / 2 else zero) / width))
    elif surrogate == _SIGMOID:
        for p in range(len(grad_P)):
            distance = ((amount if fired_P[p] else zero) + load(u_P, p)) - threshold
            sigmoid = one / (one + np.exp(-distance * width))
            store(grad_P, p, load(grad_P, p) * (sigmoid * (one - sigmoid) * width))
