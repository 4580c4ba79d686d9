"""A learner is planned, built and trained inside the caller's own FakeTensorMode, and planning does not disturb it."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from stdl_events.build import build_learner
from stdl_events.learning.rules import list_rules
from stdl_events.memory import choose_plan, footprint, layer_costs
from stdl_events.memory.meter import LiveBytes, metering
from stdl_events.network.spec import NetworkSpec

SPEC = NetworkSpec.parse("8C3-AP2-8R-DP(0.1)-16C3-10FC", input_shape=(2, 16, 16))
BATCH, STEPS = 4, 3
# With one block there would be no search.
PLANNED = {"rho": 1.2, "least_blocks": 2}


def forget_what_was_metered() -> None:
    """After this, planning meters again what has been planned before."""
    for remembered in (layer_costs._measured, choose_plan._whole_bytes, footprint._footprint):
        remembered.forget()


def fake_clip():
    return torch.empty((STEPS, BATCH, 2, 16, 16), dtype=torch.uint8), torch.zeros(BATCH, dtype=torch.int64)


LEAN_TOO = ("sltt", "sltt-k", "decolle", "ell", "stdl")


@pytest.mark.parametrize(
    ("rule", "memory"), [(rule.name, "plain") for rule in list_rules()] + [(name, "lean") for name in LEAN_TOO]
)
def test_every_rule_trains_on_the_callers_fake_tensors(rule, memory):
    options = {"k": 2} if rule in ("tbptt", "sltt-k") else {}
    with FakeTensorMode() as mode:
        learner = build_learner(SPEC, rule, batch_size=BATCH, steps=STEPS, memory=memory, **options)
        for _ in range(2):
            metrics = learner.train_step(*fake_clip())
    assert all(isinstance(value, FakeTensor) and value.shape == () for value in metrics.values())
    weights = [weight for block in learner.blocks for weight in block.parameters()]
    assert all(isinstance(weight, FakeTensor) and weight.fake_mode is mode for weight in weights)
    by_chunk = learner.rule.update == "chunk"  # then gradients are dropped after every step
    assert all((weight.grad is None) == by_chunk for weight in weights if weight.requires_grad)


@pytest.mark.parametrize(("neuron", "norm"), [("plif", "batch"), ("alif", "ws"), ("lif", "none")])
@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_every_neuron_and_norm_does(neuron, norm, memory):
    settings = {"memory": memory, "neuron": neuron, "norm": norm, "optimizer": "adamw"}
    with FakeTensorMode():
        learner = build_learner(SPEC, "sltt", batch_size=BATCH, steps=STEPS, **settings)
        metrics = learner.train_step(*fake_clip())
    assert isinstance(metrics["loss"], FakeTensor)


@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_the_plan_is_the_one_that_is_found_outside(memory):
    outside = build_learner(SPEC, batch_size=BATCH, steps=STEPS, memory=memory, **PLANNED)
    forget_what_was_metered()
    with FakeTensorMode():
        inside = build_learner(SPEC, batch_size=BATCH, steps=STEPS, memory=memory, **PLANNED)
    assert inside.plan == outside.plan
    assert inside.plan is not None
    assert len(inside.plan.blocks) == 2
    assert all(not isinstance(weight, FakeTensor) for weight in outside.network.parameters())


def test_a_meter_outside_does_not_count_what_the_planner_tries():
    forget_what_was_metered()
    with metering() as planned:
        learner = build_learner(SPEC, batch_size=BATCH, steps=STEPS, **PLANNED)
    with metering() as unplanned:
        same = build_learner(SPEC, batch_size=BATCH, steps=STEPS, plan=learner.plan)
    assert planned.now == unplanned.now > 0
    assert planned.peak == unplanned.peak
    assert len(same.blocks) == len(learner.blocks) == 2


def test_a_callers_real_tensors_are_not_seen_by_the_meter_inside():
    with LiveBytes() as outside:
        mine = torch.zeros(1000)
        before = outside.now
        with metering() as inside:
            torch.empty(10**9)
            assert inside.peak == 4 * 10**9
        assert outside.now == outside.peak == before
    assert mine.sum() == 0
