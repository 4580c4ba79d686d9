"""The learner of a configuration."""

import math
from pathlib import Path
from typing import Any

import torch

from stdl_events.build import plan_learner
from stdl_events.errors import RunError
from stdl_events.frames import FrameSpec
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Planned
from stdl_events.learning.learner import Learner
from stdl_events.learning.rules import get_rule
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.process import available_bytes
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan
from stdl_events.sizes import format_bytes
from stdl_events.training.initial_weights import start_from
from stdl_events.training.settings import TrainConfig


def build_configured_learner(
    config: TrainConfig,
    frame_spec: FrameSpec,
    classes: int,
    device: torch.device | str = "cpu",
    *,
    is_restored: bool = False,
) -> Learner:
    """The learner of `config`, for frames of `frame_spec`; it starts from the weights of `config.init`, if given.

    Args:
        is_restored: the caller restores a checkpoint, so that `config.init`, which may be gone, is not read.

    Raises:
        NotationError, PlanError, RuleError: the network, its cut or the rule is impossible.
        RunError: `config.init` is no finished run, or of another network; or the machine has too little memory.
    """
    spec = config.network.spec(frame_spec.frame_shape_CHW, classes, config.learning.rule)
    blueprint, plan = plan_learner(**learner_options(config, spec), device=device)
    _require_room(blueprint, plan)
    learner = blueprint.build(plan)
    if config.init is not None and not is_restored:
        start_from(learner.network, Path(config.init))
    return learner


def _require_room(blueprint: Blueprint, plan: Plan | None) -> None:
    """Check on the CPU, before anything is allocated, that the machine has memory for a training step.

    Without a plan, whose bytes are metered, these are the weights with their gradients and one state per neuron.
    """
    weights = sum(layer.least_fan_in * layer.body.channels for layer in blueprint.spec.layers)
    neurons = sum(math.prod(layer.shape_before(layer.ops.index(layer.body) + 1)) for layer in blueprint.spec.layers)
    least_bytes = 4 * (2 * weights + blueprint.batch_size * neurons)
    needed_bytes = least_bytes if plan is None else plan.total_bytes
    left_bytes = available_bytes()
    if blueprint.device.type == "cpu" and left_bytes is not None and needed_bytes > left_bytes:
        raise RunError(
            "memory", got=f"{format_bytes(left_bytes)} that this machine has left",
            expected=f"at least {format_bytes(needed_bytes)} for a step of {blueprint.spec.notation}",
            todo="use a smaller batch_size, smaller frames or a smaller network, or end other programs",
        )  # fmt: skip


def plan_configured_learner(
    config: TrainConfig, frame_spec: FrameSpec, classes: int, *, plan: Plan | None = None
) -> tuple[Blueprint, Plan | None]:
    """The blueprint of `build_configured_learner` for metering or display, and its plan if the rule plans.

    Args:
        plan: to use instead of searching one by `config`.
    """
    spec = config.network.spec(frame_spec.frame_shape_CHW, classes, config.learning.rule)
    known = (
        {} if plan is None else {"budget": None, "budget_of": "step", "rho": None, "least_blocks": None, "plan": plan}
    )
    return plan_learner(**learner_options(config, spec) | known)


def learner_options(config: TrainConfig, spec: NetworkSpec) -> dict[str, Any]:
    """The arguments of `config` for `build_learner` and `plan_learner`, without the device.

    Args:
        spec: the network of `config`.
    """
    learning = config.learning
    # A recipe with a way to cut may be trained, for comparison, by a rule that does not cut the network.
    planned = isinstance(get_rule(learning.rule).space, Planned)
    ways_to_cut = {
        "budget": learning.budget,
        "budget_of": learning.budget_of,
        "rho": learning.rho,
        "plan": learning.plan,
        "least_blocks": learning.least_blocks,
    }
    return {
        "spec": spec,
        "rule": learning.rule,
        "batch_size": config.batch_size,
        "steps": config.frames.steps,
        "memory": learning.memory,
        "precision": learning.precision,
        "convolutions": learning.convolutions,
        "cuda_graphs": learning.cuda_graphs,
        "optimizer": config.optimiser.kind,
        "lr": config.optimiser.lr,
        "momentum": config.optimiser.momentum,
        "weight_decay": config.optimiser.weight_decay,
        "clip_norm": config.optimiser.clip_norm,
        "loss": learning.loss,
        "alpha": learning.alpha,
        "mse_target": learning.mse_target,
        "label_smoothing": learning.label_smoothing,
        "class_weights": learning.class_weights,
        "soft_targets": None if config.augment.mix is None else True,
        "rate_penalty": learning.rate_penalty,
        "target_rate": learning.target_rate if learning.rate_penalty else None,
        "watch_rates": learning.watch_rates,
        "seed": config.seed,
        "average_decay": config.averaging.decay,
        "accumulate": config.accumulate,
        "freeze": config.freeze,
        **(ways_to_cut if planned else {}),
        **learning.options.model_dump(exclude_none=True),
    }


def step_bytes(config: TrainConfig, frame_spec: FrameSpec, classes: int) -> int:
    """Metered peak bytes of one training step of `config`, without the input clip."""
    host = config.derive(learning={"cuda_graphs": False})
    return measure_learner(*plan_configured_learner(host, frame_spec, classes))[0].peak_bytes
