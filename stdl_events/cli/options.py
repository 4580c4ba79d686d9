"""Option values that several commands read."""

import re
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.errors import RecipeError, UserError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.events.transform_spec import TransformSpec

# Options, the registry whose names they take, and what follows a name.
_registry_options: list[tuple[Any, Registry[Any], str]] = []
_explained: list[tuple[Any, Registry[Any], str]] = []
_filter_option: Any = typer.Option("--filter", metavar="NAME=VALUE")
_transform_option: Any = typer.Option("--transform", metavar="NAME:KEY=VALUE,...")
FilterOption = Annotated[list[str] | None, _filter_option]
TransformOption = Annotated[list[str] | None, _transform_option]


def one_of(registry: Registry[Any], help: str, *flags: str) -> Any:
    """A Typer option that takes a name of `registry`; an unknown one is the registry's error.

    Its names in the help text are those that are registered when `update_choices` is called.

    Args:
        flags: of the option, where the parameter's own name does not give them: "--neuron".
    """
    option = typer.Option(*flags, help=help, callback=lambda name: name if name is None else registry.check(name))
    _registry_options.append((option, registry, ""))
    return option


def address_of(registry: Registry[Any], help: str, *flags: str) -> Any:
    """A Typer option that takes `scheme:address`, the scheme being a name of `registry`; the names are in its help."""
    option = typer.Option(*flags, help=help)
    _registry_options.append((option, registry, ":ADDRESS"))
    return option


def argument_of(registry: Registry[Any], help: str) -> Any:
    """A Typer argument that takes a name of `registry`, as `one_of` is an option; its help says what each entry is."""
    argument = typer.Argument(help=help, callback=lambda name: name if name is None else registry.check(name))
    return explained(argument, registry, help)


def explained(option: Any, registry: Registry[Any], help: str) -> Any:
    """`option`, whose help is followed by every entry of `registry` and its `summary`, written by `explain_choices`."""
    _explained.append((option, registry, help))
    return option


def update_choices() -> None:
    """Write the names that are registered now into the help texts."""
    for option, registry, rest in _registry_options:
        option.metavar = "|".join(name + rest for name in registry.names)
    if "--help" in sys.argv:
        explain_choices()


def explain_choices() -> None:
    """Write into the help texts what imports more than starting a command may take: what each entry does."""
    from stdl_events.events.filter_spec import FILTERS
    from stdl_events.events.filtered import GIVEN
    from stdl_events.events.transform_registry import EVENT_TRANSFORMS
    from stdl_events.events.transform_spec import transform_settings

    filters = (_filter_option, FILTERS, "Drop events, repeatable, in this order.")
    for option, registry, help in (*_explained, filters):
        option.help = f"{help} {'; '.join(f'{name}: {entry.summary}' for name, entry in registry.items())}."
    takes = {name: transform_settings(transform, GIVEN) for name, transform in EVENT_TRANSFORMS.items()}
    named = "; ".join(" ".join([name, *settings]) for name, settings in takes.items())
    _transform_option.help = f"Change all events, repeatable, in the order given; held in memory. {named}."


class Optimizer(StrEnum):
    """The optimisers of the papers."""

    sgd = "sgd"
    adamw = "adamw"


def parse_transforms(words: list[str]) -> "list[TransformSpec]":
    """The transforms of words such as "drop_time:share=0.2,probability=0.5"; their settings are checked later.

    Raises:
        RecipeError: a probability is no share.
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
