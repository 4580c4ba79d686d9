"""`--set key=value`: settings by dotted key, each parsed by its own type."""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from stdl_events.errors import RecipeError
from stdl_events.training.settings import WAYS_TO_CUT, TrainConfig
from stdl_events.validation import first_problem


def setting_keys(model: type = TrainConfig) -> dict[str, Any]:
    """Every dotted key that may be set, with its type, in the order of the configuration."""
    keys: dict[str, Any] = {}
    for name, kind in _fields(model):
        section = _section(kind)
        if section is not kind:
            keys[name] = kind
        if section is not None:
            keys.update({f"{name}.{inner}": inner_kind for inner, inner_kind in setting_keys(section).items()})
    return keys


def _section(kind: Any) -> type | None:
    """The group of settings in `kind`: itself, or one of its alternatives."""
    if isinstance(kind, type) and (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind)):
        return kind
    if typing.get_origin(kind) in (typing.Annotated, types.UnionType, typing.Union):
        return next(filter(None, map(_section, typing.get_args(kind))), None)
    return None


def _fields(model: type) -> Iterator[tuple[str, Any]]:
    if not issubclass(model, BaseModel):
        yield from typing.get_type_hints(model).items()
        return
    for name, field in model.model_fields.items():
        # Constraints such as gt=0 are stored apart from the annotation; joined again, they are checked per key.
        yield name, typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def apply_overrides(config: TrainConfig, assignments: Iterable[str]) -> TrainConfig:
    """`config` with every `key=value` of `assignments` applied, later ones winning.

    Setting one of budget, rho and plan unsets the recipe's choice among them.

    Raises:
        RecipeError: an assignment has no `=`, its key is unknown, its value does not have the key's type, or the
            settings together are impossible. The message lists the valid keys and suggests the nearest.
    """
    keys = setting_keys()
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals:
            raise RecipeError(
                "--set", got=repr(assignment), expected="key=value", todo="write for example --set epochs=20"
            )
        if key not in keys:
            raise _unknown_key(key, keys)
        values[key] = _parse(key, text.strip(), keys[key])
    cuts = [f"learning.{name}" for name in WAYS_TO_CUT]
    if any(values.get(cut) is not None for cut in cuts):
        # The assignment replaces the recipe's own way to cut the network.
        values = dict.fromkeys(cuts) | values
    tree = config.model_dump()
    for key, value in values.items():
        *parents, leaf = key.split(".")
        section = tree
        for parent in parents:
            section = section[parent]
        if not isinstance(section, dict) or ".".join(parents) in values:
            raise _given_as_a_whole(key)
        section[leaf] = value
    try:
        return TrainConfig.model_validate(tree)
    except ValidationError as error:
        problem = first_problem(error)
        raise RecipeError(
            problem.where or "settings",
            got=problem.got,
            expected=problem.expected,
            todo=problem.todo or "change or drop one --set",
        ) from None


def _unknown_key(key: str, keys: Iterable[str]) -> RecipeError:
    known = list(keys)
    near = (
        [candidate for candidate in known if candidate.lower() == key.lower()]
        or difflib.get_close_matches(key, known, n=1)
        or [candidate for candidate in known if candidate.rpartition(".")[2] == key.rpartition(".")[2]]
    )
    hint = f"did you mean {near[0]!r}?" if near else "use one of them"
    expected = f"one of {', '.join(_beside(key, known))}"
    return RecipeError(f"setting {key!r}", got="no such setting", expected=expected, todo=hint)


def _beside(key: str, known: list[str]) -> list[str]:
    """Return the settings of the group of `key`, of all if there is no such group; groups inside it as `data.*`."""
    group = key.rpartition(".")[0]
    while group and not any(name.startswith(f"{group}.") for name in known):
        group = group.rpartition(".")[0]
    start = f"{group}." if group else ""
    inner = (name.removeprefix(start) for name in known if name.startswith(start))
    return list(dict.fromkeys(start + (name if "." not in name else f"{name.split('.')[0]}.*") for name in inner))


def _given_as_a_whole(key: str) -> RecipeError:
    group, _, leaf = key.rpartition(".")
    return RecipeError(
        f"setting {key!r}",
        got=f"{group} as a whole as well",
        expected="one or the other",
        todo=f"""leave out one, or give it as part of the whole: write --set '{group}={{"{leaf}": VALUE}}'""",
    )


def _parse(key: str, text: str, kind: Any) -> Any:
    """Parse `text` as `kind`: `none` where None is allowed, JSON for lists, else the type's own syntax."""
    if text.lower() in ("none", "null") and _allows_none(kind):
        return None
    value: Any = text
    if text.startswith(("[", "{")):
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        problem = first_problem(error)
        near = problem.todo if problem.todo and problem.todo.startswith("did you mean") else None
        raise RecipeError(
            f"setting {key!r}",
            got=repr(text),
            expected=problem.expected,
            todo=near or f"write --set {key}=VALUE with such a value",
        ) from None


def _allows_none(kind: Any) -> bool:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    return typing.get_origin(kind) in (types.UnionType, typing.Union) and type(None) in typing.get_args(kind)
