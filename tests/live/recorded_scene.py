"""What the tests of recorders record: a second of random events before a small sensor."""

import numpy as np

from stdl_events.events.stream import empty_events

SIZE = (8, 6)


def scene(count=3_000):
    """Return `count` events in order of time."""
    rng = np.random.default_rng(0)
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(5_000, 1_000_000, count))
    events["x"], events["y"] = rng.integers(0, 8, count), rng.integers(0, 6, count)
    events["p"] = rng.integers(0, 2, count)
    return events
