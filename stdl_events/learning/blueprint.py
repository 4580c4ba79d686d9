"""Blueprints: the settings of a learner as data, and its construction."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import torch

from stdl_events.learning.blueprint_checks import (
    check_counts,
    check_decay,
    check_device,
    check_network,
    check_seed,
    check_switches,
    check_target_rate,
    names_of,
    spec_in_precision,
)
from stdl_events.learning.grid import Layerwise, Rule, require_choice
from stdl_events.learning.late_construction import construction
from stdl_events.learning.layerwise import layerwise_cuts
from stdl_events.learning.losses import Loss, MSETarget, StepLoss
from stdl_events.learning.make_loss import check_class_weights, make_loss, spec_for
from stdl_events.learning.named_devices import named_device
from stdl_events.learning.optimizers import OptimizerFactory, OptimizerSpec
from stdl_events.learning.precision import flowing_dtype, settled_precision
from stdl_events.learning.registries import DEFAULT_OPTIMIZER, DEFAULT_PRECISION
from stdl_events.learning.rules import find_rule
from stdl_events.network.paper_neurons import PAPER, paper_neuron
from stdl_events.network.scattered import Convolutions
from stdl_events.network.spec import NetworkSpec, Reset
from stdl_events.plan.partition import Cut
from stdl_events.plan.plan import Plan

if TYPE_CHECKING:
    from stdl_events.learning.learner import Learner
    from stdl_events.learning.rates import RatePenalty

MemoryMode: TypeAlias = Literal["lean", "kept", "plain"]


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """All settings of a learner except its plan. `Blueprint.of` builds one from the options of a rule.

    Args:
        batch_size: sequences per batch.
        steps: T, time steps per sequence.
        seed: of the initial weights, which depend on `spec` and `seed` alone.
        memory: "lean" recomputes outputs of convolutions in backward, except those that a plan keeps; "kept" saves all;
            "plain" is ordinary autograd.
        precision: a name in `STEP_PRECISIONS`, which is settled for `device`: "bf16" becomes "bf16-convolutions" or
            "bf16-states". The neurons of `spec` get the number format of its states.
        cuda_graphs: True to record and replay blocks' steps.
        average_decay: of the moving average of the network's weights; None for none.
        accumulate: batches per update, for the meter.
        freeze: names of what is not trained, see `freeze_named`.
        rate_penalty: part of each block's loss, of weight 0 to watch the rates; None for neither.
        convolutions: "auto" or "dense", see `stdl_events.network.scattered`.

    Raises:
        RuleError: there is nothing to learn: no classifier, no sequence or no step; no device to replay on; or the
            dtype is not a floating point type.
    """

    spec: NetworkSpec
    rule: Rule
    batch_size: int
    steps: int
    loss: Loss
    optimizer: OptimizerSpec
    seed: int = 0
    dtype: torch.dtype = torch.float32
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    memory: MemoryMode = "lean"
    precision: str = DEFAULT_PRECISION
    cuda_graphs: bool = False
    average_decay: float | None = None
    accumulate: int = 1
    freeze: tuple[str, ...] = ()
    rate_penalty: "RatePenalty | None" = None
    convolutions: Convolutions = "dense"

    @classmethod
    def of(
        cls,
        spec: NetworkSpec,
        rule: str | Rule = "stdl",
        *,
        batch_size: int,
        steps: int,
        memory: MemoryMode = "lean",
        optimizer: str | OptimizerFactory = DEFAULT_OPTIMIZER,
        lr: float | None = None,
        momentum: float | None = None,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        loss: str | Loss | StepLoss | None = None,
        alpha: float | None = None,
        mse_target: MSETarget | None = None,
        label_smoothing: float | None = None,
        class_weights: Sequence[float] | None = None,
        soft_targets: bool | None = None,
        rate_penalty: float | None = None,
        target_rate: float | Sequence[float] | None = None,
        watch_rates: bool = False,
        seed: int = 0,
        precision: str = DEFAULT_PRECISION,
        cuda_graphs: bool = False,
        average_decay: float | None = None,
        accumulate: int = 1,
        freeze: str | int | Sequence[str | int] = (),
        convolutions: Convolutions = "dense",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        neuron: str | None = None,
        decay: float | None = None,
        threshold: float | None = None,
        reset: Reset | None = None,
        reset_amount: float | None = None,
        surrogate: str | None = None,
        surrogate_width: float | None = None,
        norm: str | None = None,
        **rule_options: Any,
    ) -> "Blueprint":
        """The blueprint for these options, with the defaults of the rule.

        Args:
            spec: the network. Initial weights depend on it and on `seed` alone.
            rule: a name, see `list_rules`, or any other point of the grid as a `Rule`. Named rules take options:
                k: sltt-k: number of random steps of a sequence that learn; tbptt: steps per interval.
                n, classifier: tbptt: layers per block; "trainable" classifiers, or "random" ones with fixed weights.
                update: stdl+ottt, stdl+ndot, ftrl-ottt: updates once per "sequence" or after every "step".
                variant: ndot-a, ndot-o, stdl+ndot: as in the "paper" or as in its "official" released code.
                trace_decay: rules with traces: λ of the traces; by default the neurons' own.
                proximal, proximal_norm: ftrl-ottt: weight and norm, "l1" or "l2", of the proximal term towards the
                    weights of the first phase: the initial ones until `load_state_dict` or `anchor_weights` sets
                    others.
            batch_size: sequences per batch.
            steps: T, time steps per sequence.
            memory: "lean" saves packed spikes and recomputes the rest; "kept" is lean with the outputs of all
                convolutions saved; "plain" is ordinary autograd. The gradients are the same. Rules whose gradients flow
                through several steps always run plain.
            optimizer: "sgd", "adamw", another name in `OPTIMIZERS`, or a function from a list of parameters to a
                `torch.optim.Optimizer`.
            lr, momentum, weight_decay: of the optimiser, if it has them; None for its own default.
            clip_norm: greatest L2 norm of all gradients together at an update; None for no limit.
            loss: "ce" is cross-entropy / T; "ce+mse" is ((1 - alpha) CE + alpha MSE) / T, as in SLTT; "spike-mse" is
                truncated local BPTT's, on the mean spikes of an interval, with spiking classifiers. Also another name
                in `LOSSES`, a function (logits_BK, targets_B) -> loss of one step, or a `Loss`. None is the rule's own:
                spike-mse for tbptt, else ce+mse.
            alpha: of "ce+mse"; None for 0.05.
            mse_target: target of the MSE of "ce+mse": "one-hot", the default, or the "threshold" for all classes.
            label_smoothing: of "ce" and "ce+mse": share of each target that is spread over all classes; None for 0.
            class_weights: of "ce" and "ce+mse": weights of the clips of each class; None for equal ones.
            soft_targets: True for targets_BK, weights of the classes, such as those of mixed clips; None for indices.
            rate_penalty: beta of the penalty on firing rates, part of each block's loss, see `rates`; 0 for none.
            target_rate: share of a layer's neurons that may fire in a step without a penalty, one for all layers of
                neurons or one for each; None for 0.02. Needs `rate_penalty`.
            watch_rates: count the spikes of each layer of neurons for `train_step`'s metrics, without a penalty too.
            seed: of the initial weights, of dropout's masks, and of the random steps of sltt-k.
            precision: a name in `STEP_PRECISIONS`. "bf16" computes membrane potentials, currents, their gradients and
                convolutions in bfloat16; weights, their gradients and batch norm's statistics stay in float32. On a
                processor without bfloat16 convolutions they run in float32. "bf16-convolutions" and "bf16-states" ask
                for either on every machine, such as for another machine's plan. "int8-state" keeps membrane potentials
                in eight bits between two steps, in training and wherever the network runs, for lif with soft reset.
                Neither is for rules with traces. "auto" is settled by `plan_learner` and `build_learner`.
            cuda_graphs: on a CUDA device, record a block's step once and replay it: the same results, with less work
                for the host between kernels. The first sequence of each length and batch size runs unrecorded.
            average_decay: decay of an exponential moving average of the network's weights, which
                `Learner.trained_network` then has; None for none.
            accumulate: batches per update: the caller calls `Learner.accumulate` so often before `Learner.update`.
            freeze: what of the network is not trained: a number of first layers or names, one or several, see
                `freeze_named`.
            convolutions: "auto" adds weights for non-zero inputs alone where a layer's input is sparse enough, on the
                CPU, in lean modes and in evaluation; "dense" never does.
            dtype, device: of weights and states.
            neuron, decay, threshold, reset, reset_amount, surrogate, surrogate_width, norm: replace those of `spec`,
                see `NeuronSpec` and `NetworkSpec`. neuron="paper" is the neuron that the rule was published with
                (`network.paper_neurons`), changed by the other settings; the default is that of `spec`.

        Raises:
            RuleError: the rule or one of its options is unknown, or the options contradict each other.
        """
        check_switches(soft_targets=soft_targets, watch_rates=watch_rates, cuda_graphs=cuda_graphs)
        asks_for_rates = watch_rates or rate_penalty not in (None, 0)
        check_target_rate(rate_penalty, target_rate)
        chosen = find_rule(rule, rule_options)
        if neuron == PAPER:
            spec, neuron = dataclasses.replace(spec, neuron=paper_neuron(chosen.name)), None
        settings: dict[str, Any] = {
            "kind": neuron,
            "decay": decay,
            "threshold": threshold,
            "reset": reset,
            "reset_amount": reset_amount,
            "surrogate": surrogate,
            "surrogate_width": surrogate_width,
        }
        spec = spec.with_settings(settings, norm)
        learned = make_loss(
            chosen.loss if loss is None else loss,
            threshold=spec.neuron.threshold,
            alpha=alpha,
            mse_target=mse_target,
            label_smoothing=label_smoothing,
            class_weights=class_weights,
            soft_targets=soft_targets,
        )
        return cls(
            spec=spec_for(learned, spec),
            rule=chosen,
            batch_size=batch_size,
            steps=steps,
            loss=learned,
            optimizer=OptimizerSpec(optimizer, lr, momentum, weight_decay, clip_norm),
            seed=seed,
            dtype=dtype,
            device=named_device(device),
            memory=memory,
            precision=precision,
            cuda_graphs=cuda_graphs,
            average_decay=average_decay,
            accumulate=accumulate,
            freeze=names_of(freeze),
            rate_penalty=_rate_penalty(rate_penalty, target_rate, spec) if asks_for_rates else None,
            convolutions=convolutions,
        )

    @property
    def is_lean(self) -> bool:
        """True if the memory mode is a lean one and the rule supports it."""
        return self.memory != "plain" and self.rule.time.chunk_steps == 1

    @property
    def flowing(self) -> torch.dtype:
        """The activation dtype, also that of membrane potentials."""
        return flowing_dtype(self.precision, self.dtype, self.rule)

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", settled_precision(self.precision, self.device))
        flowing_dtype(self.precision, self.dtype, self.rule)
        object.__setattr__(self, "spec", spec_in_precision(self.spec, self.precision))
        require_choice("convolutions", self.convolutions, get_args(Convolutions))
        classes = check_network(self.spec)
        check_class_weights(self.loss, classes)
        check_device(self.device, self.dtype, cuda_graphs=self.cuda_graphs)
        check_counts(batch_size=self.batch_size, steps=self.steps, accumulate=self.accumulate)
        check_seed(self.seed)
        if self.accumulate > 1:
            self.rule.check_accumulation()
        if self.average_decay is not None:
            check_decay(self.average_decay)

    def on_host(self) -> "Blueprint":
        """The blueprint on the host, for metering instead of training."""
        return dataclasses.replace(self, device=torch.device("cpu"), cuda_graphs=False)

    def build(self, plan: Plan | None) -> "Learner":
        """The learner with the blocks of `plan` or, without a plan, with the rule's own."""
        learner: Learner = construction().construct(self, plan)
        return learner

    def cuts(self, plan: Plan | None) -> list[Cut]:
        """The blocks of `plan` or, without a plan, the rule's own."""
        if plan is not None:
            heads = [
                None if block.auxiliary is None else self.spec.auxiliary(block.auxiliary, block.stop)
                for block in plan.blocks
            ]
            return [Cut(block.start, block.stop, head) for block, head in zip(plan.blocks, heads, strict=True)]
        if isinstance(self.rule.space, Layerwise):
            return layerwise_cuts(self.spec, self.rule.space.layers)
        return [Cut(0, len(self.spec.layers), None)]


def _rate_penalty(weight: float | None, target: float | Sequence[float] | None, spec: NetworkSpec) -> "RatePenalty":
    """See `make_rate_penalty`, which builds the network."""
    construction()
    from stdl_events.learning.rates import make_rate_penalty

    return make_rate_penalty(0 if weight is None else weight, target, spec)
