"""`run_live`: source -> Framer -> bounded queue -> model -> sinks.

One thread reads the source and cuts its events into frames, which is cheap; the caller's thread runs the model. The
queue between them holds frames and not events, so that overload drops whole clips.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Literal, Protocol, runtime_checkable

from stdl_events.errors import ModelError
from stdl_events.events.sources.replay import ReplaySource
from stdl_events.events.stream import EventArray, EventSource
from stdl_events.frames import Frame, Framer
from stdl_events.frames.grid import grid_origin_us
from stdl_events.frames.selection import Selection
from stdl_events.live.clock_watch import ClockWatch
from stdl_events.live.decision import Decider, Decision
from stdl_events.live.frame_queue import FrameQueue, Overload
from stdl_events.live.recogniser import Prediction, Readout, Recogniser
from stdl_events.live.summary import LiveSummary, Percentiles
from stdl_events.model_card import DecisionThresholds

# Limit of the wait for a reader that is blocked in its source, at the end of a run.
READER_PATIENCE_S = 1.0
# Shortest interval between two reports of overload.
OVERLOAD_EVERY_S = 1.0


@runtime_checkable
class ClockedSource(EventSource, Protocol):
    """A source with a clock; it yields empty chunks in a still scene so that windows close in time."""

    @property
    def t_now_us(self) -> int:
        """Every event before this time, in the source's own clock, has been yielded."""
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


def run_live(
    source: EventSource,
    recogniser: Recogniser,
    sinks: Sequence[Sink],
    *,
    every: Literal["clip", "frame"] = "clip",
    overload: Overload = "drop",
    queue_clips: int = 2,
    decision: DecisionThresholds | None = None,
) -> LiveSummary:
    """Run the model on `source` until it ends or the user interrupts (Ctrl-C), and return a summary.

    Args:
        every: send a prediction to the sinks when each clip is decided, or after each frame.
        overload: "drop" for live sources: stay near the present; "wait" for files: the source waits for the model, so
            that no frame is lost and every run gives the same predictions.
        queue_clips: number of clips that may wait for the model.
        decision: thresholds of the predictions; by default those of the model's card.

    Raises:
        ModelError: clips are to be decided early, and the state goes on over clips.
        StdlEventsError: the source failed. The events before are processed first, and `ended` of the sinks is called.
    """
    queue = FrameQueue(queue_clips * recogniser.spec.steps, overload, by_clip=recogniser.resets)
    listeners = [sink for sink in sinks if isinstance(sink, EventSink)]
    framer = Framer(recogniser.spec, origin_us=_part_grid(source, recogniser))
    reader = _Reader(source, recogniser.select, framer, queue, listeners)
    run = _Run(recogniser, sinks, every, decision)
    started_s = time.monotonic()
    interrupted = False
    try:
        reader.start()
        while (item := queue.get()) is not None:
            frame, arrived_s = item
            # A blocking source delivers a frame when the model requests it: latency is the model's own time.
            run.step(frame, time.monotonic() if overload == "wait" else arrived_s)
            run.say_overload(queue.dropped)
    except (KeyboardInterrupt, StopRun):
        interrupted = True
    finally:
        queue.close(discard=True)
        if reader.is_alive():
            reader.join(READER_PATIENCE_S)
    recogniser.finish()
    with suppress(StopRun):
        run.say_overload(queue.dropped, at_once=True)
    summary = LiveSummary(
        seconds=time.monotonic() - started_s,
        events=reader.events,
        filtered_events=reader.select.filtered_events + reader.framer.filtered_events,
        cropped_events=reader.select.cropped_events + reader.framer.cropped_events,
        frames=run.frames,
        clips=run.clips,
        incomplete_clips=recogniser.incomplete_clips,
        dropped_frames=queue.dropped,
        late_events=reader.framer.late_events,
        clock_resets=reader.clock.resets,
        decisions=dict(run.decisions),
        early_clips=run.early_clips,
        early_frames=run.early_frames,
        source=dict(source.counts) if isinstance(source, CountingSource) else {},
        latency_us=run.latency.summary_us(),
        step_us=run.step_time.summary_us(),
        interrupted=interrupted,
    )
    for sink in sinks:
        with suppress(StopRun):
            sink.ended(summary)
    if reader.error is not None and not interrupted:
        raise reader.error
    return summary


def run_frames(
    frames: Iterable[Frame], recogniser: Recogniser, sinks: Sequence[Sink], decision: DecisionThresholds | None = None
) -> None:
    """Run the model on frames that are cut already, in this thread: the predictions of `run_live` after each frame.

    Args:
        decision: see `run_live`.
    """
    run = _Run(recogniser, sinks, "frame", decision)
    for frame in frames:
        run.step(frame, time.monotonic())
    recogniser.finish()


def _part_grid(source: EventSource, recogniser: Recogniser) -> int | None:
    """Return the zero of the grid of a recording that is replayed in part; otherwise None, the first event."""
    if not isinstance(source, ReplaySource) or not source.is_part:
        return None
    return grid_origin_us(source.recording, recogniser.spec, before=recogniser.select)


