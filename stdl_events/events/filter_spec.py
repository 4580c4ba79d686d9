"""`FilterSpec`: filters of an event stream as data; `FilterChain`: the same filters with their state."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stdl_events.errors import FrameSpecError
from stdl_events.events.filters import (
    drop_pixels,
    is_rested,
    is_supported,
    no_activity,
    pixels_of,
    remember,
    take,
)
from stdl_events.events.stream import EventArray
from stdl_events.registry import Registry
from stdl_events.validation import first_problem

Filter: TypeAlias = Callable[[EventArray], EventArray]
"""Maps each chunk of one stream to a filtered chunk; keeps its state in bounded memory."""


@dataclass(frozen=True)
class FilterKind:
    """An entry of `FILTERS`.

    Attributes:
        summary: the dropped events, in one line.
        start: (setting, sensor_size) -> a filter at the start of a stream.
    """

    summary: str
    start: Callable[[Any, tuple[int, int]], Filter]


def require_pixels(pixels: Iterable[tuple[int, int]], sensor_size: tuple[int, int]) -> None:
    """Check that hot pixels (x, y) are on the sensor.

    Raises:
        FrameSpecError: one is outside.
    """
    width, height = sensor_size
    for x, y in pixels:
        if x >= width or y >= height:
            raise FrameSpecError(
                "filters.hot_pixels", got=f"the pixel {x}:{y}", expected=f"pixels inside {width}x{height}",
                todo="correct the pixel, or give the sensor size of the source",
            )  # fmt: skip


def _hot_pixels(pixels: tuple[tuple[int, int], ...], sensor_size: tuple[int, int]) -> Filter:
    require_pixels(pixels, sensor_size)
    mask_HW = np.zeros(sensor_size[::-1], np.bool_)
    for x, y in pixels:
        mask_HW[y, x] = True
    return lambda events: drop_pixels(events, mask_HW)


def _background(support_us: int, sensor_size: tuple[int, int]) -> Filter:
    last_us_P, stride = no_activity(sensor_size), sensor_size[0] + 2

    def keep(events: EventArray) -> EventArray:
        pixel_N, t_us = pixels_of(events, sensor_size), events["t"]
        kept_N = is_supported(t_us, pixel_N, last_us_P, stride=stride, support_us=support_us)
        remember(last_us_P, pixel_N, t_us)
        return take(events, kept_N)

    return keep


def _refractory(period_us: int, sensor_size: tuple[int, int]) -> Filter:
    last_us_P = no_activity(sensor_size)

    def keep(events: EventArray) -> EventArray:
        pixel_N, t_us = pixels_of(events, sensor_size), events["t"]
        kept_N = is_rested(t_us, pixel_N, last_us_P, period_us=period_us)
        remember(last_us_P, pixel_N, t_us)
        return take(events, kept_N)

    return keep


# In the order of application: each filter sees the events kept by those before it.
FILTERS: Registry[FilterKind] = Registry(
    "filter",
    FrameSpecError,
    {
        "hot_pixels": FilterKind("all events of these pixels, written as 3:4+10:0", _hot_pixels),
        "background_us": FilterKind("events without an earlier one at a neighbour within this time", _background),
        "refractory_us": FilterKind("events of a pixel whose last one is at most this long ago", _refractory),
    },
)


def _read_pixels(value: object) -> object:
    """Parse `3:4+10:0` to ((3, 4), (10, 0))."""
    return [pixel.split(":") for pixel in value.split("+")] if isinstance(value, str) else value


def _in_order(pixels: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(set(pixels)))


Microseconds = Annotated[int, Field(ge=1)]
Coordinate = Annotated[int, Field(ge=0, le=65535)]
Pixels = Annotated[tuple[tuple[Coordinate, Coordinate], ...], BeforeValidator(_read_pixels), AfterValidator(_in_order)]

# Settings of filters that are not active.
_NOTHING: frozenset[object] = frozenset({None, ()})


class FilterSpec(BaseModel):
    """Filters applied to events before they are counted, in the order of `FILTERS`; all are off by default.

    It is part of `FrameSpec` and so of every model card: live inference filters like training.

    Attributes:
        hot_pixels: pixels (x, y) whose events are dropped; `find_hot_pixels` finds them.
        background_us: drop an event unless one of its eight neighbours had an event within this time before it.
        refractory_us: drop an event if its pixel had an event within this time before it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hot_pixels: Pixels = ()
    background_us: Microseconds | None = None
    refractory_us: Microseconds | None = None

    @classmethod
    def parse(cls, words: Iterable[str]) -> "FilterSpec":
        """Parse words such as "background_us=5000" and "hot_pixels=3:4+10:0".

        Raises:
            FrameSpecError: a filter is unknown or given twice, or its setting is invalid.
        """
        settings: dict[str, str] = {}
        for word in words:
            name, equals, text = word.partition("=")
            if not equals or FILTERS.check(name) in settings:
                got = f"{name} twice" if equals else repr(word)
                raise FrameSpecError(
                    "--filter", got=got, expected="NAME=VALUE, each name once", todo="write background_us=5000"
                )
            settings[name] = text
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            problem = first_problem(error)
            name = problem.where.partition(".")[0]
            raise FrameSpecError(
                f"--filter {name}", got=repr(settings[name]), expected=problem.expected,
                todo="write such as background_us=5000 or hot_pixels=3:4+10:0",
            ) from None  # fmt: skip

    @property
    def settings(self) -> Mapping[str, Any]:
        """The active filters and their settings, in the order of application."""
        return {name: value for name, value in self if value not in _NOTHING}

    def __bool__(self) -> bool:
        """True if any filter is active."""
        return not _NOTHING.issuperset(vars(self).values())

    @property
    def words(self) -> list[str]:
        """The inverse of `parse`."""
        return [f"{name}={_text(value)}" for name, value in self.settings.items()]

    def start(self, sensor_size: tuple[int, int]) -> "FilterChain":
        """Return the filters at the start of a stream of sensor size (width, height)."""
        return FilterChain(self, sensor_size)


class FilterChain:
    """The filters of one stream with their state, applied to every chunk in order.

    Attributes:
        dropped: number of events dropped by each filter so far.
    """

    def __init__(self, spec: FilterSpec, sensor_size: tuple[int, int]) -> None:
        self._filters = {name: FILTERS[name].start(value, sensor_size) for name, value in spec.settings.items()}
        self.dropped = dict.fromkeys(self._filters, 0)

    def __call__(self, events: EventArray) -> EventArray:
        for name, keep in self._filters.items():
            before = len(events)
            events = keep(events)
            self.dropped[name] += before - len(events)
        return events


def _text(value: object) -> str:
    return "+".join(f"{x}:{y}" for x, y in value) if isinstance(value, tuple) else str(value)
