"""`neuron="paper"`: each rule with the neuron of its paper, with an unchanged default."""

import pytest
import torch

from stdl_events.build import build_learner
from stdl_events.errors import RecipeError, RuleError
from stdl_events.frames import FrameSpec
from stdl_events.learning.rules import get_rule, list_rules
from stdl_events.network.paper_neurons import PAPER_NEURONS, paper_neuron
from stdl_events.network.registries import NEURONS
from stdl_events.network.spec import NetworkSpec, NeuronSpec
from stdl_events.recipes import load_recipe
from stdl_events.training.build_learner import build_configured_learner
from stdl_events.training.overrides import apply_overrides
from stdl_events.training.settings import TrainConfig

SPEC = NetworkSpec.parse("4C3-3FC", input_shape=(2, 8, 8), neuron=NeuronSpec("alif", reset="hard"))


@pytest.mark.parametrize("rule", [rule.name for rule in list_rules()])
def test_every_rule_has_its_papers_neuron_or_is_refused(rule: str) -> None:
    if rule in PAPER_NEURONS:
        blocks = {"least_blocks": 1} if rule == "stdl" else {}
        learner = build_learner(SPEC, rule, batch_size=2, steps=2, neuron="paper", **blocks)
        assert learner.network.spec.neuron == paper_neuron(rule)
    else:
        with pytest.raises(RuleError, match=f'neuron "paper": got the rule {rule.replace("+", ".")}, which was publ'):
            build_learner(SPEC, rule, batch_size=2, steps=2, neuron="paper")


def test_only_rules_are_in_the_table() -> None:
    assert [get_rule(name).name for name in PAPER_NEURONS] == list(PAPER_NEURONS)


def test_settings_beside_it_change_it_and_the_default_is_the_networks_own() -> None:
    changed = build_learner(SPEC, "ottt-a", batch_size=2, steps=2, neuron="paper", decay=0.25).network.spec.neuron
    assert (changed.decay, changed.surrogate, changed.surrogate_width, changed.reset) == (0.25, "sigmoid", 4.0, "soft")
    assert build_learner(SPEC, "ottt-a", batch_size=2, steps=2).network.spec.neuron == SPEC.neuron
    for kind in NEURONS:
        assert build_learner(SPEC, "sltt", batch_size=2, steps=2, neuron=kind).network.spec.neuron.kind == kind


def test_truncated_local_bptt_is_the_equations_of_its_paper() -> None:
    """Eq. (1), (2) and (6) with τ = 0.8, u_th = θ = 0.4, a = 0.5: one neuron by hand, and its gradient."""
    from stdl_events.network.neurons.cell import NeuronCell

    cell = NeuronCell(paper_neuron("tbptt"), dtype=torch.float64)
    u = s = 0.0
    state = None
    for number in (0.3, 0.3, 0.1, -0.2, 0.9):
        u = 0.8 * u + number - 0.4 * s
        s = float(u >= 0.4)
        x = torch.tensor([number], dtype=torch.float64, requires_grad=True)
        spikes, state = cell(x, state)
        assert spikes.item() == s
        (gradient,) = torch.autograd.grad(spikes.sum(), x, retain_graph=True)
        assert gradient.item() == pytest.approx((abs(u - 0.4) < 0.25) / 0.5)


def test_recipes_and_settings_take_it() -> None:
    config = apply_overrides(load_recipe("folder"), ["network.neuron=paper", "learning.rule=tbptt"])
    assert config.network.neuron == "paper"
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    assert load_recipe("folder").derive(network={"neuron": "paper"}).network.neuron == "paper"
    assert config.derive(network={"neuron": {"decay": 0.3}}).network.neuron == NeuronSpec(decay=0.3)
    frames = FrameSpec(kind="stream", steps=2, sensor_size=(8, 8), dt_us=1000)
    small = config.derive(network={"notation": "4C3"}, learning={"options": {"k": 2}})
    assert build_configured_learner(small, frames, 3).network.spec.neuron == paper_neuron("tbptt")
    unpublished = small.derive(learning={"rule": "stdl+ottt", "options": {"k": None}})
    with pytest.raises(RuleError, match="which was published with no neuron"):
        build_configured_learner(unpublished, frames, 3)


@pytest.mark.parametrize(
    ("assignments", "text"),
    [
        (["network.neuron=papr"], "setting 'network.neuron': got 'papr'; expected 'paper', or settings such as"),
        (["network.neuron=paper", "network.neuron.decay=0.5"], "got network.neuron as a whole as well"),
        (["network.neuron.decay=0.5", "network.neuron=paper"], "got network.neuron as a whole as well"),
        (['network.neuron={"decay": 1}'], "expected 0 <= decay < 1"),
    ],
)
def test_what_contradicts_it_is_told(assignments: list[str], text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_overrides(load_recipe("folder"), assignments)
    assert text in str(caught.value)
