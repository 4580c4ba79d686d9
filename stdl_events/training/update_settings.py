"""The settings of a run's updates: optimiser, learning rate over the run, weight averaging. No torch."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from stdl_events.errors import RecipeError
from stdl_events.learning.registries import DEFAULT_OPTIMIZER, OPTIMIZERS
from stdl_events.network.spec import LARGEST
from stdl_events.training.data_settings import Positive, Section

# Of numbers that multiply weights or gradients: below it nothing is learnt, and float32 holds 1e-38.
SMALLEST = 1e-30


class OptimiserSettings(Section):
    """Which optimiser; a setting of None is its own default, and one that it does not have is an error.

    Attributes:
        kind: one of `stdl_events.learning.registries.OPTIMIZERS`.
        lr: learning rate at the start of the schedule.
        weight_decay: as the optimiser defines it.
        momentum: of `sgd`.
        clip_norm: greatest L2 norm of all gradients together, to which they are scaled before each update; None is no
            limit.
    """

    kind: Annotated[str, AfterValidator(OPTIMIZERS.check)] = DEFAULT_OPTIMIZER
    lr: Annotated[float | None, Field(ge=SMALLEST, le=LARGEST)] = None
    weight_decay: Annotated[float | None, Field(ge=0, le=LARGEST)] = None
    momentum: Annotated[float | None, Field(ge=0, lt=1)] = None
    clip_norm: Annotated[float | None, Field(ge=SMALLEST, le=LARGEST)] = None


class ScheduleSettings(Section):
    """The learning rate over the run: a linear warm-up, then `kind`, set at every step.

    Attributes:
        kind: `cosine` decay, `step` for equal factors after equal times, `one-cycle` for a rise and a fall, or
            `constant`.
        warmup_epochs: length of the linear warm-up.
        final: end of `cosine` and `one-cycle` as a share of the learning rate.
        step_epochs: `step`: epochs between two changes, counted from the start of the run.
        step_factor: `step`: factor of the learning rate at each change.
        rise: `one-cycle`: share of the run in which the rate rises.
        rise_from: `one-cycle`: its start as a share of the learning rate.
    """

    kind: Literal["cosine", "step", "one-cycle", "constant"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    final: Annotated[float, Field(ge=0, le=1)] = 0.0
    step_epochs: Positive = 20
    step_factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    rise_from: Annotated[float, Field(gt=0, le=1)] = 0.04

    @model_validator(mode="after")
    def _one_rise(self) -> "ScheduleSettings":
        if self.kind == "one-cycle" and self.warmup_epochs:
            raise RecipeError(
                "schedule.warmup_epochs", got=f"{self.warmup_epochs} with one-cycle",
                expected="0, since one-cycle has a rise of its own", todo="set schedule.rise to a share of the run",
            )  # fmt: skip
        return self


class AveragingSettings(Section):
    """Weight averaging: what is validated, kept and exported is a moving average of the trained weights.

    Attributes:
        decay: share of the old average in the new one after each update, such as 0.99; None averages nothing. It rises
            from 2/11 on, as (1 + n) / (10 + n) after n updates.
    """

    decay: Annotated[float | None, Field(ge=0, lt=1)] = None
