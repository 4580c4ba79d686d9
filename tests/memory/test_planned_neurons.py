"""The planner's predictions for neurons that lean mode runs by autograd: metered through the same lean chain."""

import pytest
from new_entries import ADAPTIVE_EXPONENTIAL, registered

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.losses import InstantaneousLoss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.rules import get_rule
from stdl_events.memory.choose_plan import Planner
from stdl_events.network.registries import NEURONS
from stdl_events.network.spec import NetworkSpec, NeuronSpec


@pytest.mark.parametrize("notation", ["4C3-8C3-AP2-8C3-16C3-AP2-16C3-10FC", "8C3-8R-8R-16R(s2)-16R-10FC"])
@pytest.mark.parametrize("rule", ["stdl", "stdl+ottt"])
def test_blocks_of_neurons_without_a_lean_form_are_predicted(notation: str, rule: str) -> None:
    with registered(NEURONS, "exponential", ADAPTIVE_EXPONENTIAL):
        spec = NetworkSpec.parse(notation, input_shape=(2, 16, 16), neuron=NeuronSpec("exponential"))
        planner = Planner(Blueprint(spec, get_rule(rule), 16, 4, InstantaneousLoss(), OptimizerSpec(), memory="lean"))
        plan = planner.smallest()
        assert len(plan.blocks) > 1, "something is cut"
        assert planner.within(plan.total_bytes).total_bytes <= plan.total_bytes
        for block in plan.blocks:
            assert block.predicted_bytes == pytest.approx(block.metered_bytes, rel=0.01)
