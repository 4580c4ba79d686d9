"""Which filters a stream of events passes, as data, and the filters at work on a stream."""

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
"""From chunk to chunk of one stream; it remembers what it must, in bounded memory."""


@dataclass(frozen=True)
class FilterKind:
    """A filter that `FilterSpec` may ask for.

    Attributes:
        summary: what it drops, in one line.
        start: (setting, sensor_size) -> a filter for a stream that begins.
    """

    summary: str
    start: Callable[[Any, tuple[int, int]], Filter]


def _hot_pixels(pixels: tuple[tuple[int, int], ...], sensor_size: tuple[int, int]) -> Filter:
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


# In the order in which they are applied; each sees what those before it keep.
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
    """`3:4+10:0` as ((3, 4), (10, 0))."""
    return [pixel.split(":") for pixel in value.split("+")] if isinstance(value, str) else value


def _in_order(pixels: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(set(pixels)))


Microseconds = Annotated[int, Field(ge=1)]
Coordinate = Annotated[int, Field(ge=0, le=65535)]
Pixels = Annotated[tuple[tuple[Coordinate, Coordinate], ...], BeforeValidator(_read_pixels), AfterValidator(_in_order)]


class FilterSpec(BaseModel):
    """Which filters events pass before they are counted, in the order of `FILTERS`; all are off unless set.

    It is part of a `FrameSpec`, and so of every model's card: what was filtered in training is filtered live.

    Attributes:
        hot_pixels: pixels (x, y) that fire on their own, whose events are dropped; `find_hot_pixels` finds them.
        background_us: drop an event unless one of the eight pixels around had one at most so long before.
        refractory_us: drop an event of a pixel that had one at most so long before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hot_pixels: Pixels = ()
    background_us: Microseconds | None = None
    refractory_us: Microseconds | None = None

    @classmethod
    def parse(cls, words: Iterable[str]) -> "FilterSpec":
        """The filters of words such as "background_us=5000" and "hot_pixels=3:4+10:0".

        Raises:
            FrameSpecError: a filter is unknown or given twice, or its setting makes no sense.
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
        """The filters that are on, in the order in which they are applied."""
        return {name: value for name, value in self if value not in (None, ())}

    def __bool__(self) -> bool:
        """Whether any filter is on."""
        return bool(self.settings)

    @property
    def words(self) -> list[str]:
        """What `parse` reads."""
        return [f"{name}={_text(value)}" for name, value in self.settings.items()]

    def start(self, sensor_size: tuple[int, int]) -> "FilterChain":
        """The filters for a stream that begins; its events lie within `sensor_size` (width, height)."""
        return FilterChain(self, sensor_size)


class FilterChain:
    """The filters of one stream; every chunk passes them all, and an empty one stays an empty one.

    Attributes:
        dropped: how many events each filter has dropped so far.
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
