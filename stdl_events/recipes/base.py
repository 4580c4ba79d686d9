"""What every recipe starts from: nothing of a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stdl_events.training.settings import TrainConfig

SMALL_NETWORK = "8C3-AP2-32C3-32C3-AP2-64C3-AP2-64C3"
"""This package's own, for frames of some 32x32 pixels and training on a laptop."""

BASE: dict[str, Any] = {
    "optimiser": {"kind": "adamw", "lr": 0.01},
    "epochs": 20,
    "batch_size": 32,
}
"""The settings of a recipe that does not choose its own, beside the defaults of the settings themselves."""

REQUIRED = ("name", "data.dataset", "frames.kind", "frames.steps", "network.notation")
"""The settings that have neither a default nor a value in `BASE`: every recipe chooses them."""


@dataclass(frozen=True)
class Variant:
    """A recipe with other settings, under a name of its own.

    Attributes:
        summary: one line without a full stop, with the source.
        changes: the settings that differ from the recipe's, as for `TrainConfig.derive`.
    """

    summary: str
    changes: Mapping[str, Any] = field(default_factory=dict)


def base(name: str, **settings: Any) -> TrainConfig:
    """The configuration of a recipe: `BASE` with its own settings.

    Args:
        name: of the recipe.
        settings: those of `TrainConfig`, a section as a mapping of the keys that differ from `BASE`.

    Raises:
        pydantic.ValidationError: a key is unknown, a value is impossible, or one of `REQUIRED` is missing.
    """
    return TrainConfig.model_validate(_joined(BASE, {"name": name, **settings}))


def base_of(config: TrainConfig) -> TrainConfig:
    """`BASE` with the settings of `config` that every recipe has to choose."""
    frames = {"kind": config.frames.kind, "steps": config.frames.steps}
    network = {"notation": config.network.notation}
    return base(config.name, data={"dataset": config.data.dataset}, frames=frames, network=network)


def _joined(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: _joined(old[key], new[key]) for key in old.keys() & new.keys() if isinstance(new[key], Mapping)}
    return {**old, **new, **both}
