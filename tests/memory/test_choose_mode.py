"""The fastest way to train within a budget: the chosen mode and kept outputs, confirmed by the meter."""

import dataclasses
import json

import pytest
import torch

from stdl_events.build import build_learner
from stdl_events.errors import PlanError, RuleError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Planned, Rule, truncated
from stdl_events.learning.losses import InstantaneousLoss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.rules import get_rule
from stdl_events.memory.choose_mode import Alternative, choose_fastest, find_fastest, keep_outputs
from stdl_events.memory.choose_plan import Planner, metered_plan
from stdl_events.memory.macs import forward_macs, step_macs
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan

SPEC = NetworkSpec.parse("8C3-AP2-8C3-16C3-AP2-16C3-3FC", input_shape=(2, 32, 32))
BATCH, STEPS = 32, 3
BLUEPRINT = Blueprint(SPEC, get_rule("stdl"), BATCH, STEPS, InstantaneousLoss(), OptimizerSpec())
# Every convolution is 3x3 and keeps the size: weights times pixels.
FORWARD_MACS = [9 * 2 * 8 * 32 * 32, 9 * 8 * 8 * 16 * 16, 9 * 8 * 16 * 16 * 16, 9 * 16 * 16 * 8 * 8, 16 * 3]


def uncut(memory: str) -> Plan:
    blueprint = dataclasses.replace(BLUEPRINT, memory=memory)
    planner = Planner(blueprint)
    return planner.within(planner.whole_bytes * 2)


def by_mode(alternatives: tuple[Alternative, ...]) -> dict[tuple[str, bool], Alternative]:
    return {(each.memory, each.kept_layers > 0): each for each in alternatives}


def test_macs_of_layers_and_steps_are_those_of_their_formulas():
    assert [forward_macs(layer, SPEC) for layer in SPEC.layers] == FORWARD_MACS
    # Forward, then the gradients of weights and of inputs; frames need no gradient.
    expected = 3 * sum(FORWARD_MACS) - FORWARD_MACS[0]
    plans = {memory: uncut(memory) for memory in ("plain", "lean")}
    found = {memory: step_macs(dataclasses.replace(BLUEPRINT, memory=memory), plans[memory]) for memory in plans}
    assert found["plain"] == BATCH * expected
    assert found["lean"] == BATCH * (expected + sum(FORWARD_MACS[:-1])), "convolutions are made again"
    kept = step_macs(dataclasses.replace(BLUEPRINT, memory="kept"), plans["lean"])
    assert kept == found["plain"]


def test_where_everything_fits_all_is_kept():
    choice = find_fastest(BLUEPRINT, uncut("plain").total_bytes)
    assert (choice.chosen.memory, choice.chosen.kept_layers, len(choice.chosen.plan.blocks)) == ("lean", 4, 1)
    assert len(choice.alternatives) == 3
    plain = choice.alternatives[0]
    assert (plain.memory, plain.macs, plain.fits) == ("plain", choice.chosen.macs, True)
    assert choice.chosen.plan.total_bytes < plain.plan.total_bytes


def test_one_byte_less_is_lean_with_everything_kept_that_fits():
    plain, lean = uncut("plain").total_bytes, uncut("lean").total_bytes
    assert lean < plain
    choice = find_fastest(BLUEPRINT, plain - 1)
    assert (choice.chosen.memory, len(choice.chosen.plan.blocks)) == ("lean", 1)
    assert choice.chosen.kept_layers > 0
    assert choice.chosen.plan.total_bytes <= plain - 1
    tried = by_mode(choice.alternatives)
    assert choice.chosen.macs < tried["lean", False].macs
    # Plain mode may still fit with a cut, and be faster: fewer blocks come first all the same.
    assert len(tried["plain", False].plan.blocks) > 1


