"""What was probed for cameras, what was found, and what is missing."""

from dataclasses import dataclass, field
from pathlib import Path

from stdl_events.errors import MissingExtraError
from stdl_events.events.sources import eventcv_driver, usb

RULES_COMMAND = f"stdl-events cameras --udev-rules | sudo tee /etc/udev/rules.d/{usb.RULES_FILE}"


@dataclass(frozen=True)
class FoundCamera:
    """A camera that can be opened.

    Attributes:
        source: for `--source`.
    """

    name: str
    serial: str | None
    sensor_size: tuple[int, int] | None
    speed: str
    source: str


@dataclass
class CameraReport:
    """The answer of `probe_cameras`.

    Attributes:
        probed: where cameras were looked for, with what each place answered.
        found: the cameras that can be opened.
        missing: what keeps others from being opened, with what to do.
        missing_extra: the error for eventcv, if it is not installed.
    """

    probed: list[str] = field(default_factory=list)
    found: list[FoundCamera] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    missing_extra: MissingExtraError | None = None


def probe_cameras(devices: Path = usb.DEVICES, nodes: Path = usb.NODES) -> CameraReport:
    """Look for cameras through eventcv, and on USB by their identities."""
    report = CameraReport()
    listed: list[eventcv_driver.ListedCamera] = []
    said: list[str] = []
    try:
        listed, said = eventcv_driver.list_cameras()
        report.probed.append(f"drivers of eventcv {eventcv_driver.version()}: {_cameras(len(listed))}")
    except MissingExtraError as error:
        report.missing_extra = error
        report.probed.append(f"drivers of eventcv: {error.got}")
        report.missing.append(f"{error.got}: {error.todo}")
    report.found = [_found(camera, only=len(listed) == 1) for camera in listed]
    on_usb = usb.usb_cameras(devices, nodes)
    if on_usb is None:
        report.probed.append(f"USB: this system does not list its devices in {devices}")
    else:
        report.probed.append(f"USB ({devices}): {_cameras(len(on_usb))}")
    opened = {(camera.bus, camera.address) for camera in listed}
    others = [camera for camera in on_usb or () if (camera.bus, camera.address) not in opened]
    report.missing += [_reason(camera, report.missing_extra is not None) for camera in others]
    report.missing += said
    return report


def _found(camera: eventcv_driver.ListedCamera, *, only: bool) -> FoundCamera:
    address = camera.serial or ("" if only else camera.name)
    return FoundCamera(camera.name, camera.serial, camera.sensor_size, camera.speed, f"eventcv:{address}")


def _reason(camera: usb.UsbCamera, without_package: bool) -> str:
    """Say why eventcv does not list a camera, and what to do."""
    where = f"{camera.model.name} at {camera.node}"
    if not camera.model.has_driver:
        return f"{where}: eventcv has no driver; open it with its maker's program or jAER, which sends to tcp: or jaer:"
    if camera.access == "absent":
        return f"{where}: no such file; a container needs it, such as docker run --device /dev/bus/usb"
    if camera.access == "no":
        if not usb.has_rules():
            return f"{where}: no permission, and no udev rule; {RULES_COMMAND}, then plug it in again"
        return (
            f"{where}: no permission; plug it in again, and join its group: sudo usermod --append --groups video $USER"
        )
    if without_package:
        return f"{where}: ready, once eventcv is installed"
    return f"{where}: eventcv cannot open it; close other programs that use it, or plug it in again"


def _cameras(count: int) -> str:
    return f"{count or 'no'} camera{'s' if count > 1 else ''}"
