"""Command lines in documents and files, read as the program reads them, without running them."""

import shlex
from pathlib import Path
from typing import Any

import typer

from stdl_events.cli import app
from stdl_events.cli.options.live_options import model_and_source
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.geometry import Geometry
from stdl_events.events.sources import SOURCES, _split
from stdl_events.events.sources.address import parse_address
from stdl_events.events.sources.eventcv import parse_camera

GEOMETRY = ("rotate", "flip", "crop", "center_crop", "scale", "scale_by")
ADDRESSES = {"tcp", "jaer", "jaer+tcp", "udp"}


def parameters(line: str) -> dict[str, Any]:
    """Return the values of the parameters of `stdl-events COMMAND ...`; what follows a redirection is the shell's.

    Values that a command itself reads only when it runs, of sources, filters and geometry, are read here too.
    """
    words = shlex.split(line)
    for redirection in ("<", ">", "|"):
        words = words[: words.index(redirection)] if redirection in words else words
    program, name, *rest = words
    assert Path(program).name == "stdl-events", line
    command = typer.main.get_command(app).commands[name]
    found = command.make_context(name, rest).params
    if name == "live":
        found["model"], found["source"] = model_and_source(found["arguments"], found["model"], found["source"])
        _read_source(found["source"])
        Geometry.parse({setting: found[setting] for setting in GEOMETRY if found[setting] is not None})
        FilterSpec.parse(found["filters"] or ())
    return found


def _read_source(source: str) -> None:
    scheme, address = _split(source)
    assert scheme in SOURCES
    if scheme == "eventcv":
        parse_camera(address)
    elif scheme in ADDRESSES:
        parse_address(scheme, address)
