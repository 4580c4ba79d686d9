"""Numba's options and threads for kernels that compute: one place for all of them.

Kernels never choose by a timer, and their results do not depend on the number of threads.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import numba

from stdl_events.compiled import cached_njit

# Numba's simplest threading layer is not thread-safe.
_LOCK = threading.Lock()


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
        _use_threads(max(1, min(threads, most_threads())))
        kernel(*arguments)


# Numba's number of threads is one for each thread of Python, and setting it takes as long as a small kernel.
_USED = threading.local()


def _use_threads(number: int) -> None:
    """Set numba's number, if the last kernel had another; should others set it too, only the time depends on it."""
    if getattr(_USED, "number", None) != number:
        numba.set_num_threads(number)
        _USED.number = number


compiled = cached_njit(parallel=True, fastmath={"contract"})
inlined = cached_njit(fastmath={"contract"})
