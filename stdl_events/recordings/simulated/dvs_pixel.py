"""A model of the pixels of an event camera: log intensity in, timestamped events out.

Each pixel stores the log intensity of its last event. If the present one is higher by the pixel's ON threshold (lower
by its OFF threshold), the pixel emits an event and its stored value moves by that threshold, repeatedly if needed.
Between two pictures the log intensity is linear in time, which dates every crossing in microseconds. An event within
the refractory period after the pixel's last one is dropped; the stored value moves nevertheless. Thresholds differ by
pixel and polarity. Background activity is a Poisson process per pixel with equally likely polarities; its rates also
differ by pixel, and it is independent of the picture.

The model follows P. Lichtsteiner, C. Posch, T. Delbruck, "A 128x128 120 dB 15 us latency asynchronous temporal contrast
vision sensor", 2008, and H. Rebecq, D. Gehrig, D. Scaramuzza, "ESIM: an open event camera simulator", 2018. It has no
bandwidth limit, no leak events and no readout delays.

Shape letters: T pictures, P pixels (row by row), H rows, W columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stdl_events.events.stream import EVENT_DTYPE, EventArray

_LONG_AGO_US = -(1 << 60)


@dataclass(frozen=True)
class PixelModel:
    """The fixed properties of one simulated sensor.

    Attributes:
        on_threshold_P, off_threshold_P: change of log intensity (natural logarithm) that triggers an event.
        noise_share_P: background activity of a pixel as a multiple of the sensor's mean.
        refractory_us: shortest time between two events of a pixel.
    """

    sensor_size: tuple[int, int]
    on_threshold_P: npt.NDArray[np.float64]
    off_threshold_P: npt.NDArray[np.float64]
    noise_share_P: npt.NDArray[np.float64]
    refractory_us: int


def make_sensor(
    sensor_size: tuple[int, int],
    rng: np.random.Generator,
    *,
    threshold: float = 0.2,
    mismatch: float = 0.08,
    noise_spread: float = 0.5,
    refractory_us: int = 1000,
) -> PixelModel:
    """Draw a sensor: thresholds vary by `mismatch` (standard deviation as a share), noise rates are log-normal."""
    pixels = sensor_size[0] * sensor_size[1]

    def thresholds() -> npt.NDArray[np.float64]:
        return threshold * np.clip(1 + mismatch * rng.standard_normal(pixels), 0.3, 3.0)

    on_P, off_P = thresholds(), thresholds()
    share_P = np.exp(noise_spread * rng.standard_normal(pixels))
    return PixelModel(sensor_size, on_P, off_P, share_P / share_P.mean(), refractory_us)


class DvsPixels:
    """The state of the pixels; call `see` with one picture after the other, in order of time."""

    def __init__(self, model: PixelModel, t_us: int, log_picture_HW: npt.NDArray[np.floating]) -> None:
        self._model = model
        self._t_us = t_us
        self._seen_P = log_picture_HW.astype(np.float64).ravel()
        self._memory_P = self._seen_P.copy()
        self._last_event_us_P = np.full(self._seen_P.size, _LONG_AGO_US, np.int64)

    def see(self, t_us: int, log_picture_HW: npt.NDArray[np.floating]) -> EventArray:
        """Return the events between the previous picture and this one, (t0, t1], sorted by time, then by pixel."""
        assert t_us > self._t_us, (self._t_us, t_us)
        now_P = log_picture_HW.astype(np.float64).ravel()
        model = self._model
        rise_P = now_P - self._memory_P
        parts = [
            self._crossings(np.flatnonzero(rise_P >= model.on_threshold_P), model.on_threshold_P, 1, t_us, now_P),
            self._crossings(np.flatnonzero(-rise_P >= model.off_threshold_P), model.off_threshold_P, -1, t_us, now_P),
        ]
        self._t_us, self._seen_P = t_us, now_P
        return sort_events(np.concatenate(parts))

    def _crossings(
        self,
        active: npt.NDArray[np.intp],
        threshold_P: npt.NDArray[np.float64],
        sign: int,
        t_us: int,
        now_P: npt.NDArray[np.float64],
    ) -> EventArray:
        """Emit events of the pixels `active`, which crossed at least once, until none exceeds its threshold."""
        width = self._model.sensor_size[0]
        parts = [np.empty(0, EVENT_DTYPE)]
        while active.size:
            self._memory_P[active] += sign * threshold_P[active]
            share = (self._memory_P[active] - self._seen_P[active]) / (now_P[active] - self._seen_P[active])
            # A crossing belongs to (t0, t1], so that pictures never share a microsecond.
            at_us = self._t_us + np.clip(np.ceil(share * (t_us - self._t_us)), 1, t_us - self._t_us).astype(np.int64)
            awake = at_us - self._last_event_us_P[active] >= self._model.refractory_us
            emitting = active[awake]
            self._last_event_us_P[emitting] = at_us[awake]
            events = np.empty(emitting.size, EVENT_DTYPE)
            events["t"] = at_us[awake]
            events["x"] = emitting % width
            events["y"] = emitting // width
            events["p"] = sign > 0
            parts.append(events)
            active = active[sign * (now_P[active] - self._memory_P[active]) >= threshold_P[active]]
        return np.concatenate(parts)


def background_activity(
    model: PixelModel, rate_hz: float, t0_us: int, t1_us: int, rng: np.random.Generator
) -> EventArray:
    """Draw noise events in (t0, t1] at `rate_hz` events per second and pixel on average, sorted."""
    expected_P = rate_hz * model.noise_share_P * (t1_us - t0_us) * 1e-6
    pixel = np.repeat(np.arange(expected_P.size), rng.poisson(expected_P))
    events = np.empty(pixel.size, EVENT_DTYPE)
    events["t"] = rng.integers(t0_us + 1, t1_us + 1, pixel.size)
    events["x"] = pixel % model.sensor_size[0]
    events["y"] = pixel // model.sensor_size[0]
    events["p"] = rng.random(pixel.size) < 0.5
    return sort_events(events)


def sort_events(events: EventArray) -> EventArray:
    """Sort by time, and within a microsecond by row, column and polarity: one order for any input order."""
    return events[np.lexsort((events["p"], events["x"], events["y"], events["t"]))]


def simulate(
    model: PixelModel,
    log_pictures: Iterable[tuple[int, npt.NDArray[np.floating]]],
    *,
    noise_hz: float,
    rng: np.random.Generator,
) -> EventArray:
    """Yield the sorted events of a sensor that sees the pictures (`t_us`, log intensity [H, W]), with noise events."""
    pictures = iter(log_pictures)
    first_us, first_HW = next(pictures)
    pixels = DvsPixels(model, first_us, first_HW)
    parts, last_us = [], first_us
    for last_us, picture_HW in pictures:
        parts.append(pixels.see(last_us, picture_HW))
    parts.append(background_activity(model, noise_hz, first_us, last_us, rng))
    return sort_events(np.concatenate(parts))
