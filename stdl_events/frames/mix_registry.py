"""The registry of mixes of two clips: the names of the setting `augment.mix`."""

from collections.abc import Callable
from typing import Any

from stdl_events.errors import RecipeError
from stdl_events.registry import Registry

_MODULE = "stdl_events.frames.mixes"

MIXES: Registry[Callable[..., Any]] = Registry(
    "mix",
    RecipeError,
    {"mixup": f"{_MODULE}:mixup", "cutmix": f"{_MODULE}:cutmix", "eventmix": f"{_MODULE}:eventmix"},
)
