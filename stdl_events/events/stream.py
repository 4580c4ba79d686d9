"""The event stream: the one event dtype, and the invariants of every chunk.

Invariants of every chunk that leaves this package's readers and sources:

- dtype is `EVENT_DTYPE`; `t` is microseconds, signed so that differences cannot underflow;
- `t` never decreases, within a chunk and from one chunk to the next;
- `x` grows to the right and `y` downwards, the origin is the top left pixel of the upright picture;
- every `x < width` and `y < height` of `sensor_size`;
- `p` is True where the pixel became brighter;
- a chunk may be empty, and an empty chunk is real: time passes in it;
- the consumer never writes into a chunk, and the producer never writes into one that it has yielded.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])

# Differences of times must fit into 63 bits.
MAX_TIME_US = (1 << 62) - 1
# The time of an event whose stored time is no number, or too large for one.
NO_TIME_US = (1 << 63) - 1

EventArray: TypeAlias = npt.NDArray[np.void]


class RecordingWarning(UserWarning):
    """A recording has a defect that was handled; the text names both."""


def time_text(t_us: int) -> str:
    """Return a stored time in words."""
    return "no time, or one too large" if t_us == NO_TIME_US else f"{t_us} us"


def empty_events(count: int = 0) -> EventArray:
    """Return an array of `count` zeroed events."""
    return np.zeros(count, EVENT_DTYPE)


def copied(events: EventArray) -> EventArray:
    """Return a copy, made of opaque bytes: numpy copies structured elements field by field, 20 times as slowly."""
    copy: EventArray = events.view(f"V{EVENT_DTYPE.itemsize}").copy().view(EVENT_DTYPE)
    return copy


def concatenate_events(parts: Iterable[EventArray]) -> EventArray:
    """Concatenate the events of all contiguous `parts` into a new array, one part at a time.

    Joined as bytes in memory that grows in place: numpy copies structured elements field by field, which takes 25 times
    as long. A list of all parts would take twice the memory.
    """
    joined = bytearray()
    for part in parts:
        joined += part.view(np.uint8).data
    return np.frombuffer(joined, EVENT_DTYPE)


class EventSource(Protocol):
    """A source of ordered events: a recording, a replay, a network stream, a camera."""

    @property
    def sensor_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        ...

    def chunks(self) -> Iterator[EventArray]:
        """Yield the stream's chunks in order, in bounded memory, with the invariants of this module."""
        ...
