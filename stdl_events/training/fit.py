"""Training from a configuration to a finished run folder: one loop over epochs and batches, resumable at any point.

On the CPU a run that was killed and resumed ends with the same weights, bit for bit: order and augmentation are
functions of (seed, epoch, batch), the learning rate is one of the step, and the rest is in the checkpoint.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stdl_events.errors import RunError
from stdl_events.learning.learner import Learner
from stdl_events.memory.describe import plan_document
from stdl_events.recordings.clips import MAX_UINT8
from stdl_events.recordings.entry import Split
from stdl_events.training.build_learner import build_configured_learner
from stdl_events.training.checkpoint import load_checkpoint
from stdl_events.training.data import check_augmentation, warn_of_few_events
from stdl_events.training.evaluation.evaluate_clips import Evaluation
from stdl_events.training.evaluation.ridge_beside import Ridges, fit_ridges, ridges_of
from stdl_events.training.kept_warnings import KeptWarnings
from stdl_events.training.load_recordings import SidesLoader, load_sides
from stdl_events.training.progress import LineProgress
from stdl_events.training.run import Run
from stdl_events.training.run_device import peak_memory, resolve_device
from stdl_events.training.run_folder import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    PLAN_FILE,
    check_run_folder,
    load_config,
    lock_of_run,
    write_json,
)
from stdl_events.training.run_split import split_of_run
from stdl_events.training.schedule import other_schedule
from stdl_events.training.settings import TrainConfig
from stdl_events.training.validation import require_validation
from stdl_events.whole_file import make_folder, remove_leftovers


@dataclass(frozen=True)
class RunResult:
    """Result of a finished run.

    Attributes:
        folder: the run's folder.
        evaluation: of the held-out clips, by the best network, or by that of the last epoch without a validation part.
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
    config: TrainConfig,
    folder: Path | str,
    *,
    resume: bool = False,
    split: Split | None = None,
    like: Path | None = None,
    load: SidesLoader = load_sides,
    ridges: Ridges = ridges_of,
    quiet: bool = False,
) -> RunResult:
    """Train by `config` and write all results to `folder`, in the layout of `run_folder`.

    Nothing is written before the recordings are read and the learner is built. The saved networks are that of the last
    epoch and, with a validation part, the one that is best on it; none is ever chosen by held-out accuracy.

    The first Ctrl-C or SIGTERM ends the run after the current step, with a checkpoint and the weights so far.

    Args:
        resume: resume the run in `folder`, which may train more epochs than before.
        split: recordings to use instead of those of `config.data`; a resumed run uses those of its list.
        like: folder of another run, whose list names the recordings.
        load: reads the clips of the recordings.
        ridges: fits the ridges beside the accuracies.

    Raises:
        RunError: the folder is in use, or cannot be resumed with this configuration; or the loss is not finite.
        RecipeError: the device is not there; or an early stop is asked for without a validation part.
        DatasetError: the recordings are missing, cannot be read or cannot be split as asked; have changed since a run
            to resume began; or a class has no clip.
        SplitError: both sides share something, also under another name and in another format.
        FrameSpecError: the recordings cannot be cut into such frames.
        NotationError, PlanError, RuleError: the network, its cut or the rule is impossible.
    """
    folder = Path(folder)
    check_run_folder(folder, config, resume=resume)
    with ExitStack() as stack:
        warned = stack.enter_context(KeptWarnings())
        old = load_config(folder) if resume else config
        if resume:
            stack.enter_context(lock_of_run(folder))
        device = resolve_device(config.device)
        of_run = split_of_run(config, folder, resume=resume, split=split, like=like, quiet=quiet)
        split = of_run.split
        require_validation(config, split)
        checked = split.check_disjoint()
        frame_spec = config.frames.spec(split.train.sensor_size)
        is_restored = resume and (folder / CHECKPOINT_FILE).exists()
        with LineProgress("planning", quiet=quiet):
            learner = build_configured_learner(
                config, frame_spec, len(split.train.classes), device, is_restored=is_restored
            )
        run = Run(config, folder, frame_spec, split, learner, device, load, warned)
        warn_of_few_events(run.train_clips, seed=config.seed)
        check_augmentation(run.train_clips, config.augment, seed=config.seed, cap=frame_spec.cap or MAX_UINT8)
        if is_restored:
            run.restore(load_checkpoint(folder / CHECKPOINT_FILE))
        make_folder(folder, error=RunError)
        if not resume:
            stack.enter_context(lock_of_run(folder))
            check_run_folder(folder, config, resume=False)
        remove_leftovers(folder)
        of_run.write(folder, config, run.split)
        write_json(folder / CONFIG_FILE, config.model_dump(mode="json"))
        if learner.plan is not None:
            write_json(folder / PLAN_FILE, plan_document(learner.plan, learner.rule))
        note = other_schedule(old, config, run.position.epoch)
        evaluation = run.train("\n".join(filter(None, (checked, note))), quiet=quiet)
        evaluation = replace(evaluation, ridge=fit_ridges(folder, run.clips, frame_spec, ridges)["test"])
        return RunResult(folder, evaluation, learner, run.position.seconds, peak_memory(device))
