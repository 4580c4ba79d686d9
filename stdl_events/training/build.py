"""From a configuration to the learner that it describes."""

import torch

from stdl_events.build import build_learner
from stdl_events.frames import FrameSpec
from stdl_events.learning.grid import Planned
from stdl_events.learning.learner import Learner
from stdl_events.learning.rules import get_rule
from stdl_events.memory.footprint import meter_learner
from stdl_events.training.settings import TrainConfig


def build_configured_learner(
    config: TrainConfig, frame_spec: FrameSpec, classes: int, device: torch.device | str = "cpu"
) -> Learner:
    """The learner that `config` describes, for frames of `frame_spec`.

    Raises:
        NotationError, PlanError, RuleError: the network, its cut or the rule is impossible.
    """
    learning = config.learning
    # A recipe says how to cut its network and may still be trained, for comparison, by a rule that cuts nothing.
    planned = isinstance(get_rule(learning.rule).space, Planned)
    return build_learner(
        config.network.spec(frame_spec.frame_shape_CHW, classes, learning.rule),
        learning.rule,
        batch_size=config.batch_size,
        steps=frame_spec.steps,
        budget=learning.budget if planned else None,
        rho=learning.rho if planned else None,
        plan=learning.plan if planned else None,
        least_blocks=learning.least_blocks if planned else 1,
        memory=learning.memory,
        precision=learning.precision,
        cuda_graphs=learning.cuda_graphs,
        optimizer=config.optimiser.kind,
        lr=config.optimiser.lr,
        momentum=config.optimiser.momentum,
        weight_decay=config.optimiser.weight_decay,
        loss=learning.loss,
        alpha=learning.alpha,
        mse_target=learning.mse_target,
        seed=config.seed,
        device=device,
        **learning.options.model_dump(exclude_none=True),
    )


def step_bytes(config: TrainConfig, frame_spec: FrameSpec, classes: int) -> int:
    """Peak bytes of one training step as `config` describes it, the input clip apart; metered, nothing is trained."""
    host = config.derive(learning={"cuda_graphs": False})
    report, _ = meter_learner(lambda: build_configured_learner(host, frame_spec, classes), batch_size=config.batch_size)
    return report.peak_bytes
