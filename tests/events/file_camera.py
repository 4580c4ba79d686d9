"""A camera without hardware: eventcv's own reader hands over a file's windows as its camera does."""

from pathlib import Path

import eventcv

GONE = "LIBUSB_ERROR_NO_DEVICE"


class FileCamera:
    """What `eventcv.stream` returns, for a file; at its end it is unplugged.

    Args:
        overflows: windows before which the driver has lost events.
        idle: number of reads without a window, before the first one.
    """

    name, serial = "DAVIS346", "00000042"

    def __init__(self, path: Path, size: tuple[int, int], window_us: int = 2_000, overflows: int = 0, idle: int = 0):
        self.sensor_size = size
        self.backlog = 0
        self.n_overflows = 0
        self.closed = False
        self._windows = iter(eventcv.open(str(path), dt_us=window_us, sensor_size=size, time_unit="us").windows())
        self._overflows, self._idle = overflows, idle

    def read(self, *, timeout_ms: float | None = None):
        assert timeout_ms is not None, "a source that waits forever cannot be stopped"
        if self.closed:
            raise RuntimeError("camera is closed")
        if self._idle:
            self._idle -= 1
            return None
        window = next((window for window in self._windows if len(window)), None)
        if window is None:
            raise RuntimeError(GONE)
        self.n_overflows = self._overflows
        self.backlog = 3
        return window

    def close(self) -> None:
        self.closed = True
