"""Requested frames in one word, such as `T=10,by=count,size=64` or `T=10,dt=20ms`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stdl_events.errors import FrameSpecError
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.frames import FrameSpec

DEFAULT_CAP = 255
NO_FILTERS = FilterSpec()
GRAMMAR = "T=10 with one of by=count, by=time, dt=20ms and n=5000, and maybe size, downscale, cap, grid or remainder"
SIZES_SHOWN = 8
_UNIT_US = {"us": 1, "ms": 1_000, "s": 1_000_000}
_NUMBERS = {"T": "steps", "n": "events_per_frame", "downscale": "downscale", "cap": "cap"}
_KEYS = (*_NUMBERS, "by", "dt", "size", "remainder", "grid")


@dataclass(frozen=True)
class RequestedFrames:
    """A request for frames of recordings whose sensor size is unknown yet.

    Attributes:
        settings: of `FrameSpec`, without `sensor_size`, and without `downscale` if `size` is given.
        size: (width, height) of the frames.
    """

    settings: Mapping[str, Any]
    size: tuple[int, int] | None

    def spec(
        self, sensor_size: tuple[int, int], filters: FilterSpec = NO_FILTERS, geometry: Mapping[str, Any] | None = None
    ) -> FrameSpec:
        """Return the frame spec for recordings of `sensor_size` (width, height).

        Args:
            geometry: settings of `Geometry`.

        Raises:
            FrameSpecError: the settings contradict each other, or no integer downscale gives frames of the size.
        """
        settings = {**self.settings, "sensor_size": sensor_size, "filters": filters, **(geometry or {})}
        if self.size is not None:
            picture = FrameSpec.parse(settings).plain.sensor_size
            settings["downscale"] = _downscale(picture, self.size)
        return FrameSpec.parse(settings)


def parse_frames(text: str) -> RequestedFrames:
    """Parse `text`: comma-separated key=value pairs.

    T: frames per clip. by: bins of equal `count` or `time` over the whole recording. dt: duration of a window, with its
    unit; grid: where these begin, with the `recording` (the default) or with the `clock`. n: events per window. size:
    of the frames, N for NxN or WxH. downscale, cap, remainder: as in `FrameSpec`.

    Raises:
        FrameSpecError: a key is unknown or given twice, a value does not parse, or the settings contradict each other.
    """
    settings: dict[str, Any] = {"cap": DEFAULT_CAP}
    size, seen = None, set()
    for pair in text.split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or key not in _KEYS or key in seen:
            got = f"{key!r} twice" if key in seen else repr(pair)
            raise FrameSpecError("--frames", got=got, expected=GRAMMAR, todo="correct it")
        seen.add(key)
        if key in _NUMBERS:
            settings[_NUMBERS[key]] = _number(pair, value)
        elif key == "dt":
            settings["dt_us"] = _time_us(pair, value)
        elif key == "size":
            size = _size(pair, value)
        else:
            settings[key] = value
    if "T" not in seen or not seen & {"by", "dt", "n"}:
        raise FrameSpecError("--frames", got=repr(text), expected=GRAMMAR, todo="add what is missing")
    if size is not None and "downscale" in seen:
        raise FrameSpecError("--frames", got="size and downscale", expected="one of them", todo="leave one out")
    settings["kind"] = "recording" if "by" in seen else "stream"
    # Contradicting settings contradict for any sensor.
    FrameSpec.parse({**settings, "sensor_size": (1, 1)})
    return RequestedFrames(settings, size)


def frames_text(spec: FrameSpec) -> str:
    """Return the command-line text that requests `spec`."""
    cut = {"by": spec.by, "dt": _time_text(spec.dt_us), "n": spec.events_per_frame}
    words = [f"T={spec.steps}", *(f"{key}={value}" for key, value in cut.items() if value is not None)]
    plain = {"remainder": "last", "downscale": 1, "cap": DEFAULT_CAP}
    if spec.grid != "recording":
        words.append(f"grid={spec.grid}")
    words += [f"{key}={getattr(spec, key)}" for key, usual in plain.items() if getattr(spec, key) != usual]
    text = " ".join([",".join(words), *(f"--{name.replace('_', '-')} {value}" for name, value in spec.geometry.words)])
    return " --filter ".join([text, *spec.filters.words])


def _time_text(time_us: int | None) -> str | None:
    if time_us is None:
        return None
    return f"{time_us}us" if time_us % 1_000 else f"{time_us // 1_000}ms"


def _number(pair: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value):
        raise FrameSpecError("--frames", got=repr(pair), expected="a whole number", todo="correct it")
    return int(value)


def _time_us(pair: str, value: str) -> int:
    match = re.fullmatch(r"(\d{1,9})(us|ms|s)", value)
    if match is None:
        raise FrameSpecError(
            "--frames", got=repr(pair), expected="a whole number with its unit, such as 20ms or 500us",
            todo="correct it",
        )  # fmt: skip
    return int(match[1]) * _UNIT_US[match[2]]


def _size(pair: str, value: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", value)
    if match is None:
        raise FrameSpecError("--frames", got=repr(pair), expected="N or WxH, such as 64 or 173x130", todo="correct it")
    return int(match[1]), int(match[2] or match[1])


def _downscale(sensor_size: tuple[int, int], size: tuple[int, int]) -> int:
    """Return the factor that gives frames of `size` (W, H); pixels are only summed, in whole squares."""
    made: dict[tuple[int, int], int] = {}
    for factor in range(1, max(sensor_size) + 1):
        made.setdefault((-(-sensor_size[0] // factor), -(-sensor_size[1] // factor)), factor)
    if size not in made:
        possible = ", ".join(f"{width}x{height}" for width, height in list(made)[:SIZES_SHOWN])
        raise FrameSpecError(
            "--frames: size", got="{}x{}".format(*size),
            expected="{}x{} or that over a whole number: {}, ...".format(*sensor_size, possible),
            todo="ask for one of these",
        )  # fmt: skip
    return made[size]
