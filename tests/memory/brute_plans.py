"""Random small networks, and the metered peaks of all their plans: whole training steps of built learners.

It shares only the notation of auxiliary networks with the search.
"""

import dataclasses
import itertools
import random
from collections.abc import Iterator

import pytest

from stdl_events.errors import NotationError, PlanError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.losses import InstantaneousLoss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.rules import get_rule
from stdl_events.memory.choose_mode import find_fastest
from stdl_events.memory.choose_plan import Planner
from stdl_events.memory.footprint import measure_learner
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.auxiliary import auxiliary_candidates
from stdl_events.plan.partition import Cut
from stdl_events.plan.plan import Plan, PlannedBlock

BODIES = ("4C3", "8C3", "16C3", "8C3-AP2", "16C3(s2)", "8R", "16R(s2)", "16R-AP2", "8SEWR", "16SEWR(s2)", "8C3-DP(0.2)")


def random_blueprint(seed: int, *, layers: int, memory: str) -> Blueprint:
    """A network of 3 to `layers` layers in a random setting, with the memory mode `memory`."""
    rng = random.Random(seed)
    while True:
        tokens = [rng.choice(("4C3", "8C3", "16C3-AP2", "AP2-8C3"))]
        tokens += [rng.choice(BODIES) for _ in range(rng.randint(1, layers - 2))]
        if rng.random() < 0.15:
            tokens[-1] = "12FC"
        shape = (2, rng.choice((8, 12, 24)), rng.choice((8, 16, 20)))
        neuron, norm = rng.choice(("lif", "lif", "lif", "plif", "alif")), rng.choice(("batch", "batch", "ws", "none"))
        try:
            spec = NetworkSpec.parse("-".join([*tokens, "5FC"]), input_shape=shape)
        except NotationError:
            continue
        rule = get_rule(rng.choice(("stdl", "stdl", "stdl+ottt", "stdl+ndot")))
        optimizer = OptimizerSpec(rng.choice(("sgd", "adamw")))
        spec = spec.with_settings({"kind": neuron} if rule.name == "stdl" else {}, norm)
        batch_size = rng.choice((1, 4, 16, 64))
        return Blueprint(spec, rule, batch_size, 3, InstantaneousLoss(), optimizer, memory=memory)


def all_cuts(spec: NetworkSpec) -> Iterator[list[Cut]]:
    """Every partition with every auxiliary network."""
    last = len(spec.layers) - 1
    heads = {
        stop: [head for depth in range(1, last - stop + 1) for head in auxiliary_candidates(spec, stop, depth=depth)]
        for stop in range(1, last)
    }
    for count in range(last):
        for stops in itertools.combinations(range(1, last), count):
            borders = [0, *stops, last + 1]
            for chosen in itertools.product(*(heads[stop] for stop in stops)):
                yield list(map(Cut, borders[:-1], borders[1:], (*chosen, None)))


def all_kept(cuts: list[Cut]) -> Iterator[list[tuple[int, ...]]]:
    """Every choice of layers whose outputs are kept; classifiers have none."""
    choices = []
    for cut in cuts:
        layers = range(cut.stop - cut.start + (len(cut.auxiliary.layers) if cut.auxiliary else 0) - 1)
        choices.append([kept for count in range(len(layers) + 1) for kept in itertools.combinations(layers, count)])
    return map(list, itertools.product(*choices))


def metered(blueprint: Blueprint, cuts: list[Cut], kept: list[tuple[int, ...]] | None = None) -> int:
    """The metered peak of a training step of the learner with these cuts."""
    blocks = tuple(
        PlannedBlock(cut.start, cut.stop, "", cut.auxiliary and cut.auxiliary.notation, 1, kept=layers)
        for cut, layers in zip(cuts, kept or [()] * len(cuts), strict=True)
    )
    plan = Plan(blueprint.spec.notation, blueprint.spec.input_shape, blueprint.batch_size, blocks, 1)
    return measure_learner(blueprint, plan)[0].peak_bytes


def named(error: PlanError) -> int:
    """The budget in a refusal's message."""
    return int(error.expected.removeprefix("at least ").split(" bytes")[0])


def check_mode(blueprint: Blueprint) -> tuple[int, int]:
    """`Planner` refuses no budget that a plan meets, and no plan of its own is over budget or has a block too many.

    Returns:
        The number of metered plans, and the largest error of the predictions for their blocks in bytes.
    """
    planner = Planner(blueprint)
    plans = [planner.with_cuts(cuts) for cuts in all_cuts(blueprint.spec)]
    off = max(abs((block.metered_bytes or 0) - block.predicted_bytes) for plan in plans for block in plan.blocks)
    peaks = [(plan.total_bytes, len(plan.blocks)) for plan in plans]
    least, most = min(peaks)[0], max(peaks)[0]
    what = f"{blueprint.spec.notation} on {blueprint.spec.input_shape} x {blueprint.batch_size}, {blueprint.rule.name}"
    assert planner.smallest().total_bytes == least, f"{what}: {planner.smallest().total_bytes}, not {least}"
    for budget in (least, (least + most) // 2):
        plan = planner.within(budget)
        assert plan.total_bytes <= budget, f"{what}: {plan.total_bytes} under {budget}"
        assert metered(blueprint, blueprint.cuts(plan)) == plan.total_bytes
        assert len(plan.blocks) == min(blocks for peak, blocks in peaks if peak <= budget), what
    with pytest.raises(PlanError) as caught:
        planner.within(least - 1)
    assert named(caught.value) == least, f"{what}: the message names {named(caught.value)}, not {least}"
    return len(peaks), off


def check_auto(blueprint: Blueprint) -> tuple[int, bool]:
    """`find_fastest` refuses no budget that plain mode, or lean mode with any outputs kept, meets.

    Returns:
        The number of metered plans, and True if the smallest one keeps outputs.
    """
    plain, lean = (dataclasses.replace(blueprint, memory=memory) for memory in ("plain", "lean"))
    cuts = list(all_cuts(blueprint.spec))
    peaks = [(metered(plain, one), len(one), False) for one in cuts]
    recomputing = min(metered(lean, one) for one in cuts)
    peaks += [(metered(lean, one, kept), len(one), any(kept)) for one in cuts for kept in all_kept(one)]
    least = min(peaks)[0]
    what = f"{blueprint.spec.notation} on {blueprint.spec.input_shape} x {blueprint.batch_size}, {blueprint.rule.name}"
    chosen = find_fastest(blueprint, least).chosen
    assert chosen.plan.total_bytes <= least, f"{what}: {chosen.plan.total_bytes}, not {least}"
    assert len(chosen.plan.blocks) == min(blocks for peak, blocks, _ in peaks if peak <= least), what
    with pytest.raises(PlanError) as caught:
        find_fastest(blueprint, least - 1)
    assert named(caught.value) == least, f"{what}: the message names {named(caught.value)}, not {least}"
    return len(peaks), least < recomputing
