"""`run_sweep`: the runs of a sweep one after another, in a folder from which it goes on after any end."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stdl_events.errors import DatasetError, FrameSpecError, RecordingError, RunError, StdlEventsError
from stdl_events.events.defects import count_of
from stdl_events.folder_lock import locked
from stdl_events.model_card import ModelCard
from stdl_events.recordings.splits.split_list import SPLIT_FILE
from stdl_events.training.build_learner import step_bytes
from stdl_events.training.fit import RunResult, fit
from stdl_events.training.progress import duration
from stdl_events.training.run_device import reset_peak_memory, resolve_device
from stdl_events.training.run_folder import CARD_FILE, CONFIG_FILE
from stdl_events.training.run_weights import weights_folder
from stdl_events.training.settings import TrainConfig
from stdl_events.training.sweeps.shared_clips import SharedClips
from stdl_events.training.sweeps.split_digest import side_digest
from stdl_events.training.sweeps.sweep_folder import FAILED, FINISHED, SweepRecord, record_of, withdraw
from stdl_events.training.sweeps.sweep_grid import Sweep, Trial
from stdl_events.training.sweeps.sweep_table import table_rows
from stdl_events.training.unused_settings import say_unused_in_sweep
from stdl_events.whole_file import make_folder

# Errors of the recordings and their frames, which all runs share unless these settings vary.
_OF_RECORDINGS = (DatasetError, RecordingError, FrameSpecError)
_OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)


@dataclass
class _Runner:
    record: SweepRecord
    retry: bool
    quiet: bool
    say: Callable[[str], None]
    finished: Callable[[RunResult], object]
    clips: SharedClips = field(default_factory=SharedClips)

    def run(self) -> None:
        record, trials = self.record, self.record.sweep.trials
        self._write()
        done = (FINISHED,) if self.retry else (FINISHED, FAILED)
        ahead = [trial for trial in trials if record.state_of(trial.name) not in done]
        if len(ahead) < len(trials):
            self.say(f"done already: {len(trials) - len(ahead)} of {count_of(len(trials), 'run')}")
        for number, trial in enumerate(ahead):
            left = self._left(ahead[number:])
            self.say(f"run {trials.index(trial) + 1} of {len(trials)}: {trial.text}{left}")
            record.runs[trial.name] = outcome = self._outcome(trial)
            self.say(f"{record.folder / trial.name}: {outcome_text(outcome)}")
            self._write()

    def _write(self) -> None:
        self.record.write(table_rows(self.record))

    def _outcome(self, trial: Trial) -> dict[str, Any]:
        """Train one run; an error is its outcome, unless all others would fail with it."""
        began_s = time.monotonic()
        try:
            result = self._fit(trial)
        except _OF_RECORDINGS as error:
            if not self.record.runs and len(self.record.sweep.groups) == 1:
                raise
            return self._failure(trial, error)
        except (StdlEventsError, *_OUT_OF_MEMORY) as error:
            return self._failure(trial, error)
        except Exception as error:
            # Code of one's own, a kernel of torch or a full disk: a night's other runs go on.
            if os.environ.get("STDL_EVENTS_DEBUG") == "1":
                raise
            return self._failure(trial, error, f"{type(error).__name__}: ")
        outcome = {"state": FINISHED, **self._facts(trial, result)}
        outcome |= {"wall_seconds": round(time.monotonic() - began_s, 3)}
        self.finished(result)
        return outcome

    def _failure(self, trial: Trial, error: Exception, kind: str = "") -> dict[str, Any]:
        """The error in one line, the same for all seeds: without the run's own folder."""
        text = " ".join(str(error).split()).removeprefix(f"{self.record.folder / trial.name}: ")
        return {"state": FAILED, "error": kind + text if text else type(error).__name__}

    def _fit(self, trial: Trial) -> RunResult:
        folder = self.record.folder / trial.name
        resume = (folder / CONFIG_FILE).is_file()
        if not resume and folder.is_dir():
            (folder / SPLIT_FILE).unlink(missing_ok=True)  # of a run that was killed as it began
        reset_peak_memory(resolve_device(trial.config.device))
        return fit(
            trial.config, folder, resume=resume, like=None if resume else self._first_of_group(trial), load=self.clips,
            ridges=self.clips.ridges, quiet=self.quiet,
        )  # fmt: skip

    def _first_of_group(self, trial: Trial) -> Path | None:
        """The first run with the same settings of recordings and frames, whose list of the split is taken."""
        group = self.record.sweep.group_of(trial)
        folders = (self.record.folder / other.name for other in group)
        return next((folder for folder in folders if (folder / SPLIT_FILE).is_file()), None)

    def _facts(self, trial: Trial, result: RunResult) -> dict[str, Any]:
        summary = result.evaluation.summary()
        kept = ("accuracy", "recording_accuracy", "mean_class_accuracy", "macro_f1", "n")
        card = ModelCard.read(weights_folder(result.folder) / CARD_FILE)
        validated = card.provenance.get("validation_accuracy")
        digests = {side: side_digest(result.folder, side) for side in ("test", "validation")}
        if digests["test"] is not None:
            self.record.baselines.setdefault(digests["test"], summary["baselines"])
        return (
            {key: summary[key] for key in kept if key in summary}
            | ({} if validated is None else {"validation_accuracy": validated})
            | {"epochs": card.provenance.get("epochs"), "blocks": len(result.learner.blocks)}
            | {"seconds": round(result.seconds, 3), "step_bytes": self._step_bytes(trial, result)}
            | result.memory
            | {f"{side}_sha256": digest for side, digest in digests.items() if digest is not None}
        )

    def _step_bytes(self, trial: Trial, result: RunResult) -> int:
        """The metered peak of one training step, by the plan or, once for a combination, by the meter."""
        plan = result.learner.plan
        if plan is not None:
            return plan.total_bytes
        same = (self.record.runs.get(other.name, {}) for other in self.record.sweep.trials_of(trial.combination))
        known = next((facts["step_bytes"] for facts in same if "step_bytes" in facts), None)
        if known is not None:
            return int(known)
        recordings = result.evaluation.recordings
        spec = trial.config.frames.spec(recordings.sensor_size)
        return step_bytes(trial.config, spec, len(recordings.classes))

    def _left(self, ahead: list[Trial]) -> str:
        """The time left by the mean of the runs that finished: of the same combination, or of all."""
        taken: dict[str, list[float]] = {}
        for trial in self.record.sweep.trials:
            facts = self.record.runs.get(trial.name, {})
            if "wall_seconds" in facts:
                taken.setdefault(trial.combination.name, []).append(facts["wall_seconds"])
        every = [seconds for several in taken.values() for seconds in several]
        if not every:
            return ""
        expected = (taken.get(trial.combination.name, every) for trial in ahead)
        return f"; {duration(sum(sum(several) / len(several) for several in expected))} left"


