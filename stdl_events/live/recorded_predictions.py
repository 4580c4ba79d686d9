"""Predictions recorded beside a recording: the lines of `--json-lines`, in a file named after it.

`walk.aedat4` and `walk.h5` have theirs in `walk.predictions.jsonl`.
"""

import json
import math
from pathlib import Path

from pydantic import TypeAdapter

from stdl_events.errors import RecordingError
from stdl_events.live.recogniser import Prediction

SUFFIX = ".predictions.jsonl"
_PREDICTION = TypeAdapter(Prediction)


def predictions_beside(recording: Path) -> Path:
    """Return the path of the predictions of `recording`; whether there are any is not looked at."""
    return recording.with_name(recording.stem + SUFFIX)


def read_predictions(path: Path) -> list[Prediction]:
    """Read the predictions of a file, in its order; a last line that was cut off is left out, and the summary too.

    Raises:
        RecordingError: the file cannot be read, or a line is none of a prediction.
    """
    try:
        lines = path.read_text("utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, f"{getattr(error, 'strerror', None) or 'bytes that are no UTF-8'}") from None
    whole = [line for line in lines if line.endswith("\n") and line.strip()]
    found = [_parsed(path, number, line) for number, line in enumerate(whole, start=1)]
    return [prediction for prediction in found if prediction is not None]


def _parsed(path: Path, number: int, line: str) -> Prediction | None:
    """Return a line's prediction; None for the summary of a run."""
    try:
        document = json.loads(line)
        if isinstance(document, dict) and "summary" in document:
            return None
        prediction = _PREDICTION.validate_json(line, strict=True)
    except (ValueError, RecursionError):  # pydantic's error is a ValueError
        prediction = None
    if prediction is None or not all(map(math.isfinite, prediction.probabilities.values() or [math.nan])):
        raise _unreadable(path, f"something else than a prediction in line {number}")
    return prediction


def _unreadable(path: Path, got: str) -> RecordingError:
    return RecordingError(
        str(path), got=got, expected="the predictions that live --record wrote, a line of JSON each",
        todo="correct it, or move it away",
    )  # fmt: skip
