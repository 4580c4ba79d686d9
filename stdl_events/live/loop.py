"""`run_live`: source -> Framer -> bounded queue -> model -> sinks.

One thread reads the source and cuts its events into frames, which is cheap; the caller's thread runs the model. The
queue between them holds frames and not events, so that overload drops whole clips.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Literal

from stdl_events.errors import StdlEventsError
from stdl_events.events.sources.replay import ReplaySource
from stdl_events.events.stream import EventSource
from stdl_events.frames import Frame, Framer
from stdl_events.frames.grid import grid_origin_us
from stdl_events.live.controls import Controls
from stdl_events.live.frame_queue import FrameQueue, Overload
from stdl_events.live.protocols import CountingSource, Sink, StopRun
from stdl_events.live.reader import Reader
from stdl_events.live.recogniser import Recogniser
from stdl_events.live.sink_group import SinkGroup
from stdl_events.live.steps import Steps
from stdl_events.live.summary import LiveSummary
from stdl_events.model_card import DecisionThresholds

# Limit of the wait for a reader that is blocked in its source, at the end of a run.
READER_PATIENCE_S = 1.0
# Interval between two calls of `StatusSink.status`.
STATUS_EVERY_S = 1.0


def run_live(
    source: EventSource,
    recogniser: Recogniser,
    sinks: Sequence[Sink],
    *,
    every: Literal["clip", "frame"] = "clip",
    overload: Overload = "fresh",
    queue_clips: int = 2,
    decision: DecisionThresholds | None = None,
    controls: Controls | None = None,
) -> LiveSummary:
    """Run the model on `source` until it ends or the user interrupts (Ctrl-C), and return a summary.

    Args:
        every: send a prediction to the sinks when each clip is decided, or after each frame.
        overload: "fresh" for live sources: stay near the present; "complete" for files: the source waits for the model,
            so that no frame is lost and every run gives the same predictions.
        queue_clips: number of clips that may wait for the model.
        decision: thresholds of the predictions; by default those of the model's card.
        controls: change the run while it goes on. Frames of a pause are counted; with "complete" the source
            waits instead.

    Raises:
        ModelError: clips are to be decided early, and the state goes on over clips.
        SinkError: a sink raised an error. The others get the summary of the run until there.
        StdlEventsError: the source failed. The events before are processed first, and `ended` of the sinks is called.
    """
    return _LiveRun(source, recogniser, sinks, every, overload, queue_clips, decision, controls or Controls()).go()


def run_frames(
    frames: Iterable[Frame], recogniser: Recogniser, sinks: Sequence[Sink], decision: DecisionThresholds | None = None
) -> None:
    """Run the model on frames that are cut already, in this thread: the predictions of `run_live` after each frame.

    Args:
        decision: see `run_live`.
    """
    steps = Steps(recogniser, sinks, "frame", decision)
    for frame in frames:
        steps.step(frame, time.monotonic())
    recogniser.finish()


def _part_grid(source: EventSource, recogniser: Recogniser) -> int | None:
    """Return the zero of the grid of a recording that is replayed in part; otherwise None, the first event."""
    if not isinstance(source, ReplaySource) or not source.is_part:
        return None
    return grid_origin_us(source.recording, recogniser.spec, before=recogniser.select)


class _LiveRun:
    """One run: its reader, its queue and its steps, and the summary of them so far."""

    def __init__(
        self,
        source: EventSource,
        recogniser: Recogniser,
        sinks: Sequence[Sink],
        every: str,
        overload: Overload,
        queue_clips: int,
        decision: DecisionThresholds | None,
        controls: Controls,
    ) -> None:
        self._source, self._recogniser, self._overload, self._controls = source, recogniser, overload, controls
        self._sinks = SinkGroup([*sinks, controls.recording] if controls.recording else sinks)
        self._queue = FrameQueue(queue_clips * recogniser.spec.steps, overload, by_clip=recogniser.resets)
        framer = Framer(recogniser.spec, origin_us=_part_grid(source, recogniser))
        listeners = [self._sinks] if self._sinks.listens else []
        self._reader = Reader(source, recogniser.select, framer, self._queue, listeners)
        self._steps = Steps(recogniser, [self._sinks], every, decision, controls)
        self._started_s = self._status_due_s = time.monotonic()

    def go(self) -> LiveSummary:
        interrupted = False
        try:
            self._sinks.started(self._recogniser, self._source)
            self._reader.start()
            self._step_all()
        except (KeyboardInterrupt, StopRun):
            interrupted = True
        except StdlEventsError as error:  # of the model
            self._sinks.failure, interrupted = self._sinks.failure or error, True
        finally:
            self._queue.close(discard=True)
            if self._reader.is_alive():
                self._reader.join(READER_PATIENCE_S)
        self._recogniser.finish()
        with suppress(StopRun):
            self._steps.say_overload(self._queue.dropped, at_once=True)
        interrupted |= isinstance(self._reader.error, StopRun)
        summary = self._summary(interrupted)
        self._sinks.ended(summary)
        if self._sinks.failure is not None:
            raise self._sinks.failure
        if self._reader.error is not None and not interrupted:
            raise self._reader.error
        return summary

    def _step_all(self) -> None:
        while True:
            if self._overload == "complete" and self._controls.wait_while_paused(STATUS_EVERY_S):
                self._say_status()
                continue
            if self._sinks.watches and not self._queue.wait(self._status_due_s - time.monotonic()):
                self._say_status()
                continue
            if (item := self._queue.get()) is None:
                return
            frame, arrived_s = item
            # A blocking source delivers a frame when the model requests it: latency is the model's own time.
            self._steps.step(frame, time.monotonic() if self._overload == "complete" else arrived_s)
            self._steps.say_overload(self._queue.dropped)
            if self._sinks.watches and time.monotonic() >= self._status_due_s:
                self._say_status()

    def _say_status(self) -> None:
        self._status_due_s = time.monotonic() + STATUS_EVERY_S
        self._sinks.status(self._summary(interrupted=False))

    def _summary(self, interrupted: bool) -> LiveSummary:
        reader, steps, source = self._reader, self._steps, self._source
        return LiveSummary(
            seconds=time.monotonic() - self._started_s,
            events=reader.events,
            filtered_events=reader.select.filtered_events + reader.framer.filtered_events,
            cropped_events=reader.select.cropped_events + reader.framer.cropped_events,
            frames=steps.frames,
            clips=steps.clips,
            incomplete_clips=self._recogniser.incomplete_clips,
            dropped_frames=self._queue.dropped,
            paused_frames=steps.paused_frames,
            recognised_events=steps.recognised_events,
            dropped_events=self._queue.dropped_events,
            skipped_events=steps.skipped_events,
            paused_events=steps.paused_events,
            unread_events=self._queue.unread_events + steps.open_events + reader.framer.open_events,
            late_events=reader.framer.late_events,
            clock_resets=reader.clock.resets,
            decisions=dict(steps.decisions),
            early_clips=steps.early_clips,
            early_frames=steps.early_frames,
            source=dict(source.counts) if isinstance(source, CountingSource) else {},
            latency_us=steps.latency.summary_us(),
            step_us=steps.step_time.summary_us(),
            sinks_s={name: round(seconds, 3) for name, seconds in self._sinks.seconds.items()},
            interrupted=interrupted,
        )
