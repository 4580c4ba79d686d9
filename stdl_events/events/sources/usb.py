"""Event cameras on USB, found by their identities, whether or not a driver can open them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEVICES, NODES = Path("/sys/bus/usb/devices"), Path("/dev/bus/usb")
RULES_FILE = "65-stdl-events.rules"
RULES_FOLDERS = (Path("/etc/udev/rules.d"), Path("/run/udev/rules.d"), Path("/usr/lib/udev/rules.d"))


@dataclass(frozen=True)
class UsbModel:
    """What a USB identity stands for.

    Attributes:
        has_driver: eventcv opens it; otherwise the maker's program or jAER does.
    """

    vendor: int
    product: int
    name: str
    has_driver: bool = True


# Sources: the drivers of neuromorphic-drivers, on which eventcv is built, libcaer's, and OpenEB's camera discovery.
MODELS = (
    UsbModel(0x152A, 0x8400, "iniVation DVS128", has_driver=False),
    UsbModel(0x152A, 0x8419, "iniVation DVXplorer"),
    UsbModel(0x152A, 0x841A, "iniVation DAVIS346"),
    UsbModel(0x152A, 0x841B, "iniVation DAVIS240", has_driver=False),
    UsbModel(0x04B4, 0x00F4, "Prophesee EVK3 HD or EVK4"),
    UsbModel(0x04B4, 0x00F5, "Prophesee EVK3 HD or EVK4"),
    UsbModel(0x31F7, 0x0002, "CenturyArks SilkyEvCam VGA"),
    UsbModel(0x31F7, 0x0003, "CenturyArks SilkyEvCam HD"),
    UsbModel(0x31F7, 0x0004, "CenturyArks SilkyEvCam", has_driver=False),
    UsbModel(0x03FD, 0x5832, "Prophesee VGA", has_driver=False),
    UsbModel(0x1409, 0x8E00, "IDS uEye XCP-E"),
)


@dataclass(frozen=True)
class UsbCamera:
    """An event camera on USB.

    Attributes:
        node: the file through which a driver opens it.
        access: of this user to the node: "yes", "no" permission, or "absent", as in a container.
    """

    model: UsbModel
    bus: int
    address: int
    serial: str | None
    node: Path
    access: str


def usb_cameras(devices: Path = DEVICES, nodes: Path = NODES) -> list[UsbCamera] | None:
    """Return the event cameras on USB by bus and address; None where the system does not list devices there."""
    if not devices.is_dir():
        return None
    known = {(model.vendor, model.product): model for model in MODELS}
    found = []
    for folder in devices.iterdir():
        vendor, product = (_number(folder / name, 16) for name in ("idVendor", "idProduct"))
        bus, address = (_number(folder / name, 10) for name in ("busnum", "devnum"))
        if vendor is None or product is None or bus is None or address is None:
            continue  # an interface or a hub's port
        if (model := known.get((vendor, product))) is not None:
            node = nodes / f"{bus:03d}" / f"{address:03d}"
            found.append(UsbCamera(model, bus, address, _text(folder / "serial"), node, _access(node)))
    return sorted(found, key=lambda camera: (camera.bus, camera.address))


def has_rules(folders: Iterable[Path] = RULES_FOLDERS) -> bool:
    """True if udev's rules for these cameras are installed."""
    return any((folder / RULES_FILE).is_file() for folder in folders)


def udev_rules() -> str:
    """Return udev's rules that let the group video and locally logged-in users open all `MODELS`."""
    lines = [
        "# Lets the group video and locally logged-in users open event cameras without root. Written by",
        "# `stdl-events cameras --udev-rules`. Copy it to /etc/udev/rules.d/, then run",
        "# sudo udevadm control --reload-rules && sudo udevadm trigger",
    ]
    for model in MODELS:
        identity = f'ATTR{{idVendor}}=="{model.vendor:04x}", ATTR{{idProduct}}=="{model.product:04x}"'
        lines += [f"# {model.name}", f'SUBSYSTEM=="usb", {identity}, MODE="0660", GROUP="video", TAG+="uaccess"']
    return "\n".join(lines) + "\n"


def printable(text: str) -> str:
    """Return text that a device says of itself without control characters."""
    return "".join(letter for letter in text if letter.isprintable())


def _access(node: Path) -> str:
    if not node.exists():
        return "absent"
    return "yes" if os.access(node, os.R_OK | os.W_OK) else "no"


def _text(path: Path) -> str | None:
    try:
        return printable(path.read_text(encoding="utf-8", errors="replace")).strip() or None
    except OSError:
        return None


def _number(path: Path, base: int) -> int | None:
    try:
        return int(_text(path) or "", base)
    except ValueError:
        return None
