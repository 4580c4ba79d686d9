"""Replayed steps equal the recorded ones bit for bit; a tape on the CPU replaces CUDA graphs where there is no GPU."""

import dataclasses

import pytest
import torch
from tape import record
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.errors import RuleError
from stdl_events.learning import Learner
from stdl_events.learning.cuda_graphs import ReplayedChunks
from stdl_events.network.spec import NetworkSpec

SPEC = NetworkSpec.parse("6C3-DP(0.3)-AP2-8R(s2)-8SEWR-9FC-3FC", input_shape=(2, 8, 8))
PLAN = {
    "network": SPEC.notation,
    "input_shape": [2, 8, 8],
    "batch_size": 4,
    "whole_bytes": 1,
    "blocks": [
        {"start": 0, "stop": 2, "subnetwork": "6C3-DP(0.3)-AP2-8R(s2)", "auxiliary": "8C3-3FC", "predicted_bytes": 1},
        {"start": 2, "stop": 5, "subnetwork": "8SEWR-9FC-3FC", "auxiliary": None, "predicted_bytes": 1},
    ],
}
RULES = {
    "sltt": {},
    "sltt-k": {"k": 2},
    "stdl": {"plan": PLAN},
    "stdl+ottt": {"plan": PLAN, "update": "step"},
    "ndot-a": {},
    "ottt-o": {},
    "ftrl-ottt": {},
    "decolle": {},
    "tbptt": {"k": 2},
    "bptt": {},
}


class Counted:
    """Counts the calls of a run_chunk."""

    def __init__(self, run_chunk: object) -> None:
        self.run_chunk, self.calls = run_chunk, 0

    def __call__(self, *arguments: object) -> object:
        self.calls += 1
        return self.run_chunk(*arguments)


def replaying(learner: Learner) -> tuple[Learner, Counted]:
    counted = Counted(learner.run_chunk)
    names = ("network", "blocks", "rule", "loss", "optimizer", "steps", "random", "plan", "rate_penalty")
    parts = {name: getattr(learner, name) for name in names}
    return Learner(**parts, run_chunk=counted, replayed=ReplayedChunks(counted, lambda: record)), counted


def sequence(seed: int, steps: int, batch: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    frames_TBCHW = torch.poisson(torch.full((steps, batch, 2, 8, 8), 0.8), generator).to(torch.uint8)
    return frames_TBCHW, torch.randint(0, 3, (batch,), generator=generator)


def assert_same(ours: Learner, theirs: Learner) -> None:
    found, expected = ours.state_dict(), theirs.state_dict()
    assert found["random"] == expected["random"]
    auxiliary = zip(found["auxiliary"], expected["auxiliary"], strict=True)
    for mine, other in ((found["network"], expected["network"]), *auxiliary):
        assert mine.keys() == other.keys()
        for name, value in other.items():
            assert torch.equal(mine[name], value), name


@pytest.mark.parametrize("memory", ["lean", "plain"])
@pytest.mark.parametrize("rule", RULES)
def test_replayed_training_is_training(rule, memory):
    options = {"batch_size": 4, "steps": 3, "memory": memory, "seed": 3, "optimizer": "adamw", "lr": 0.01} | RULES[rule]
    reference = build_learner(SPEC, rule, **options)
    replayed, counted = replaying(build_learner(SPEC, rule, **options))
    before = {name: value.clone() for name, value in reference.network.state_dict().items()}
    for seed in range(3):
        batch = sequence(seed, steps=3)
        expected, found = reference.train_step(*batch), replayed.train_step(*batch)
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        if seed == 0:
            first = counted.calls
    assert_same(replayed, reference)
    assert any(not torch.equal(before[name], value) for name, value in replayed.network.state_dict().items())
    # After the first sequence each block is recorded once for each length of chunk, and for whether it learns.
    kinds = {"sltt-k": 2, "tbptt": 2}.get(rule, 1)
    assert counted.calls == first + kinds * len(replayed.blocks)


QUIET = {"rate_penalty": 3.0, "target_rate": 0.1, "class_weights": [1.0, 3.0, 0.5]}
LOSS = {"label_smoothing": 0.1, "class_weights": [1.0, 3.0, 0.5], "clip_norm": 0.1}


@pytest.mark.parametrize(
    "settings", [{"neuron": "plif"}, {"neuron": "alif"}, {"reset": "hard"}, {"norm": "ws"}, LOSS, QUIET]
)
def test_any_neuron_and_loss_replays(settings):
    options = {"batch_size": 4, "steps": 3, "plan": PLAN, "lr": 0.01} | settings
    reference = build_learner(SPEC, "stdl", **options)
    replayed, _ = replaying(build_learner(SPEC, "stdl", **options))
    for seed in range(3):
        expected = reference.train_step(*sequence(seed, steps=3))
        found = replayed.train_step(*sequence(seed, steps=3))
        assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert_same(replayed, reference)


def test_sequences_of_another_length_or_batch_are_recorded_anew():
    options = {"batch_size": 4, "steps": 5, "lr": 0.01}
    reference = build_learner(SPEC, "sltt", **options)
    replayed, counted = replaying(build_learner(SPEC, "sltt", **options))
    for seed, (steps, batch) in enumerate([(5, 4), (5, 4), (5, 4), (3, 4), (3, 4), (3, 2), (3, 2)]):
        arguments = sequence(seed, steps, batch)
        assert replayed.train_step(*arguments).keys() == reference.train_step(*arguments).keys()
    assert_same(replayed, reference)
    assert counted.calls == (5 + 1) + (3 + 1) + (3 + 1)


def test_gradients_without_an_update_replay_too():
    options = {"batch_size": 4, "steps": 5}
    reference = build_learner(SPEC, "sltt", **options)
    replayed, _ = replaying(build_learner(SPEC, "sltt", **options))
    for seed in range(3):
        reference.backward(*sequence(seed, steps=5))
        replayed.backward(*sequence(seed, steps=5))
        for ours, theirs in zip(replayed.network.parameters(), reference.network.parameters(), strict=True):
            assert torch.equal(ours.grad, theirs.grad)


def test_a_recording_that_waits_is_noticed():
    """The tape detects a step that CUDA could not record."""
    learner, _ = replaying(build_learner(SPEC, "sltt", batch_size=4, steps=2))
    waiting = dataclasses.replace(learner.loss)
    object.__setattr__(
        waiting, "chunk", lambda logits, targets, steps: logits[0].sum() * float(logits[0].detach().max())
    )
    learner.loss = waiting
    learner.train_step(*sequence(0, steps=2))
    with pytest.raises(AssertionError, match="nothing may wait"):
        learner.train_step(*sequence(1, steps=2))


def test_graphs_need_a_device():
    with pytest.raises(RuleError, match="cuda_graphs: got the device cpu; expected a CUDA device"):
        build_learner(SPEC, "sltt", batch_size=4, steps=2, cuda_graphs=True)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("memory", ["lean", "plain"])
@pytest.mark.parametrize("rule", RULES)
def test_graphs_on_a_gpu_are_training(rule, memory):
    options = {"batch_size": 4, "steps": 5, "memory": memory, "lr": 0.01, "device": "cuda"} | RULES[rule]
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    reference = build_learner(SPEC, rule, **options)
    graphed = build_learner(SPEC, rule, cuda_graphs=True, **options)
    for seed in range(4):
        expected, found = reference.train_step(*sequence(seed, 5)), graphed.train_step(*sequence(seed, 5))
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
