"""Training from a configuration to a finished run folder: one loop over epochs and batches, resumable at any point.

On the CPU a run that was killed and resumed ends with the same weights, bit for bit: order and augmentation are
functions of (seed, epoch, batch), the learning rate is one of the step, and the rest is in the checkpoint.
"""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from stdl_events.errors import RunError
from stdl_events.frames import FrameSpec
from stdl_events.learning.learner import Learner
from stdl_events.memory.describe import describe_plan, plan_document, plan_note
from stdl_events.recordings.coverage import SIDE_TEXT
from stdl_events.recordings.entry import Split
from stdl_events.recordings.same_events import check_same_events
from stdl_events.recordings.sides import Side
from stdl_events.training.build import build_configured_learner
from stdl_events.training.bundle import describe_run, package_versions, save_bundle
from stdl_events.training.data import batch_of, epoch_batches
from stdl_events.training.device import describe_device, peak_memory, resolve_device
from stdl_events.training.evaluate import Evaluation, evaluate_clips, measures, network_logits
from stdl_events.training.metrics import MetricsWriter
from stdl_events.training.position import Means, Position
from stdl_events.training.progress import TrainingProgress
from stdl_events.training.run_folder import (
    BUNDLE_FOLDER,
    CHECKPOINT_FILE,
    CONFIG_FILE,
    PLAN_FILE,
    check_run_folder,
    write_json,
)
from stdl_events.training.run_split import split_of_run
from stdl_events.training.schedule import learning_rate
from stdl_events.training.settings import TrainConfig
from stdl_events.training.sources import load_sides
from stdl_events.training.state import load_checkpoint, save_checkpoint
from stdl_events.whole_file import make_folder, remove_leftovers

CLIPS_OF: dict[Side, str] = {"train": "train_clips", "validation": "validation_clips", "test": "held_out_clips"}
WATCHED = "no validation part: each epoch's held-out accuracy is shown and chooses nothing; the last weights are kept"


@dataclass(frozen=True)
class RunResult:
    """Result of a finished run.

    Attributes:
        folder: the run's folder.
        evaluation: of the held-out clips, by the network of the last epoch, which is the bundle's.
        learner: the trained learner.
        seconds: time spent training and evaluating, over all resumptions.
        memory: peak bytes, as in the metrics.
    """

    folder: Path
    evaluation: Evaluation
    learner: Learner
    seconds: float
    memory: dict[str, int]

    @property
    def plan(self) -> dict[str, Any] | None:
        """The plan as a document; None for rules that do not plan."""
        plan = self.learner.plan
        return None if plan is None else plan_document(plan, self.learner.rule)


def fit(
    config: TrainConfig, folder: Path | str, *, resume: bool = False, split: Split | None = None, quiet: bool = False
) -> RunResult:
    """Train by `config` and write all results to `folder`, in the layout of `run_folder`.

    Nothing is written before the recordings are read and the learner is built. The saved network is that of the last
    epoch; it is never chosen by held-out accuracy.

    Args:
        resume: resume the run in `folder`.
        split: recordings to use instead of those of `config.data`; a resumed run uses those of its list.

    Raises:
        RunError: the folder is in use, or cannot be resumed with this configuration; or the loss is not finite.
        RecipeError: the device is not there.
        DatasetError: the recordings are missing, cannot be read or cannot be split as asked; have changed since a run
            to resume began; or a class has no clip.
        SplitError: both sides share something, also under another name and in another format.
        FrameSpecError: the recordings cannot be cut into such frames.
        NotationError, PlanError, RuleError: the network, its cut or the rule is impossible.
    """
    folder = Path(folder)
    check_run_folder(folder, config, resume=resume)
    device = resolve_device(config.device)
    of_run = split_of_run(config, folder, resume=resume, split=split, quiet=quiet)
    split = of_run.split
    checked = split.check_disjoint()
    frame_spec = config.frames.spec(split.train.sensor_size)
    learner = build_configured_learner(config, frame_spec, len(split.train.classes), device)
    run = _Run(config, folder, frame_spec, split, learner, device)
    if resume and (folder / CHECKPOINT_FILE).exists():
        run.restore(load_checkpoint(folder / CHECKPOINT_FILE))
    make_folder(folder, error=RunError)
    remove_leftovers(folder)
    of_run.write(folder, config, run.split)
    write_json(folder / CONFIG_FILE, config.model_dump(mode="json"))
    if learner.plan is not None:
        write_json(folder / PLAN_FILE, plan_document(learner.plan, learner.rule))
    evaluation = run.train(checked, quiet=quiet)
    card = describe_run(config, frame_spec, run.split, learner.network, evaluation)
    save_bundle(folder / BUNDLE_FOLDER, learner.network, card)
    return RunResult(folder, evaluation, learner, run.position.seconds, peak_memory(device))


