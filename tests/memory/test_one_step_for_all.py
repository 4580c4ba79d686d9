"""The bytes of one step are equal in the commands, in a run's own metering and for the learner itself."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stdl_events.analysis.rule_costs import RuleMeter
from stdl_events.build import build_learner
from stdl_events.cli import app
from stdl_events.frames import FrameSpec
from stdl_events.learning.grid import Planned
from stdl_events.learning.rules import list_rules
from stdl_events.memory.footprint import meter_learner
from stdl_events.recipes import load_recipe
from stdl_events.training.build_learner import learner_options, step_bytes
from stdl_events.training.settings import TrainConfig

RULES = {rule.name: rule for rule in list_rules()}
# Each course of time, each way to cut a network, each update and each loss; the others differ in the kind of trace.
METERED = ("bptt", "sltt", "sltt-k", "ottt-o", "ftrl-ottt", "tbptt", "decolle", "stdl", "stdl+ndot")
NOTATION, SENSOR, CLASSES, BATCH, STEPS = "4C3-AP2-8C3-8C3", (12, 10), 3, 4, 3
NETWORK = ["--network", NOTATION, "--input", "2x10x12", "--classes", str(CLASSES)]


def document(command: str, *options: str) -> dict:
    result = CliRunner().invoke(app, [command, *options, "--json"])
    assert result.exit_code == 0, result.stderr or result.exception
    return json.loads(result.stdout)


def configuration(rule: str, **changes: object) -> TrainConfig:
    return load_recipe("folder").derive(
        frames={"steps": STEPS}, network={"notation": NOTATION}, batch_size=BATCH, learning={"rule": rule}, **changes
    )


def frames_of(config: TrainConfig) -> FrameSpec:
    return config.frames.spec(SENSOR)


def built_bytes(config: TrainConfig) -> int:
    spec = config.network.spec(frames_of(config).frame_shape_CHW, CLASSES, config.learning.rule)
    return meter_learner(lambda: build_learner(**learner_options(config, spec)), batch_size=BATCH)[0].peak_bytes


@pytest.mark.parametrize("rule", METERED)
def test_the_commands_the_run_and_the_learner_agree_to_the_byte(rule, tmp_path):
    config = configuration(rule)
    peak = built_bytes(config)
    assert step_bytes(config, frames_of(config), CLASSES) == peak
    by_recipe = ["folder", "--input", "2x10x12", "--classes", str(CLASSES), "--set", f"network.notation={NOTATION}"]
    by_recipe += ["--batch", str(BATCH), "--steps", str(STEPS), "--rule", rule]
    assert document("memory", *by_recipe)["peak_bytes"] == peak
    by_network = [*NETWORK, "--batch", str(BATCH), "--steps", str(STEPS), "--rule", rule, "--optimizer", "adamw"]
    assert document("memory", *by_network)["peak_bytes"] == peak
    if isinstance(RULES[rule].space, Planned):
        assert document("plan", *by_recipe)["total_bytes"] == peak
        assert document("plan", *by_network)["total_bytes"] == peak


@pytest.mark.parametrize("rule", ["tbptt", "sltt", "stdl"])
def test_costs_are_of_the_same_step(rule):
    plain = ["--batch", str(BATCH), "--steps", str(STEPS), "--rule", rule]
    memory = document("memory", *NETWORK, *plain, "--plain")["peak_bytes"]
    assert document("cost", *NETWORK, *plain)["rules"][0]["memory_bytes"] == memory
    spec = load_recipe("folder").network.spec((2, 10, 12), CLASSES, rule)
    meter = RuleMeter(spec, steps=STEPS, activity=1.0, batch_size=BATCH)
    assert meter(RULES["tbptt"]).cost.memory_bytes > 0


def test_the_step_of_a_mode_that_is_chosen_is_the_one_that_is_planned():
    options = [*NETWORK, "--batch", str(BATCH), "--steps", str(STEPS), "--auto", "--budget", "1GB"]
    assert document("plan", *options)["total_bytes"] == document("memory", *options)["peak_bytes"]


def test_a_plan_that_is_made_is_metered_alike_when_it_is_given(tmp_path: Path):
    options = [*NETWORK, "--batch", str(BATCH), "--steps", str(STEPS)]
    made = document("plan", *options)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(made))
    assert document("plan", *options, "--plan", str(path))["total_bytes"] == made["total_bytes"]
    assert document("memory", *options, "--plan", str(path))["peak_bytes"] == made["total_bytes"]