class _Reader(threading.Thread):
    """Reads the source to its end, or until the queue is closed."""

    def __init__(
        self,
        source: EventSource,
        select: Selection,
        framer: Framer,
        queue: FrameQueue,
        listeners: Sequence[EventSink] = (),
    ) -> None:
        super().__init__(name="stdl-events source", daemon=True)
        self.framer = framer
        self.select = select
        self.events = 0
        self.error: BaseException | None = None
        clip_us = framer.spec.dt_us and framer.spec.dt_us * framer.spec.steps
        self.clock = ClockWatch(clip_us, is_recording=isinstance(source, ReplaySource))
        self._source = source
        self._queue = queue
        self._listeners = listeners

    def run(self) -> None:
        try:
            self._read()
        except BaseException as error:
            self.error = error
        finally:
            self._queue.close()

    def _read(self) -> None:
        clocked = self._source if isinstance(self._source, ClockedSource) else None
        for events in self._source.chunks():
            arrived_s = time.monotonic()
            self.events += len(events)
            for listener in self._listeners:
                listener.received(events)
            frames: list[Frame] = []
            for its in self.clock.sessions(events):
                frames += self._begin_again() if self.clock.ends_session(its) else []
                frames += self.framer.push(self.select(its))
            if clocked:
                frames += self._begin_again() if self.clock.ends_session_at(clocked.t_now_us) else []
                frames += self.framer.advance_to(clocked.t_now_us)
            for frame in frames:
                self._queue.put(frame, arrived_s)
            if self._queue.closed:
                return
        for frame in self.framer.finish():
            self._queue.put(frame, time.monotonic())

    def _begin_again(self) -> list[Frame]:
        """Return the last frame of the session; what follows begins another one."""
        self.select.restart()
        return self.framer.finish()


class _Run:
    """The model's side of a run: steps, predictions and latencies."""

    def __init__(
        self, recogniser: Recogniser, sinks: Sequence[Sink], every: str, decision: DecisionThresholds | None = None
    ) -> None:
        self.latency, self.step_time = Percentiles(), Percentiles()
        self.frames = self.clips = 0
        self._recogniser = recogniser
        self._sinks = sinks
        self._every = every
        self._dropped = 0
        self._overload_said_s = -math.inf
        self.decisions: Counter[str] = Counter()
        self._decider = Decider(decision or recogniser.session.card.decision or DecisionThresholds())
        if self._decider.decides_early and not recogniser.resets:
            raise ModelError(
                str(recogniser.session.path), got="decide_at, and a state that goes on over clips (readout sliding)",
                expected="a state that is zeroed at each clip, whose frames alone decide it",
                todo="use --decide-at none",
            )  # fmt: skip
        self.early_clips = self.early_frames = 0
        self._clip_start_us, self._clip_events = 0, 0

    def say_overload(self, dropped: int, *, at_once: bool = False) -> None:
        """Report to the sinks the frames dropped since the last report, of `dropped` in all."""
        now_s = time.monotonic()
        if dropped > self._dropped and (at_once or now_s - self._overload_said_s >= OVERLOAD_EVERY_S):
            for sink in self._sinks:
                sink.overloaded(dropped - self._dropped)
            self._dropped, self._overload_said_s = dropped, now_s

    def step(self, frame: Frame, arrived_s: float) -> None:
        began_s = time.monotonic()
        readout = self._recogniser.push(frame)
        done_s = time.monotonic()
        if readout is None:
            return
        latency_us = (done_s - arrived_s) * 1e6
        self.frames += 1
        self.clips += readout.final
        decision = self._decided(frame, readout)
        self.step_time.add((done_s - began_s) * 1e6)
        self.latency.add(latency_us)
        if decision is not None or self._every == "frame":
            decided = self._decider.decided
            prediction = Prediction(
                t_us=frame.t_end_us,
                label=readout.label,
                probabilities=readout.probabilities,
                latency_us=round(latency_us),
                clip=frame.clip,
                step=frame.step,
                final=readout.final,
                decision=decided.label if decided else None,
                state=decision.state if decision else "decided" if decided else "open",
                why=decision.why if decision else f"decided after {decided.frames} frames" if decided else "",
                decided_after=decided.frames if decided else None,
                t_start_us=self._clip_start_us,
            )
            for sink in self._sinks:
                sink.predicted(prediction)

    def _decided(self, frame: Frame, readout: Readout) -> Decision | None:
        """Return the decision of a clip at the frame where it is made, otherwise None."""
        if self._decider.begins(frame.clip, frame.step):
            self._clip_start_us, self._clip_events = frame.t_start_us, 0
        if self._decider.needs_rate:
            self._clip_events += int(frame.counts_CHW.sum())
        rate = self._clip_events * 1e6 / (frame.t_end_us - self._clip_start_us)
        decision = self._decider.push(readout.probabilities, frame.steps, rate)
        if decision is not None:
            self.decisions[decision.state] += 1
            self.early_clips += not readout.final
            self.early_frames += frame.steps - frame.step - 1
        return decision
