"""A sweep as data: a configuration, the settings that vary, and the seeds. No torch."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stdl_events.errors import RecipeError
from stdl_events.training.overrides import flat, parse_assignments, with_values
from stdl_events.training.settings import TrainConfig

BRACKETS = {"(": ")", "[": "]", "{": "}"}
MAX_VALUE_CHARACTERS = 40
_TODO_SEEDS = "write for example --seeds 0,1,2"


@dataclass(frozen=True)
class Combination:
    """One value of each setting that varies.

    Attributes:
        name: `learning.rule=stdl, optimiser.lr=0.01`, with the last parts of the keys where these differ; "all runs"
            if nothing varies.
        values: the texts by dotted key.
        config: of seed 0 of the sweep; see `Trial`.
    """

    name: str
    values: Mapping[str, str]
    config: TrainConfig = field(repr=False)


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        name: its folder inside that of the sweep.
    """

    name: str
    combination: Combination
    seed: int
    config: TrainConfig = field(repr=False)

    @property
    def text(self) -> str:
        """The values and the seed, for a line of progress."""
        return ", ".join([*(f"{key}={value}" for key, value in self.combination.values.items()), f"seed {self.seed}"])


@dataclass(frozen=True)
class Sweep:
    """Every combination of the values of `vary`, each with every seed.

    Attributes:
        base: the settings that all runs share; its seed is not used.
        vary: texts as `--set` takes them, by dotted key.
        seeds: of the runs; the split does not depend on them.

    Raises:
        RecipeError: a key is unknown, a value does not parse, or a combination is impossible as settings.
    """

    base: TrainConfig
    vary: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        for key, texts in self.vary.items():
            if key == "seed":
                raise RecipeError("--vary seed", got="the seed", expected="other settings", todo=_TODO_SEEDS)
            parsed = [parse_assignments([f"{key}={text}"])[key] for text in texts]
            twice = next((text for i, text in enumerate(texts) if parsed[i] in parsed[:i]), None)
            if twice is not None:
                raise _twice(f"--vary {key}", twice)
        if not self.seeds:
            raise RecipeError("--seeds", got="none", expected="at least one", todo=_TODO_SEEDS)
        twice_seed = next((seed for seed, count in Counter(self.seeds).items() if count > 1), None)
        if twice_seed is not None:
            raise _twice("--seeds", str(twice_seed))
        _ = self.trials

    @cached_property
    def combinations(self) -> tuple[Combination, ...]:
        names = _short_names(self.vary)
        found = []
        for texts in itertools.product(*self.vary.values()):
            values = dict(zip(self.vary, texts, strict=True))
            name = ", ".join(f"{names[key]}={text}" for key, text in values.items()) or "all runs"
            parsed = parse_assignments(f"{key}={text}" for key, text in values.items())
            try:
                config = with_values(self.base, parsed)
            except RecipeError as error:
                raise RecipeError(
                    f"{name}: {error.subject}", got=error.got, expected=error.expected,
                    todo="sweep these settings apart, with one --vary less",
                ) from None  # fmt: skip
            found.append(Combination(name, values, config))
        return tuple(found)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """All runs, in their order.

        Those with equal recordings and frames follow each other, so that the clips are loaded once. Among them, all
        combinations of one seed come before those of the next: a sweep that ends early is paired.
        """
        folders = _folders(self.combinations)
        trials = [
            Trial(f"{folder}seed={seed}", one, seed, one.config.derive(seed=seed))
            for seed in self.seeds
            for one, folder in zip(self.combinations, folders, strict=True)
        ]
        return tuple(sorted(trials, key=lambda trial: self.groups.index(_clips_key(trial.config))))

    @cached_property
    def groups(self) -> list[Any]:
        """What the clips of the runs depend on, once for each different one."""
        return list(dict.fromkeys(_clips_key(one.config) for one in self.combinations))

    def group_of(self, trial: Trial) -> tuple[Trial, ...]:
        """The runs with the clips of `trial`, itself among them."""
        return tuple(other for other in self.trials if _clips_key(other.config) == _clips_key(trial.config))

    def trials_of(self, combination: Combination) -> tuple[Trial, ...]:
        """The runs of a combination, one for each seed."""
        return tuple(trial for trial in self.trials if trial.combination is combination)

    def changes_from(self, old: "Sweep") -> list[str]:
        """What differs from another sweep, in words; further seeds are no difference."""
        before, now = (flat(sweep.base.derive(seed=0).model_dump(mode="json")) for sweep in (old, self))
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        changes = [f"{key} ({before.get(key)!r}, now {now.get(key)!r})" for key in keys]
        if dict(old.vary) != dict(self.vary):
            changes.append(f"--vary ({vary_text(old.vary)}; now {vary_text(self.vary)})")
        missing = [seed for seed in old.seeds if seed not in self.seeds]
        return changes + ([f"--seeds (now without {', '.join(map(str, missing))})"] if missing else [])


