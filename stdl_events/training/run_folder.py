"""The layout of a run's folder, and the checks before it is written to.

config.json              the complete configuration
split.json               each recording of both sides with its size and SHA-256, see `recordings.splits.split_list`
plan.json                the blocks with their auxiliary networks and bytes
baselines.json           the accuracy of a ridge on summed events, on the same clips
metrics.jsonl            one row per logged step and per epoch
tensorboard/             the same numbers
checkpoint.safetensors   the complete state of a run, for its resumption
bundle/                  model.safetensors, model.json: the network of the last epoch, or of the step where it ended
best/                    the same of the epoch that is best on the validation part, if there is one
robustness.json          what `evaluate --robustness` found for these weights, and whole.json `evaluate --whole`
report.html              what `report.page` shows of the run, if the command line trained it
.lock                    locked while a process trains in the folder
"""

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stdl_events.errors import RunError
from stdl_events.folder_lock import LOCK_FILE, locked
from stdl_events.frames.spec import as_stored
from stdl_events.recordings.splits.split_list import SPLIT_FILE
from stdl_events.training.overrides import flat
from stdl_events.training.settings import TrainConfig
from stdl_events.validation import JSON_ERRORS, first_problem
from stdl_events.whole_file import whole_file

CONFIG_FILE = "config.json"
PLAN_FILE = "plan.json"
BASELINES_FILE = "baselines.json"
CHECKPOINT_FILE = "checkpoint.safetensors"
BUNDLE_FOLDER = "bundle"
BEST_FOLDER = "best"
CARD_FILE = "model.json"
_TODO_OLD = "use the version of stdl-events that wrote the run, or train again"

# A run may be resumed on another device, write more or less often, and end earlier or later; else only what changes no
# result may change.
_FREE_TO_CHANGE = {"device", "checkpoint_every_steps", "epochs", "early_stop", "prefetch"}


def check_run_folder(folder: Path, config: TrainConfig, *, resume: bool) -> None:
    """Refuse to start in a folder that is not empty, or to resume a run with another configuration. Writes nothing.

    Raises:
        RunError: the folder is not empty; or there is no run to resume; or its configuration differs.
    """
    if not resume:
        if os.path.exists(folder) and (not folder.is_dir() or not all(map(_may_be_there, folder.iterdir()))):
            is_run = (folder / CONFIG_FILE).is_file()
            raise RunError(
                str(folder),
                got="something that is already there",
                expected="a new folder for this run",
                todo=f"give {'--resume to go on with it, or ' if is_run else ''}another folder with --out",
            )
        return
    if not (folder / CONFIG_FILE).is_file():
        raise no_run(folder)
    old = flat(load_config(folder).model_dump(mode="json"))
    new = flat(config.model_dump(mode="json"))
    # Recordings that a list identifies may have moved.
    free = _FREE_TO_CHANGE | ({"data.path"} if (folder / SPLIT_FILE).is_file() else set())
    changed = [key for key in new if old.get(key) != new[key] and key not in free]
    if changed:
        raise RunError(
            str(folder),
            got="another setting of " + ", ".join(f"{key} ({old.get(key)!r}, now {new[key]!r})" for key in changed),
            expected="the settings that the run was started with",
            todo="leave what is changed out, or start a new run with another --out",
        )


def no_run(folder: Path) -> RunError:
    """The error for a folder that is to be resumed and holds no run."""
    return RunError(
        str(folder),
        got="no run to resume",
        expected=f"a folder with {CONFIG_FILE}",
        todo="correct the path, or start a run without --resume",
    )


def _may_be_there(path: Path) -> bool:
    """Return True for what a process leaves that was killed before the configuration was written: no run yet."""
    return path.name in (LOCK_FILE, SPLIT_FILE) or (path.name.startswith(".") and path.suffix == ".part")


def lock_of_run(folder: Path) -> AbstractContextManager[None]:
    """Context in which no other process trains in `folder`.

    Raises:
        RunError: another one does.
    """
    return locked(folder, used="a run that process {} is training", error=RunError)


def load_config(folder: Path) -> TrainConfig:
    """The configuration of the run in `folder`.

    Raises:
        RunError: there is none, or this version cannot read it.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise RunError(
            str(folder),
            got="no " + CONFIG_FILE,
            expected="the folder of a run",
            todo="give the folder that stdl-events train wrote, such as runs/demo",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(
            str(path), got=f"a file that does not read ({error})", expected=CONFIG_FILE, todo=_TODO_OLD
        ) from None
    return parse_config(text, subject=str(path))


def parse_config(text: str, *, subject: str) -> TrainConfig:
    """The configuration in a JSON text, maybe of an older version.

    Raises:
        RunError: this version cannot read it.
    """
    try:
        return TrainConfig.model_validate_json(_as_stored(text))
    except ValidationError as error:
        problem = first_problem(error)
        is_unknown_name = problem.got.startswith("'") and " or " in problem.expected  # of a registry's entries
        own = "if it is your own, give the file that registers it with --plugin; else " if is_unknown_name else ""
        raise RunError(
            f"{subject}: {problem.where}" if problem.where else subject, got=problem.got, expected=problem.expected,
            todo=own + _TODO_OLD,
        ) from None  # fmt: skip


def _as_stored(text: str) -> str:
    """Return the configuration `text`, maybe of an older version, as this version reads it."""
    try:
        document = json.loads(text)
    except JSON_ERRORS:
        return text  # its validation says what is wrong
    if isinstance(document, dict) and "frames" in document:
        document["frames"] = as_stored(document["frames"])
    return json.dumps(document)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write `document` to `path` atomically.

    Raises:
        RunError: the file cannot be written.
    """
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically.

    Raises:
        RunError: the file cannot be written.
    """
    with whole_file(path, room_for="numbers", error=RunError) as file:
        file.write(text.encode(errors="backslashreplace"))  # the bytes of a path may be no UTF-8
