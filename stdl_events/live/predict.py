"""Predictions for recordings in files: cut as an evaluation cuts them, read out and decided as a live run does it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stdl_events.errors import DatasetError, FrameSpecError, ModelError, OutsideError, RecordingError, StdlEventsError
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.filtered import warn_if_inferred
from stdl_events.events.geometry import Geometry
from stdl_events.events.recording import Recording
from stdl_events.events.sources.replay import Position, open_for_size
from stdl_events.live.decision import Decider, Decision
from stdl_events.live.loop import run_frames
from stdl_events.live.recogniser import AS_IT_IS, NO_FILTERS, Prediction, Recogniser, live_frame_spec
from stdl_events.live.session import StepSession
from stdl_events.live.summary import LiveSummary
from stdl_events.model_card import DecisionThresholds, ModelCard
from stdl_events.recordings.cutting import cut_frames
from stdl_events.recordings.entry import Entry
from stdl_events.recordings.given_files import GivenFiles
from stdl_events.recordings.takes import takes_of

_OF_ONE_FILE = (RecordingError, FrameSpecError, DatasetError, OutsideError)


@dataclass(frozen=True)
class Reading:
    """How recordings are read, the same for all.

    Attributes:
        start, stop: the part of each, see `span_us`; its clips stay on the grid of the whole.
        filters, geometry: applied to the events before all that the model's own frame spec does.
        format, sensor_size, stream, time_unit, columns, take, repair, strict: those of `open_recording`.
    """

    start: Position = None
    stop: Position = None
    filters: FilterSpec = NO_FILTERS
    geometry: Geometry = AS_IT_IS
    format: str | None = None
    sensor_size: tuple[int, int] | None = None
    stream: int | None = None
    time_unit: str | None = None
    columns: str | None = None
    take: int | None = None
    repair: bool = False
    strict: bool = False

    def open(self, path: Path, card: ModelCard) -> Recording:
        """Open a recording for the model of `card`; filters and geometry are not applied.

        Raises:
            RecordingError: see `open_recording`.
        """
        return open_for_size(
            path, sensor_size=self.sensor_size, default_sensor_size=self.geometry.size_before(card.frame.sensor_size),
            format=self.format, stream=self.stream, time_unit=self.time_unit, columns=self.columns, take=self.take,
            repair=self.repair, strict=self.strict, takes_apart=self.take is None,
        )  # fmt: skip


@dataclass(frozen=True)
class RecordingPrediction:
    """The predictions for one recording, or for one take of it.

    Attributes:
        path: its file, as it was given or found.
        take: its number, from 1, if the file has several.
        t_first_us: time of its first event, in its clock; None without events.
        clips: its complete clips, in order; their times are in its clock too.
        incomplete_clips: clips that its ends cut off, which are dropped.
        probabilities: the mean over the clips that are not still; empty without a clip.
        decision: what is believed of the whole, by `unknown_below`; None without a clip.
        error: why it cannot be read; there are no clips then.
    """

    path: Path
    take: int | None = None
    t_first_us: int | None = None
    clips: tuple[Prediction, ...] = ()
    incomplete_clips: int = 0
    probabilities: Mapping[str, float] = field(default_factory=dict)
    decision: Decision | None = None
    error: StdlEventsError | None = None

    @property
    def name(self) -> str:
        """The path, with the number of the take."""
        return f"{self.path}" if self.take is None else f"{self.path}:take{self.take}"

    @property
    def label(self) -> str | None:
        """The most probable class; None without a clip."""
        return max(self.probabilities, key=lambda name: self.probabilities[name], default=None)

    @property
    def probability(self) -> float | None:
        """That of `label`."""
        return None if self.label is None else self.probabilities[self.label]

    def since_start_s(self, t_us: int) -> float:
        """Return a time in the recording's clock as seconds since its first event."""
        return (t_us - (self.t_first_us or 0)) / 1e6

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        where = {"recording": str(self.path), "take": self.take}
        if self.error is not None:
            return where | {"error": str(self.error)}
        return where | {
            "t_first_us": self.t_first_us,
            "label": self.label,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "decision": None if self.decision is None else self.decision.label,
            "state": None if self.decision is None else self.decision.state,
            "why": "" if self.decision is None else self.decision.why,
            "incomplete_clips": self.incomplete_clips,
            "clips": [clip_row(self, clip) for clip in self.clips],
        }


