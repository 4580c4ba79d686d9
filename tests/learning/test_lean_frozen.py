"""Frozen parameters and frozen norms: unchanged by training, and equal in lean and plain mode."""

import pytest
import torch
from reference_cases import gradients, largest_difference, scramble_weights
from torch import nn

from stdl_events.build import build_learner
from stdl_events.errors import RuleError
from stdl_events.learning import Learner
from stdl_events.learning.lean.parts import PartSizes, part_sizes
from stdl_events.network.spec import NetworkSpec

BATCH, STEPS, CLASSES = 3, 2, 4
CONVOLUTIONAL = "5C3-AP2-5R-6R(s2)-6SEWR-7SEWR(s2)-4FC"
NORM_FREE = "8S3-8NFR-12NFB(s2)-8FC-4FC"


def make(notation: str, memory: str, *, norm: str = "batch", rule: str = "sltt", **options: object) -> Learner:
    spec = NetworkSpec.parse(notation, input_shape=(2, 8, 8), norm=norm)
    settings = {"batch_size": BATCH, "steps": STEPS, "memory": memory, "dtype": torch.float64, "neuron": "plif"}
    settings |= {"decay": 0.5, "threshold": 0.4, "surrogate": "sigmoid", "surrogate_width": 2.0, "weight_decay": 0.1}
    learner = build_learner(spec, rule, **(settings | options))
    scramble_weights(learner, 3)
    return learner


def batch(seed: int = 0, size: int = BATCH) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    frames = 3 * torch.rand(STEPS, size, 2, 8, 8, generator=generator, dtype=torch.float64)
    return frames, torch.randint(0, CLASSES, (size,), generator=generator)


def learn(learner: Learner, memory: str) -> dict[str, torch.Tensor]:
    if memory == "plain":
        learner.backward(*batch())
    else:
        with part_sizes(PartSizes(500, 500)):
            learner.backward(*batch())
    return gradients(learner)


@pytest.mark.parametrize("norm", ["batch", "ws", "none"])
@pytest.mark.parametrize("notation", [CONVOLUTIONAL, NORM_FREE])
def test_each_parameter_may_be_frozen_alone(notation, norm):
    learners = {memory: make(notation, memory, norm=norm) for memory in ("plain", "lean")}
    whole = learn(learners["plain"], "plain")
    # Starts that differ by norm reach every kind of parameter.
    for name in list(whole)[{"batch": 0, "ws": 1, "none": 2}[norm] :: 5]:
        found = {}
        for memory, learner in learners.items():
            parameter = learner.network.get_parameter(name.removeprefix("network."))
            parameter.requires_grad_(False)
            found[memory] = learn(learner, memory)
            parameter.requires_grad_(True)
        assert found["lean"].keys() == found["plain"].keys() == whole.keys() - {name}
        assert largest_difference(found["lean"], found["plain"]) <= 1e-12


@pytest.mark.parametrize("rule", ["sltt", "ottt-a"])
@pytest.mark.parametrize("frozen", [[0], [1, 3], [0, 1, 2]])
@pytest.mark.parametrize(
    ("notation", "norm"),
    [("5C3-5R-6SEWR-6C3-4FC", "batch"), ("5S3-5C3-5R-6FC-4FC", "ws"), ("8S3-8NFR-4C3-4FC-4FC", "none")],
)
def test_frozen_layers_do_not_move_and_the_others_learn_alike(notation, norm, frozen, rule):
    moved = {}
    for memory in ("plain", "lean"):
        learner = make(notation, memory, norm=norm, rule=rule, momentum=0.9)
        learner.train_step(*batch())  # so that there is momentum
        for index in frozen:
            learner.network.layers[index].requires_grad_(False)
        before = {name: p.clone() for name, p in learner.network.named_parameters()}
        for seed in (1, 2):
            learner.train_step(*batch(seed))
        moved[memory] = {name: p - before[name] for name, p in learner.network.named_parameters()}
    for name, change in moved["plain"].items():
        is_frozen = int(name.split(".")[1]) in frozen
        assert is_frozen == (not moved["lean"][name].any()) == (not change.any()), name
    learned = {name: change for name, change in moved["plain"].items() if change.any()}
    assert largest_difference({name: moved["lean"][name] for name in learned}, learned) <= 1e-11


@pytest.mark.parametrize("memory", ["plain", "lean"])
def test_a_block_with_nothing_to_learn_is_run_and_left_alone(memory):
    learner = make("5C3-5R-6C3-4FC", memory, rule="ell")
    first = learner.blocks[0]
    for parameter in first.parameters():
        parameter.requires_grad_(False)
    before = [parameter.clone() for parameter in first.parameters()]
    learner.train_step(*batch())
    assert all(torch.equal(old, new) for old, new in zip(before, first.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in first.parameters())
    assert all(parameter.grad is not None for parameter in learner.blocks[1].parameters())


@pytest.mark.parametrize("rule", ["sltt", "ottt-a", "ell"])
def test_a_frozen_norm_normalises_with_running_statistics_that_stay(rule):
    found = {}
    for memory in ("plain", "lean", "kept"):
        learner = make("5C3-5R-6SEWR(s2)-4FC", memory, rule=rule)
        network = learner.network
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.add_(0.3)
                    module.running_var.mul_(2.0)
        norms = {"layers.0", "layers.1.body.second.synapse.norm"}
        learner.freeze(*(network.get_submodule(name) for name in norms))
        before = {name: value.clone() for name, value in network.state_dict().items()}
        network.eval()  # as an evaluation does between two epochs
        learner.backward(*batch())
        found[memory] = gradients(learner)
        learner.train_step(*batch())
        after = network.state_dict()
        stays = {name for name, value in before.items() if torch.equal(value, after[name])}
        assert stays == {name for name in before if any(name.startswith(norm) for norm in norms)} | {
            name for name in stays if name.endswith("num_batches_tracked") and name.startswith(tuple(norms))
        }
    assert not any(name.startswith("network.layers.0.") for name in found["plain"])
    assert largest_difference(found["lean"], found["plain"]) <= 1e-12
    assert largest_difference(found["kept"], found["plain"]) <= 1e-12


def test_a_frozen_norm_computes_what_torchs_evaluation_computes():
    learner = make("5C3-4FC", "lean", rule="sltt", steps=1)
    learner.freeze(learner.network.layers[0])
    frames, targets = batch()
    loss = learner.backward(frames[:1], targets)["loss"]
    learner.network.eval()
    logits_BK, _ = learner.network.step(frames[0], learner.network.initial_state(BATCH))
    expected = learner.loss.chunk([logits_BK], targets, 1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_unfreezing_undoes_freezing():
    learner, untouched = make("5C3-5R-4FC", "lean"), make("5C3-5R-4FC", "lean")
    learner.freeze(learner.network)
    learner.unfreeze(learner.network)
    learner.train_step(*batch())
    untouched.train_step(*batch())
    for name, value in untouched.network.state_dict().items():
        assert torch.equal(value, learner.network.state_dict()[name])


def test_only_modules_of_the_learner_can_be_frozen():
    with pytest.raises(RuleError, match="module to freeze: got a Conv2d"):
        make("5C3-4FC", "lean").freeze(nn.Conv2d(1, 1, 1))
