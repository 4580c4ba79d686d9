"""Results of later evaluations, kept in a run's folder for its report, with the weights that they are of."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from stdl_events.errors import RunError
from stdl_events.recordings.file_digest import file_digest
from stdl_events.recordings.splits.sides import Side
from stdl_events.training.bundle import WEIGHTS_FILE
from stdl_events.training.run_folder import write_json
from stdl_events.training.run_weights import Weights, weights_folder

Kind = Literal["robustness", "whole"]
FILES: dict[Kind, str] = {"robustness": "robustness.json", "whole": "whole.json"}


class KeptResult(BaseModel):
    """A result, with what it is of.

    Attributes:
        sha256: of the weights.
        side: of the split.
        date: of the evaluation, in UTC.
        summary: as the evaluation's own `summary`.
    """

    sha256: str
    side: Side
    date: str
    summary: dict[str, Any]


def keep_result(
    folder: Path, kind: Kind, summary: dict[str, Any], *, side: Side, weights: Weights | None = None
) -> Path:
    """Write a result of these weights of the run in `folder`; an older one is replaced. Returns its file.

    Raises:
        RunError: it cannot be written.
    """
    result = KeptResult(
        sha256=file_digest(weights_folder(folder, weights) / WEIGHTS_FILE),
        side=side,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        summary=summary,
    )
    path = folder / FILES[kind]
    write_json(path, result.model_dump(mode="json"))
    return path


def kept_result(folder: Path, kind: Kind, weights: Weights | None = None) -> KeptResult | None:
    """Return the result of these weights; None if there is none, or it is of other weights.

    Raises:
        RunError: the file is damaged.
    """
    path, bundle = folder / FILES[kind], weights_folder(folder, weights) / WEIGHTS_FILE
    if not path.is_file() or not bundle.is_file():
        return None
    try:
        found = KeptResult.model_validate(json.loads(path.read_bytes()))
    except (ValidationError, ValueError, OSError):
        raise RunError(
            str(path), got="a file that is damaged", expected=f"what evaluate --{kind} wrote",
            todo="delete it, and evaluate again",
        ) from None  # fmt: skip
    return found if found.sha256 == file_digest(bundle) else None
