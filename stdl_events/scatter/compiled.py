"""Numba's options, its cache of machine code, and its threads: one place for all compiled kernels.

Kernels never choose by a timer, and their results do not depend on the number of threads.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import numba
from numba import njit

# Numba's simplest threading layer is not thread-safe.
_LOCK = threading.Lock()


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`numba.njit` without the GIL, with the machine code kept on disk where there is a folder for it."""

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            kept: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        except RuntimeError:  # no folder for the cache of machine code: each process compiles
            kept = njit(nogil=True, error_model="numpy", **options)(function)
        return kept

    return compiled


@functools.cache
def most_threads() -> int:
    """Start numba's threads and return their number.

    This changes the number of threads of other users of OpenMP in the process, torch among them.
    """
    number: int = numba.get_num_threads()
    return number


def run(kernel: Callable[..., None], threads: int, *arguments: Any) -> None:
    """Run a parallel kernel on at most `threads` threads."""
    with _LOCK:
        numba.set_num_threads(max(1, min(threads, most_threads())))
        kernel(*arguments)


compiled = cached_njit(parallel=True, fastmath={"contract"})
inlined = cached_njit(fastmath={"contract"})
