"""The folder of a run in place of a recipe: to resume it, or to train it again."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stdl_events.errors import RunError
from stdl_events.recipes import RECIPES

if TYPE_CHECKING:
    from stdl_events.training.settings import TrainConfig


def run_named(name: str, *, resume: bool = False) -> Path | None:
    """Return the folder of a run, if `name` is one and no recipe.

    Raises:
        RunError: it is neither, and a run is to be resumed, or the name is that of a folder.
    """
    from stdl_events.training.run_folder import CONFIG_FILE, no_run

    folder = Path(name)
    if name in RECIPES:
        return None
    if (folder / CONFIG_FILE).is_file():
        return folder
    if resume and folder.suffix != ".py":
        raise no_run(folder)
    require_no_folder(name, CONFIG_FILE, "a run")
    return None


def require_no_folder(name: str, file: str, holder: str) -> None:
    """Refuse the name of a folder, or of none, in which `file` is missing.

    Args:
        holder: of such a file: "a run".

    Raises:
        RunError: it is one.
    """
    folder = Path(name)
    if folder.suffix != ".py" and (folder.is_dir() or folder.name != name):
        raise RunError(
            name, got=f"no {file} there", expected=f"the folder of {holder}, a recipe's name, or a .py file",
            todo="correct the path, or see stdl-events train --list",
        )  # fmt: skip


def folder_of(run: Path, out: Path | None, *, resume: bool) -> Path:
    """Return the folder to train in: the run's own to resume it, else another one."""
    if not resume:
        return out or run.with_name(f"{run.resolve().name}-again")
    if out is not None and out.resolve() != run.resolve():
        raise typer.BadParameter(f"{run} is resumed where it is; leave --out out", param_hint="--out")
    return run


def list_of(run: Path, config: "TrainConfig") -> Path | None:
    """Return the run whose list names the recordings of `config`; None if its settings ask for another split."""
    from stdl_events.training.run_folder import load_config

    old = load_config(run).data
    return run if (old.dataset, old.split) == (config.data.dataset, config.data.split) else None


def other_epochs(run: Path) -> str | None:
    """Return what to say if the run was not trained by one schedule, in words."""
    from stdl_events.training.metrics import METRICS_FILE, read_metrics

    if not (run / METRICS_FILE).is_file():
        return None
    epochs = {row["epochs"]: None for row in read_metrics(run) if row["kind"] == "start" and "epochs" in row}
    if len(epochs) < 2:
        return None
    counts = ", then ".join(map(str, epochs))
    return f"{run} was trained to epoch {counts}; from the start, with one schedule, the weights will be others"
