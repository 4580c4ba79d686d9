"""Whole recordings of a finished run, uncut, through the live recogniser and its decisions."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdl_events.analysis.movement_score import (
    Segment,
    TimedDecision,
    TimelineScore,
    score_timeline,
    share_of_time,
)
from stdl_events.errors import DatasetError, ModelError
from stdl_events.events import Recording, ReplaySource
from stdl_events.export.onnx import export_onnx
from stdl_events.live import LiveSummary, OnnxSession, Recogniser, run_live
from stdl_events.live.recogniser import Prediction
from stdl_events.model_card import DecisionThresholds
from stdl_events.recordings.entry import Entry, RecordingSet
from stdl_events.recordings.splits.sides import Side
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_run import HeldOut, open_held_out
from stdl_events.training.evaluation.robustness import Progress, require_events
from stdl_events.training.run_weights import Weights, weights_folder

Rules = Callable[[DecisionThresholds | None], DecisionThresholds | None]
"""The thresholds to use, of those of the model's card."""


@dataclass(frozen=True)
class WholeRecording:
    """One recording from its first event to its last.

    Attributes:
        key: of the file.
        label: of the whole recording; None if movements in it are labelled.
        score: of its movements; None without labelled ones.
        shares: of its time: right, wrong, nothing; None with labelled movements.
        decisions: after each clip.
        seconds: its length.
    """

    key: str
    label: str | None
    score: TimelineScore | None
    shares: dict[str, float] | None
    decisions: tuple[TimedDecision, ...]
    seconds: float

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        found: dict[str, Any] = {"key": self.key, "label": self.label, "seconds": self.seconds}
        if self.score is None:
            return found | {"shares": self.shares}
        movements = [
            {
                "label": one.segment.label,
                "t_start_us": one.segment.start_us,
                "t_end_us": one.segment.stop_us,
                "delay_ms": None if one.delay_us is None else one.delay_us / 1000,
                "wrong": list(one.wrong),
                "doubles": one.doubles,
            }
            for one in self.score.movements
        ]
        alarms = [{"t_us": one.t_us, "label": one.label} for one in self.score.false_alarms]
        return found | self.score.summary() | {"of_movements": movements, "of_false_alarms": alarms}


@dataclass(frozen=True)
class WholeRecordings:
    """All recordings of one side.

    Attributes:
        thresholds: of the decisions; None believes all.
        clip_us: time between two decisions.
    """

    recordings: tuple[WholeRecording, ...]
    thresholds: DecisionThresholds | None
    clip_us: int | None

    @property
    def movements(self) -> TimelineScore | None:
        """The score of all recordings with labelled movements; None if there are none."""
        scores = [one.score for one in self.recordings if one.score is not None]
        return sum(scores[1:], scores[0]) if scores else None

    @property
    def shares(self) -> dict[str, float] | None:
        """The shares of the time of all recordings of one class each; None if there are none."""
        whole = [one for one in self.recordings if one.shares is not None]
        total_s = sum(one.seconds for one in whole)
        if not whole:
            return None
        names = ("right", "wrong", "nothing")
        return {name: sum(one.seconds * (one.shares or {})[name] for one in whole) / total_s for name in names}

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        movements = self.movements
        return {
            "thresholds": None if self.thresholds is None else self.thresholds.model_dump(),
            "decision_every_ms": None if self.clip_us is None else self.clip_us / 1000,
            "movements": None if movements is None else movements.summary(),
            "shares_of_time": self.shares,
            "recordings": [one.document() for one in self.recordings],
        }


class _Decisions:
    """A sink that keeps the decisions of a run."""

    def __init__(self) -> None:
        self.made: list[TimedDecision] = []

    def predicted(self, prediction: Prediction) -> None:
        self.made.append(TimedDecision(prediction.t_us, prediction.decision))

    def overloaded(self, dropped_frames: int) -> None:
        raise AssertionError(f"{dropped_frames} frames were dropped though the source waits")

    def ended(self, summary: LiveSummary) -> None:
        pass