def clip_row(recording: RecordingPrediction, clip: Prediction) -> dict[str, Any]:
    """Return a clip of `recording`, JSON-ready; `start_s` and `end_s` count from the recording's first event."""
    assert clip.t_start_us is not None
    return {
        "clip": clip.clip,
        "t_start_us": clip.t_start_us,
        "t_end_us": clip.t_us,
        "start_s": recording.since_start_s(clip.t_start_us),
        "end_s": recording.since_start_s(clip.t_us),
        "label": clip.label,
        "probability": clip.probabilities[clip.label],
        "probabilities": clip.probabilities,
        "decision": clip.decision,
        "state": clip.state,
        "why": clip.why,
        "decided_after": clip.decided_after,
    }


def predict_recordings(
    session: StepSession, given: GivenFiles, reading: Reading, decision: DecisionThresholds | None = None
) -> Iterator[RecordingPrediction]:
    """Yield the predictions for each recording as soon as they are made; what cannot be read has an error instead.

    Args:
        decision: thresholds of the predictions; by default those of the model's card.

    Raises:
        ModelError: the model was trained on static pictures, or computes numbers that are not finite.
    """
    if session.card.frame.kind != "recording":
        live_frame_spec(session.card)
    thresholds = decision or session.card.decision or DecisionThresholds()
    for path, error in given.unusable:
        yield RecordingPrediction(path, error=error)
    for path in given.files:
        yield from _of_file(session, path, reading, thresholds)


def _of_file(
    session: StepSession, path: Path, reading: Reading, thresholds: DecisionThresholds
) -> Iterator[RecordingPrediction]:
    """Yield the prediction for each take of a file."""
    try:
        recording = reading.open(path, session.card)
        warn_if_inferred(recording, reading.geometry)
        whole = Entry(str(path), path, 0, span=(reading.start, reading.stop), take=reading.take)
        takes = takes_of(whole, recording) if recording.summary.events else [(whole, recording)]
        for entry, take in takes:
            yield _of_take(session, entry, take, reading, thresholds)
    except _OF_ONE_FILE as error:
        yield RecordingPrediction(path, reading.take, error=error)


def _of_take(
    session: StepSession, entry: Entry, recording: Recording, reading: Reading, thresholds: DecisionThresholds
) -> RecordingPrediction:
    try:
        recogniser = Recogniser(
            session, recording.sensor_size, filters=reading.filters, geometry=reading.geometry, whole_recordings=True
        )
    except ModelError as error:  # another size than the model's
        return RecordingPrediction(entry.path, entry.take, error=error)
    kept = _Kept()
    frames = cut_frames(entry, recording, recogniser.spec, recogniser.select)
    run_frames(frames, recogniser, [kept], thresholds)
    probabilities = _mean(kept.clips, session.card.labels)
    return RecordingPrediction(
        entry.path, entry.take, recording.t_first_us, tuple(kept.clips), recogniser.incomplete_clips, probabilities,
        _decided(kept.clips, probabilities, thresholds),
    )  # fmt: skip


class _Kept:
    """A sink that keeps the prediction after each complete clip, with the decision that was made by then."""

    def __init__(self) -> None:
        self.clips: list[Prediction] = []
        self._decided: Prediction | None = None

    def predicted(self, prediction: Prediction) -> None:
        if prediction.state not in ("open", "decided"):
            self._decided = prediction
        if prediction.final:
            made = self._decided
            assert made is not None, "the last frame decides"
            self.clips.append(replace(prediction, state=made.state, why=made.why))

    def overloaded(self, dropped_frames: int) -> None:
        raise AssertionError("a recording waits for the model")

    def ended(self, summary: LiveSummary) -> None:
        """Frames that are cut already have no summary."""


def _mean(clips: Sequence[Prediction], labels: Sequence[str]) -> dict[str, float]:
    """Return the mean probabilities of the clips that are not still, or of all if all are."""
    counted = [clip for clip in clips if clip.state != "still"] or clips
    return {label: sum(clip.probabilities[label] for clip in counted) / len(counted) for label in labels if counted}


def _decided(
    clips: Sequence[Prediction], probabilities: Mapping[str, float], thresholds: DecisionThresholds
) -> Decision | None:
    if not clips:
        return None
    if all(clip.state == "still" for clip in clips):
        return Decision(None, "still", f"every clip has fewer than {thresholds.still_below:g} events/s")
    return Decider(DecisionThresholds(unknown_below=thresholds.unknown_below)).decide(probabilities)
