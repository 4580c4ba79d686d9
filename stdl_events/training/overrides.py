"""`--set key=value`: settings by dotted key, each parsed by its own type."""

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from stdl_events.errors import RecipeError
from stdl_events.training.learning_settings import WAYS_TO_CUT
from stdl_events.training.settings import TrainConfig
from stdl_events.validation import JSON_ERRORS, first_problem

NAMED = 3
_EXPECTED_FILE = "a file of settings, .toml or .json, such as the config.json of a run"


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
    return with_values(config, parse_assignments(assignments))


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Values by dotted key of `key=value` texts, later ones winning.

    Raises:
        RecipeError: an assignment has no `=`, its key is unknown, or its value does not have the key's type.
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
            raise _unknown_key(f"setting {key!r}", key, keys)
        values[key] = _parse(key, text.strip(), keys[key])
    return values


def read_settings_file(path: Path) -> dict[str, Any]:
    """Values by dotted key of a file of settings, TOML or JSON, with a table for each section: a run's config.json.

    Raises:
        RecipeError: the file cannot be read, a key is unknown, or a value does not have the key's type.
    """
    tree, keys = _read_tree(path), setting_keys()
    values: dict[str, Any] = {}
    if not tree:
        raise RecipeError(str(path), got="no setting", expected=_EXPECTED_FILE, todo="name some, or leave the file out")
    for key, value in flat(tree).items():
        if key not in keys:
            raise _unknown_key(f"{path}: setting {key!r}", key, keys)
        if isinstance(value, bool):
            value = str(value).lower()  # which no number takes
        if isinstance(value, str) and _means_none(value, keys[key]):  # TOML has no null
            value = None
        try:
            values[key] = TypeAdapter(keys[key]).validate_python(value)
        except ValidationError as error:
            problem = first_problem(error)
            raise RecipeError(
                f"{path}: setting {key!r}",
                got=problem.got,
                expected=problem.expected,
                todo=problem.todo or "correct it",
            ) from None
    return values


def _read_tree(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        is_json = path.suffix.lower() == ".json"
        tree = json.loads(text, object_pairs_hook=_without_repeats) if is_json else tomllib.loads(text)
    except (OSError, *JSON_ERRORS) as error:
        got = error.strerror if isinstance(error, OSError) else str(error)
        todo = "correct the file or its path"
        raise RecipeError(str(path), got=str(got), expected=_EXPECTED_FILE, todo=todo) from None
    if not isinstance(tree, dict):
        raise RecipeError(str(path), got=f"a {type(tree).__name__}", expected=_EXPECTED_FILE, todo="name the settings")
    return tree


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a mapping; a key that comes twice is an error, as in TOML."""
    tree = dict(pairs)
    if len(tree) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} twice")
    return tree


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of settings as one mapping of dotted keys."""
    values: dict[str, Any] = {}
    for key, value in tree.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return values


def shown_value(value: Any) -> str:
    """A value as `--set` takes it."""
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """`config` with other values of dotted keys.

    Raises:
        RecipeError: the settings together are impossible, or a section is given as a whole and in part.
    """
    cuts = [f"learning.{name}" for name in WAYS_TO_CUT]
    if any(values.get(cut) is not None for cut in cuts):
        # The new way to cut the network replaces the recipe's own.
        values = {**dict.fromkeys(cuts), **values}
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


def _unknown_key(subject: str, key: str, keys: Iterable[str]) -> RecipeError:
    known = list(keys)
    if inner := [name for name in _beside(f"{key}.", known) if name.startswith(f"{key}.")]:
        todo = f"name one of them, such as {inner[0]}"
        return RecipeError(subject, got="a group of settings", expected=f"one of {', '.join(inner)}", todo=todo)
    near = _nearest(key, known)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "use one of them"
    expected = f"one of {', '.join(_beside(key, known))}"
    return RecipeError(subject, got="no such setting", expected=expected, todo=hint)


def _nearest(key: str, known: list[str]) -> list[str]:
    """Return the settings that `key` may mean: in another case, of another section, or misspelled, as a whole or in
    its last part."""
    leaf = key.rpartition(".")[2].lower()
    leaves = {candidate: candidate.rpartition(".")[2].lower() for candidate in known}
    near_leaves = difflib.get_close_matches(leaf, set(leaves.values()), n=1)
    return (
        [candidate for candidate in known if candidate.lower() == key.lower()]
        or difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        or [candidate for candidate in known if leaves[candidate] == leaf][:NAMED]
        or difflib.get_close_matches(key, known, n=1)
        or [candidate for candidate in known if leaves[candidate] in near_leaves][:NAMED]
    )


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
    if _means_none(text, kind):
        return None
    value: Any = text
    if text.startswith(("[", "{")):
        try:
            value = json.loads(text)
        except JSON_ERRORS:
            value = text
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        problem = first_problem(error)
        near = problem.todo if problem.todo and problem.todo.startswith("did you mean") else None
        inner = problem.where.lstrip(".0123456789")
        raise RecipeError(
            f"setting {key!r}" + (f", {inner}" if ": " in inner else ""),  # such as a transform's setting
            got=repr(text),
            expected=problem.expected,
            todo=near or f"write --set {key}=VALUE with such a value",
        ) from None


def _means_none(text: str, kind: Any) -> bool:
    return text.lower() in ("none", "null") and _allows_none(kind)


def _allows_none(kind: Any) -> bool:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    return typing.get_origin(kind) in (types.UnionType, typing.Union) and type(None) in typing.get_args(kind)
