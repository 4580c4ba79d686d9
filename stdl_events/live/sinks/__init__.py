"""Sinks of a live run, a module each: `SINKS` is their registry, `open_sink` opens one.

A sink is written `name` or `name:where`, such as `json-lines:tcp://127.0.0.1:9000`. One's own is `module:function`,
which is called with each prediction, or `module:Class`, which is a `Sink` made without arguments; a path that ends in
.py may stand for the module.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from stdl_events.errors import StdlEventsError, UserError
from stdl_events.live.protocols import Sink
from stdl_events.live.recogniser import Prediction
from stdl_events.live.sinks.lines import say_overloaded
from stdl_events.live.summary import LiveSummary
from stdl_events.plugins import import_file
from stdl_events.registry import Registry

OpenSink: TypeAlias = Callable[[str], Sink]

# Name -> a function of what follows the colon.
SINKS: Registry[OpenSink] = Registry(
    "sink",
    UserError,
    {
        "terminal": "stdl_events.live.sinks.terminal:open_terminal",
        "lines": "stdl_events.live.sinks.lines:open_lines",
        "json-lines": "stdl_events.live.sinks.lines:open_json_lines",
        "mqtt": "stdl_events.live.sinks.mqtt:open_mqtt",
        "mqtts": "stdl_events.live.sinks.mqtt:open_mqtts",
        "prometheus": "stdl_events.live.sinks.prometheus:open_prometheus",
    },
)


class Calls:
    """Calls a function with each prediction."""

    def __init__(self, function: Callable[[Prediction], object]) -> None:
        self._function = function
        self.name = f"{function.__module__}:{getattr(function, '__qualname__', type(function).__qualname__)}"

    def predicted(self, prediction: Prediction) -> None:
        self._function(prediction)

    def overloaded(self, dropped_frames: int) -> None:
        say_overloaded(dropped_frames)

    def ended(self, summary: LiveSummary) -> None:
        """The function sees predictions alone."""


def open_sink(sink: str) -> Sink:
    """Open a sink, written as the module's docstring says.

    Raises:
        UserError: there is no such name, module or function, or the class is no sink.
    """
    name, colon, where = sink.rpartition(":") if sink.partition(":")[0] not in SINKS else sink.partition(":")
    if not colon or name in SINKS:
        return SINKS[name or where](where if colon else "")
    module = _module(name, sink)
    found = getattr(module, where, None)
    if not callable(found):
        got = f"{where} of {name}, which cannot be called" if hasattr(module, where) else f"no {where!r} in {name}"
        raise UserError(f"sink {sink}", got=got, expected="a function or class", todo="correct it")
    return _made(found, sink) if isinstance(found, type) else Calls(found)


def _made(its_class: type, sink: str) -> Sink:
    try:
        made: Sink = its_class()
    except StdlEventsError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"sink {sink}", got=f"{type(error).__name__} when it was made: {error}",
            expected="a class that is made without arguments", todo="correct it",
        ) from error  # fmt: skip
    missing = [method for method in ("predicted", "overloaded", "ended") if not callable(getattr(made, method, None))]
    if missing:
        raise UserError(
            f"sink {sink}", got=f"a class without {', '.join(missing)}",
            expected="the methods of a stdl_events.live.Sink",
            todo="add them, or name a function",
        )  # fmt: skip
    return made


def _module(name: str, sink: str) -> object:
    if name.endswith(".py"):
        return import_file(Path(name))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever a stranger's module does; a name may be empty or relative
        got = str(error) if isinstance(error, ImportError) else f"{type(error).__name__} while importing it: {error}"
        raise UserError(
            f"sink {sink}", got=got, expected=f"{' or '.join(SINKS)}, or module:function",
            todo="correct it, or install the module",
        ) from None  # fmt: skip
