"""The folder of a sweep: sweep.json, with the sweep and what its runs have given so far; a folder for each run.

sweep.json    {"schema_version": 1, "made_by": ..., "base": <configuration>, "vary": {key: [text, ...]},
              "seeds": [...], "runs": {<name>: <what a finished or failed run has given>},
              "baselines": {<SHA-256 of the list of the tested recordings>: {"chance", "ridge", "left_out"}},
              "table": [<a row per combination>]}
sweep.md, sweep.csv, sweep.png    the table, a row per run, a picture
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from stdl_events import __version__
from stdl_events.errors import RunError
from stdl_events.folder_lock import LOCK_FILE
from stdl_events.training.run_folder import CONFIG_FILE, load_config, parse_config, write_json
from stdl_events.training.sweeps.sweep_grid import Sweep
from stdl_events.validation import first_problem

SWEEP_FILE = "sweep.json"
SCHEMA_VERSION = 1
FINISHED, FAILED = "finished", "failed"
_TODO_OLD = "use the version of stdl-events that wrote it, or sweep into another folder"


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_version: int
    made_by: str
    base: dict[str, Any]
    vary: dict[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    runs: dict[str, dict[str, Any]]
    baselines: dict[str, dict[str, Any]]
    table: list[dict[str, Any]] = []


@dataclass
class SweepRecord:
    """A sweep with what its runs have given.

    Attributes:
        runs: by name of a trial: its `state`, "finished" or "failed", with its numbers or its `error`.
        baselines: chance and ridge by the SHA-256 of the list of the tested recordings.
    """

    folder: Path
    sweep: Sweep
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)

    def state_of(self, name: str) -> str | None:
        return self.runs.get(name, {}).get("state")

    def document(self, table: list[dict[str, Any]]) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "schema_version": SCHEMA_VERSION,
            "made_by": f"stdl-events {__version__}",
            "base": self.sweep.base.model_dump(mode="json"),
            "vary": {key: list(texts) for key, texts in self.sweep.vary.items()},
            "seeds": list(self.sweep.seeds),
            "runs": self.runs,
            "baselines": self.baselines,
            "table": table,
        }

    def write(self, table: list[dict[str, Any]]) -> None:
        """Write sweep.json.

        Raises:
            RunError: it cannot be written.
        """
        write_json(self.folder / SWEEP_FILE, self.document(table))


def is_sweep(folder: Path) -> bool:
    return (folder / SWEEP_FILE).is_file()


def read_sweep(folder: Path) -> SweepRecord:
    """Read the sweep in `folder`.

    Raises:
        RunError: there is none, or this version cannot read it.
        RecipeError: its settings are impossible in this version.
    """
    path = folder / SWEEP_FILE
    try:
        document = _Document.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        got = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise RunError(str(path), got=got, expected="the file of a sweep", todo="name its folder") from None
    except ValidationError as error:
        problem = first_problem(error)
        got = f"{problem.where}: {problem.got}"
        raise RunError(str(path), got=got, expected=problem.expected, todo=_TODO_OLD) from None
    if document.schema_version != SCHEMA_VERSION:
        got = f"schema {document.schema_version}, written by {document.made_by}"
        raise RunError(str(path), got=got, expected=f"schema {SCHEMA_VERSION}", todo=_TODO_OLD)
    base = parse_config(json.dumps(document.base), subject=f"{path}: base")
    sweep = Sweep(base, document.vary, document.seeds)
    return SweepRecord(folder, sweep, document.runs, document.baselines)


def record_of(sweep: Sweep, folder: Path) -> SweepRecord:
    """The record of a sweep that starts or goes on in `folder`; one of which no run has begun is replaced.

    Raises:
        RunError: there is another sweep or something else in the folder, or one of its runs was changed.
    """
    if folder.exists() and not is_sweep(folder):
        if not folder.is_dir() or any(path.name != LOCK_FILE for path in folder.iterdir()):
            raise RunError(
                str(folder), got="something that is already there", expected="a new folder, or that of the same sweep",
                todo="choose another folder with --out",
            )  # fmt: skip
        return SweepRecord(folder, sweep)
    if not folder.exists():
        return SweepRecord(folder, sweep)
    old = read_sweep(folder)
    changes = sweep.changes_from(old.sweep)
    if changes and _has_begun(old):
        raise RunError(
            str(folder), got="another sweep: " + ", ".join(changes), expected="the sweep that is there",
            todo=f"go on with it by stdl-events sweep {quote(str(folder))}, or choose another folder with --out",
        )  # fmt: skip
    record = SweepRecord(folder, sweep, {} if changes else old.runs, {} if changes else old.baselines)
    _require_unchanged(record)
    return record


def withdraw(folder: Path) -> None:
    """Remove the files of a sweep of which no run has begun, and its folder if nothing else is in it."""
    for name in (SWEEP_FILE, LOCK_FILE):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _has_begun(record: SweepRecord) -> bool:
    return any((record.folder / trial.name / CONFIG_FILE).is_file() for trial in record.sweep.trials)


def _require_unchanged(record: SweepRecord) -> None:
    """Check that the folders of finished runs hold the runs of the sweep; one that was removed is trained again."""
    for trial in record.sweep.trials:
        folder = record.folder / trial.name
        if record.state_of(trial.name) != FINISHED:
            continue
        if not (folder / CONFIG_FILE).is_file():
            del record.runs[trial.name]
            continue
        found = load_config(folder)
        if found != trial.config:
            raise RunError(
                str(folder), got="a run with other settings than the sweep's, maybe resumed for more epochs",
                expected="the run as the sweep has left it",
                todo="move it to another folder; the sweep trains its own again",
            )  # fmt: skip
