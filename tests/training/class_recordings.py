"""Events of three separable classes."""

from pathlib import Path

import numpy as np

from stdl_events.events import open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.stream import EventArray, empty_events

SENSOR_SIZE = (16, 16)
CLASSES = ("left", "middle", "right")
DURATION_US = 160_000


def draw_events(label: int, rng: np.random.Generator, count: int = 600) -> EventArray:
    """Events all over the sensor, half of them in the class's third of the columns."""
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(0, DURATION_US, count))
    events["t"][[0, -1]] = 0, DURATION_US - 1
    events["x"] = np.where(rng.random(count) < 0.5, 5 * label + rng.integers(0, 6, count), rng.integers(0, 16, count))
    events["y"] = rng.integers(0, 16, count)
    events["p"] = rng.random(count) < 0.5
    return events


def write_classes(root: Path, counts: dict[str, int], rng: np.random.Generator) -> None:
    """Write `<side>/<class>/<number>.raw`: EVT 3, which is read several times as fast as HDF5.

    Args:
        counts: recordings of each class by side.
    """
    for side, count in counts.items():
        for label, name in enumerate(CLASSES):
            for number in range(count):
                path = root / side / name / f"{number}.raw"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_recording(root / "written.h5", draw_events(label, rng), SENSOR_SIZE)
                convert(open_recording(root / "written.h5"), path)
    (root / "written.h5").unlink()
