"""The settings of a training, and where each is from: base, recipe, variant, file, assignment or option."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stdl_events.recipes import find_recipe
from stdl_events.recipes.base import REQUIRED, base_of
from stdl_events.recordings.registry import SPLIT_RULES
from stdl_events.training.data_settings import SplitSettings, not_taken
from stdl_events.training.overrides import flat, parse_assignments, read_settings_file, with_values
from stdl_events.training.run_folder import load_config
from stdl_events.training.settings import TrainConfig

BASE, RECIPE, VARIANT, FILE, ASSIGNED, OPTION, RUN = ORIGINS = (
    "base", "recipe", "variant", "--config", "--set", "option", "run",
)  # fmt: skip


@dataclass(frozen=True)
class Resolved:
    """A complete configuration.

    Attributes:
        origins: one of `ORIGINS` by dotted key, for every setting in `values`. Settings of the recipe that equal the
            base's are the base's.
        given: dotted keys of what the user asks for: assignments, and what a file changes, which may be that of a whole
            run.
    """

    config: TrainConfig
    origins: dict[str, str]
    given: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """Every setting by dotted key, JSON-ready."""
        return flat(self.config.model_dump(mode="json"))

    def then(self, config: TrainConfig, stated: Iterable[str], origin: str) -> "Resolved":
        """The same with the settings of `config`; those that are stated or that changed are from `origin`.

        Args:
            stated: dotted keys, also of sections given as a whole.
        """
        old, sections = self.values, tuple(f"{key}." for key in stated)
        new = Resolved(config, self.origins).values
        changed = {key for key in new if key not in old or new[key] != old[key]}
        changed |= {key for key in new if f"{key}.".startswith(sections)}
        return Resolved(config, {key: origin if key in changed else self.origins[key] for key in new})


def resolve(
    recipe: str,
    *,
    variant: str | None = None,
    file: Path | None = None,
    assignments: Iterable[str] = (),
    options: Iterable[str] = (),
) -> Resolved:
    """The settings of a recipe with changes, each before the next.

    Args:
        recipe: the name of a recipe or the path of its file.
        variant: the name of one of its variants.
        file: TOML or JSON, see `read_settings_file`.
        assignments: `key=value` each, as of `--set`.
        options: likewise, as of other options of a command.

    Raises:
        RecipeError: there is no such recipe or variant, or a setting is unknown or impossible.
    """
    found = find_recipe(recipe)
    config = found.configure()
    resolved = Resolved(base := base_of(config), dict.fromkeys(flat(base.model_dump()), BASE)).then(
        config, REQUIRED, RECIPE
    )
    if variant is not None:
        resolved = resolved.then(found.configure(variant), flat(_plain(found.changes(variant))), VARIANT)
    return _changed(resolved, file, assignments, options)


def resolve_run(
    folder: Path, *, file: Path | None = None, assignments: Iterable[str] = (), options: Iterable[str] = ()
) -> Resolved:
    """The settings of the run in `folder` with changes, as `resolve` has them.

    Raises:
        RunError: there is no run in the folder.
        RecipeError: a setting is unknown or impossible.
    """
    config = load_config(folder)
    return _changed(Resolved(config, dict.fromkeys(flat(config.model_dump()), RUN)), file, assignments, options)


def _changed(resolved: Resolved, file: Path | None, assignments: Iterable[str], options: Iterable[str]) -> Resolved:
    given: list[str] = []
    for values, origin in (
        (read_settings_file(file) if file is not None else {}, FILE),
        (parse_assignments(assignments), ASSIGNED),
        (parse_assignments(options), OPTION),
    ):
        if values:
            before = resolved.values
            resolved = resolved.then(with_values(resolved.config, values), values, origin)
            after = resolved.values
            given += values if origin != FILE else (key for key in values if before.get(key) != after.get(key))
    _require_taken(resolved.config.data.split, parse_assignments(assignments))
    return replace(resolved, given=tuple(dict.fromkeys(given)))


def _require_taken(split: SplitSettings, stated: Iterable[str]) -> None:
    """Check that the rule of the split takes what is stated; a recipe's own share may be for its own rule.

    Raises:
        RecipeError: it does not.
    """
    of_rules = {key for name in SPLIT_RULES.names for key in SPLIT_RULES[name].options}
    prefix = "data.split."  # without it, seed is that of the training
    for key in (key.removeprefix(prefix) for key in stated if key.startswith(prefix)):
        if key in of_rules and split.rule != "auto" and key not in SPLIT_RULES[split.rule].options:
            raise not_taken(key, getattr(split, key), split.rule)


def _plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain(value) if isinstance(value, Mapping) else value for key, value in changes.items()}
