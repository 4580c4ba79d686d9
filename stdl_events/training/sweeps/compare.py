"""Runs beside each other: the settings that differ, their results, their answers to the same recordings in pairs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from stdl_events.errors import RunError, StdlEventsError
from stdl_events.events.defects import count_of
from stdl_events.model_card import ModelCard
from stdl_events.training.bundle import package_versions
from stdl_events.training.evaluation.evaluate_clips import Evaluation
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.metrics import METRICS_FILE, read_metrics
from stdl_events.training.overrides import flat
from stdl_events.training.run_folder import CARD_FILE, load_config
from stdl_events.training.run_weights import weights_folder
from stdl_events.training.settings import TrainConfig
from stdl_events.training.sweeps.paired import paired_counts, paired_difference
from stdl_events.training.sweeps.shared_clips import SharedClips
from stdl_events.training.sweeps.split_digest import side_digest
from stdl_events.training.sweeps.sweep_folder import FINISHED, is_sweep, read_sweep

FEWEST = 2
PEAKS = ("peak_rss_bytes", "peak_cuda_bytes")
RECORDED = ("held_out_accuracy", "validation_accuracy")


@dataclass
class ComparedRun:
    """A run as it is compared.

    Attributes:
        test_sha256: of the list of the recordings that it is tested on; None for runs of older versions.
        epochs: the rows per epoch of its metrics.
        facts: its numbers, JSON-ready; those that it lacks are left out.
        notes: what is unfinished or old about it, in words.
        right: whether it is right about each tested recording, by key; empty if it was not evaluated.
    """

    folder: Path
    config: TrainConfig
    test_sha256: str | None
    epochs: list[dict[str, Any]]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    right: dict[str, bool] = field(default_factory=dict)


def run_folders(folders: Sequence[Path]) -> list[Path]:
    """The folders of runs; a sweep's folder stands for its finished runs.

    Raises:
        RunError: there are fewer than two, or one comes twice.
    """
    found: list[Path] = []
    for folder in folders:
        if is_sweep(folder):
            record = read_sweep(folder)
            found += [folder / trial.name for trial in record.sweep.trials if record.state_of(trial.name) == FINISHED]
        else:
            load_config(folder)
            found.append(folder)
    twice = next(
        (folder for i, folder in enumerate(found) if folder.resolve() in {f.resolve() for f in found[:i]}), None
    )
    if twice is not None:
        raise RunError(str(twice), got="the same run twice", expected="it once", todo="leave one out")
    if len(found) < FEWEST:
        raise RunError(
            " ".join(map(str, folders)), got="1 finished run" if found else "no finished run",
            expected=f"at least {FEWEST}",
            todo="name several runs, or a sweep with several finished runs",
        )  # fmt: skip
    return found


def compare(*folders: Path | str, device: str = "auto", evaluated: bool = True) -> dict[str, Any]:
    """Put runs beside each other, those of a sweep for its folder: the document of `stdl-events compare --json`.

    Args:
        evaluated: False takes the accuracies that the runs have recorded.

    Returns:
        `runs` with their numbers, the `settings` that differ, and `pairs` of runs recording by recording.

    Raises:
        RunError: a folder is not that of a run, comes twice, or there are fewer than two runs.
    """
    found = run_folders([Path(folder) for folder in folders])
    return comparison_document(compare_runs(found, device=device, evaluated=evaluated))


def compare_runs(
    folders: Sequence[Path],
    *,
    device: str = "auto",
    evaluated: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> list[ComparedRun]:
    """Read the runs, and evaluate each on the recordings that it held out; equal clips are loaded once.

    A run that cannot be evaluated keeps the accuracies that it has recorded, and a note.

    Args:
        evaluated: False takes the recorded accuracies only.
        say: takes lines about the progress.

    Raises:
        RunError: a folder is not that of a run.
    """
    runs, load = [read_run(folder) for folder in folders], SharedClips()
    for number, run in enumerate(runs if evaluated else [], 1):
        say(f"evaluating run {number} of {len(runs)}: {run.folder}")
        if "epochs_trained" not in run.facts:
            continue
        try:
            _add_evaluation(run, evaluate(run.folder, device=device, load=load))
        except StdlEventsError as error:
            run.notes.append(f"not evaluated: {' '.join(str(error).split())}")
    return runs


def read_run(folder: Path) -> ComparedRun:
    """Read what a run has recorded.

    Raises:
        RunError: it is no run, or of a version that this one cannot read.
    """
    config = load_config(folder)
    rows = read_metrics(folder) if (folder / METRICS_FILE).is_file() else []
    epochs = [row for row in rows if row["kind"] == "epoch"]
    run = ComparedRun(folder, config, side_digest(folder, "test"), epochs)
    start: dict[str, Any] = next((row for row in reversed(rows) if row["kind"] == "start"), {})
    run.facts |= {key: start[key] for key in ("blocks", "planned_step_bytes") if start.get(key) is not None}
    if epochs:
        run.facts |= {key: epochs[-1][key] for key in ("seconds", *PEAKS) if key in epochs[-1]}
    card_file = weights_folder(folder) / CARD_FILE
    if card_file.is_file():
        provenance = ModelCard.read(card_file).provenance
        run.facts |= {key: provenance[key] for key in RECORDED if key in provenance}
        run.facts["epochs_trained"] = epochs[-1]["epoch"] if epochs else 0
    _add_notes(run, rows, start.get("versions", {}).get("stdl-events"))
    return run


def _add_notes(run: ComparedRun, rows: Sequence[Mapping[str, Any]], version: str | None) -> None:
    trained = run.epochs[-1]["epoch"] if run.epochs else 0
    if trained < run.config.epochs and not (rows and rows[-1]["kind"] == "end"):
        text = f"unfinished: {trained} of {count_of(run.config.epochs, 'epoch')}"
        run.notes.append(f"{text}; go on with: stdl-events train --resume {quote(str(run.folder))}")
    present = package_versions()["stdl-events"]
    if version is not None and version != present:
        run.notes.append(f"trained by stdl-events {version}; this is {present}")
    if run.test_sha256 is None:
        run.notes.append("no list of its split, since an older version trained it: not compared in pairs")


def _add_evaluation(run: ComparedRun, evaluation: Evaluation) -> None:
    summary = evaluation.summary()
    kept = ("accuracy", "recording_accuracy", "macro_f1", "n", "recordings", "baselines")
    run.facts |= {key: summary[key] for key in kept if key in summary}
    entries = np.unique(evaluation.clips.entry_index_N)
    keys = [evaluation.recordings.entries[entry].key for entry in entries]
    run.right = dict(zip(keys, evaluation.recording_is_right_R.tolist(), strict=True))


def differing_settings(runs: Sequence[ComparedRun]) -> dict[str, list[Any]]:
    """The settings in which the runs differ, JSON-ready: a value per run, None for one that a run does not have."""
    settings = [flat(run.config.model_dump(mode="json")) for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    values = {key: [one.get(key) for one in settings] for key in keys}
    return {key: several for key, several in values.items() if any(value != several[0] for value in several)}


@dataclass(frozen=True)
class Pair:
    """Two runs' answers to the same recordings.

    Attributes:
        refused: why they are not compared; empty if they are.
        counts: recordings by which of the two is right.
        difference: of their accuracies on recordings, with its standard error.
    """

    refused: str = ""
    counts: dict[str, int] | None = None
    difference: dict[str, Any] | None = None


def pair_of(first: ComparedRun, other: ComparedRun) -> Pair:
    """Compare two runs recording by recording, if they were tested on the same recordings."""
    if None in (first.test_sha256, other.test_sha256):
        return Pair("no list of the tested recordings")
    if first.test_sha256 != other.test_sha256:
        return Pair("other recordings are tested")
    if not first.right or not other.right:
        return Pair("one of them is not evaluated")
    if first.right.keys() != other.right.keys():
        alone = len(first.right.keys() ^ other.right.keys())
        return Pair(f"{count_of(alone, 'recording')} held by one run only, whose frames differ")
    ours, theirs = ([run.right[key] for key in first.right] for run in (first, other))
    return Pair("", asdict(paired_counts(ours, theirs)), asdict(paired_difference(ours, theirs)))


def partner_of(run: ComparedRun, runs: Sequence[ComparedRun]) -> ComparedRun:
    """The run that another is compared with: the first one of its seed, or for that one the first of all."""
    same = next(other for other in runs if other.config.seed == run.config.seed)
    return runs[0] if same is run else same


def comparison_document(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """JSON-ready: the runs, the settings that differ, and each run in a pair with another, see `partner_of`."""
    return {
        "runs": [
            {"run": str(run.folder), "test_sha256": run.test_sha256, "notes": run.notes} | run.facts for run in runs
        ],
        "settings": differing_settings(runs),
        "same_test_recordings": len({run.test_sha256 for run in runs}) == 1 and runs[0].test_sha256 is not None,
        "pairs": [
            {"run": str(run.folder), "against": str(other.folder)} | asdict(pair_of(other, run))
            for run, other in ((run, partner_of(run, runs)) for run in runs[1:])
        ],
    }
