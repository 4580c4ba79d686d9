"""Events for the tests of frames, and frames counted by literal loops."""

import numpy as np
from hypothesis import strategies as st

from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames import Frame, Framer, FrameSpec

WIDTH, HEIGHT = 7, 5


def make_events(t_us, x=None, y=None, p=None) -> EventArray:
    events = empty_events(len(t_us))
    events["t"] = t_us
    events["x"] = 0 if x is None else x
    events["y"] = 0 if y is None else y
    events["p"] = False if p is None else p
    return events


def random_events(seed: int, count: int, duration_us: int, t_first_us: int = 0, size=(WIDTH, HEIGHT)) -> EventArray:
    rng = np.random.default_rng(seed)
    return make_events(
        t_first_us + np.sort(rng.integers(0, duration_us, count)),
        rng.integers(0, size[0], count),
        rng.integers(0, size[1], count),
        rng.integers(0, 2, count) == 1,
    )


def stream(steps=3, size=(WIDTH, HEIGHT), **settings_) -> FrameSpec:
    """A spec whose windows of fixed time lie on the grid of the clock, unless the settings say otherwise."""
    grid = {"grid": "clock"} if "dt_us" in settings_ else {}
    return FrameSpec.parse({"kind": "stream", "steps": steps, "sensor_size": size, **grid, **settings_})


def whole(steps=3, size=(WIDTH, HEIGHT), **settings_) -> FrameSpec:
    return FrameSpec.parse({"kind": "recording", "steps": steps, "sensor_size": size, **settings_})


def run(events: EventArray, spec: FrameSpec, chunk: int | None = None) -> list[Frame]:
    framer = Framer(spec)
    frames = []
    for start in range(0, len(events), chunk or max(1, len(events))):
        frames += framer.push(events[start : start + (chunk or len(events))])
    return frames + framer.finish()


def loop_counts(events: EventArray, spec: FrameSpec) -> np.ndarray:
    """One frame, event by event."""
    counts_CHW = np.zeros(spec.frame_shape_CHW, np.int64)
    for event in events:
        counts_CHW[int(event["p"]), event["y"] // spec.downscale, event["x"] // spec.downscale] += 1
    return np.minimum(counts_CHW, spec.cap or 65535)


@st.composite
def event_arrays(draw) -> EventArray:
    gaps = draw(st.lists(st.one_of(st.integers(0, 3), st.integers(0, 400)), max_size=60))
    t_us = np.cumsum([draw(st.integers(-1000, 1000)), *gaps])[: len(gaps)]
    highest = draw(st.sampled_from([0, 3, 2 * WIDTH * HEIGHT - 1]))  # few pixels count high, many count wide
    pixels = st.lists(st.integers(0, highest), min_size=len(gaps), max_size=len(gaps))
    pixel = np.array(draw(pixels), np.int64)
    return make_events(t_us, pixel % WIDTH, pixel // WIDTH % HEIGHT, pixel // (WIDTH * HEIGHT) == 1)


common_settings = st.fixed_dictionaries(
    {"downscale": st.integers(1, 3), "cap": st.one_of(st.none(), st.integers(1, 2))}
)
