"""Every learning rule trains from a configuration, with its options, into a bundle that evaluates."""

import math
from pathlib import Path

import pytest

from stdl_events.errors import RecipeError, RuleError
from stdl_events.learning import Learner, list_rules
from stdl_events.learning.losses import CrossEntropy
from stdl_events.learning.rules import rule_options
from stdl_events.training.build_learner import build_configured_learner, plan_configured_learner
from stdl_events.training.fit import fit
from stdl_events.training.learning_settings import RuleOptions
from stdl_events.training.overrides import apply_overrides
from stdl_events.training.settings import TrainConfig

OPTIONS = {
    "sltt-k": {"k": 2},
    "tbptt": {"k": 3, "n": 2, "classifier": "random"},
    "ndot-o": {"variant": "official"},
    "ftrl-ottt": {"proximal": 0.01, "proximal_norm": "l1"},
    "stdl+ottt": {"update": "step"},
}


def test_every_option_of_every_rule_is_a_setting():
    options = {option for rule in list_rules() for option in rule_options(rule.name)}
    assert options == set(RuleOptions.model_fields)


@pytest.mark.parametrize("name", [rule.name for rule in list_rules()])
def test_a_rule_trains_from_a_configuration(config: TrainConfig, tmp_path: Path, name: str):
    learning = {"rule": name, "options": OPTIONS.get(name, {}), "rho": None}
    result = fit(config.derive(learning=learning, epochs=1), tmp_path / "run", quiet=True)
    assert result.learner.rule.name == name
    assert result.learner.network.spec.classifier == ("spiking" if name == "tbptt" else "linear")
    assert math.isfinite(result.evaluation.loss)
    assert (tmp_path / "run" / "bundle" / "model.json").is_file()


def build(config: TrainConfig) -> Learner:
    return build_configured_learner(config, config.frames.spec((16, 16)), 3)


def test_options_come_from_the_command_line(config: TrainConfig):
    changed = apply_overrides(
        config, ["learning.rule=tbptt", "learning.options.k=3", "learning.options.classifier=random"]
    )
    learner = build(changed)
    assert learner.rule.time.chunk_steps == 3
    assert learner.rule.space.random == "all"


@pytest.mark.parametrize(
    ("assignments", "kind", "text"),
    [
        (
            ["learning.options.k=0"],
            RecipeError,
            "setting 'learning.options.k': got '0'; expected greater than or equal to 1",
        ),
        (["learning.options.K=2"], RecipeError, "setting 'learning.options.K': got no such setting; expected one of"),
        (["learning.rule=ell", "learning.options.k=2"], RuleError, "rule ell: got the option k; expected no options"),
        (["learning.rule=hebb"], RecipeError, "setting 'learning.rule': got 'hebb'; expected bptt or sltt or"),
    ],
)
def test_wrong_options_are_told(config: TrainConfig, assignments: list[str], kind: type[Exception], text: str):
    with pytest.raises(kind) as caught:
        build(apply_overrides(config, assignments))
    assert text in str(caught.value)


def test_loss_and_clipping_reach_the_learner(config: TrainConfig):
    asked = ["learning.label_smoothing=0.1", "learning.class_weights=[1,3,0.5]", "optimiser.clip_norm=2"]
    changed = apply_overrides(config, asked)
    blueprint, _ = plan_configured_learner(changed, changed.frames.spec((16, 16)), 3)
    assert isinstance(blueprint.loss, CrossEntropy)
    assert (blueprint.loss.label_smoothing, blueprint.loss.class_weights) == (0.1, (1.0, 3.0, 0.5))
    assert blueprint.optimizer.clip_norm == 2
