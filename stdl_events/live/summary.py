"""Summary of a live run: counts, rates and percentiles, in memory that does not grow with its length."""

import json
from dataclasses import asdict, dataclass, field

from stdl_events.live.percentiles import Percentiles

# Time in sinks that is said: a share of the run, and at least so many seconds.
SLOW_SINKS, LEAST_SINKS_S = 0.1, 0.5
# Each event of a source is one of these.
EVENTS_ARE = (
    "recognised_events", "filtered_events", "cropped_events", "late_events", "skipped_events", "dropped_events",
    "rate_limited_events", "paused_events", "unread_events",
)  # fmt: skip


@dataclass(frozen=True)
class LiveSummary:
    """Summary of a finished live run.

    Attributes:
        seconds: wall time.
        events: yielded by the source; the counts in `EVENTS_ARE` add up to them at the end of a run.
        frames: number of the model's steps.
        clips: recognised up to their last frame.
        incomplete_clips: dropped because a frame was missing.
        dropped_frames: dropped because the model was too slow.
        paused_frames: not recognised because the user paused the run.
        late_events: arrived after the clock had closed their window.
        latency_us: of all predictions, printed or not; see `Prediction`.
        step_us: duration of the model's steps.
        interrupted: ended by the user, and not by the source.
        filtered_events: dropped by the filters, of the source or the model.
        clock_resets: the source's clock went back or leapt forward, and windows and clips began again.
        cropped_events: outside the window of the source or the model, or not picked by their scale.
        recognised_events: in the frames that the model stepped.
        dropped_events: in the dropped frames.
        skipped_events: in frames of incomplete clips, which the model did not step.
        paused_events: in frames that came while the run was paused.
        unread_events: in the open window and the frames that the end of the run left.
        decisions: number of clips by the state of their decision; see `live.decision.State`.
        early_clips, early_frames: clips decided before their end, and the frames that were left of them.
        thinned_clips: recognised without the frames that were shed.
        rate_limited_events: dropped by the limit of the event rate.
        budget_ms: longest latency that was asked for, in ms; None without one.
        blocked_sinks: had not taken the summary in time after an interrupt.
        sinks_s: seconds spent in each sink, by its name.
        model: its `live.session.ModelIdentity`.
        source: what the source lost or refused before this program saw its events, by name; see `CountingSource`.
    """

    seconds: float
    events: int
    frames: int
    clips: int
    incomplete_clips: int
    dropped_frames: int
    late_events: int
    latency_us: dict[str, float | None]
    step_us: dict[str, float | None]
    interrupted: bool
    filtered_events: int = 0
    cropped_events: int = 0
    clock_resets: int = 0
    model: dict[str, str] = field(default_factory=dict)
    source: dict[str, int] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)
    early_clips: int = 0
    early_frames: int = 0
    thinned_clips: int = 0
    rate_limited_events: int = 0
    budget_ms: float | None = None
    blocked_sinks: tuple[str, ...] = ()
    sinks_s: dict[str, float] = field(default_factory=dict)
    paused_frames: int = 0
    recognised_events: int = 0
    dropped_events: int = 0
    skipped_events: int = 0
    paused_events: int = 0
    unread_events: int = 0

    @classmethod
    def before_the_start(cls, seconds: float) -> "LiveSummary":
        """Return the summary of a run that the user ended before its source could be opened."""
        none = Percentiles().summary_us()
        return cls(
            seconds=seconds, events=0, frames=0, clips=0, incomplete_clips=0, dropped_frames=0, late_events=0,
            latency_us=none, step_us=none, interrupted=True,
        )  # fmt: skip

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def frames_per_s(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0

    @property
    def budget_kept(self) -> bool | None:
        """Whether p99 of the latency is within the budget; None without a budget or a prediction."""
        p99_us = self.latency_us["p99"]
        return None if self.budget_ms is None or p99_us is None else p99_us <= 1e3 * self.budget_ms

    @property
    def _budget(self) -> list[str]:
        """One line, if there is a budget."""
        if self.budget_ms is None:
            return []
        word = {True: "kept", False: "broken", None: "not measured: no prediction"}[self.budget_kept]
        p99_us = self.latency_us["p99"]
        return [f"budget of {self.budget_ms:g} ms {word}" + ("" if p99_us is None else f": p99 {p99_us / 1e3:.2f} ms")]

    @property
    def _slow_sinks(self) -> list[str]:
        """One line, if the sinks took much of the run."""
        total_s = sum(self.sinks_s.values())
        if total_s <= max(SLOW_SINKS * self.seconds, LEAST_SINKS_S):
            return []
        slowest = sorted(self.sinks_s.items(), key=lambda item: -item[1])[:3]
        named = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in slowest)
        return [f"sinks took {total_s:.2f} s of {self.seconds:.2f} s: {named}"]

    @property
    def losses(self) -> dict[str, int]:
        """What was not recognised, by reason in words; rare reasons only where they occurred."""
        always = {
            "dropped frames": self.dropped_frames,
            "late events": self.late_events,
            "incomplete clips": self.incomplete_clips,
        }
        rare = {
            "paused frames": self.paused_frames,
            "filtered events": self.filtered_events,
            "resets of the clock": self.clock_resets,
            "cropped events": self.cropped_events,
            "rate limited events": self.rate_limited_events,
            "thinned clips": self.thinned_clips,
        }
        rare |= {name.replace("_", " "): count for name, count in self.source.items()}
        return always | {name: count for name, count in rare.items() if count}

    def to_json(self) -> str:
        """Return one line of JSON: {"summary": ...}."""
        derived = {
            "seconds": round(self.seconds, 6), "events_per_s": round(self.events_per_s, 1),
            "frames_per_s": round(self.frames_per_s, 1), "budget_kept": self.budget_kept,
        }  # fmt: skip
        return json.dumps({"summary": {**asdict(self), **derived}}, allow_nan=False)

    def to_text(self) -> str:
        """Return a few lines of text."""
        end = "interrupted" if self.interrupted else "source ended"
        losses = self.losses
        losses |= {f"{name} clips": count for name, count in self.decisions.items() if name != "recognised"}
        early = f"{self.early_clips:,} clips decided early, {self.early_frames:,} frames before their ends"
        return "\n".join(
            [
                f"{end} after {self.seconds:.2f} s: {self.clips:,} clips, {self.frames:,} frames, "
                f"{self.events:,} events ({self.frames_per_s:,.0f} frames/s, {self.events_per_s:,.0f} events/s)",
                f"latency {_milliseconds(self.latency_us)}; of which the model {_milliseconds(self.step_us)}",
                ", ".join(f"{name} {count:,}" for name, count in losses.items()),
                self._sum_of_events(),
                *([early] if self.early_clips else []),
                *self._budget,
                *self._slow_sinks,
            ]
        )

    def _sum_of_events(self) -> str:
        counts = {name.removesuffix("_events"): getattr(self, name) for name in EVENTS_ARE}
        counts["in work"] = self.events - sum(counts.values())
        return f"events {self.events:,} = " + " + ".join(
            f"{name} {count:,}" for name, count in counts.items() if count or name == "recognised"
        )


def _milliseconds(percentiles_us: dict[str, float | None]) -> str:
    known = {name: value for name, value in percentiles_us.items() if value is not None}
    return ", ".join(f"{name} {value / 1e3:.2f} ms" for name, value in known.items()) or "unknown"
