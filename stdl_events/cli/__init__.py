"""The `stdl-events` command: one subcommand per stage of the pipeline.

Results go to stdout; progress, warnings and errors go to stderr. Every command imports its packages when it runs, so
that `--help` is quick and `info`, `frames` and `live` work without PyTorch.
"""

import argparse
import os
import sys
import warnings
from typing import Annotated

import typer

from stdl_events import __version__
from stdl_events.cli import (
    calibrate,
    cameras,
    compare,
    cost,
    demo,
    evaluate,
    events,
    export,
    frames,
    live,
    memory,
    models,
    plan,
    predict,
    prepare,
    report,
    show,
    sweep,
    train,
)
from stdl_events.cli.monitor_options import with_monitor_address
from stdl_events.cli.options import update_choices
from stdl_events.cli.output import print_error, print_warning
from stdl_events.errors import MissingExtraError, StdlEventsError
from stdl_events.plugins import load_plugin

# Packages of the commands outside the live runtime.
TRAINING_PACKAGES = frozenset(
    {"torch", "norse", "onnx", "onnxscript", "safetensors", "tensorboard", "tonic", "matplotlib", "jinja2"}
)

app = typer.Typer(
    name="stdl-events",
    help="Train a spiking recogniser on event-camera recordings within a memory budget, export it as one ONNX file, "
    "and run it live without PyTorch.\n\nThe usual order: info, frames, plan, train, evaluate, calibrate, export, "
    "predict, live; demo shows it all on simulated walkers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _common(
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", metavar="FILE.py|MODULE", help="Import this first; it registers its own entries."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options of the program."""
    del plugin, version  # `main` acts on them, before the help texts are written


for stage in (
    demo, events, show, frames, prepare, plan, memory, cost, train, sweep, evaluate, report, compare, calibrate, export,
    models, predict, cameras, live,
):  # fmt: skip
    stage.register(app)


def _common_options() -> argparse.ArgumentParser:
    """Return a parser of the options of `_common`, which may precede or follow a command."""
    parser = argparse.ArgumentParser(prog="stdl-events", add_help=False, allow_abbrev=False)
    parser.add_argument("--plugin", action="append", default=[])
    parser.add_argument("--version", action="store_true")
    return parser


def main() -> None:
    """Run the command line; an error of ours becomes one line on stderr and its exit code.

    `STDL_EVENTS_DEBUG=1` shows the traceback instead.
    """
    warnings.showwarning = print_warning
    common, arguments = _common_options().parse_known_args()
    if common.version:
        print(f"stdl-events {__version__}")
        return
    try:
        for plugin in common.plugin:
            load_plugin(plugin)
        update_choices()
        app(with_monitor_address(arguments))
    except StdlEventsError as error:
        if os.environ.get("STDL_EVENTS_DEBUG") == "1":
            raise
        print_error(error)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAINING_PACKAGES:
            raise
        missing = MissingExtraError(
            f"package {package}",
            got="not installed",
            expected="the packages for training",
            todo="pip install 'stdl-events[train]'",
        )
        print_error(missing)
        sys.exit(missing.exit_code)
