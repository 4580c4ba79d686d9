"""The sinks of a live run as one: what one of them raises is said, and the time that each takes is measured."""

import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from stdl_events.errors import SinkError, StdlEventsError
from stdl_events.events.stream import EventArray, EventSource
from stdl_events.live.protocols import EventSink, Sink, StartSink, StatusSink, StopRun
from stdl_events.live.recogniser import Prediction, Recogniser
from stdl_events.live.summary import LiveSummary

AnySink = TypeVar("AnySink", bound=Sink)
_PACKAGE = Path(__file__).resolve().parent.parent


class SinkGroup:
    """Calls every sink of a run.

    A sink that raises is not called again, and the run ends; the others get their summary.

    Attributes:
        seconds: spent in each sink, by its name.
        failure: the first error of a sink; None without any.
        listens, watches: a sink takes events, or the counts of the run while it goes on.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.failure: StdlEventsError | None = None
        self._sinks = list(sinks)
        self._starters = [sink for sink in sinks if isinstance(sink, StartSink)]
        self._listeners = [sink for sink in sinks if isinstance(sink, EventSink)]
        self._watchers = [sink for sink in sinks if isinstance(sink, StatusSink)]
        self._failed: list[Sink] = []
        self.listens, self.watches = bool(self._listeners), bool(self._watchers)

    def started(self, recogniser: Recogniser, source: EventSource) -> None:
        """Call `started` of the sinks that have it."""
        self._each(self._starters, lambda sink: sink.started(recogniser, source))

    def predicted(self, prediction: Prediction) -> None:
        self._each(self._sinks, lambda sink: sink.predicted(prediction))

    def overloaded(self, dropped_frames: int) -> None:
        self._each(self._sinks, lambda sink: sink.overloaded(dropped_frames))

    def received(self, events: EventArray) -> None:
        """Hand on events, in the thread that reads the source."""
        self._each(self._listeners, lambda sink: sink.received(events))

    def status(self, summary: LiveSummary) -> None:
        self._each(self._watchers, lambda sink: sink.status(summary))

    def ended(self, summary: LiveSummary) -> None:
        self._end(self._sinks, summary)

    def ended_within(self, patience_s: float, summary: LiveSummary) -> tuple[str, ...]:
        """Hand on the summary, to each sink in a thread of its own, so that one that blocks keeps it from none.

        Returns the names of the sinks that had not taken it in time.
        """
        calls = [
            threading.Thread(target=self._end, args=([sink], summary), name=sink_name(sink), daemon=True)
            for sink in self._sinks
        ]
        for call in calls:
            call.start()
        until_s = time.monotonic() + patience_s
        for call in calls:
            call.join(max(0.0, until_s - time.monotonic()))
        return tuple(call.name for call in calls if call.is_alive())

    def _end(self, sinks: Sequence[Sink], summary: LiveSummary) -> None:
        with suppress(StopRun):
            self._each(sinks, lambda sink: sink.ended(summary))

    def _each(self, sinks: Sequence[AnySink], call: Callable[[AnySink], object]) -> None:
        """Call each of `sinks` that has not failed, also those behind one that ends the run.

        Raises:
            StopRun: a sink has ended the run, or failed.
        """
        stop = None
        for sink in sinks:
            if sink not in self._failed:
                try:
                    with self._guarded(sink):
                        call(sink)
                except StopRun as error:
                    stop = error
        if stop is not None:
            raise stop

    @contextmanager
    def _guarded(self, sink: Sink) -> Iterator[None]:
        """Measure a call, and turn an error of the sink into the end of the run."""
        began_s = time.perf_counter()
        try:
            yield
        except StopRun:
            raise
        except (Exception, SystemExit) as error:
            self._failed.append(sink)
            self.failure = self.failure or (error if isinstance(error, StdlEventsError) else _sink_error(sink, error))
            raise StopRun from error
        finally:
            self.seconds[sink_name(sink)] += time.perf_counter() - began_s


def sink_name(sink: object) -> str:
    """Return `name` of a sink that has one, otherwise the module and name of its class."""
    kind = type(sink)
    return str(getattr(sink, "name", None) or f"{kind.__module__}:{kind.__qualname__}")


def _sink_error(sink: Sink, error: BaseException) -> SinkError:
    made = SinkError(
        f"sink {sink_name(sink)}", got=f"{type(error).__name__}{f': {error}' if str(error) else ''} at {_place(error)}",
        expected="a sink that raises nothing but stdl_events.live.StopRun",
        todo="correct it; STDL_EVENTS_DEBUG=1 shows the traceback",
    )  # fmt: skip
    made.__cause__ = error
    return made


def _place(error: BaseException) -> str:
    """Return the last line of the sink's own file that the error went through, as FILE:LINE."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    own = next((f.filename for f in frames if not Path(f.filename).is_relative_to(_PACKAGE)), frames[-1].filename)
    last = [frame for frame in frames if frame.filename == own][-1]
    return f"{Path(own).name}:{last.lineno}"
