"""Conversion of pydantic's reports to the parts of a one-line error; errors of JSON."""

import re
from dataclasses import dataclass

from pydantic import ValidationError

from stdl_events.errors import UserError

MAX_SHOWN = 60
# Limits such as that of float32, which pydantic writes with all their digits.
_LONG_NUMBER = re.compile(r"\d{16,}(\.0)?")
# What json.loads raises: for its syntax and for numbers of thousands of digits, and for text that is nested too deeply.
JSON_ERRORS = (ValueError, RecursionError)


@dataclass(frozen=True)
class Problem:
    """The first validation problem of a mapping.

    Attributes:
        where: dotted path of the field; empty for the mapping as a whole.
        got: the value found, shortened.
        expected: a description of valid values.
        todo: the advice of an error raised by this package's validators; None for pydantic's own.
    """

    where: str
    got: str
    expected: str
    todo: str | None


def first_problem(error: ValidationError) -> Problem:
    """The first problem of `error`. Errors that this package's validators raised keep their text."""
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    ours = detail.get("ctx", {}).get("error")
    if isinstance(ours, UserError):
        # A problem of one value is named by its field; one of several values by the error's own subject.
        is_one = isinstance(detail["input"], str) and where and not where.rpartition(".")[2].isdigit()
        subjects = (where,) if is_one else (where, ours.subject)
        return Problem(".".join(part for part in subjects if part), ours.got, ours.expected, ours.todo)
    if detail["type"] == "extra_forbidden":
        return Problem(where, "an unknown key", "only known keys", "remove it or correct its spelling")
    if detail["type"] == "missing":
        return Problem(where, "nothing", "a value", "add it")
    if detail["type"] == "json_invalid":
        return Problem(where, f"text that is no JSON ({detail['ctx']['error']})", "a JSON document", None)
    shown = repr(detail["input"])
    got = shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 3] + "..."
    if detail["type"].startswith("byte_size"):
        return Problem(where, got, "an amount of memory, such as 8GB or 512MiB", None)
    if detail["type"] in ("tuple_type", "list_type"):
        return Problem(where, got, 'a list in brackets, such as [1,2] or ["a","b"]', None)
    message = _LONG_NUMBER.sub(lambda found: f"{float(found[0]):g}", detail["msg"].removeprefix("Input should be "))
    return Problem(where, got, message[:1].lower() + message[1:], None)
