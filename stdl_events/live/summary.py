"""Summary of a live run: counts, rates and percentiles, in memory that does not grow with its length."""

import json
from dataclasses import asdict, dataclass, field

import numpy as np

# Time in sinks that is said: a share of the run, and at least so many seconds.
SLOW_SINKS, LEAST_SINKS_S = 0.1, 0.5
# Each event of a source is one of these.
EVENTS_ARE = (
    "recognised_events", "filtered_events", "cropped_events", "late_events", "skipped_events", "dropped_events",
    "paused_events", "unread_events",
)  # fmt: skip
BINS_PER_DECADE = 100
DECADES = 9


class Percentiles:
    """Percentiles of durations, from a histogram with logarithmic bins: within 1.2 % of the exact value.

    Durations are microseconds, from 1 us to 1000 s; others are clipped to this range.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(BINS_PER_DECADE * DECADES, np.int64)
        self._highest_us = 0.0

    def add(self, duration_us: float) -> None:
        position = int(BINS_PER_DECADE * np.log10(max(duration_us, 1.0)))
        self._counts[min(position, len(self._counts) - 1)] += 1
        self._highest_us = max(self._highest_us, duration_us)

    def summary_us(self) -> dict[str, float | None]:
        """Return p50, p95, p99 (nearest rank) and max; None without durations."""
        total = int(self._counts.sum())
        if not total:
            return {"p50": None, "p95": None, "p99": None, "max": None}
        ranks = [max(1, int(np.ceil(share * total))) for share in (0.50, 0.95, 0.99)]
        positions = np.searchsorted(np.cumsum(self._counts), ranks)
        middles_us = np.minimum(10 ** ((positions + 0.5) / BINS_PER_DECADE), self._highest_us)
        p50, p95, p99 = (round(float(value), 1) for value in middles_us)
        return {"p50": p50, "p95": p95, "p99": p99, "max": round(self._highest_us, 1)}


@dataclass(frozen=True)
class LiveSummary:
    """Summary of a finished live run.

    Attributes:
        seconds: wall time.
        events: yielded by the source; the counts in `EVENTS_ARE` add up to them at the end of a run.
        frames: number of the model's steps.
        clips: recognised from their first to their last frame.
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
        sinks_s: seconds spent in each sink, by its name.
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
    source: dict[str, int] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)
    early_clips: int = 0
    early_frames: int = 0
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
        }
        rare |= {name.replace("_", " "): count for name, count in self.source.items()}
        return always | {name: count for name, count in rare.items() if count}

    def to_json(self) -> str:
        """Return one line of JSON: {"summary": ...}."""
        rates = {"events_per_s": round(self.events_per_s, 1), "frames_per_s": round(self.frames_per_s, 1)}
        return json.dumps({"summary": {**asdict(self), "seconds": round(self.seconds, 6), **rates}}, allow_nan=False)

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
