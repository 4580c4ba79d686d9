"""Warnings of a run, kept for its metrics while they are shown as always."""

import threading
import warnings
from types import TracebackType
from typing import Any

# A run that warns at every step keeps no more than this.
MOST = 100


class KeptWarnings:
    """Context that keeps the texts of the warnings that are shown within, each once."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._taken = 0
        self._lock = threading.Lock()

    def take(self) -> list[str]:
        """Return the texts since the last call, on one line each."""
        with self._lock:
            found = list(self._texts)[self._taken :]
            self._taken = len(self._texts)
        return found

    def __enter__(self) -> "KeptWarnings":
        self._shown = warnings.showwarning
        warnings.showwarning = self._show
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        warnings.showwarning = self._shown

    def _show(self, message: Warning | str, *place: Any, **further: Any) -> None:
        with self._lock:
            if len(self._texts) < MOST:
                self._texts[" ".join(str(message).split())] = None
        self._shown(message, *place, **further)
