"""Loops compiled by numba: its options, its cache of machine code, and when loading it to decode files pays.

numba comes with the extras `train` and `fast`. It takes 0.6 s of a processor's time to load, so that nothing here
imports it before it is asked for.
"""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

# numpy decodes as much in the time that numba takes to load: 0.4 s for text to 0.7 s for EVT 3.
LOAD_BYTES = 32 << 20
COMPILING = "compiling loops for this processor, once: later runs load them"


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`numba.njit` without the GIL, with the machine code kept on disk where there is a folder for it."""
    from numba import njit

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            kept: Callable[..., Any] = njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        except RuntimeError:  # no folder for the cache of machine code: each process compiles
            kept = njit(nogil=True, error_model="numpy", **options)(function)
        return kept

    return compiled


@contextlib.contextmanager
def compiling_said(say: Callable[[str], None]) -> Iterator[None]:
    """Call `say` in the body before the first loop is compiled; loops that are loaded from the cache are not said."""
    from numba.core import event

    class Once(event.Listener):
        is_said = False

        def on_start(self, event: object) -> None:
            if not self.is_said:
                self.is_said = True
                say(COMPILING)

        def on_end(self, event: object) -> None:
            pass

    with event.install_listener("numba:compile", Once()):
        yield


class Loading:
    """Decides whether compiled loops decode a file: one decision for all formats that have one.

    Attributes:
        numpy_bytes: size of the files that this process has decoded without them so far.
    """

    def __init__(self) -> None:
        self.numpy_bytes = 0

    def pays(self, file_bytes: int) -> bool:
        """True if numba is loaded, or is installed and loads sooner than numpy decodes all files so far and this one.

        Several small files count like a large one, so that no process takes longer than twice the quicker way.
        """
        if sys.modules.get("numba") is not None:
            return True
        self.numpy_bytes += file_bytes
        return self.numpy_bytes >= LOAD_BYTES and _load()


@functools.cache
def _load() -> bool:
    try:
        import numba  # noqa: F401
    except ImportError:  # not installed, or not for this version of numpy
        return False
    return True


LOADING = Loading()