@dataclass
class _Run:
    config: TrainConfig
    folder: Path
    frame_spec: FrameSpec
    split: Split
    learner: Learner
    device: torch.device
    position: Position = field(default_factory=Position)
    metrics_bytes: int = 0

    def __post_init__(self) -> None:
        sides = self.split.sides
        loaded = load_sides(self.config, {SIDE_TEXT[side]: sides[side] for side in sides}, self.frame_spec)
        self.split = self.split.with_sides({side: readable for side, (readable, _) in zip(sides, loaded, strict=True)})
        self.clips = {side: clips for side, (_, clips) in zip(sides, loaded, strict=True)}
        self.train_clips = self.clips["train"]
        # Without a validation part the held-out side is watched, and chooses nothing.
        self.watched: Side = "test" if self.split.validation is None else "validation"
        check_same_events(self.split)
        self.steps_per_epoch = len(self._batches(epoch=0))
        self.peak_rates = [group["lr"] for group in self.learner.optimizer.param_groups]

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that `save` wrote; a state of another learner is refused before anything changes."""
        try:
            learner, metrics_bytes = state["learner"], int(state["metrics_bytes"])
            position = Position.from_state(state["position"])
        except (KeyError, TypeError) as error:
            raise RunError(
                str(self.folder / CHECKPOINT_FILE),
                got=f"a state that is no training run's ({error})",
                expected="learner, position and metrics_bytes",
                todo="resume it with the version of stdl-events that wrote it",
            ) from error
        self.learner.load_state_dict(learner)
        self.position, self.metrics_bytes = position, metrics_bytes

    def save(self, metrics: MetricsWriter) -> None:
        state = {
            "learner": self.learner.state_dict(),
            "position": self.position.to_state(),
            "metrics_bytes": metrics.position(),
        }
        save_checkpoint(self.folder / CHECKPOINT_FILE, state)

    def train(self, checked: str, *, quiet: bool) -> Evaluation:
        """Train the remaining epochs with an evaluation after each; returns that of the held-out clips.

        These are evaluated once, at the end, if the split has a validation part.

        Args:
            checked: result of the comparison of the sides of the split, shown before training.
        """
        position, epochs = self.position, self.config.epochs
        held_out: Evaluation | None = None
        with (
            MetricsWriter(self.folder, resume_at=self.metrics_bytes, resume_step=position.step) as metrics,
            TrainingProgress(
                total_steps=self.steps_per_epoch * epochs, done_steps=position.step, quiet=quiet
            ) as progress,
        ):
            progress.say(checked)
            if self.watched == "test":
                progress.say(WATCHED)
            if self.learner.plan is not None:
                progress.say("\n".join(describe_plan(self.learner.plan, self.learner.rule)))
            metrics.write("start", position.step, self._start_row())
            while position.epoch < epochs:
                self._train_epoch(metrics, progress)
                evaluation = self._finish_epoch(metrics, progress)
                held_out = evaluation if self.watched == "test" else None
                self.save(metrics)
            held_out = held_out or self._evaluate("test")
            if self.watched != "test":
                metrics.write("end", position.step, measures("held_out", held_out))
        return held_out

    def _train_epoch(self, metrics: MetricsWriter, progress: TrainingProgress) -> None:
        """Train on the remaining batches of the current epoch. Only rows of metrics synchronise with the device."""
        position, config = self.position, self.config
        batches = self._batches(position.epoch)
        clock_s = time.perf_counter()
        while position.batch < len(batches):
            lr = self._set_learning_rate()
            rng = np.random.default_rng((config.seed, position.epoch, position.batch))
            frames_TBCHW, targets_B = batch_of(self.train_clips, batches[position.batch], config.augment, rng)
            step_metrics = self.learner.train_step(torch.from_numpy(frames_TBCHW), torch.from_numpy(targets_B))
            before_s, clock_s = clock_s, time.perf_counter()
            for means in (position.row, position.whole_epoch):
                means.add(step_metrics, len(targets_B), clock_s - before_s)
            position.seconds += clock_s - before_s
            position.batch += 1
            position.step += 1
            progress.at(position.step)
            if position.step % config.log_every_steps == 0:
                row = self._row(position.row) | {"lr": lr}
                position.row = Means()
                metrics.write("step", position.step, row)
                progress.step(position.step, row)
            if config.checkpoint_every_steps and position.step % config.checkpoint_every_steps == 0:
                self.save(metrics)

    def _finish_epoch(self, metrics: MetricsWriter, progress: TrainingProgress) -> Evaluation:
        position = self.position
        began_s = time.perf_counter()
        evaluation = self._evaluate(self.watched)
        position.seconds += time.perf_counter() - began_s
        watched = measures("held_out" if self.watched == "test" else "validation", evaluation)
        position.epoch, position.batch = position.epoch + 1, 0
        row = {"epoch": position.epoch} | self._row(position.whole_epoch) | watched | {"seconds": position.seconds}
        position.whole_epoch = Means()
        metrics.write("epoch", position.step, row)
        progress.epoch(position.step, row, self.config.epochs)
        return evaluation

    def _row(self, means: Means) -> dict[str, Any]:
        row = means.read()
        if not math.isfinite(row["loss"]):
            raise RunError(
                str(self.folder),
                got=f"a loss of {row['loss']} after {self.position.step} steps",
                expected="a finite loss",
                todo="use a smaller learning rate (--set optimiser.lr=...) in a new run",
            )
        return row | peak_memory(self.device)

    def _set_learning_rate(self) -> float:
        """Set the scheduled learning rate of every group of weights. Returns that of the first."""
        config, groups = self.config, self.learner.optimizer.param_groups
        for group, peak in zip(groups, self.peak_rates, strict=True):
            group["lr"] = learning_rate(
                config.schedule, peak, self.position.step, steps_per_epoch=self.steps_per_epoch, epochs=config.epochs
            )
        first: float = groups[0]["lr"]
        return first

    def _evaluate(self, side: Side) -> Evaluation:
        logits = network_logits(self.learner.network)
        return evaluate_clips(logits, self.split.sides[side], self.clips[side], batch_size=self.config.batch_size)

    def _batches(self, epoch: int) -> list[npt.NDArray[np.intp]]:
        return epoch_batches(len(self.train_clips), self.config.batch_size, seed=self.config.seed, epoch=epoch)

    def _start_row(self) -> dict[str, Any]:
        plan = self.learner.plan
        return {
            "recipe": self.config.name,
            "rule": self.config.learning.rule,
            "network": self.learner.network.spec.notation,
            "split": self.split.text,
            **{CLIPS_OF[side]: len(clips) for side, clips in self.clips.items()},
            "planned_step_bytes": None if plan is None else plan.total_bytes,
            "blocks": len(self.learner.blocks),
            "note": None if plan is None else plan_note(plan, self.learner.rule),
            "versions": package_versions(),
        } | describe_device(self.device)
