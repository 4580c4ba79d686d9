"""Settings that are given and have no effect beside the others: they are said, since nothing else would show it."""

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stdl_events.learning.grid import Planned
from stdl_events.learning.rules import RULES
from stdl_events.network.spec import NeuronSpec
from stdl_events.training.learning_settings import WAYS_TO_CUT

if TYPE_CHECKING:
    from stdl_events.training.settings import TrainConfig


@dataclass(frozen=True)
class Need:
    """What settings need to have an effect.

    Attributes:
        keys: the settings, dotted.
        decided_by: the setting that they need.
        holds: True if it is as they need it.
        value: of that setting, in words.
    """

    keys: tuple[str, ...]
    decided_by: str
    holds: Callable[["TrainConfig"], bool]
    value: str


def _schedule(*kinds: str) -> Callable[["TrainConfig"], bool]:
    return lambda config: config.schedule.kind in kinds


def _adapts(config: "TrainConfig") -> bool:
    neuron = config.network.neuron
    return isinstance(neuron, NeuronSpec) and neuron.kind not in ("lif", "plif")


NEEDS = (
    Need(("schedule.step_epochs", "schedule.step_factor"), "schedule.kind", _schedule("step"), "step"),
    Need(("schedule.rise", "schedule.rise_from"), "schedule.kind", _schedule("one-cycle"), "one-cycle"),
    Need(("schedule.final",), "schedule.kind", _schedule("cosine", "one-cycle"), "cosine or one-cycle"),
    Need(("network.norm_momentum",), "network.norm", lambda config: config.network.norm == "batch", "batch"),
    Need(("network.neuron.adaptation", "network.neuron.adaptation_decay"), "network.neuron.kind", _adapts, "alif"),
    Need(("learning.target_rate",), "learning.rate_penalty", lambda config: bool(config.learning.rate_penalty), "1"),
    Need(("learning.budget_of",), "learning.budget", lambda config: config.learning.budget is not None, "8GB"),
    Need(
        tuple(f"learning.{name}" for name in (*WAYS_TO_CUT, "least_blocks")),
        "learning.rule",
        lambda config: isinstance(RULES[config.learning.rule]().space, Planned),
        "stdl, or another rule that cuts the network by a plan",
    ),
    Need(("frames.scale_by",), "frames.scale", lambda config: config.frames.scale is not None, "128x128"),
)


def say_unused(config: "TrainConfig", given: Iterable[str]) -> None:
    """Warn of each setting of `given`, dotted keys, that has no effect in `config`."""
    say_unused_in_sweep([config], given, (), stacklevel=3)


def say_unused_changes(old: "TrainConfig", new: "TrainConfig", changes: Mapping[str, Any]) -> None:
    """Warn of each setting that `changes` to `old`, nested by section, state and that has no effect in `new`."""
    keys = (key for need in NEEDS for key in need.keys if _states(changes, key))
    changed = [key for key in keys if _value(old, key) != _value(new, key)]
    say_unused_in_sweep([new], changed, (), stacklevel=4)  # the caller of `derive`


def say_unused_in_sweep(
    configs: Sequence["TrainConfig"], given: Iterable[str], varied: Collection[str], *, stacklevel: int = 2
) -> None:
    """Warn of each setting that has no effect in any of `configs`, or varies and has none in some of them.

    Args:
        configs: of the combinations.
        given: dotted keys of settings that all of them share.
        varied: dotted keys of the others, whose values differ.
    """
    for key in (*given, *varied):
        if all(_value(config, key) is None for config in configs):
            continue  # it is unset, so there is nothing that could have an effect
        for need in NEEDS:
            without = sum(not need.holds(config) for config in configs) if key in need.keys else 0
            if without == len(configs):
                where = "here"
            elif without and key in varied:
                where = f"in {without} of {len(configs)} combinations"
            else:
                continue
            text = f"{key} has no effect {where}: it needs {need.decided_by}={need.value}"
            warnings.warn(text, stacklevel=stacklevel)


def _states(changes: Mapping[str, Any], key: str) -> bool:
    value: object = changes
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def _value(config: "TrainConfig", key: str) -> object:
    """The setting of a dotted key; None inside a section that is not there, such as the neuron "paper"."""
    value: object = config
    for part in key.split("."):
        value = getattr(value, part, None)
    return value
