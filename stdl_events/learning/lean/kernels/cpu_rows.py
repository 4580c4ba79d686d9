"""Spikes of one row of the CPU kernels, packed, unpacked and as numbers; kernels are compiled with them inside.

Numba keeps a kernel's machine code until the kernel's own file changes. After a change here, touch those files.

Eight spikes are packed by one multiplication. With the spikes as the bytes of a 64-bit word, byte j times 2^(63 - 9 j)
moves its bit into the word's highest byte, in order. No two products overlap in a bit.
"""

import sys
from typing import Any

import numpy as np

from stdl_events.compiled import cached_njit
from stdl_events.learning.lean.kernels.cpu_bf16 import store
from stdl_events.learning.lean.kernels.layout import BITS
from stdl_events.scatter.compiled import inlined

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
def spikes_row(fired_P: Any, spikes_P: Any) -> None:
    """Write spikes as numbers: a loop of its own, in which `spikes_P` may have been the current."""
    for p in range(len(spikes_P)):
        store(spikes_P, p, fired_P[p])
