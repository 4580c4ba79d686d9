"""The training loop of a run: epochs and batches, evaluation after each epoch, and what is kept.

Order and augmentation are functions of (seed, epoch, batch), the learning rate is one of the step, and the rest is in
the checkpoint.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stdl_events.compiled import compiling_said
from stdl_events.errors import LossError, RunError
from stdl_events.events.defects import count_of
from stdl_events.frames import FrameSpec
from stdl_events.learning.learner import Learner
from stdl_events.network.network import SpikingNetwork
from stdl_events.recordings.coverage import SIDE_TEXT
from stdl_events.recordings.entry import Split
from stdl_events.recordings.splits.same_events import check_same_events
from stdl_events.recordings.splits.sides import Side
from stdl_events.training.bundle import describe_run, load_bundle, save_bundle
from stdl_events.training.checkpoint import save_checkpoint
from stdl_events.training.data import epoch_batches
from stdl_events.training.evaluation.evaluate_clips import (
    Evaluation,
    evaluate_clips,
    held_out_measures,
    measures,
    network_logits,
)
from stdl_events.training.evaluation.suspicious_answers import check_finite, warn_of_equal_answers
from stdl_events.training.interruption import Interruption
from stdl_events.training.kept_warnings import KeptWarnings
from stdl_events.training.load_recordings import SidesLoader, load_sides
from stdl_events.training.metrics import MetricsWriter
from stdl_events.training.position import Means, Position
from stdl_events.training.prefetch import batches_ahead
from stdl_events.training.progress import TrainingProgress
from stdl_events.training.run_device import peak_memory
from stdl_events.training.run_folder import CHECKPOINT_FILE
from stdl_events.training.run_start import start_row, start_texts
from stdl_events.training.run_weights import FOLDERS, Best, Weights
from stdl_events.training.schedule import learning_rate
from stdl_events.training.settings import TrainConfig

KEPT = "evaluate or export what it has trained, or go on with: stdl-events train --resume {folder}"


@dataclass
class Run:
    """A run's learner, clips and position, from which it goes on.

    Attributes:
        clips: of each side of the split.
        watched: the side that is evaluated after each epoch.
        load: reads the clips.
        warned: keeps the warnings of the run.
    """

    config: TrainConfig
    folder: Path
    frame_spec: FrameSpec
    split: Split
    learner: Learner
    device: torch.device
    load: SidesLoader = load_sides
    warned: KeptWarnings = field(default_factory=KeptWarnings)
    position: Position = field(default_factory=Position)
    best: Best = field(default_factory=Best)
    metrics_bytes: int = 0

    def __post_init__(self) -> None:
        sides = self.split.sides
        loaded = self.load(self.config, {SIDE_TEXT[side]: sides[side] for side in sides}, self.frame_spec)
        self.split = self.split.with_sides({side: readable for side, (readable, _) in zip(sides, loaded, strict=True)})
        self.clips = {side: clips for side, (_, clips) in zip(sides, loaded, strict=True)}
        self.train_clips = self.clips["train"]
        # Without a validation part the held-out side is watched, and chooses nothing.
        self.watched: Side = "test" if self.split.validation is None else "validation"
        check_same_events(self.split)
        self.steps_per_epoch = math.ceil(len(self._batches(epoch=0)) / self.config.accumulate)
        self.peak_rates = [group["lr"] for group in self.learner.optimizer.param_groups]

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state that `save` wrote; a state of another learner is refused before anything changes."""
        try:
            learner, metrics_bytes = state["learner"], int(state["metrics_bytes"])
            position, best = Position.from_state(state["position"]), Best(**state.get("best", {}))
        except (KeyError, TypeError) as error:
            raise RunError(
                str(self.folder / CHECKPOINT_FILE),
                got=f"a state that is no training run's ({error})",
                expected="learner, position and metrics_bytes",
                todo="resume it with the version of stdl-events that wrote it",
            ) from error
        if position.epoch > self.config.epochs:
            raise RunError(
                str(self.folder), got=count_of(position.epoch, "trained epoch"),
                expected=f"at most epochs={self.config.epochs}",
                todo="resume without --set epochs, or with more",
            )  # fmt: skip
        self.learner.load_state_dict(learner)
        self.position, self.best, self.metrics_bytes = position, best, metrics_bytes

    def save(self, metrics: MetricsWriter) -> None:
        state = {
            "learner": self.learner.state_dict(),
            "position": self.position.to_state(),
            "best": self.best.to_state(),
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
        watched: Evaluation | None = None
        with (
            Interruption() as interruption,
            MetricsWriter(self.folder, resume_at=self.metrics_bytes) as metrics,
            TrainingProgress(
                total_steps=self.steps_per_epoch * epochs, done_steps=position.step, quiet=quiet
            ) as progress,
            compiling_said(progress.say),
        ):
            for text in (checked, *start_texts(self)):
                progress.say(text)
            metrics.write("start", position.step, start_row(self))
            while position.epoch < epochs and not self._is_stale():
                indices = self._batches(position.epoch)
                classes = len(self.split.train.classes)
                with batches_ahead(self.config, self.train_clips, indices, position, self.device, classes) as batches:
                    try:
                        is_whole = self._train_epoch(batches, metrics, progress, interruption)
                    except LossError as error:
                        raise self._not_finite(error.got) from error
                if is_whole:
                    watched = self._finish_epoch(metrics, progress)
                self._keep("last", watched if is_whole else None)
                self._write_warnings(metrics)
                self.save(metrics)
                if interruption.number is not None:
                    progress.say(f"stopped after step {position.step}; {KEPT.format(folder=quote(str(self.folder)))}")
                    interruption.end()
            if position.epoch < epochs:
                progress.say(f"stopped early after epoch {position.epoch}: epoch {self.best.epoch} was the best one")
            return self._finish(watched, metrics)

    def _warn_of(self, held_out: Evaluation, metrics: MetricsWriter) -> None:
        warn_of_equal_answers(self.folder, held_out, self.position.step)
        self._write_warnings(metrics)

    def _write_warnings(self, metrics: MetricsWriter) -> None:
        if texts := self.warned.take():
            metrics.write("warning", self.position.step, {"warnings": texts})

    def _finish(self, watched: Evaluation | None, metrics: MetricsWriter) -> Evaluation:
        """Evaluate the held-out clips by the weights that are kept, unless this was done after the last epoch."""
        if self.watched == "test":
            held_out = watched or self._evaluate("test", self.learner.trained_network)
            self._warn_of(held_out, metrics)
            self._keep("last", held_out)
            return held_out
        network, card = load_bundle(
            self.folder / FOLDERS["best"], self.device, convolutions=self.config.learning.convolutions
        )
        held_out = self._evaluate("test", network)
        self._warn_of(held_out, metrics)  # in front of the row that ends the metrics
        card = card.model_copy(update={"provenance": card.provenance | held_out_measures(held_out)})
        save_bundle(self.folder / FOLDERS["best"], network, card)
        metrics.write("end", self.position.step, {"best_epoch": self.best.epoch} | measures("held_out", held_out))
        return held_out

    def _is_stale(self) -> bool:
        """Return True if the validation part has not improved for as many epochs as asked."""
        patience = self.config.early_stop
        return patience is not None and 0 < self.best.epoch <= self.position.epoch - patience

    def _keep(self, weights: Weights, evaluation: Evaluation | None) -> None:
        """Write the network as a bundle.

        Args:
            evaluation: of this network on the watched side, if there is one.
        """
        measured: dict[str, Any] = {"epochs": self.position.epoch, "steps": self.position.step}
        if evaluation is not None and self.watched == "test":
            measured |= held_out_measures(evaluation)
        elif evaluation is not None:
            measured |= measures("validation", evaluation) | {"validation_clips": len(evaluation.clips)}
        network = self.learner.trained_network
        card = describe_run(self.config, self.frame_spec, self.split, network, measured)
        save_bundle(self.folder / FOLDERS[weights], network, card)

    def _train_epoch(
        self,
        batches: Iterator[tuple[Tensor, Tensor]],
        metrics: MetricsWriter,
        progress: TrainingProgress,
        interruption: Interruption,
    ) -> bool:
        """Train on the remaining `batches` of the current epoch. Only rows of metrics synchronise with the device.

        Returns:
            False if the run was interrupted before the last update.
        """
        position, config = self.position, self.config
        clock_s = time.perf_counter()
        learn = self.learner.train_step if config.accumulate == 1 else self.learner.accumulate
        for first in batches:
            if interruption.number is not None:
                return False
            lr = self._set_learning_rate()
            for frames_TBCHW, targets_B in chain([first], islice(batches, config.accumulate - 1)):
                batch_metrics = learn(frames_TBCHW, targets_B)
                before_s, clock_s = clock_s, time.perf_counter()
                for means in (position.row, position.whole_epoch):
                    means.add(batch_metrics, len(targets_B), clock_s - before_s)
                position.seconds += clock_s - before_s
                position.batch += 1
            if config.accumulate > 1:
                self.learner.update()
            position.step += 1
            progress.at(position.step)
            if position.step % config.log_every_steps == 0:
                row = self._row(position.row) | {"lr": lr}
                position.row = Means()
                metrics.write("step", position.step, row)
                progress.step(position.step, row)
            if config.checkpoint_every_steps and position.step % config.checkpoint_every_steps == 0:
                self.save(metrics)
        return True

    def _finish_epoch(self, metrics: MetricsWriter, progress: TrainingProgress) -> Evaluation:
        position = self.position
        began_s = time.perf_counter()
        evaluation = self._evaluate(self.watched, self.learner.trained_network)
        position.seconds += time.perf_counter() - began_s
        watched = measures("held_out" if self.watched == "test" else "validation", evaluation)
        position.epoch, position.batch = position.epoch + 1, 0
        row = {"epoch": position.epoch} | self._row(position.whole_epoch) | watched | {"seconds": position.seconds}
        position.whole_epoch = Means()
        metrics.write("epoch", position.step, row)
        progress.epoch(position.step, row, self.config.epochs)
        if self.watched == "validation" and self.best.update(position.epoch, evaluation):
            self._keep("best", evaluation)
        return evaluation

    def _row(self, means: Means) -> dict[str, Any]:
        row = means.read()
        if not math.isfinite(row["loss"]):
            raise self._not_finite(f"{row['loss']}")
        return row | peak_memory(self.device)

    def _not_finite(self, loss: str) -> RunError:
        steps = count_of(self.position.step, "step")
        return RunError(
            str(self.folder), got=f"a loss of {loss} after {steps}", expected="a finite loss",
            todo="use a smaller learning rate (--set optimiser.lr=...) in a new run",
        )  # fmt: skip

    def _set_learning_rate(self) -> float:
        """Set the scheduled learning rate of every group of weights. Returns that of the first."""
        config, groups = self.config, self.learner.optimizer.param_groups
        for group, peak in zip(groups, self.peak_rates, strict=True):
            group["lr"] = learning_rate(
                config.schedule, peak, self.position.step, steps_per_epoch=self.steps_per_epoch, epochs=config.epochs
            )
        first: float = groups[0]["lr"]
        return first

    def _evaluate(self, side: Side, network: SpikingNetwork) -> Evaluation:
        logits = network_logits(network)
        found = evaluate_clips(logits, self.split.sides[side], self.clips[side], batch_size=self.config.batch_size)
        check_finite(self.folder, found)
        return found

    def _batches(self, epoch: int) -> list[npt.NDArray[np.intp]]:
        config, clips = self.config, self.train_clips
        balance = clips.targets_N if config.sampling == "balanced" else None
        return epoch_batches(len(clips), config.batch_size, seed=config.seed, epoch=epoch, balance=balance)
