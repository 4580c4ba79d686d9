"""Where `predict` writes: a table of 80 columns, JSON, JSON lines, and rows of a CSV file."""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from stdl_events.cli.fixed_width import cells_of, padded, shortened
from stdl_events.cli.output import messages, print_json, results
from stdl_events.errors import printable
from stdl_events.events.defects import count_of

if TYPE_CHECKING:
    from stdl_events.live.predict import RecordingPrediction
    from stdl_events.model_card import DecisionThresholds

LABEL_COLUMNS = 24
# "unknown | " and "nothing there | " before the most probable class.
DECISION_COLUMNS = 16
_NUMBERS = f"  {'prob.':>5}  {'clips':>5}"


@dataclass
class Tally:
    """Counts of the recordings so far.

    Attributes:
        total: given files and folders.
        example: the first file with a clip.
    """

    total: int
    recordings: int = 0
    clips: int = 0
    incomplete_clips: int = 0
    without_clip: int = 0
    unreadable: int = 0
    interrupted: bool = False
    example: Path | None = None
    _last: Path | None = None
    _files: int = 0

    def add(self, prediction: "RecordingPrediction") -> None:
        """Count a recording."""
        self._files += prediction.path != self._last
        self._last = prediction.path
        if prediction.error is not None:
            self.unreadable += 1
            return
        self.recordings += 1
        self.clips += len(prediction.clips)
        self.incomplete_clips += prediction.incomplete_clips
        self.without_clip += not prediction.clips
        if prediction.clips and self.example is None:
            self.example = prediction.path

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        names = ("recordings", "clips", "incomplete_clips", "without_clip", "unreadable", "interrupted")
        return {name: getattr(self, name) for name in names}

    def progress(self) -> str:
        """Return how far it is, in words."""
        return f"{self._files} of {count_of(self.total, 'file')}, {count_of(self.clips, 'clip')}"

    def text(self) -> str:
        """Return the counts in one line."""
        parts = [count_of(self.recordings, "recording", ","), count_of(self.clips, "clip", ",")]
        if self.incomplete_clips:
            parts.append(f"{count_of(self.incomplete_clips, 'clip', ',')} cut off at the ends")
        if self.without_clip:
            parts.append(f"{count_of(self.without_clip, 'recording', ',')} without a complete clip")
        if self.unreadable:
            parts.append(f"{self.unreadable} unreadable")
        return ", ".join(parts) + (f"; interrupted after {self.progress()}" if self.interrupted else "")


class Output(Protocol):
    """Receives each prediction as soon as it is made."""

    def add(self, prediction: "RecordingPrediction") -> None: ...

    def end(self, tally: Tally) -> None: ...


class Table:
    """A line for each recording, as wide as the terminal; with `clips`, one for each clip below it.

    Args:
        names: of the files, for the width of their column.
    """

    def __init__(
        self, labels: Sequence[str], names: Sequence[str], thresholds: "DecisionThresholds | None", *, clips: bool
    ) -> None:
        self._clips, self._width = clips, results.width
        decided = thresholds is not None and (thresholds.unknown_below > 0 or thresholds.still_below > 0)
        self._label = min(LABEL_COLUMNS, max(map(cells_of, labels))) + DECISION_COLUMNS * decided
        self._label = max(self._label, len("no complete clip"))
        rest = self._width - self._label - len(_NUMBERS) - 2
        least = len(_span(0.0, 0.0)) if clips else len("recording")
        self._name = max(min(max(map(cells_of, names), default=0), rest), least)
        results.print(f"{'recording':<{self._name}}  {'recognised as':<{self._label}}{_NUMBERS}")

    def add(self, prediction: "RecordingPrediction") -> None:
        if prediction.error is not None:
            self._row(prediction.name, "unreadable", "  ")
            say_error(prediction)
            return
        if prediction.probability is None or prediction.decision is None:
            self._row(prediction.name, "no complete clip", f"  {'-':>5}  {0:>5}")
            return
        told = self._told(str(prediction.label), prediction.decision.label, prediction.decision.state)
        self._row(prediction.name, told, f"  {prediction.probability:5.2f}  {len(prediction.clips):>5}")
        for clip in prediction.clips if self._clips else ():
            assert clip.t_start_us is not None
            span = _span(prediction.since_start_s(clip.t_start_us), prediction.since_start_s(clip.t_us))
            told = self._told(clip.label, clip.decision, clip.state)
            self._row(span, told, f"  {clip.probabilities[clip.label]:5.2f}")

    def end(self, tally: Tally) -> None:
        """The counts are a message."""

    def _row(self, name: str, told: str, numbers: str) -> None:
        results.print(
            f"{padded(shortened(name, self._name), self._name)}  {padded(told, self._label)}{numbers}".rstrip()
        )

    def _told(self, label: str, decision: str | None, state: str) -> str:
        """Return the class, after what was decided if that is something else."""
        from stdl_events.live.decision import WORDS

        label, word = printable(label), printable(decision or WORDS.get(state, "nothing decided"))
        if decision is not None and word == label:
            return shortened(label, self._label)
        return f"{word} | {shortened(label, max(self._label - len(word) - 3, 4))}"


