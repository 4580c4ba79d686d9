"""Options that several commands share, and their parsers."""

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.errors import RecipeError, UserError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.events.transform_spec import TransformSpec

# A longer list of names is part of the help text, which is wrapped.
METAVAR_COLUMNS = 60
# Options, the registry of their values, the suffix of a name in the help, and the help without names.
_registry_options: list[tuple[Any, Registry[Any], str, str]] = []
_explained: list[tuple[Any, Registry[Any], str]] = []
_filter_option: Any = typer.Option("--filter", metavar="NAME=VALUE")
_transform_option: Any = typer.Option("--transform", metavar="NAME:KEY=VALUE,...")
FilterOption = Annotated[list[str] | None, _filter_option]
TransformOption = Annotated[list[str] | None, _transform_option]


def one_of(registry: Registry[Any], help: str, *flags: str) -> Any:
    """Return a Typer option for a name of `registry`; the registry raises for an unknown name.

    The help text lists the names registered at the call of `update_choices`.

    Args:
        flags: of the option, if they differ from the parameter's name: "--neuron".
    """
    option = typer.Option(*flags, help=help, callback=lambda name: name if name is None else registry.check(name))
    _registry_options.append((option, registry, "", help))
    return option


def address_of(registry: Registry[Any], help: str, *flags: str) -> Any:
    """Return a Typer option for `scheme:address`; its help lists the schemes, which are the names of `registry`."""
    option = typer.Option(*flags, help=help)
    _registry_options.append((option, registry, ":ADDRESS", help))
    return option


def argument_of(registry: Registry[Any], metavar: str, help: str) -> Any:
    """Return a Typer argument for a name of `registry`; its help describes each entry."""
    argument = typer.Argument(
        metavar=metavar, help=help, callback=lambda name: name if name is None else registry.check(name)
    )
    return explained(argument, registry, help)


def explained(option: Any, registry: Registry[Any], help: str) -> Any:
    """Return `option`; `explain_choices` appends every entry of `registry` and its `summary` to the help."""
    _explained.append((option, registry, help))
    return option


def update_choices() -> None:
    """Write the registered names into the help texts."""
    for option, registry, rest, help in _registry_options:
        option.metavar = "|".join(name + rest for name in registry.names)
        if len(option.metavar) > METAVAR_COLUMNS:
            text, mark, default = help.partition("  [default")
            option.metavar = f"NAME{rest}"
            option.help = f"{text} NAME: {', '.join(registry.names)}.{mark}{default}"
    if "--help" in sys.argv:
        explain_choices()


def explain_choices() -> None:
    """Write the entries' descriptions into the help texts; their imports are too slow for the start of a command."""
    from stdl_events.events.filter_spec import FILTERS
    from stdl_events.events.filtered import GIVEN
    from stdl_events.events.transform_registry import EVENT_TRANSFORMS
    from stdl_events.events.transform_spec import transform_settings

    filters = (_filter_option, FILTERS, "Drop events, repeatable, in this order.")
    for option, registry, help in (*_explained, filters):
        entries = {**registry, **registry.families}
        option.help = f"{help} {'; '.join(f'{name}: {entry.summary}' for name, entry in entries.items())}."
    takes = {name: transform_settings(transform, GIVEN) for name, transform in EVENT_TRANSFORMS.items()}
    named = "; ".join(" ".join([name, *settings]) for name, settings in takes.items())
    _transform_option.help = f"Change all events, repeatable, in the order given; held in memory. {named}."


def filter_words(words: list[str] | None) -> list[tuple[str, str, str]]:
    """Return the words of `--filter`, checked, as (name, "=", value).

    Raises:
        FrameSpecError: see `FilterSpec.parse`.
    """
    from stdl_events.events.filter_spec import FilterSpec

    return [word.partition("=") for word in FilterSpec.parse(words or ()).words]


def parse_transforms(words: list[str]) -> "list[TransformSpec]":
    """Parse words such as "drop_time:share=0.2,probability=0.5"; the settings are checked later.

    Raises:
        RecipeError: a probability is not between 0 and 1.
    """
    from pydantic import ValidationError

    from stdl_events.events.transform_spec import TransformSpec
    from stdl_events.validation import first_problem

    try:
        return [TransformSpec.model_validate(word) for word in words]
    except ValidationError as error:
        problem = first_problem(error)
        raise RecipeError(
            f"--transform: {problem.where}", got=problem.got, expected=problem.expected, todo="correct it"
        ) from None


def parse_shape(text: str) -> tuple[int, int, int]:
    """Parse "2x128x128" to (C, H, W).

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
    """Parse ["k=10"] to {"k": 10}; numeric values become numbers.

    Raises:
        UserError: a word is not an assignment.
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
