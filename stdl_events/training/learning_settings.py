"""Settings of the learning rule, its memory and its loss. No torch."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, model_validator

from stdl_events.errors import RecipeError
from stdl_events.learning.registries import DEFAULT_PRECISION, LARGEST_PENALTY, LOSSES, STEP_PRECISIONS
from stdl_events.learning.rules import RULES
from stdl_events.network.spec import LARGEST
from stdl_events.training.data_settings import Positive, Section
from stdl_events.training.update_settings import SMALLEST

Share = Annotated[float, Field(ge=0, lt=1)]
WAYS_TO_CUT = ("budget", "rho", "plan")


def _no_word(value: object) -> object:
    if isinstance(value, str) and value.isalpha():
        raise RecipeError(
            "", got=repr(value), expected="a number for each class, such as [1,3], or equally many clips of each with "
            "sampling=balanced",
            todo="give the numbers, or set sampling",
        )  # fmt: skip
    return value


class RuleOptions(Section):
    """Options of named rules, see `build_learner`; an option that the rule does not have is an error.

    Attributes:
        k: tbptt: steps per interval; sltt-k: steps of a sequence that learn.
        n: tbptt: layers per block.
        classifier: tbptt: trainable classifiers, or random ones with fixed weights.
        update: stdl+ottt, stdl+ndot, ftrl-ottt: time of the weight updates.
        variant: ndot-a, ndot-o, stdl+ndot: the paper's equations or those of its released code.
        trace_decay: λ of the traces of rules that have them.
        proximal: ftrl-ottt: weight of the proximal term towards earlier weights.
        proximal_norm: ftrl-ottt: its norm.
    """

    k: Positive | None = None
    n: Positive | None = None
    classifier: Literal["trainable", "random"] | None = None
    update: Literal["sequence", "step"] | None = None
    variant: Literal["paper", "official"] | None = None
    trace_decay: Annotated[float | None, Field(ge=0, lt=1)] = None
    proximal: Annotated[float | None, Field(ge=0, le=LARGEST)] = None
    proximal_norm: Literal["l1", "l2"] | None = None


class LearningSettings(Section):
    """The rule and its memory. At most one of `budget`, `rho` and `plan` determines the blocks.

    Rules that do not cut the network ignore all three, so that one recipe can compare rules.

    Attributes:
        rule: one of `stdl_events.learning.rules.RULES`.
        budget: bytes that one training step may use, for example `2GiB`.
        budget_of: `step` if these are the metered bytes; `process` if all that the process takes on the CPU is to fit:
            the clips of a batch, the step, and the allowance for libraries and the heap.
        rho: the same as a share of the memory of training the whole network online.
        plan: `paper` for the published plan of a network of the zoo, or the path of a plan's JSON file.
        least_blocks: least number of blocks; None is two wherever the network can be cut and the memory allows it. With
            one block, STDL is SLTT.
        memory: `lean` saves packed spikes and recomputes the rest, `kept` saves outputs of convolutions too, `plain`
            is ordinary autograd, `auto` the fastest that fits into the budget; the gradients are the same.
        precision: `bf16` keeps membrane potentials and currents in bfloat16, weights in float32; convolutions are in
            bfloat16 where the device has such. `bf16-convolutions` and `bf16-states` ask for either on every machine.
            `int8-state` keeps membrane potentials in eight bits between two steps, with everything else as in `fp32`;
            `int8-state+bf16` as in `bf16`. Exported files keep states in eight bits too. `auto` is the first of `fp32`,
            `bf16`, `int8-state` and `int8-state+bf16` that fits into `budget` or `rho`; the run says which, and why.
        convolutions: `auto` follows the events: where a layer's input has few non-zeros, only these are added up, on
            the CPU, in training (`lean`, `kept`) and evaluation; `dense` never, so that rounding does not depend on the
            density.
        cuda_graphs: on a CUDA device, record a block's step and replay it, with less work for the host.
        loss: `ce+mse` is `((1 - alpha) CE + alpha MSE) / T` in each step, `spike-mse` truncated local BPTT's; None is
            the rule's own.
        mse_target, alpha: target of the MSE of `ce+mse`, and its share; None is the loss's own.
        label_smoothing: of `ce` and `ce+mse`: share of each target that is spread over all classes.
        class_weights: of `ce` and `ce+mse`: weights of the clips of each class, in the order of the classes.
        rate_penalty: weight of a penalty on the firing rate of each layer, part of each block's loss, for networks with
            few spikes; such as 3. 0 or None is no penalty.
        target_rate: share of a layer's neurons that may fire in a step without a penalty: one for all layers, or one
            for each layer of neurons in order; None is 0.02. Without a penalty it has no effect.
        watch_rates: write the firing rate of each layer of neurons to the log, as a penalty does.
    """

    rule: Annotated[str, AfterValidator(RULES.check)] = "stdl"
    options: RuleOptions = RuleOptions()
    budget: ByteSize | None = None
    budget_of: Literal["step", "process"] = "step"
    rho: Annotated[float | None, Field(ge=SMALLEST, le=LARGEST)] = None
    plan: str | None = None
    least_blocks: Positive | None = None
    memory: Literal["lean", "kept", "plain", "auto"] = "lean"
    precision: Annotated[str, AfterValidator(STEP_PRECISIONS.check)] = DEFAULT_PRECISION
    convolutions: Literal["auto", "dense"] = "dense"
    cuda_graphs: bool = False
    loss: Annotated[str, AfterValidator(LOSSES.check)] | None = None
    mse_target: Literal["one-hot", "threshold"] | None = None
    alpha: Annotated[float | None, Field(ge=0, le=1)] = None
    label_smoothing: Annotated[float | None, Field(ge=0, lt=1)] = None
    class_weights: Annotated[
        tuple[Annotated[float, Field(gt=0, le=LARGEST)], ...] | None, BeforeValidator(_no_word)
    ] = None
    rate_penalty: Annotated[float | None, Field(ge=0, le=LARGEST_PENALTY)] = None
    target_rate: Share | tuple[Share, ...] | None = None
    watch_rates: bool = False

    @model_validator(mode="after")
    def _one_way_to_cut(self) -> "LearningSettings":
        given = [name for name in WAYS_TO_CUT if getattr(self, name) is not None]
        if len(given) > 1:
            raise RecipeError(
                "",
                got=" and ".join(given),
                expected="at most one of budget, rho and plan",
                todo="leave out the others",
            )
        return self