class JsonDocument:
    """One JSON document at the end."""

    def __init__(self, model: str, labels: Sequence[str]) -> None:
        self._document: dict[str, Any] = {"model": model, "labels": list(labels), "recordings": []}

    def add(self, prediction: "RecordingPrediction") -> None:
        self._document["recordings"].append(prediction.to_dict())

    def end(self, tally: Tally) -> None:
        print_json(self._document | {"summary": tally.summary()})


class JsonLines:
    """A JSON object for each recording, as soon as it is done; the summary is the last, {"summary": ...}."""

    def add(self, prediction: "RecordingPrediction") -> None:
        self._write(prediction.to_dict())

    def end(self, tally: Tally) -> None:
        self._write({"summary": tally.summary()})

    def _write(self, document: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")
        sys.stdout.flush()


class CsvRows:
    """A row for each clip; a recording without one has a row without a clip, and its error if it has one."""

    COLUMNS = ("recording", "take", "clip", "t_start_us", "t_end_us", "start_s", "end_s", "label", "probability")
    LAST = ("decision", "state", "error")

    def __init__(self, file: BinaryIO, labels: Sequence[str]) -> None:
        self._labels = labels
        self._rows = csv.writer(_Encoded(file))
        self._rows.writerow([*self.COLUMNS, *(f"probability:{label}" for label in labels), *self.LAST])

    @classmethod
    @contextmanager
    def open(cls, path: Path, labels: Sequence[str]) -> Iterator["CsvRows"]:
        """Write the file at `path`, in UTF-8; see `whole_file`."""
        from stdl_events.whole_file import whole_file

        with whole_file(path, room_for="predictions") as file:
            yield cls(file, labels)

    def add(self, prediction: "RecordingPrediction") -> None:
        from stdl_events.live.predict import clip_row

        begin = {"recording": str(prediction.path), "take": prediction.take}
        for clip in prediction.clips:
            row = begin | clip_row(prediction, clip)
            self._write(row | {f"probability:{label}": row["probabilities"][label] for label in self._labels})
        if not prediction.clips:
            self._write(begin | {"error": "no complete clip" if prediction.error is None else str(prediction.error)})

    def end(self, tally: Tally) -> None:
        """The rows are all."""

    def _write(self, row: dict[str, Any]) -> None:
        names = [*self.COLUMNS, *(f"probability:{label}" for label in self._labels), *self.LAST]
        self._rows.writerow(["" if row.get(name) is None else row[name] for name in names])


@dataclass(frozen=True)
class _Encoded:
    """Text to a binary file, in UTF-8; bytes of a file's name that are none are escaped."""

    file: BinaryIO

    def write(self, text: str) -> None:
        self.file.write(text.encode(errors="backslashreplace"))


def say_error(prediction: "RecordingPrediction") -> None:
    """Say on stderr, in one line, why a recording has no predictions."""
    error = " ".join(str(prediction.error).split())
    where = "" if error.startswith(str(prediction.path)) else f"{prediction.path}: "
    messages.print(f"stdl-events: error: {where}{error}")


def _span(begin_s: float, end_s: float) -> str:
    return f"  {begin_s:9.3f} to {end_s:9.3f} s"
