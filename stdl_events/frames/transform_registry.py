"""The registry of clip transforms: the names of the setting `augment.transforms`."""

from collections.abc import Callable
from typing import Any

from stdl_events.errors import RecipeError
from stdl_events.registry import Registry

_MODULE = "stdl_events.frames.transforms"

TRANSFORMS: Registry[Callable[..., Any]] = Registry(
    "transform",
    RecipeError,
    {
        "crop": f"{_MODULE}:crop",
        "random_crop": f"{_MODULE}:random_crop",
        "random_zoom": f"{_MODULE}:random_zoom",
        "shift": f"{_MODULE}:shift",
        "random_shift": f"{_MODULE}:random_shift",
        "roll": f"{_MODULE}:roll",
        "random_roll": f"{_MODULE}:random_roll",
        "flip_x": f"{_MODULE}:flip_x",
        "random_flip_x": f"{_MODULE}:random_flip_x",
        "drop_random": f"{_MODULE}:drop_random",
        "drop_time": f"{_MODULE}:drop_time",
        "drop_area": f"{_MODULE}:drop_area",
        "autoaugment": "stdl_events.frames.autoaugment:autoaugment",
        "cutout": f"{_MODULE}:cutout",
        "event_drop": f"{_MODULE}:event_drop",
    },
)
