"""Ctrl-C and SIGTERM end a run after its current step, so that what it has trained is kept."""

import signal
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXIT_AFTER = 128


class Interruption:
    """Context in which the first Ctrl-C or SIGTERM is a request, and the second acts at once.

    Only the main thread receives signals; in others nothing changes.

    Attributes:
        number: of the received signal, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._handlers: dict[signal.Signals, object] = {}

    def end(self) -> None:
        """End the program as the signal would have.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SystemExit: after SIGTERM, with the exit code of a shell.
        """
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.number is not None:
            raise SystemExit(_EXIT_AFTER + self.number)

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._request) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what `signal` returned
        self._handlers = {}
