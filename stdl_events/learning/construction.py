"""Construction of a learner from its blueprint."""

from collections.abc import Sequence

import numpy as np

from stdl_events.learning.block import LocalBlock
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.cuda_graphs import CUDARecorder, ReplayedChunks
from stdl_events.learning.frozen import freeze_named, freeze_random_classifiers
from stdl_events.learning.lean import check_layer, run_chunk_lean
from stdl_events.learning.learner import Learner
from stdl_events.learning.loss_weights import resident_loss
from stdl_events.learning.named_devices import require_device
from stdl_events.learning.online import RunChunk
from stdl_events.learning.plain import run_chunk_plain
from stdl_events.learning.precision import convolving_dtype
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.synapse import convolve_in, set_convolutions
from stdl_events.plan.partition import Cut
from stdl_events.plan.plan import Plan


def construct(blueprint: Blueprint, plan: Plan | None) -> Learner:
    """The learner with the blocks of `plan` or, without a plan, with the rule's own."""
    require_device(blueprint.device)
    network = SpikingNetwork.build(blueprint.spec, seed=blueprint.seed, dtype=blueprint.dtype, device=blueprint.device)
    cuts = blueprint.cuts(plan)
    kept = [block.kept for block in plan.blocks] if plan is not None else [()] * len(cuts)
    blocks = [_block(blueprint, network, index, cut, kept[index]) for index, cut in enumerate(cuts)]
    convolve_in(convolving_dtype(blueprint.precision), (part for block in blocks for part in block.parts))
    freeze_random_classifiers(blueprint.rule.space, blocks)
    freeze_named(network, blocks, blueprint.freeze)
    run_chunk: RunChunk = run_chunk_lean if blueprint.is_lean else run_chunk_plain
    weights = [weight for block in blocks for weight in block.parameters() if weight.requires_grad]
    learner = Learner(
        network,
        blocks,
        rule=blueprint.rule,
        loss=resident_loss(blueprint.loss, blueprint.device, blueprint.dtype),
        optimizer=blueprint.optimizer.build(weights),
        steps=blueprint.steps,
        random=np.random.default_rng(np.random.SeedSequence(blueprint.seed, spawn_key=(0,))),
        plan=plan,
        run_chunk=run_chunk,
        check_layer=check_layer if blueprint.is_lean else None,
        replayed=ReplayedChunks(run_chunk, CUDARecorder) if blueprint.cuda_graphs else None,
        average_decay=blueprint.average_decay,
        batches_per_update=blueprint.accumulate,
        rate_penalty=blueprint.rate_penalty,
    )
    averaged = [] if learner.average is None else [learner.average.network]
    parts = [part for block in blocks for part in block.parts]
    set_convolutions([network, *averaged, *parts], blueprint.convolutions)
    return learner


def _block(blueprint: Blueprint, network: SpikingNetwork, index: int, cut: Cut, kept: Sequence[int]) -> LocalBlock:
    auxiliary = None
    if cut.auxiliary is not None:
        # Separate seeds, so that the network's weights do not depend on the plan.
        seed = int(np.random.SeedSequence([blueprint.seed, index]).generate_state(1)[0])
        auxiliary = SpikingNetwork.build(cut.auxiliary, seed=seed, dtype=blueprint.dtype, device=blueprint.device)
    layers = cut.stop - cut.start + (len(cut.auxiliary.layers) if cut.auxiliary else 0)
    stay = range(layers) if blueprint.memory == "kept" else kept
    return LocalBlock(
        network.slice(cut.start, cut.stop),
        auxiliary,
        trace=blueprint.rule.time.trace,
        kept=stay,
        flowing=blueprint.flowing,
        chunk_steps=blueprint.rule.time.chunk_steps,
    )
