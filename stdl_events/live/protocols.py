"""What a live run expects of its sources, and what it calls in its sinks."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from stdl_events.events.stream import EventArray, EventSource
from stdl_events.live.recogniser import Prediction, Recogniser
from stdl_events.live.summary import LiveSummary


@runtime_checkable
class ClockedSource(EventSource, Protocol):
    """A source with a clock; it yields empty chunks in a still scene so that windows close in time."""

    @property
    def t_now_us(self) -> int:
        """Every event before this time, in the source's own clock, has been yielded."""
        ...


@runtime_checkable
class StampedSource(EventSource, Protocol):
    """A source that knows when its events arrived, before this program came to read them."""

    @property
    def arrived_s(self) -> float:
        """When the last bytes of the chunk that was yielded last arrived, as of `time.monotonic`."""
        ...


@runtime_checkable
class CountingSource(EventSource, Protocol):
    """A source that may lose events before they reach this program."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What it has lost or refused so far, by name, such as `lost_packets`."""
        ...


class StopRun(Exception):
    """Raised by a sink to end the run, such as when its reader has gone; every sink still gets the summary."""


class Sink(Protocol):
    """Receiver of a live run's results. Called from the thread that called `run_live`."""

    def predicted(self, prediction: Prediction) -> None:
        """Receive a prediction."""
        ...

    def overloaded(self, dropped_frames: int) -> None:
        """Receive the number of frames dropped since the last call because the model is too slow."""
        ...

    def ended(self, summary: LiveSummary) -> None:
        """Receive the summary: the source has ended or failed, or the user interrupted."""
        ...


@runtime_checkable
class EventSink(Sink, Protocol):
    """A sink that receives the source's events too, before filters, geometry and framing: a recorder, a picture."""

    def received(self, events: EventArray) -> None:
        """Receive a chunk, in the thread that reads the source: what takes long here delays the run."""
        ...


@runtime_checkable
class StatusSink(Sink, Protocol):
    """A sink that receives the counts of the run while it goes on: a page, a server of metrics."""

    def status(self, summary: LiveSummary) -> None:
        """Receive the summary of the run so far, about once a second, also when no event comes."""
        ...


@runtime_checkable
class StartSink(Sink, Protocol):
    """A sink that is told of the model and the source before the first event."""

    def started(self, recogniser: Recogniser, source: EventSource) -> None:
        """Receive what runs: the model is `recogniser.session`, its card `recogniser.session.card`."""
        ...