def test_no_layer_more_could_be_kept():
    deep = NetworkSpec.parse("8C3-8C3-8C3-8C3-16C3-AP2-16C3-3FC", input_shape=(2, 32, 32))
    blueprint = dataclasses.replace(BLUEPRINT, spec=deep, memory="lean")
    plan = Planner(blueprint).smallest()
    everything = metered_plan(dataclasses.replace(blueprint, memory="kept"), plan).total_bytes
    budget = (plan.total_bytes + everything) // 2
    assert plan.total_bytes < budget < everything, "there is something to choose"
    kept = keep_outputs(blueprint, plan, budget)
    (block,) = kept.blocks
    assert kept.total_bytes <= budget
    assert 0 < len(block.kept) < 6
    assert block.predicted_bytes == pytest.approx(block.metered_bytes, rel=0.05)
    for layer in set(range(6)) - set(block.kept):
        more = dataclasses.replace(block, kept=(*block.kept, layer))
        assert metered_plan(blueprint, dataclasses.replace(kept, blocks=(more,))).total_bytes > budget


def test_what_is_kept_reads_back_from_json():
    plan = keep_outputs(dataclasses.replace(BLUEPRINT, memory="lean"), uncut("lean"), 10**9)
    assert plan.blocks[0].kept == (0, 1, 2, 3)
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_too_small_a_budget_names_the_smallest_that_works():
    with pytest.raises(PlanError, match="got 1000 bytes; expected at least") as caught:
        find_fastest(BLUEPRINT, 1000)
    smallest = int(str(caught.value).split("at least ")[1].split(" bytes")[0])
    assert find_fastest(BLUEPRINT, smallest).chosen.plan.total_bytes <= smallest
    with pytest.raises(PlanError):
        find_fastest(BLUEPRINT, smallest - 1)


@pytest.mark.parametrize(
    ("rule", "modes"),
    [
        (get_rule("stdl+ottt"), ["plain", "lean", "lean"]),
        (Rule("through two steps", Planned(), truncated(2), "sequence", "this test"), ["plain"]),
    ],
)
def test_rules_whose_gradients_flow_through_steps_have_plain_mode_alone(rule, modes):
    choice = choose_fastest(dataclasses.replace(BLUEPRINT, rule=rule), budget="1GB")
    assert [alternative.memory for alternative in choice.alternatives] == modes


def test_a_learner_with_auto_trains_like_any_other():
    options = {"batch_size": 4, "steps": STEPS, "dtype": torch.float64, "least_blocks": 2, "seed": 3}
    frames_TBCHW = torch.poisson(torch.full((STEPS, 4, 2, 32, 32), 0.5), torch.Generator().manual_seed(0))
    targets_B = torch.tensor([0, 1, 2, 0])
    auto = build_learner(SPEC, memory="auto", budget="1.9MB", **options)
    assert any(block.kept for block in auto.plan.blocks)
    lean = build_learner(SPEC, memory="lean", plan=auto.plan.to_dict(), **options)
    plain = build_learner(SPEC, memory="plain", plan=auto.plan, **options)
    for learner in (auto, lean, plain):
        learner.backward(frames_TBCHW, targets_B)
    gradients = [[weight.grad for weight in learner.network.parameters()] for learner in (auto, lean, plain)]
    for ours, same, reference in zip(*gradients, strict=True):
        assert torch.equal(ours, same)
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-14)


def test_auto_without_anything_to_fit_into_keeps_all_where_lean_mode_can():
    online = build_learner(SPEC, "sltt", memory="auto", batch_size=2, steps=2)
    assert online.run_chunk.__name__ == "run_chunk_lean"
    assert all(layer in online.blocks[0].kept for layer in range(5))
    through_time = build_learner(SPEC, "bptt", memory="auto", batch_size=2, steps=2)
    assert through_time.run_chunk.__name__ == "run_chunk_plain"
    with pytest.raises(RuleError, match="got budget with rule sltt"):
        build_learner(SPEC, "sltt", memory="auto", budget="1GB", batch_size=2, steps=2)
    with pytest.raises(RuleError, match="got 'slim'; expected lean or kept or plain or auto"):
        build_learner(SPEC, "sltt", memory="slim", batch_size=2, steps=2)
