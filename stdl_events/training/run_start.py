"""What a run says and writes to its metrics before its first step."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stdl_events.events.defects import count_of
from stdl_events.learning.frozen import frozen_text
from stdl_events.memory.describe import describe_plan, plan_note
from stdl_events.recordings.splits.sides import Side
from stdl_events.training.bundle import package_versions
from stdl_events.training.prefetch import ahead_bytes, describe_ahead
from stdl_events.training.run_device import describe_device

if TYPE_CHECKING:
    from stdl_events.training.run import Run

CLIPS_OF: dict[Side, str] = {"train": "train_clips", "validation": "validation_clips", "test": "held_out_clips"}
WATCHED = "no validation part: each epoch's held-out accuracy is shown and chooses nothing; the last weights are kept"


def start_texts(run: "Run") -> Iterator[str]:
    """What is watched, planned, made ahead and frozen, and if nothing is left to train."""
    config, learner = run.config, run.learner
    if run.watched == "test":
        yield WATCHED
    if learner.plan is not None:
        yield "\n".join(describe_plan(learner.plan, learner.rule))
    if config.prefetch:
        yield describe_ahead(config, run.frame_spec)
    if frozen := frozen_text(learner.network):
        yield frozen + ("" if config.init else "; at their initial values, since init is not set")
    if run.position.epoch >= config.epochs:
        trained = f"trained already: {config.epochs} of {count_of(config.epochs, 'epoch')}"
        yield f"{trained}; for more: --set epochs={config.epochs + 10}"


def start_row(run: "Run") -> dict[str, Any]:
    """The row of metrics of a start; it takes the warnings so far."""
    plan = run.learner.plan
    return {
        "recipe": run.config.name,
        "rule": run.config.learning.rule,
        "network": run.learner.network.spec.notation,
        "split": run.split.text,
        "epochs": run.config.epochs,
        **{CLIPS_OF[side]: len(clips) for side, clips in run.clips.items()},
        "ahead_bytes": ahead_bytes(run.config, run.frame_spec),
        "planned_step_bytes": None if plan is None else plan.total_bytes,
        "blocks": len(run.learner.blocks),
        "note": None if plan is None else plan_note(plan, run.learner.rule),
        "warnings": run.warned.take(),
        "versions": package_versions(),
    } | describe_device(run.device)
