"""Given plans: metered again if they are those of another setting, and written in notation."""

import dataclasses
import json
from typing import Any

import pytest

from stdl_events.build import build_learner
from stdl_events.errors import PlanError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.losses import InstantaneousLoss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.rules import get_rule
from stdl_events.memory.choose_plan import Planner, choose_plan
from stdl_events.memory.footprint import measure_learner
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan

SPEC = NetworkSpec.parse("8C3-AP2-12R-16R(s2)-5FC", input_shape=(2, 16, 16))
BLUEPRINT = Blueprint(SPEC, get_rule("stdl"), 8, 3, InstantaneousLoss(), OptimizerSpec("sgd"), memory="plain")


@pytest.fixture(scope="module")
def given() -> Plan:
    """The smallest plan of the blueprint."""
    return Planner(BLUEPRINT, least_blocks=2).smallest()


def test_a_plan_for_the_same_setting_is_taken_as_it_is(given: Plan):
    assert choose_plan(BLUEPRINT, plan=given) is given
    assert choose_plan(BLUEPRINT, plan=json.loads(json.dumps(given.to_dict()))) == given
    longer = dataclasses.replace(BLUEPRINT, steps=9)
    assert choose_plan(longer, plan=given) is given, "online, memory does not depend on T"


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 32},
        {"memory": "lean"},
        {"memory": "kept"},
        {"precision": "bf16-convolutions"},
        {"optimizer": OptimizerSpec("adamw")},
        {"rule": get_rule("stdl+ottt")},
        {"spec": SPEC.with_settings({"kind": "alif"})},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_plan_for_another_setting_is_metered_again(given: Plan, change: dict[str, Any]):
    blueprint = dataclasses.replace(BLUEPRINT, **change)
    plan = choose_plan(blueprint, plan=given.to_dict())
    report, peaks = measure_learner(blueprint, given)
    assert plan.total_bytes == report.peak_bytes != given.total_bytes
    assert [block.metered_bytes for block in plan.blocks] == list(peaks)
    assert [(block.stop, block.auxiliary) for block in plan.blocks] == [
        (block.stop, block.auxiliary) for block in given.blocks
    ]
    assert plan.budget_bytes is None
    assert plan.batch_size == blueprint.batch_size
    assert choose_plan(blueprint, plan=plan) is plan


def test_the_learner_says_the_new_bytes(given: Plan):
    options = {"batch_size": 32, "steps": 3, "memory": "plain", "optimizer": "sgd"}
    learner = build_learner(SPEC, plan=given.to_dict(), **options)
    assert (learner.plan.batch_size, given.batch_size) == (32, 8)
    assert learner.plan.total_bytes > 2 * given.total_bytes


def test_a_document_that_does_not_say_what_it_is_for_is_metered_again(given: Plan):
    document = {name: value for name, value in given.to_dict().items() if name not in ("setting", "metered_bytes")}
    document["blocks"] = [block | {"metered_bytes": 1} for block in document["blocks"]]
    assert Plan.from_dict(document).setting is None
    plan = choose_plan(BLUEPRINT, plan=document)
    assert plan == dataclasses.replace(given, budget_bytes=None)


def test_blocks_in_notation_are_a_plan():
    blocks = [("8C3-AP2", "AP4-16R(s2)-5FC"), "12R-16R(s2)-5FC"]
    learner = build_learner(SPEC, plan=blocks, batch_size=2, steps=2, memory="plain")
    assert [(block.subnetwork, block.auxiliary) for block in learner.plan.blocks] == [
        ("8C3-AP2", "AP4-16R(s2)-5FC"),
        ("12R-16R(s2)-5FC", None),
    ]
    assert len(learner.blocks) == 2
    assert learner.plan.metered_bytes is not None


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        ["8C3-AP2", "12R-16R(s2)-5FC"],
        [("8C3-AP2", "16R(s2)-5FC")],
        [("8C3-AP2", "16R(s2)-5FC"), "16R(s2)-5FC"],
        [("8C3-AP2", "16R(s2)-5FC", "5FC"), "12R-16R(s2)-5FC"],
    ],
)
def test_blocks_that_do_not_make_up_the_network_are_refused(blocks):
    with pytest.raises(PlanError, match="expected pairs of layers and auxiliary network, the last without, that make"):
        build_learner(SPEC, plan=blocks, batch_size=2, steps=2)


def test_auxiliary_networks_in_notation_end_in_the_networks_classes():
    with pytest.raises(PlanError, match="got auxiliary network 16R"):
        build_learner(SPEC, plan=[("8C3-AP2", "16R(s2)-4FC"), "12R-16R(s2)-5FC"], batch_size=2, steps=2)
