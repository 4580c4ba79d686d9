"""The command to give next, ready to be pasted into a shell."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from stdl_events.cli.output import messages
from stdl_events.plugins import loaded_plugins

if TYPE_CHECKING:
    from stdl_events.model_card import ModelCard


# Facts about a recording that its file may not store, and the options that state them.
FACTS = {
    "format": "--format",
    "sensor_size": "--sensor",
    "stream": "--stream",
    "time_unit": "--time-unit",
    "columns": "--columns",
}
# Fields of recordings that `live` cannot replay as they were trained on.
UNLIKE_A_FILE = {"orientation", "repair", "picture", "content"}


def say_next(*words: object) -> None:
    """Print `stdl-events` with these words on stderr, and with the plugins that this command was given."""
    plugins = (word for plugin in loaded_plugins() for word in ("--plugin", plugin))
    messages.print(f"next: {shlex.join(['stdl-events', *map(str, words), *plugins])}")


def say_next_live(model: Path, card: "ModelCard", run: Path) -> None:
    """Print the command that runs a model on a recording of `run` that was held out; nothing if no file fits as it is.

    Args:
        card: of the model, whose frames have to be cut from a stream.
        run: a run's folder, with the list of its split.
    """
    from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list

    listed = read_split_list(run / SPLIT_FILE)
    if listed is None or card.frame.kind != "stream":
        return
    test = (row for row in listed.recordings if row.side == "test" and not row.own_reader)
    row = next((row for row in test if not UNLIKE_A_FILE & row.further.keys()), None)
    if row is not None:
        facts = {flag: row.further.get(name) for name, flag in FACTS.items()}
        options = [word for flag, value in facts.items() if value is not None for word in (flag, _word(value))]
        say_next("live", model, "--source", Path(listed.root) / row.path, *options)


def _word(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
