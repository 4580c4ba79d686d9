"""Option values that several commands read."""

import re
from enum import StrEnum
from typing import Any

from stdl_events.errors import UserError


class Optimizer(StrEnum):
    """The optimisers of the papers."""

    sgd = "sgd"
    adamw = "adamw"


def parse_shape(text: str) -> tuple[int, int, int]:
    """(C, H, W) of "2x128x128".

    Raises:
        UserError: the text is not three positive numbers.
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text.strip().lower())
    if match is None:
        raise UserError(
            "--input", got=repr(text), expected="CHANNELSxHEIGHTxWIDTH, such as 2x128x128", todo="correct the option"
        )
    return int(match[1]), int(match[2]), int(match[3])


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """{"k": 10} of ["k=10"]; numbers are read as such.

    Raises:
        UserError: one of them is no assignment.
    """
    options: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError("--option", got=repr(assignment), expected="NAME=VALUE, such as k=10", todo="correct it")
        options[name] = _number(text)
    return options


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
