"""The door to the package eventcv: its list of cameras, and an open camera.

eventcv is imported when a camera is listed or opened. It opens a camera with the maker's default biases; what it can
change is in `CameraSettings`.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Protocol, cast

from stdl_events.errors import MissingExtraError
from stdl_events.events.sources.usb import printable

# By eventcv's names of its drivers; it tells the size of a camera only when it is open.
SENSOR_SIZES = {
    "prophesee_evk4": (1280, 720),
    "prophesee_evk3_hd": (1280, 720),
    "inivation_dvxplorer": (640, 480),
    "inivation_davis346": (346, 260),
    "centuryarks_vga": (640, 480),
}


@dataclass(frozen=True)
class ListedCamera:
    """A camera that eventcv sees.

    Attributes:
        kind: eventcv's name of the driver.
        serial: None if it could not be read.
        speed: of the connection, such as "super".
    """

    kind: str
    name: str
    serial: str | None
    bus: int
    address: int
    speed: str

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """(width, height); None for a driver that is not known here."""
        return SENSOR_SIZES.get(self.kind)


@dataclass(frozen=True)
class CameraSettings:
    """What eventcv can change of a camera.

    Attributes:
        roi: (x, y, width, height); pixels outside are silent, on the chip where it can, else on this machine.
        rate_cap: most events a second, dropped on the chip; eventcv refuses it for chips without a controller.
        adaptive_bias: biases follow the light: True to hold the event rate of the first second, or a band of rates in
            events a second; None leaves the defaults.
    """

    roi: tuple[int, int, int, int] | None = None
    rate_cap: int | None = None
    adaptive_bias: bool | tuple[float, float] | None = None


class Window(Protocol):
    """A few milliseconds of events."""

    def __len__(self) -> int: ...

    def numpy(self) -> Any:
        """Columns x, y, t in microseconds, and p, as (N, 4)."""
        ...


class Camera(Protocol):
    """The part of eventcv's `EventCamera` that is used here."""

    @property
    def sensor_size(self) -> tuple[int, int]: ...

    @property
    def backlog(self) -> int: ...

    @property
    def n_overflows(self) -> int: ...

    def read(self, *, timeout_ms: float | None = None) -> Window | None: ...

    def close(self) -> None: ...


def version() -> str:
    """Return eventcv's version.

    Raises:
        MissingExtraError: it is not installed.
    """
    return str(_package().__version__)


def list_cameras() -> tuple[list[ListedCamera], list[str]]:
    """Return the cameras that eventcv sees, and what it says about those that it cannot see.

    Raises:
        MissingExtraError: it is not installed, or was built without drivers of cameras.
    """
    package = _package()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            listed = package.list_cameras()
        except RuntimeError as error:  # its only one: built without drivers
            raise _missing(printable(str(error))) from None
    cameras = [
        ListedCamera(
            kind=str(camera["kind"]), name=printable(str(camera["name"])), bus=int(camera["bus"]),
            address=int(camera["address"]), speed=str(camera["speed"]),
            serial=None if camera["serial"] is None else printable(str(camera["serial"])),
        )
        for camera in listed
    ]  # fmt: skip
    return cameras, [printable(str(warning.message)) for warning in said]


def open_camera(serial: str | None, settings: CameraSettings, window_us: int) -> Camera:
    """Open a camera whose windows last `window_us`; None is the only one.

    Raises:
        MissingExtraError: see `version`.
        ValueError: eventcv refuses a setting.
        RuntimeError, OSError: the camera cannot be opened.
    """
    bias: Any = settings.adaptive_bias
    if isinstance(bias, tuple):
        bias = {"target_rate": bias}
    camera = _package().stream(
        serial, dt_us=window_us, roi=settings.roi, max_event_rate=settings.rate_cap, adaptive_bias=bias
    )
    return cast(Camera, camera)


def _package() -> Any:
    try:
        import eventcv
    except ImportError as error:
        raise _missing("no package eventcv" if error.name == "eventcv" else printable(str(error))) from None
    return eventcv


def _missing(got: str) -> MissingExtraError:
    return MissingExtraError(
        "source eventcv", got=got, expected="the extra camera", todo="pip install 'stdl-events[camera]'"
    )