def sweep(
    config: TrainConfig,
    folder: Path | str,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    vary: Mapping[str, Sequence[object]] | None = None,
    retry: bool = False,
    quiet: bool = True,
) -> SweepRecord:
    """Train `config` with every seed and every combination of the values of `vary`; see `run_sweep`.

    Args:
        vary: values by the dotted key of a setting, such as `{"learning.rule": ["stdl", "sltt"]}`.

    Returns:
        The record, which is also `sweep.json` in `folder`; `stdl_events.compare(folder)` has each run's numbers.

    Raises:
        RecipeError: a key is unknown, or a value or a combination is impossible.
        RunError, DatasetError, RecordingError, FrameSpecError: see `run_sweep`.
    """
    texts = {key: tuple(_text(value) for value in values) for key, values in (vary or {}).items()}
    asked = Sweep(config, texts, tuple(seeds))
    say_unused_in_sweep([combination.config for combination in asked.combinations], (), texts)
    return run_sweep(asked, folder, retry=retry, quiet=quiet)


def _text(value: object) -> str:
    """A value as `--set` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def run_sweep(
    sweep: Sweep,
    folder: Path | str,
    *,
    retry: bool = False,
    quiet: bool = False,
    say: Callable[[str], None] = lambda text: None,
    finished: Callable[[RunResult], object] = lambda result: None,
) -> SweepRecord:
    """Train every run of `sweep` in a folder of its own in `folder`, and write sweep.json after each.

    The same sweep started again goes on: finished runs are kept, an interrupted one is resumed. A run that fails, since
    its rule cannot be built so or its loss is not finite, is recorded with its error, and the others go on.

    All runs with the same settings of recordings and frames have the split of the first one, and its clips.

    Args:
        retry: also train again what has failed.
        quiet: no progress of the runs.
        say: takes lines about the runs.
        finished: takes the result of each run that was trained to its end.

    Raises:
        RunError: the folder is in use, or holds something else, another sweep, or a run that was changed.
        DatasetError, RecordingError, FrameSpecError: the recordings are unusable for all runs; nothing is left behind.
        KeyboardInterrupt, SystemExit: after Ctrl-C or SIGTERM, when the current run has kept what it has trained.
    """
    folder = Path(folder)
    record_of(sweep, folder)
    is_new = not folder.exists()
    make_folder(folder, error=RunError)
    with locked(folder, used="a sweep that process {} is running", error=RunError):
        record = record_of(sweep, folder)
        try:
            _Runner(record, retry, quiet, say, finished).run()
        except _OF_RECORDINGS:
            if is_new:
                withdraw(folder)
            raise
    return record


def outcome_text(outcome: dict[str, Any]) -> str:
    """The outcome of a run in words."""
    if outcome["state"] == FAILED:
        return f"failed: {outcome['error']}"
    parts = [f"held out {outcome['accuracy']:.4f}"]
    if "validation_accuracy" in outcome:
        parts.insert(0, f"validation {outcome['validation_accuracy']:.4f}")
    return f"{', '.join(parts)}; {duration(outcome['wall_seconds'])}"
