"""The tables of docs/live.md: every command is one that the program takes, and every message one that it gives."""

import re
from pathlib import Path

import pytest
from command_lines import parameters
from typer.exceptions import TyperException

import stdl_events
from stdl_events.errors import UserError
from stdl_events.events.sources import SOURCES

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "live.md").read_text(encoding="utf-8")
# Said by the system, and not by a file of the package.
OF_THE_SYSTEM = {"connection refused"}


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


ROWS = [*table("Wiring"), *table("When it does not work")]
TYPED = [line for *_, typed in ROWS for line in quoted(typed)]
TYPED += [
    line for block in re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
COMMANDS = [line for line in TYPED if line.startswith("stdl-events ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_what_to_type_is_what_the_program_takes(line):
    found = parameters(line)
    assert "live" not in line.split()[1] or found["model"] == Path("MODEL")


def test_the_check_can_fail():
    with pytest.raises(TyperException, match="No such option: --sources"):
        parameters("stdl-events live M --sources a")
    with pytest.raises(UserError, match="the setting bias; expected roi="):
        parameters("stdl-events live M --source 'eventcv:?bias=3'")
    with pytest.raises(UserError, match="no host and port"):
        parameters("stdl-events live M --source tcp://7777")
    with pytest.raises(KeyError, match="camera"):
        parameters("stdl-events camera")


def test_every_source_is_wired():
    typed = " ".join(COMMANDS)
    schemes = set(SOURCES) - {"file", "follow", "stdin"}
    assert all(f"--source {scheme}:" in typed for scheme in schemes)
    assert {"--follow", "--loop", "stdin"} <= set(typed.split())


def test_what_you_see_is_what_the_program_says():
    package = "\n".join(path.read_text(encoding="utf-8") for path in Path(stdl_events.__file__).parent.rglob("*.py"))
    messages = {text for seen, *_ in table("When it does not work") for text in quoted(seen)} - OF_THE_SYSTEM
    assert len(messages) > 10
    assert {text for text in messages if text not in package} == set()
