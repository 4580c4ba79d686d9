"""`cameras`: what is connected, and what is missing."""

import shlex
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from stdl_events.cli.output import print_json, results
from stdl_events.errors import NoCameraError


def register(app: typer.Typer) -> None:
    """Add this stage's command to `app`."""
    app.command()(cameras)


def cameras(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    udev_rules: Annotated[
        bool, typer.Option("--udev-rules", help="Print the rules that let users open cameras on Linux, and end.")
    ] = False,
) -> None:
    """List the event cameras on USB, with the command for each, and what keeps others from being opened.

    Exit code 0: a camera can be opened. 3: the extra camera is not installed. 9: no camera is found that can be opened.
    Cameras that another program sends over a network are not looked for.

    Example: stdl-events cameras --udev-rules | sudo tee /etc/udev/rules.d/65-stdl-events.rules
    """
    from stdl_events.events.sources.camera_report import probe_cameras
    from stdl_events.events.sources.usb import udev_rules as rules_of_all

    if udev_rules:
        sys.stdout.write(rules_of_all())
        return
    report = probe_cameras()
    if as_json:
        found = [asdict(camera) for camera in report.found]
        print_json({"probed": report.probed, "cameras": found, "missing": report.missing})
    else:
        lines = [f"probed   {line}" for line in report.probed]
        for camera in report.found:
            size = "{}x{}".format(*camera.sensor_size) if camera.sensor_size else "size known when it is open"
            lines.append(f"found    {camera.name}, {camera.serial or 'no serial number'}, {size}, USB {camera.speed}")
            lines.append(f"         {shlex.join(['stdl-events', 'live', 'MODEL', '--source', camera.source])}")
        lines += [f"missing  {line}" for line in report.missing]
        results.print("\n".join(lines), markup=False)
    if report.found:
        return
    if report.missing_extra is not None:
        raise report.missing_extra
    raise NoCameraError(
        "cameras", got=report.missing[0] if report.missing else "no event camera", expected="one that can be opened",
        todo="plug it into a USB 3 port, or receive it over a network, see stdl-events live --help",
    )  # fmt: skip
