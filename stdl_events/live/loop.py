"""`run_live`: source -> Framer -> bounded queue -> model -> sinks.

One thread reads the source and cuts its events into frames, which is cheap; the caller's thread runs the model. The
queue between them holds frames and not events, so that overload sheds whole windows.
"""

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Literal

from stdl_events.errors import StdlEventsError
from stdl_events.events.sources.replay import ReplaySource
from stdl_events.events.stream import EventSource
from stdl_events.frames import Frame, Framer
from stdl_events.frames.grid import grid_origin_us
from stdl_events.live.controls import Controls
from stdl_events.live.frame_queue import FrameQueue, Overload
from stdl_events.live.model_identity import ModelIdentity
from stdl_events.live.protocols import CountingSource, Sink, StampedSource, StopRun
from stdl_events.live.reader import Reader
from stdl_events.live.recogniser import Recogniser
from stdl_events.live.sink_group import SinkGroup
from stdl_events.live.steps import Steps
from stdl_events.live.summary import LiveSummary
from stdl_events.model_card import DecisionThresholds

# Limit of the wait for a reader that is blocked in its source, at the end of a run, and after an interrupt for sinks.
READER_PATIENCE_S, SINKS_PATIENCE_S = 0.3, 0.4
# Frames that wait for the model are of one size, two bytes a count; so many bytes of them do at most.
QUEUE_BYTES, COUNT_BYTES = 64 << 20, 2
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
    budget_ms: float | None = None,
    max_rate: float | None = None,
) -> LiveSummary:
    """Run the model on `source` until it ends or the user interrupts (Ctrl-C), and return a summary.

    Args:
        every: send a prediction to the sinks when each clip is decided, or after each frame.
        overload: "fresh" for live sources: stay near the present; "complete" for files: the source waits for the model,
            so that no frame is lost and every run gives the same predictions.
        queue_clips: number of clips that may wait for the model, within `QUEUE_BYTES`.
        decision: thresholds of the predictions; by default those of the model's card.
        controls: change the run while it goes on. Frames of a pause are counted; with "complete" the source
            waits instead.
        budget_ms: the latency, p99, that `LiveSummary.budget_kept` compares with.
        max_rate: events per second that are recognised at most; others are dropped evenly and counted.

    Raises:
        ModelError: clips are to be decided early, and the state goes on over clips.
        SinkError: a sink raised an error. The others get the summary of the run until there.
        StdlEventsError: the source failed. The events before are processed first, and `ended` of the sinks is called.
    """
    controls = controls or Controls()
    group = SinkGroup([*sinks, controls.recording] if controls.recording else sinks)
    steps = Steps(recogniser, [group], every, decision, controls)
    queue = FrameQueue(_capacity(recogniser, queue_clips), overload, by_clip=recogniser.resets)
    listeners = [group] if group.listens else []
    framer = Framer(recogniser.spec, origin_us=_part_grid(source, recogniser))
    reader = Reader(source, recogniser.select, framer, queue, listeners, max_rate)
    waits = overload == "complete" and not _is_paced(source)
    return _LiveRun(source, recogniser, group, queue, reader, steps, controls, waits, budget_ms).go()


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


def _is_paced(source: EventSource) -> bool:
    """True if events come at a pace of their own, so that those that wait are late."""
    return isinstance(source, StampedSource) and not (isinstance(source, ReplaySource) and source.speed is None)


def _capacity(recogniser: Recogniser, queue_clips: int) -> int:
    """Return how many frames may wait for the model."""
    frame_bytes = math.prod(recogniser.spec.frame_shape_CHW) * COUNT_BYTES
    return max(1, min(queue_clips * recogniser.spec.steps, QUEUE_BYTES // frame_bytes))


@dataclass
class _LiveRun:
    """One run: its reader, its queue and its steps, and the summary of them so far.

    Attributes:
        waits: the source delivers a frame when the model takes it, from when on its latency runs.
    """

    source: EventSource
    recogniser: Recogniser
    sinks: SinkGroup
    queue: FrameQueue
    reader: Reader
    steps: Steps
    controls: Controls
    waits: bool
    budget_ms: float | None

    def __post_init__(self) -> None:
        self._started_s = self._status_due_s = time.monotonic()

    def go(self) -> LiveSummary:
        interrupted = hurried = False
        try:
            self.sinks.started(self.recogniser, self.source)
            self.reader.start()
            self._step_all()
        except KeyboardInterrupt:
            interrupted = hurried = True
        except StopRun:
            interrupted = True
        except StdlEventsError as error:  # of the model
            self.sinks.failure, interrupted = self.sinks.failure or error, True
        finally:
            self.queue.close(discard=True)
            if self.reader.is_alive():
                self.reader.join(READER_PATIENCE_S)
        self.recogniser.finish()
        with suppress(StopRun):
            self.steps.say_overload(self.queue.dropped, at_once=True)
        interrupted |= isinstance(self.reader.error, StopRun)
        summary = self._summary(interrupted)
        if not hurried:
            self.sinks.ended(summary)
        elif blocked := self.sinks.ended_within(SINKS_PATIENCE_S, summary):
            summary = replace(summary, blocked_sinks=blocked)
        if self.sinks.failure is not None:
            raise self.sinks.failure
        if self.reader.error is not None and not interrupted:
            raise self.reader.error
        return summary

    def _step_all(self) -> None:
        while True:
            if self.queue.waits and self.controls.wait_while_paused(STATUS_EVERY_S):
                self._say_status()
                continue
            if self.sinks.watches and not self.queue.wait(self._status_due_s - time.monotonic()):
                self._say_status()
                continue
            if (item := self.queue.get()) is None:
                return
            frame, arrived_s, shed = item
            self.steps.step(frame, time.monotonic() if self.waits else arrived_s, shed)
            self.steps.say_overload(self.queue.dropped)
            if self.sinks.watches and time.monotonic() >= self._status_due_s:
                self._say_status()

    def _say_status(self) -> None:
        self._status_due_s = time.monotonic() + STATUS_EVERY_S
        self.sinks.status(self._summary(interrupted=False))

    def _summary(self, interrupted: bool) -> LiveSummary:
        reader, steps, source = self.reader, self.steps, self.source
        return LiveSummary(
            seconds=time.monotonic() - self._started_s,
            events=reader.events,
            filtered_events=reader.select.filtered_events + reader.framer.filtered_events,
            cropped_events=reader.select.cropped_events + reader.framer.cropped_events,
            frames=steps.frames,
            clips=steps.clips,
            thinned_clips=steps.thinned_clips,
            incomplete_clips=self.recogniser.incomplete_clips,
            dropped_frames=self.queue.dropped,
            paused_frames=steps.paused_frames,
            recognised_events=steps.recognised_events,
            dropped_events=self.queue.dropped_events,
            skipped_events=steps.skipped_events,
            paused_events=steps.paused_events,
            unread_events=self.queue.unread_events + steps.open_events + reader.framer.open_events,
            rate_limited_events=reader.limit.dropped,
            budget_ms=self.budget_ms,
            late_events=reader.framer.late_events,
            clock_resets=reader.clock.resets,
            decisions=dict(steps.decisions),
            early_clips=steps.early_clips,
            early_frames=steps.early_frames,
            model=asdict(ModelIdentity.of(self.recogniser.session)),
            source=dict(source.counts) if isinstance(source, CountingSource) else {},
            latency_us=steps.latency.summary_us(),
            step_us=steps.step_time.summary_us(),
            sinks_s={name: round(seconds, 3) for name, seconds in self.sinks.seconds.items()},
            interrupted=interrupted,
        )
