"""The `stdl-events` command: one subcommand per stage of the pipeline.

Results go to stdout; progress, warnings and errors go to stderr. Every command imports its packages when it runs, so
that `--help` is quick and `info`, `frames` and `live` work without PyTorch.
"""

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from stdl_events import __version__
from stdl_events.cli.options.monitor_options import with_monitor_address
from stdl_events.cli.options.registry_options import update_choices
from stdl_events.cli.output import INTERRUPTED, print_error, warnings_once
from stdl_events.cli.streams import prepare_standard_streams
from stdl_events.errors import MissingExtraError, StdlEventsError
from stdl_events.plugins import load_plugin

# Packages of the commands outside the live runtime.
TRAINING_PACKAGES = frozenset(
    {"torch", "norse", "onnx", "onnxscript", "safetensors", "tensorboard", "tonic", "matplotlib", "jinja2"}
)

# In the order of the help; each has a function `register`.
STAGES = (
    "demo", "events", "show", "frames", "prepare", "plan", "memory", "cost", "train", "sweep", "evaluate", "report",
    "compare", "calibrate", "export", "models", "bench", "predict", "cameras", "live",
)  # fmt: skip
# Commands that start without the other stages: importing those takes longer than a prediction or a remembered plan.
ALONE = ("plan", "memory", "train", "live")


def _common(
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", metavar="FILE.py|MODULE", help="Import this first; it registers its own entries."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options of the program."""
    del plugin, version  # `main` acts on them, before the help texts are written


def _app_of(stages: Sequence[str]) -> typer.Typer:
    """Return the program with the commands of these stages alone."""
    made = typer.Typer(
        name="stdl-events",
        help="Train a spiking recogniser on event-camera recordings within a memory budget, export it as one ONNX "
        "file, and run it live without PyTorch.\n\nThe usual order: info, frames, plan, train, evaluate, calibrate, "
        "export, predict, live; demo shows it all on simulated walkers.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    made.callback()(_common)
    for stage in stages:
        importlib.import_module(f"stdl_events.cli.{stage}").register(made)
    return made


def __getattr__(name: str) -> typer.Typer:
    """Return `app`, the program with all its commands, made when it is first used."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()["app"] = _app_of(STAGES)
    return made


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
    prepare_standard_streams()
    warnings.showwarning = warnings_once()
    common, arguments = _common_options().parse_known_args()
    if common.version:
        print(f"stdl-events {__version__}")
        return
    try:
        for plugin in common.plugin:
            load_plugin(plugin)
        command = next((each for each in arguments if not each.startswith("-")), None)
        program = _app_of([command]) if command in ALONE else __getattr__("app")
        update_choices()
        program(with_monitor_address(arguments))
    except KeyboardInterrupt:  # before a command has begun, which takes seconds on a slow machine
        sys.exit(INTERRUPTED)
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
