"""The options of every command that splits labelled recordings."""

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.options.registry_options import explained
from stdl_events.errors import RecipeError
from stdl_events.recordings.registry import SPLIT_RULES, VALIDATION_RULES

if TYPE_CHECKING:
    from stdl_events.training.data_settings import SplitSettings

SplitOption = Annotated[
    str | None,
    explained(
        typer.Option("--split", metavar="RULE|KEY=VALUE,..."),
        SPLIT_RULES,
        "What is held out, as a rule or such as rule=time,held_out=0.3.  [default: auto]",
    ),
]
ValidationOption = Annotated[
    str | None,
    explained(
        typer.Option("--validation", metavar="[BY=]SHARE|NAMES|none"),
        VALIDATION_RULES,
        "What of the recordings to train on decides which weights are kept, such as 0.1, subject=0.1 or anna+ben.  "
        "[default: the validation part of a given split]",
    ),
]


PERCENTAGE = re.compile(r"\d+(\.\d+)?\s*%")


def split_assignments(split: str | None, validation: str | None) -> dict[str, str]:
    """Return the given settings by their names in the section `data.split`, as text.

    Raises:
        RecipeError: a setting is given twice, or a share or a seed that the rule does not take; or `validation` is
            empty.
    """
    words = [] if split is None else (split if "=" in split else f"rule={split}").split(",")
    pairs = [(key.strip(), value.strip()) for key, _, value in (word.partition("=") for word in words)]
    given = dict(pairs)
    if len(given) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise RecipeError(f"--split {split}", got=f"{twice} twice", expected="it once", todo="leave one out")
    rule = given.get("rule", "auto")
    unused = [key for key in ("held_out", "seed") if key in given and key not in SPLIT_RULES[rule].options]
    for key in unused if rule != "auto" else ():
        takers = [name for name in SPLIT_RULES.names if key in SPLIT_RULES[name].options]
        raise RecipeError(
            f"--split {split}", got=f"{key}, and the rule {rule}", expected=f"the rule {' or '.join(takers)}",
            todo=f"leave {key} out, or use such a rule",
        )  # fmt: skip
    return given | _validation(validation)


def split_settings(split: str | None, validation: str | None) -> "SplitSettings":
    """Parse both options.

    Raises:
        RecipeError: a key or value is invalid.
    """
    from pydantic import ValidationError

    from stdl_events.training.data_settings import SplitSettings
    from stdl_events.validation import first_problem

    asked: dict[str, Any] = {**split_assignments(split, validation)}
    try:
        return SplitSettings.model_validate(asked)
    except ValidationError as error:
        problem = first_problem(error)
        raise RecipeError(
            f"--split: {problem.where}", got=problem.got, expected=problem.expected,
            todo=f"use some of {', '.join(SplitSettings.model_fields)}",
        ) from None  # fmt: skip


def _validation(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    by, equals, value = text.rpartition("=")
    if not value.strip():
        raise RecipeError(
            f"--validation {text}".rstrip(), got="nothing", expected="a share such as 0.1, names, or none",
            todo="give one, or leave the option out",
        )  # fmt: skip
    if PERCENTAGE.fullmatch(value.strip()):
        share = float(value.strip().removesuffix("%")) / 100
        raise RecipeError(
            f"--validation {text}", got="a percentage", expected="a share of 1, such as 0.1",
            todo=f"write --validation {by + equals}{share:g}",
        )  # fmt: skip
    if _is_odd_number(value):
        raise RecipeError(
            f"--validation {text}", got=value.strip(), expected="a share from 0 to below 1, such as 0.1, or names",
            todo="give a share, or name the recordings' subjects or sessions otherwise",
        )  # fmt: skip
    chosen = {"validation_by": VALIDATION_RULES.check(by.strip())} if equals else {}
    value = "0" if value.strip().lower() == "none" else value.strip()
    return chosen | {"validation" if _is_share(value) else "validation_names": value}


def _is_share(text: str) -> bool:
    """Return True for a number from 0 to less than 1."""
    try:
        return 0 <= float(text) < 1
    except ValueError:
        return False


def _is_odd_number(text: str) -> bool:
    """Return True for a number that is no share; digits alone may be the name of a person."""
    if _is_share(text) or text.strip().isdecimal():
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
