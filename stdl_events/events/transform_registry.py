"""The registry of event transforms: the names of `stdl-events convert --transform`."""

from collections.abc import Callable
from typing import Any

from stdl_events.errors import RecipeError
from stdl_events.registry import Registry

_MODULE = "stdl_events.events.transforms"

EVENT_TRANSFORMS: Registry[Callable[..., Any]] = Registry(
    "event transform",
    RecipeError,
    {
        "crop": "stdl_events.events.filters:crop",
        "random_crop": f"{_MODULE}:random_crop",
        "roll": f"{_MODULE}:roll",
        "random_roll": f"{_MODULE}:random_roll",
        "drop_random": f"{_MODULE}:drop_random",
        "drop_time": f"{_MODULE}:drop_time",
        "drop_area": f"{_MODULE}:drop_area",
        "event_drop": f"{_MODULE}:event_drop",
        "without_hot_pixels": f"{_MODULE}:without_hot_pixels",
        "without_background": f"{_MODULE}:without_background",
    },
)
