"""`build_learner`: from a network, a rule and a memory budget to something that trains."""

import dataclasses
from typing import Any, Literal, TypeAlias, get_args

import torch

from stdl_events.errors import RuleError
from stdl_events.learning.blueprint import Blueprint, MemoryMode
from stdl_events.learning.grid import Rule
from stdl_events.learning.learner import Learner
from stdl_events.learning.losses import Loss, MSETarget, StepLoss, make_loss, spec_for
from stdl_events.learning.optimizers import OptimizerFactory, OptimizerSpec
from stdl_events.learning.precision import Precision
from stdl_events.learning.registries import DEFAULT_OPTIMIZER
from stdl_events.learning.rules import find_rule
from stdl_events.memory.choose_mode import resolve_fastest
from stdl_events.memory.choose_plan import PlanLike, choose_plan
from stdl_events.network.paper_neurons import PAPER, paper_neuron
from stdl_events.network.spec import NetworkSpec, Reset

AnyMemory: TypeAlias = MemoryMode | Literal["auto"]
MEMORY_MODES = (*get_args(MemoryMode), "auto")


def build_learner(
    spec: NetworkSpec,
    rule: str | Rule = "stdl",
    *,
    batch_size: int,
    steps: int,
    budget: int | str | None = None,
    rho: float | None = None,
    plan: PlanLike | None = None,
    least_blocks: int = 1,
    memory: AnyMemory = "lean",
    optimizer: str | OptimizerFactory = DEFAULT_OPTIMIZER,
    lr: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    loss: str | Loss | StepLoss | None = None,
    alpha: float | None = None,
    mse_target: MSETarget | None = None,
    seed: int = 0,
    precision: Precision = "fp32",
    cuda_graphs: bool = False,
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
) -> Learner:
    """A learner for `spec`: weights, blocks, auxiliary networks and optimiser.

    Args:
        spec: the network. Initial weights depend on it and on `seed` alone.
        rule: a name, see `list_rules`, or any other point of the grid as a `Rule`. Named rules take options:
            k: sltt-k: how many random steps of a sequence learn; tbptt: steps per interval.
            n, classifier: tbptt: layers per block, and whether classifiers are "trainable" or keep "random" weights.
            update: stdl+ottt, stdl+ndot, ftrl-ottt: weights move once per "sequence" or after every "step".
            variant: ndot-a, ndot-o, stdl+ndot: as in the "paper", or as its "official" released code computes.
            trace_decay: rules with traces: λ of the traces; by default the neurons' own.
            proximal, proximal_norm: ftrl-ottt: weight and norm, "l1" or "l2", of the pull towards the weights of its
                first phase, which are the initial ones until `load_state_dict` or `anchor_weights` says otherwise.
        batch_size: sequences per batch; the plan is made for it.
        steps: T, time steps per sequence.
        budget: for planned rules: bytes that training may use at its peak, or text such as "8GB" or "8GiB".
        rho: the same as a share of what the uncut network needs trained online in plain mode.
        plan: a `Plan`, its JSON as a mapping, the path of a JSON file, or "paper" for the published plan of a zoo's
            network. At most one of budget, rho and plan; without any, the smallest ρ >= 0.7 for which there is a plan.
        least_blocks: how many blocks a plan has at least, for who wants to cut even where memory does not ask for it.
        memory: "lean" keeps packed spikes and makes the rest again; "kept" is lean with the outputs of all convolutions
            kept; "plain" is ordinary autograd. "auto" is the fastest that fits into the budget with the fewest blocks,
            lean with as much kept as there is room for as a rule; the learner's plan says what is kept. The gradients
            are the same. Rules whose gradients flow through several steps always run plain.
        optimizer: "sgd", "adamw", another name in `OPTIMIZERS`, or a function that makes a `torch.optim.Optimizer` of a
            list of parameters.
        lr, momentum, weight_decay: of the optimiser, if it has them; None for its own default.
        loss: "ce" is cross-entropy / T; "ce+mse" is ((1 - alpha) CE + alpha MSE) / T, as in SLTT; "spike-mse" is
            truncated local BPTT's, on the mean spikes of an interval, and makes all classifiers spike. Also another
            name in `LOSSES`, a function of (logits_BK, targets_B) that gives the loss of one step, or a `Loss`. None is
            the rule's own: spike-mse for tbptt, else ce+mse.
        alpha: of "ce+mse"; None for 0.05.
        mse_target: what the MSE of "ce+mse" pulls the logits to: the "one-hot" target, the default, or the "threshold"
            for all.
        seed: of the initial weights, and of what training draws at random: dropout's masks, and the steps of sltt-k.
        precision: "bf16" keeps membrane potentials, currents and their gradients in bfloat16, and convolves in it;
            weights, their gradients and batch norm's statistics stay in float32. Not for rules with traces.
        cuda_graphs: on a CUDA device, record what a block does in a step once and replay it: the same results, with
            less work for the host between kernels. The first sequence of each length and batch size runs unrecorded.
        dtype, device: of weights and states.
        neuron, decay, threshold, reset, reset_amount, surrogate, surrogate_width, norm: replace those of `spec`, see
            `NeuronSpec` and `NetworkSpec`. With neuron="paper" the whole neuron is the one that the rule was published
            with (`network.paper_neurons`), and the others change it; by default it is that of `spec`.

    Raises:
        PlanError: no plan fits the budget, or the given plan is for another network.
        RuleError: the rule or one of its options is unknown, or the options contradict each other.
    """
    chosen = find_rule(rule, rule_options)
    if memory not in MEMORY_MODES:
        raise RuleError("memory mode", got=repr(memory), expected=" or ".join(MEMORY_MODES), todo="choose one of these")
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
    learned = make_loss(loss or chosen.loss, threshold=spec.neuron.threshold, alpha=alpha, mse_target=mse_target)
    blueprint = Blueprint(
        spec=spec_for(learned, spec),
        rule=chosen,
        batch_size=batch_size,
        steps=steps,
        loss=learned,
        optimizer=OptimizerSpec(optimizer, lr, momentum, weight_decay),
        seed=seed,
        dtype=dtype,
        device=torch.device(device),
        memory="lean" if memory == "auto" else memory,
        precision=precision,
        cuda_graphs=cuda_graphs,
    )
    if memory != "auto" or plan is not None:
        return blueprint.build(choose_plan(blueprint, budget=budget, rho=rho, plan=plan, least_blocks=least_blocks))
    fastest, made = resolve_fastest(blueprint, budget=budget, rho=rho, least_blocks=least_blocks)
    return fastest.build(made)
