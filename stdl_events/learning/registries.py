"""Registries of losses and optimisers; the rules are in `stdl_events.learning.rules`. Listing imports no torch."""

from typing import TYPE_CHECKING

from stdl_events.errors import RuleError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.learning.losses import Loss, StepLoss
    from stdl_events.learning.optimizers import OptimizerFactory
    from stdl_events.learning.precision import Precision

LOSSES: "Registry[Loss | StepLoss]" = Registry(
    "loss",
    RuleError,
    {
        "ce": "stdl_events.learning.losses:CROSS_ENTROPY",
        "ce+mse": "stdl_events.learning.losses:CROSS_ENTROPY_AND_MSE",
        "spike-mse": "stdl_events.learning.losses:SPIKE_MSE",
    },
)
"""An entry is a loss of one step, any callable of (logits_BK, targets_B), or a `Loss` of a chunk of steps."""

OPTIMIZERS: "Registry[OptimizerFactory]" = Registry(
    "optimizer",
    RuleError,
    {
        "sgd": "stdl_events.learning.optimizers:sgd",
        "adamw": "stdl_events.learning.optimizers:adamw",
    },
)
"""An entry builds a `torch.optim.Optimizer` from a list of parameters, like the classes in `torch.optim`. Its settings
are those of `lr`, `momentum` and `weight_decay` that are among its keywords, with its own defaults."""

STEP_PRECISIONS: "Registry[Precision]" = Registry(
    "precision",
    RuleError,
    {
        "fp32": "stdl_events.learning.precision:FP32",
        "bf16": "stdl_events.learning.precision:BF16",
        "bf16-convolutions": "stdl_events.learning.precision:BF16_CONVOLUTIONS",
        "bf16-states": "stdl_events.learning.precision:BF16_STATES",
        "int8-state": "stdl_events.learning.precision:INT8_STATE",
        "int8-state+bf16": "stdl_events.learning.precision:INT8_STATE_BF16",
        "int8-state+bf16-convolutions": "stdl_events.learning.precision:INT8_STATE_BF16_CONVOLUTIONS",
        "int8-state+bf16-states": "stdl_events.learning.precision:INT8_STATE_BF16_STATES",
        "auto": "stdl_events.learning.precision:AUTO",
    },
)
"""An entry says in which number formats a training step computes and keeps its states."""

DEFAULT_PRECISION = "fp32"

LARGEST_PENALTY = 1e6
"""On firing rates: a loss beside a larger one is rounded away in float32, so that no class is learnt."""

DEFAULT_OPTIMIZER = "sgd"
"""That of the STDL, SLTT and OTTT papers."""