def vary_text(vary: Mapping[str, Sequence[str]]) -> str:
    """The settings that vary as they are written behind `--vary`."""
    return " ".join(f"{key}={','.join(texts)}" for key, texts in vary.items()) or "nothing"


def parse_vary(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Values by dotted key of texts such as `learning.rule=stdl,sltt`.

    Commas inside brackets and quotes belong to a value: `learning.class_weights=[1,2],[1,4]`.

    Raises:
        RecipeError: a text has no `=` or an empty value, or a key comes twice.
    """
    vary: dict[str, tuple[str, ...]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        key, texts = key.strip(), split_values(text)
        if not equals or "" in texts:
            raise RecipeError(
                f"--vary {word}", got="no value" if equals else "no =", expected="KEY=VALUE,VALUE,...",
                todo="write for example --vary learning.rule=stdl,sltt",
            )  # fmt: skip
        if key in vary:
            raise _twice("--vary", key)
        vary[key] = tuple(texts)
    return vary


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds of a text such as `0,1,2`.

    Raises:
        RecipeError: one is no seed.
    """
    words = [word.strip() for word in text.split(",")]
    if "" in words:
        raise RecipeError("--seeds", got=repr(text), expected="numbers with commas between", todo=_TODO_SEEDS)
    try:
        return tuple(parse_assignments([f"seed={word}"])["seed"] for word in words)
    except RecipeError as error:
        raise RecipeError("--seeds", got=error.got, expected=error.expected, todo=_TODO_SEEDS) from None


def split_values(text: str) -> list[str]:
    """Split at the commas that are in no brackets and no double quotes."""
    values, open_brackets, quoted = [""], [], False
    for character in text:
        if character == '"':
            quoted = not quoted
        elif not quoted and character in BRACKETS:
            open_brackets.append(BRACKETS[character])
        elif not quoted and open_brackets and character == open_brackets[-1]:
            open_brackets.pop()
        if character == "," and not quoted and not open_brackets:
            values.append("")
        else:
            values[-1] += character
    return [value.strip() for value in values]


def _twice(subject: str, got: str) -> RecipeError:
    return RecipeError(subject, got=f"{got} twice", expected="it once", todo="leave one out")


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last part of each key, or the whole key where several have the same."""
    keys = list(keys)
    counts = Counter(key.rpartition(".")[2] for key in keys)
    return {key: leaf if counts[leaf := key.rpartition(".")[2]] == 1 else key for key in keys}


def _folders(combinations: Sequence[Combination]) -> list[str]:
    """A readable folder for each combination, with a slash behind; none if there is one combination."""
    if not combinations[0].values:
        return [""]
    names = _short_names(combinations[0].values)
    folders: list[str] = []
    for one in combinations:
        name = ",".join(f"{names[key]}={_as_file_name(text)}" for key, text in one.values.items())
        number = sum(re.fullmatch(rf"{re.escape(name)}(-\d+)?/", other) is not None for other in folders)
        folders.append(f"{name}{f'-{number + 1}' if number else ''}/")
    return folders


def _as_file_name(text: str) -> str:
    return re.sub(r"[^\w.+()-]+", "_", text)[:MAX_VALUE_CHARACTERS]


def _clips_key(config: TrainConfig) -> tuple[Any, ...]:
    """What the clips of a run depend on."""
    return config.data, config.frames, config.augment.crop != "none"
