"""Memory from layer to layer: the right layers in the right order, the right heights, and a picture of them."""

import pytest

from stdl_events.analysis.memory_trace import draw_memory_trace, step_starts
from stdl_events.learning.blueprint import Blueprint
from stdl_events.memory.choose_plan import Planner
from stdl_events.memory.report import StepMemory, meter_step
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.partition import Cut

SPEC = NetworkSpec.parse("8C3-8C3-AP2-8R-10FC", input_shape=(2, 32, 32))
STEPS = 3


def make_blueprint(rule: str, memory: str) -> Blueprint:
    return Blueprint.of(SPEC, rule, batch_size=8, steps=STEPS, memory=memory)


def trace(rule: str, memory: str = "plain") -> StepMemory:
    return meter_step(make_blueprint(rule, memory), None, every_step=True)


def layers_of(step: StepMemory, phase: str) -> list[int]:
    return [lap.moment.site.layer for lap in step.footprint.laps if lap.moment.phase == phase]


@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_an_online_rule_goes_forward_and_back_in_every_step(memory):
    step = trace("sltt", memory)
    assert layers_of(step, "forward") == [1, 2, 3, 4] * STEPS
    assert layers_of(step, "backward") == [4, 3, 2, 1] * STEPS
    assert list(step_starts(step.footprint.laps).values()) == ["t=1", "t=2", "t=3"]
    heights = [lap.peak_bytes for lap in step.footprint.laps]
    assert max(heights) == step.footprint.peak_bytes
    # Gradients are allocated from the first backward on; all later steps are alike.
    second, third = heights[8:16], heights[16:]
    assert second == third


def test_bptt_goes_forward_through_all_steps_first_and_grows_on_the_way():
    step = trace("bptt")
    assert layers_of(step, "forward") == [1, 2, 3, 4] * STEPS
    assert layers_of(step, "backward") == [4, 3, 2, 1] * STEPS
    assert list(step_starts(step.footprint.laps).values()) == ["t=1", "t=2", "t=3", "back"]
    heights = {phase: [lap.peak_bytes for lap in step.footprint.laps if lap.moment.phase == phase]
               for phase in ("forward", "backward")}  # fmt: skip
    assert max(heights["forward"] + heights["backward"]) == step.footprint.peak_bytes
    assert heights["forward"][3] < heights["forward"][7] < heights["forward"][11]
    assert heights["backward"][0] > heights["backward"][-1]
    assert heights["forward"][:4] == [lap.peak_bytes for lap in trace("sltt").footprint.laps[:4]]


def test_blocks_go_one_after_another_each_with_its_auxiliary_network():
    blueprint = make_blueprint("stdl", "lean")
    plan = Planner(blueprint).with_cuts([Cut(0, 2, SPEC.auxiliary("8R-10FC", 2)), Cut(2, 4, None)])
    step = meter_step(blueprint, plan, every_step=True)
    sites = [
        (lap.moment.phase, lap.moment.block, lap.moment.site.auxiliary_of, lap.moment.site.layer)
        for lap in step.footprint.laps
        if lap.moment.steps == (2, 2)
    ]
    first = [(None, 1), (None, 2), (1, 1), (1, 2)]
    second = [(None, 3), (None, 4)]
    assert sites == [
        *(("forward", 1, *site) for site in first),
        *(("backward", 1, *site) for site in reversed(first)),
        *(("forward", 2, *site) for site in second),
        *(("backward", 2, *site) for site in reversed(second)),
    ]


def test_a_picture_is_drawn_whole(tmp_path):
    path = tmp_path / "trace.png"
    draw_memory_trace(path, [trace("bptt"), trace("sltt", "lean")])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [found.name for found in tmp_path.iterdir()] == ["trace.png"]
