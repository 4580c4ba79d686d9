"""The registry of clip transforms: the names of the setting `augment.transforms`."""

from collections.abc import Callable
from typing import Any

from stdl_events.errors import RecipeError
from stdl_events.registry import Registry

_MODULE = "stdl_events.frames.transforms"
_EVENTS = "stdl_events.frames.event_transforms"

# What static pictures cannot be changed by.
_OF_EVENTS = {
    "drop_random": f"{_MODULE}:drop_random",
    "drop_time": f"{_MODULE}:drop_time",
    "drop_area": f"{_MODULE}:drop_area",
    "event_drop": f"{_MODULE}:event_drop",
    "random_rate": f"{_EVENTS}:random_rate",
    "flip_polarity": f"{_EVENTS}:flip_polarity",
    "random_flip_polarity": f"{_EVENTS}:random_flip_polarity",
    "random_time_warp": f"{_EVENTS}:random_time_warp",
    "random_centre": f"{_EVENTS}:random_centre",
    "random_scale": f"{_EVENTS}:random_scale",
    "random_noise": f"{_EVENTS}:random_noise",
}
OF_EVENTS = frozenset(_OF_EVENTS)

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
        "autoaugment": "stdl_events.frames.autoaugment:autoaugment",
        "cutout": f"{_MODULE}:cutout",
        **_OF_EVENTS,
    },
)
