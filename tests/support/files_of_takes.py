"""Files whose clock was reset while they were recorded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stdl_events.events.stream import EventArray


def write_takes(path: Path, takes: Sequence[EventArray]) -> Path:
    """Write the events of `takes` one after another, each with the times of its own clock."""
    events = np.concatenate(takes)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: events[name] for name in ("t", "x", "y")}, p=events["p"].astype(np.uint8))
    return path
