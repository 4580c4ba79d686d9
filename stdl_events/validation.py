"""From a pydantic report to the parts of one of our one-line errors."""

from dataclasses import dataclass

from pydantic import ValidationError

from stdl_events.errors import UserError

MAX_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """The first thing that is wrong with a mapping.

    Attributes:
        where: dotted path of the field; empty for the mapping as a whole.
        got: what was there, shortened.
        expected: what would have been right.
        todo: what to do, where a rule of ours was broken; else None.
    """

    where: str
    got: str
    expected: str
    todo: str | None


def first_problem(error: ValidationError) -> Problem:
    """The first problem of `error`. An error of ours that a validator raised keeps its own words."""
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    ours = detail.get("ctx", {}).get("error")
    if isinstance(ours, UserError):
        # A single value is named by its field; a rule about several says what it is about.
        subjects = (where,) if isinstance(detail["input"], str) and where else (where, ours.subject)
        return Problem(".".join(part for part in subjects if part), ours.got, ours.expected, ours.todo)
    if detail["type"] == "extra_forbidden":
        return Problem(where, "an unknown key", "only known keys", "remove it or correct its spelling")
    if detail["type"] == "missing":
        return Problem(where, "nothing", "a value", "add it")
    shown = repr(detail["input"])
    got = shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 3] + "..."
    message = detail["msg"].removeprefix("Input should be ")
    return Problem(where, got, message[:1].lower() + message[1:], None)
