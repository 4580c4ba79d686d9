"""`eventcv:[NAME or SERIAL][?SETTING=VALUE&...]`: a USB camera through the drivers in the package eventcv.

eventcv decodes in a thread of its own, from a ring of half a gigabyte, into windows of `WINDOW_US` by the camera's
clock. What its ring has no room for is counted as `camera_overflows`; the most buffers that ever waited there are
`camera_backlog`.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from urllib.parse import parse_qsl, unquote

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecordingError, SourceLostError
from stdl_events.events.sources.datagrams import SAY_SILENCE_S
from stdl_events.events.sources.eventcv_driver import (
    Camera,
    CameraSettings,
    ListedCamera,
    Window,
    list_cameras,
    open_camera,
)
from stdl_events.events.sources.inbox import Inbox, Overload
from stdl_events.events.sources.received import ReceivedSource, say
from stdl_events.events.sources.reopening import is_said, open_within, sleep
from stdl_events.events.sources.usb import printable
from stdl_events.events.stream import EVENT_DTYPE, EventArray

WINDOW_US = 2_000
SETTINGS = {
    "roi": "roi=X,Y,WxH, such as roi=320,180,640x360",
    "rate_cap": "rate_cap=EVENTS_A_SECOND, such as rate_cap=5e6",
    "adaptive_bias": "adaptive_bias=on or adaptive_bias=LOW,HIGH events a second, such as adaptive_bias=2e5,1e6",
}
_POLL_MS = 50.0


def open_eventcv(address: str, *, overload: Overload = "fresh", reconnect_s: float = 0.0) -> ReceivedSource[Window]:
    """Open the camera at `address`: a part of its name or its serial number; nothing if there is only one.

    Args:
        overload: see `ReceivedSource`; with "complete" the camera's ring fills, and its overflows are counted.
        reconnect_s: a camera that is not there, or was unplugged, is opened again for so long; 0 ends the source.

    Raises:
        RecordingError: the address is wrong or fits several cameras, or the camera has no such setting.
        SourceLostError: there is no such camera, or it cannot be opened.
        MissingExtraError: eventcv is not installed.
    """
    wanted, settings = parse_camera(address)
    name = _named(wanted)

    def open_it() -> Camera:
        listed, said = list_cameras()
        return opened(choose(listed, wanted, said), settings)

    receiver = CameraReceiver(name, open_it, reconnect_s)
    return ReceivedSource(name, receiver.sensor_size, receiver, overload=overload)


def parse_camera(address: str) -> tuple[str, CameraSettings]:
    """Parse `NAME?SETTING=VALUE&...` to the name and the settings.

    Raises:
        RecordingError: a setting is unknown, or its value has another form.
    """
    name, _, query = address.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise _wrong(f"the settings {query}", "SETTING=VALUE, joined by &") from None
    given = dict(pairs)
    unknown = [setting for setting, _ in pairs if setting not in SETTINGS]
    if unknown or len(given) < len(pairs):
        got = f"the setting {unknown[0]}" if unknown else f"a setting twice in {query}"
        raise _wrong(got, "; ".join(SETTINGS.values()))
    roi, cap, bias = (given.get(setting) for setting in SETTINGS)
    settings = CameraSettings(
        roi=None if roi is None else _roi(roi),
        rate_cap=None if cap is None else int(_numbers("rate_cap", cap, 1)[0]),
        adaptive_bias=None if bias is None else _bias(bias),
    )
    return printable(unquote(name.removeprefix("//"))).strip(), settings


def choose(cameras: Sequence[ListedCamera], wanted: str, said: Sequence[str] = ()) -> ListedCamera:
    """Return the camera with this serial number, or else with `wanted` in its name; "" is the only camera.

    Args:
        said: by eventcv about cameras that it cannot see.

    Raises:
        RecordingError: several fit, or the one that does cannot be told from the others without a serial number.
        SourceLostError: none does.
    """
    by_serial = [camera for camera in cameras if camera.serial and camera.serial.lower() == wanted.lower()]
    found = by_serial or [camera for camera in cameras if _bare(wanted) in _bare(camera.name + camera.kind)]
    if len(found) == 1 and (found[0].serial or len(cameras) == 1):
        return found[0]
    there = ", ".join(f"{camera.name} ({camera.serial or 'no serial number'})" for camera in cameras) or "no camera"
    if found:
        raise RecordingError(
            f"source {_named(wanted)}", got=f"several cameras: {there}", expected="one of them",
            todo="name its serial number, eventcv:SERIAL; unplug the others if it has none",
        )  # fmt: skip
    raise SourceLostError(
        f"source {_named(wanted)}", got="; ".join([there, *said]), expected="this camera" if wanted else "a camera",
        todo="plug it in, and see stdl-events cameras",
    )  # fmt: skip


def _named(wanted: str) -> str:
    return f"eventcv:{wanted}" if wanted else "eventcv"


def opened(camera: ListedCamera, settings: CameraSettings) -> Camera:
    """Open a camera that is listed.

    Raises:
        RecordingError: it does not have a setting.
        SourceLostError: it cannot be opened.
    """
    name = f"source {_named(camera.serial or camera.name)}"
    try:
        return open_camera(camera.serial, settings, WINDOW_US)
    except (RuntimeError, OSError, ValueError) as error:
        reason = printable(str(error))
        asked = {"roi": settings.roi, "max_event_rate": settings.rate_cap, "adaptive_bias": settings.adaptive_bias}
        if isinstance(error, ValueError) or any(word in reason for word, value in asked.items() if value is not None):
            raise RecordingError(
                name, got=reason, expected=f"settings that the {camera.name} has", todo="change them, or leave them out"
            ) from None
        raise SourceLostError(
            name, got=reason, expected="a camera that can be opened",
            todo="close what else uses it, and see stdl-events cameras",
        ) from None  # fmt: skip


class CameraReceiver:
    """The `Receiver` of a camera's windows.

    Args:
        open_it: opens the camera; raises SourceLostError.
        reconnect_s: see `open_eventcv`.

    Attributes:
        counts: of what was lost, over all cameras that were opened.
    """

    def __init__(self, name: str, open_it: Callable[[], Camera], reconnect_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self._name, self._open, self._reconnect_s = name, open_it, reconnect_s
        camera = open_within(open_it, reconnect_s, sleep)
        assert camera is not None, "sleeping never gives up"
        self._camera = camera
        self._overflows_before = self._losses = 0
        self._using = threading.Lock()  # eventcv refuses a second call while one runs
        width, height = camera.sensor_size
        self.sensor_size = (int(width), int(height))

    def receive(self, inbox: Inbox[Window]) -> None:
        try:
            while not inbox.closed:
                try:
                    self._read(inbox)
                except (RuntimeError, OSError) as error:  # what eventcv raises when the camera is gone
                    self._reopen(inbox, self._lost(printable(str(error))))
        finally:
            self.close()

    def decode(self, packets: Sequence[Window]) -> Iterator[EventArray]:
        return (events_of(window.numpy()) for window in packets)

    def close(self) -> None:
        with self._using, suppress(RuntimeError, OSError):
            self._camera.close()

    def _read(self, inbox: Inbox[Window]) -> None:
        began_s: float | None = time.monotonic()
        while not inbox.closed:
            with self._using:
                if inbox.closed:
                    return
                window = self._camera.read(timeout_ms=_POLL_MS)
                self.counts["camera_overflows"] = self._overflows_before + self._camera.n_overflows
                self.counts["camera_backlog"] = max(self.counts["camera_backlog"], self._camera.backlog)
            if window is not None:
                began_s = None
                inbox.put(window, len(window) * EVENT_DTYPE.itemsize)
            elif began_s is not None and time.monotonic() - began_s > SAY_SILENCE_S:
                say(self._name, f"no event for {SAY_SILENCE_S:g} s: check the lens cap and the light")
                began_s = None

    def _reopen(self, inbox: Inbox[Window], lost: SourceLostError) -> None:
        """Open the camera again; the inbox may be closed before.

        Raises:
            SourceLostError: `lost`, if this is not wanted, or the last reason.
        """
        self.close()
        if not self._reconnect_s:
            raise lost
        self._losses += 1
        if is_said(self._losses):
            say(self._name, f"{lost.got}; opening it again, for the {self._losses}. time")
        camera = open_within(self._open, self._reconnect_s, inbox.wait)
        if camera is None:
            return
        self._overflows_before = self.counts["camera_overflows"]
        with self._using:
            self._camera = camera
        if tuple(camera.sensor_size) != self.sensor_size:
            raise self._lost(f"a sensor of {camera.sensor_size} after it was opened again")
        self.counts["reopened"] += 1

    def _lost(self, got: str) -> SourceLostError:
        return SourceLostError(
            self._name, got=got or "a camera that is gone", expected="a camera that stays",
            todo="check cable and port, or wait for it with --reconnect SECONDS",
        )  # fmt: skip


def events_of(columns: npt.NDArray[np.uint64]) -> EventArray:
    """Return eventcv's columns x, y, t in microseconds, and p, as events."""
    events = np.empty(len(columns), EVENT_DTYPE)
    for column, name in enumerate("xytp"):
        events[name] = columns[:, column]
    return events


def _roi(text: str) -> tuple[int, int, int, int]:
    found = re.fullmatch(r"(\d{1,5}),(\d{1,5}),(\d{1,5})x(\d{1,5})", text)
    if found is None:
        raise _wrong(f"roi={text}", SETTINGS["roi"])
    x, y, width, height = map(int, found.groups())
    return x, y, width, height


def _bias(text: str) -> bool | tuple[float, float]:
    if text == "on":
        return True
    low, high = _numbers("adaptive_bias", text, 2)
    return low, high


def _numbers(setting: str, text: str, count: int) -> list[float]:
    """Parse positive finite numbers."""
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(0 < number < 1e12 for number in numbers):
        raise _wrong(f"{setting}={text}", SETTINGS[setting])
    return numbers


def _wrong(got: str, expected: str) -> RecordingError:
    return RecordingError("source eventcv", got=printable(got), expected=expected, todo="correct it")


def _bare(text: str) -> str:
    """Return the letters and digits of a name, in lower case."""
    return re.sub(r"[\W_]", "", text).lower()
