"""What the page asks of a run: a JSON object {"do": NAME, ...} for each button."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from stdl_events.errors import StdlEventsError
from stdl_events.live.controls import Controls
from stdl_events.model_card import DecisionThresholds
from stdl_events.validation import first_problem

LONGEST_COMMAND = 2048


def _pause(controls: Controls, command: dict[str, Any]) -> None:
    controls.paused = _switch(command)


def _record(controls: Controls, command: dict[str, Any]) -> None:
    if controls.recording is not None:
        (controls.recording.start if _switch(command) else controls.recording.stop)()


def _switch(command: dict[str, Any]) -> bool:
    if type(on := command["on"]) is not bool:
        raise TypeError("a switch is on or off")
    return on


def _thresholds(controls: Controls, command: dict[str, Any]) -> None:
    controls.thresholds = DecisionThresholds.model_validate(command["thresholds"])


_COMMANDS: dict[str, Callable[[Controls, dict[str, Any]], None]] = {
    "pause": _pause,
    "record": _record,
    "thresholds": _thresholds,
}


async def obey(controls: Controls, text: str) -> str | None:
    """Do what a page asks, in another thread, since the end of a recording waits for the disk.

    Returns:
        Why it was not done, in one line; None if it was.
    """
    try:
        command = json.loads(text) if len(text) <= LONGEST_COMMAND else None
        if not isinstance(command, dict) or command.get("do") not in _COMMANDS:
            return "no command of this page"
        await asyncio.to_thread(_COMMANDS[command["do"]], controls, command)
    except ValidationError as error:
        problem = first_problem(error)
        return f"{problem.where}: {problem.got} is not {problem.expected}"
    except StdlEventsError as error:
        return str(error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no command of this page"
    return None
