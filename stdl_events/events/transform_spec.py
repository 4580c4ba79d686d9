"""Transforms as data: name, settings and probability; for frames and for events."""

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from stdl_events.errors import RecipeError
from stdl_events.events.transforms import sometimes
from stdl_events.registry import Registry
from stdl_events.validation import first_problem

Transform = Callable[..., Any]
_FINITE = ConfigDict(allow_inf_nan=False)


class TransformSpec(BaseModel):
    """A transform of a registry, as named in a recipe or a command.

    Attributes:
        name: of the registry's entry.
        settings: its keyword arguments.
        probability: the share of clips that it is applied to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    settings: dict[str, Any] = {}
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        """Parse `drop_time:share=0.2,probability=0.5`."""
        if not isinstance(value, str):
            return value
        name, _, text = value.partition(":")
        pairs = [pair.partition("=") for pair in text.split(",")] if text else []
        settings: dict[str, object] = {key.strip(): setting.strip() for key, _, setting in pairs}
        if len(settings) < len(pairs):
            got = f"{value!r}, with a setting twice"
            raise RecipeError("", got=got, expected="each setting once", todo="leave one out")
        share = {"probability": settings.pop("probability")} if "probability" in settings else {}
        return {"name": name, "settings": settings, **share}


def check_transform(spec: TransformSpec, registry: Registry[Transform], given: tuple[str, ...]) -> TransformSpec:
    """Return `spec` with its settings converted to the transform's types.

    Args:
        given: keyword arguments that the caller passes, such as the generator.

    Raises:
        RecipeError: the transform is unknown, a setting is unknown or missing, or its value is invalid.
    """
    takes = transform_settings(registry[registry.check(spec.name)], given)
    required = {name for name, parameter in takes.items() if parameter.default is inspect.Parameter.empty}
    wrong = sorted(spec.settings.keys() - takes.keys()) or sorted(required - spec.settings.keys())
    if wrong:
        unknown = wrong[0] in spec.settings
        raise RecipeError(
            f"{registry.kind} {spec.name}", got=f"{'an unknown setting' if unknown else 'no'} {wrong[0]}",
            expected=f"the settings {', '.join(takes) or 'none'}", todo=f"{'remove' if unknown else 'add'} it",
        )  # fmt: skip
    return spec.model_copy(
        update={"settings": {key: _checked(spec, takes[key], registry.kind) for key in spec.settings}}
    )


def transform_settings(transform: Transform, given: tuple[str, ...]) -> Mapping[str, inspect.Parameter]:
    """Return the keyword arguments left to set, with their types."""
    hints = typing.get_type_hints(transform, include_extras=True)
    return {
        name: parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(transform).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in given
    }


def bind_transform(
    spec: TransformSpec, registry: Registry[Transform], rng: np.random.Generator, **given: Any
) -> Callable[[Any], Any]:
    """Return the transform of `spec` as a function of its data alone.

    Args:
        rng: generator of random transforms and of the probability.
        given: further keyword arguments; those that a transform does not take are omitted.
    """
    transform = registry[spec.name]
    takes = inspect.signature(transform).parameters
    wanted = {name: value for name, value in {"rng": rng, **given}.items() if name in takes}
    change = partial(transform, **spec.settings, **wanted)
    return change if spec.probability == 1 else sometimes(change, probability=spec.probability, rng=rng)


def _checked(spec: TransformSpec, parameter: inspect.Parameter, kind: str) -> Any:
    value = spec.settings[parameter.name]
    try:
        return TypeAdapter(parameter.annotation, config=_FINITE).validate_python(value)
    except ValidationError as error:
        raise RecipeError(
            f"{kind} {spec.name}: {parameter.name}", got=repr(value), expected=first_problem(error).expected,
            todo="correct it",
        ) from None  # fmt: skip
