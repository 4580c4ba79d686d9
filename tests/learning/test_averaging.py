"""Averaged weights against the recursion of an exponential moving average, for every time of updates."""

import copy

import pytest
import torch
from reference_cases import BATCH, SHAPE
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.errors import RuleError, RunError
from stdl_events.learning import Learner
from stdl_events.learning.blueprint import Blueprint
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.report import floor_bytes, meter_step
from stdl_events.network.spec import NetworkSpec

SPEC = NetworkSpec.parse("3C3-AP2-4C3-4FC", input_shape=SHAPE)
DECAY = 0.25  # beyond its warm-up after the second update


def make(rule: str = "sltt", **options: object) -> Learner:
    chosen = {"average_decay": DECAY, "lr": 0.05, "dtype": torch.float64} | options
    return build_learner(SPEC, rule, batch_size=BATCH, steps=2, decay=0.5, threshold=0.4, **chosen)


def counts(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 4, (2, BATCH, *SHAPE), generator=generator, dtype=torch.uint8)
    return frames, torch.randint(0, 4, (BATCH,), generator=generator)


def values(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("rule", ["sltt", "ottt-o", "ell"])
def test_the_average_is_that_of_the_recursion(rule):
    """After each training step, also of a rule that updates in every time step; statistics are the trained ones."""
    learner = make(rule)
    assert learner.trained_network is learner.network
    expected: dict[str, Tensor] = {}
    for step in range(5):
        learner.train_step(*counts(step))
        decay = [0.0, 2 / 11, DECAY, DECAY, DECAY][step]  # 3 / 12 is DECAY
        now = values(learner.network)
        weights = dict(learner.network.named_parameters())
        for name, value in now.items():
            is_averaged = step and name in weights
            expected[name] = decay * expected[name] + (1 - decay) * value if is_averaged else value
    found = values(learner.trained_network)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-14)
    assert not any(torch.equal(found[name], now[name]) for name in weights)
    assert not any(weight.requires_grad for weight in learner.trained_network.parameters())


def test_training_does_not_notice_and_accumulated_updates_average_once():
    averaged, plain, parts = make(), make(average_decay=None), make()
    for step in range(3):
        averaged.train_step(*counts(step))
        plain.train_step(*counts(step))
        parts.accumulate(*counts(step))
        parts.accumulate(*counts(step + 10))
        parts.update()
    assert all(
        torch.equal(a, b) for a, b in zip(averaged.network.parameters(), plain.network.parameters(), strict=True)
    )
    assert plain.trained_network is plain.network
    assert parts.average.updates == 3


def test_what_is_frozen_is_its_own_average():
    learner = make(freeze=["1"])
    before = values(learner.network.layers[0])
    for step in range(3):
        learner.train_step(*counts(step))
    after = values(learner.trained_network.layers[0])
    assert all(torch.equal(before[name], after[name]) for name in before)
    ours, theirs = (values(network.layers[2]) for network in (learner.trained_network, learner.network))
    assert not any(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_saved_average_goes_on_and_a_learner_without_one_begins_anew():
    learner = make()
    for step in range(3):
        learner.train_step(*counts(step))
    saved = copy.deepcopy(learner.state_dict())
    learner.train_step(*counts(3))
    fresh = make(seed=9)
    fresh.load_state_dict(saved)
    fresh.train_step(*counts(3))
    ours, theirs = values(learner.trained_network), values(fresh.trained_network)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    without = {name: value for name, value in saved.items() if name != "average"}
    fresh.load_state_dict(without)
    assert fresh.trained_network is fresh.network
    fresh.train_step(*counts(3))
    ours, theirs = values(fresh.network), values(fresh.trained_network)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours), "the first update copies"
    with pytest.raises(RunError, match="state of a learner, average: got"):
        make(average_decay=None).load_state_dict(saved)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_an_impossible_decay_is_refused(decay):
    with pytest.raises(RuleError, match=r"average_decay: got .*; expected 0 <= average_decay < 1"):
        make(average_decay=decay)


def test_the_meter_counts_the_copy_and_the_accumulated_gradients():
    def blueprint(rule: str = "sltt", **options: object) -> Blueprint:
        return Blueprint.of(SPEC, rule, batch_size=BATCH, steps=2, memory="plain", **options)

    copy_bytes = sum(
        value.numel() * value.itemsize for value in make(dtype=torch.float32).network.state_dict().values()
    )
    plain, averaged = (measure_learner(blueprint(average_decay=decay), None)[0].peak_bytes for decay in (None, 0.9))
    assert averaged - plain == copy_bytes
    assert floor_bytes(blueprint(average_decay=0.9)) - floor_bytes(blueprint()) == copy_bytes
    found = meter_step(blueprint(average_decay=0.9), None).to_dict()
    assert found["breakdown"]["weights"] == 2 * copy_bytes
    one, two = (meter_step(blueprint("bptt", accumulate=count), None).to_dict() for count in (1, 2))
    assert two["peak_bytes"] > one["peak_bytes"], "gradients of earlier batches are there during the forward pass"
    assert two["breakdown"]["gradients"] > one["breakdown"]["gradients"]
    frozen = meter_step(blueprint(freeze=["1"]), None).to_dict()
    assert frozen["peak_bytes"] < plain
    assert frozen["floor_bytes"] < floor_bytes(blueprint())