def evaluate_whole(
    folder: Path | str,
    *,
    weights: Weights | None = None,
    model: Path | str | None = None,
    data: Path | str | None = None,
    side: Side = "test",
    rules: Rules = lambda card: card,
    progress: Progress | None = None,
) -> WholeRecordings:
    """Run the finished run in `folder`, as an exported file, over the whole recordings that it held out.

    The model decides as in `stdl-events live`. Labelled parts of a recording are its movements, all of them.

    Args:
        weights, model, data, side: see `stdl_events.training.evaluation.evaluate_run.evaluate`.
        rules: returns the thresholds for those of the card.
        progress: called before each recording.

    Raises:
        RunError, ModelError, DatasetError: see `held_out.evaluate`; or the model takes no stream, the events are not
            there, or parts of the recordings are on another side of the split.
    """
    opened = open_held_out(folder, weights=weights, model=model, data=data, device="cpu", side=side)
    require_events(opened)
    require_stream(opened, model or folder)
    parts = _of_files(opened.recordings)
    _require_own(Path(folder), opened.recordings, side)
    with ExitStack() as stack:
        session = _session(Path(folder), weights, model, stack)
        thresholds = rules(session.card.decision)
        found = []
        for done, (key, entries) in enumerate(parts.items()):
            if progress is not None:
                progress(done, len(parts), key)
            found.append(_run(key, entries, opened.recordings.classes, session, thresholds))
    spec = opened.card.frame
    return WholeRecordings(tuple(found), thresholds, None if spec.dt_us is None else spec.dt_us * spec.steps)


def _session(folder: Path, weights: Weights | None, model: Path | str | None, stack: ExitStack) -> OnnxSession:
    if model is not None:
        return OnnxSession(model)
    path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model.onnx"
    export_onnx(*load_bundle(weights_folder(folder, weights)), path)
    return OnnxSession(path)


def _of_files(recordings: RecordingSet) -> dict[str, list[Entry]]:
    """Return the entries of each recording, by its key."""
    found: dict[tuple[object, ...], list[Entry]] = {}
    for entry in recordings.entries:
        found.setdefault(entry.recording, []).append(entry)
    # The key of a labelled part is that of the recording with the number of its row.
    return {one[0].key if one[0].is_whole else one[0].key.rpartition(":")[0]: one for one in found.values()}


def _run(
    key: str,
    entries: list[Entry],
    classes: tuple[str, ...],
    session: OnnxSession,
    thresholds: DecisionThresholds | None,
) -> WholeRecording:
    recording = entries[0].open()
    if not recording.summary.events:
        return WholeRecording(key, None, TimelineScore((), (), 0), None, (), 0.0)
    decisions = _decisions(recording, session, thresholds)
    assert recording.t_first_us is not None
    assert recording.t_last_us is not None
    span_us = recording.t_first_us, recording.t_last_us + 1
    seconds = (span_us[1] - span_us[0]) / 1e6
    if entries[0].is_whole:
        label = classes[entries[0].label]
        return WholeRecording(key, label, None, share_of_time(decisions, label, span_us), tuple(decisions), seconds)
    segments = [Segment(*entry.times_us(), classes[entry.label]) for entry in entries]
    return WholeRecording(key, None, score_timeline(decisions, segments, span_us), None, tuple(decisions), seconds)


def _decisions(
    recording: Recording, session: OnnxSession, thresholds: DecisionThresholds | None
) -> list[TimedDecision]:
    sink = _Decisions()
    recogniser = Recogniser(session, recording.sensor_size)
    source = ReplaySource(recording, speed=None)
    run_live(source, recogniser, [sink], overload="complete", decision=thresholds)
    return sink.made


def require_stream(opened: HeldOut, subject: Path | str) -> None:
    """Check that the frames of the model are those of a stream.

    Raises:
        ModelError: they are not.
    """
    if opened.card.frame.kind != "stream":
        raise ModelError(
            str(subject), got=f"frames of kind {opened.card.frame.kind}", expected="kind stream, as in a live run",
            todo="train with --set frames.kind=stream and frames.dt_us",
        )  # fmt: skip


def _require_own(folder: Path, recordings: RecordingSet, side: Side) -> None:
    """Check that no part of these recordings is on another side.

    Raises:
        DatasetError: one is.
    """
    listed = read_split_list(folder / SPLIT_FILE)
    if listed is None:
        return
    sides: dict[str, set[str]] = {}
    for row in listed.recordings:
        sides.setdefault(row.path, set()).add(row.side)
    shared = [path for path, on in sides.items() if side in on and len(on) > 1]
    if shared:
        raise DatasetError(
            shared[0], got="parts of it on other sides of the split too", expected="whole recordings that are held out",
            todo="train with --split rule=recording (data.split.rule)",
        )  # fmt: skip
