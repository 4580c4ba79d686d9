"""A learner trains: updates are the optimiser's formulas, runs repeat by seed, input may come in any form."""

import copy
import json
from collections.abc import Iterator

import pytest
import torch
from reference_cases import BATCH, SHAPE, classifier, make_plan
from reference_parts import Block, Part, Pool
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from stdl_events.build import build_learner
from stdl_events.errors import ShapeError
from stdl_events.learning import Learner
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan

SPEC = NetworkSpec.parse("3C3-AP2-4R-4SEWR-4FC", input_shape=SHAPE)
PARTS = (Part("C", 3, after=(Pool(2, 2),)), Part("R", 4), Part("SEWR", 4), classifier())
HEAD = (Part("C", 4), classifier())
PLANS = {
    "one block": make_plan(PARTS, (Block(0, 4),)),
    "two blocks": make_plan(PARTS, (Block(0, 2, HEAD), Block(2, 4))),
    "three blocks": make_plan(PARTS, (Block(0, 1, HEAD), Block(1, 2, HEAD), Block(2, 4))),
}
STEPS = 4


def make_learner(rule: str = "stdl", plan: str = "three blocks", **options) -> Learner:
    return build_learner(
        SPEC,
        rule=rule,
        batch_size=BATCH,
        steps=STEPS,
        plan=PLANS[plan] if rule == "stdl" else None,
        decay=0.5,
        dtype=torch.float64,
        **options,
    )


def counts(seed: int = 0) -> tuple[Tensor, Tensor]:
    """frames_TBCHW as uint8, as a camera gives them, and targets_B."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 4, (STEPS, BATCH, *SHAPE), generator=generator, dtype=torch.uint8)
    return frames, torch.randint(0, 4, (BATCH,), generator=generator)


def weights(learner: Learner) -> list[Tensor]:
    return [parameter.detach().clone() for block in learner.blocks for parameter in block.parameters()]


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def train(learner: Learner, steps: int, first_seed: int = 0) -> list[float]:
    return [learner.train_step(*counts(first_seed + index))["loss"].item() for index in range(steps)]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("rule", ["stdl", "sltt", "bptt"])
def test_training_repeats_by_seed_and_learns(rule, optimizer):
    learners = [make_learner(rule, optimizer=optimizer, lr=0.02, seed=seed) for seed in (1, 1, 2)]
    frames, targets = counts()

    def losses(learner: Learner, steps: int) -> list[float]:
        return [learner.train_step(frames, targets)["loss"].item() for _ in range(steps)]

    first, same, other = (losses(learner, 4) for learner in learners)
    assert first == same != other
    assert equal(weights(learners[0]), weights(learners[1]))
    assert losses(learners[0], 8)[-1] < 0.8 * first[0]


def test_initial_weights_depend_on_spec_and_seed_alone():
    expected = SpikingNetwork.build(SPEC, seed=4, dtype=torch.float64).state_dict()
    learners = [make_learner(plan=plan, seed=4) for plan in PLANS]
    learners += [make_learner(rule, seed=4, optimizer="adamw", alpha=0.5) for rule in ("sltt", "bptt")]
    learners.append(build_learner(SPEC, batch_size=8, steps=2, seed=4, dtype=torch.float64))
    for learner in learners:
        state = learner.network.state_dict()
        assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_auxiliary_weights_differ_between_blocks_and_seeds():
    def heads(seed: int) -> list[Tensor]:
        blocks = make_learner(seed=seed).blocks
        return [next(block.auxiliary.parameters()) for block in blocks if block.auxiliary is not None]

    (first, second), (other, _) = heads(0), heads(1)
    assert not torch.equal(first.flatten()[:20], second.flatten()[:20])
    assert not torch.equal(first, other)


def test_the_inference_network_is_made_of_the_blocks_own_weights():
    learner = make_learner()
    own = [id(parameter) for block in learner.blocks for parameter in block.subnetwork.parameters()]
    assert own == [id(parameter) for parameter in learner.network.parameters()]
    optimised = [id(parameter) for group in learner.optimizer.param_groups for parameter in group["params"]]
    assert optimised == [id(parameter) for block in learner.blocks for parameter in block.parameters()]
    assert [block.auxiliary is None for block in learner.blocks] == [False, False, True]


@pytest.mark.parametrize("rule", ["stdl", "bptt"])
@pytest.mark.parametrize("form", ["float32", "float64", "list", "generator", "one tensor per step of mixed types"])
def test_frames_may_come_in_any_form(rule, form):
    frames, targets = counts()
    given: Tensor | list[Tensor] | Iterator[Tensor]
    match form:
        case "float32" | "float64":
            given = frames.to(getattr(torch, form))
        case "list":
            given = list(frames)
        case "generator":
            given = iter(frames)
        case _:
            given = [frame.to(torch.int16 if t % 2 else torch.float32) for t, frame in enumerate(frames)]
    one, other = make_learner(rule), make_learner(rule)
    kept = frames.clone()
    first, second = one.train_step(frames, targets), other.train_step(given, targets)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert equal(weights(one), weights(other))
    assert torch.equal(frames, kept)


def test_metrics_are_tensors_that_nobody_waited_for():
    metrics = make_learner().train_step(*counts())
    assert set(metrics) == {"loss", "correct", "block_loss_0", "block_loss_1", "block_loss_2"}
    assert all(value.ndim == 0 and not value.requires_grad for value in metrics.values())


def test_backward_moves_no_weight_and_replaces_gradients():
    learner = make_learner()
    before = weights(learner)
    learner.backward(*counts(1))
    learner.backward(*counts(0))
    again = [parameter.grad.clone() for parameter in learner.network.parameters()]
    assert equal(before, weights(learner))
    fresh = make_learner()
    fresh.backward(*counts(0))
    assert equal(again, [parameter.grad for parameter in fresh.network.parameters()])


@pytest.mark.parametrize("rule", ["stdl", "sltt", "bptt"])
def test_running_statistics_move_once_per_step(rule):
    learner = make_learner(rule)
    learner.train_step(*counts())
    counters = [
        buffer.item()
        for block in learner.blocks
        for network in (block.subnetwork, block.auxiliary)
        if network is not None
        for name, buffer in network.named_buffers()
        if name.endswith("num_batches_tracked")
    ]
    assert set(counters) == {STEPS}


def test_predictions_are_the_mean_over_the_steps_in_evaluation_mode_and_change_nothing():
    learner = make_learner()
    train(learner, 2)
    frames_TBCHW, _ = counts()
    before = copy.deepcopy(learner.state_dict())
    found_BK = learner.predict(frames_TBCHW)
    assert equal([found_BK], [learner.predict(iter(frames_TBCHW))])
    network = learner.network
    assert not any(module.training for module in network.modules())
    state, total_BK = network.initial_state(frames_TBCHW.shape[1]), torch.zeros_like(found_BK)
    with torch.no_grad():
        for frame_BCHW in frames_TBCHW.to(found_BK.dtype):
            logits_BK, state = network.step(frame_BCHW, state)
            total_BK += logits_BK
    torch.testing.assert_close(found_BK, total_BK / len(frames_TBCHW))
    after = learner.state_dict()
    assert all(torch.equal(value, after["network"][name]) for name, value in before["network"].items())
    assert before["random"] == after["random"]
    with pytest.raises(ShapeError, match="got none; expected at least one time step"):
        learner.predict([])


def test_training_goes_on_in_training_mode_after_an_evaluation():
    one, other = make_learner(memory="plain"), make_learner(memory="plain")
    other.network.eval()
    assert train(one, 2) == train(other, 2)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_saved_learner_goes_on_as_if_nothing_happened(optimizer, tmp_path):
    learner = make_learner(optimizer=optimizer, lr=0.02)
    train(learner, 2)
    torch.save(learner.state_dict(), tmp_path / "learner.pt")
    rest = train(learner, 2, first_seed=2)
    fresh = make_learner(optimizer=optimizer, lr=0.02, seed=9)
    fresh.load_state_dict(torch.load(tmp_path / "learner.pt", weights_only=True))
    assert train(fresh, 2, first_seed=2) == rest
    assert equal(weights(fresh), weights(learner))
    assert all(torch.equal(a, b) for a, b in zip(fresh.network.buffers(), learner.network.buffers(), strict=True))


@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_dropout_repeats_by_seed_and_goes_on_from_where_it_was_saved(memory):
    spec = NetworkSpec.parse("3C3-DP(0.5)-AP2-4C3-DP(0.3)-4FC", input_shape=SHAPE)

    def make(seed: int) -> Learner:
        return build_learner(spec, rule="sltt", batch_size=BATCH, steps=STEPS, seed=seed, memory=memory)

    one, other = make(1), make(1)
    torch.manual_seed(5)
    first = train(one, 3)
    torch.manual_seed(6)
    assert train(other, 3) == first
    saved = copy.deepcopy(one.state_dict())
    rest = train(one, 2, first_seed=3)
    fresh = make(2)
    fresh.load_state_dict(saved)
    assert train(fresh, 2, first_seed=3) == rest
    assert train(make(2), 3) != first


@pytest.mark.parametrize("shape", [(BATCH, *SHAPE), (STEPS, BATCH + 1, *SHAPE), (0, BATCH, *SHAPE)])
def test_frames_that_do_not_match_the_targets_are_told(shape):
    with pytest.raises(ShapeError) as caught:
        make_learner().train_step(torch.zeros(shape), torch.zeros(BATCH, dtype=torch.int64))
    assert str(caught.value) == (
        f"training frames: got shape {shape} with {BATCH} targets; expected (T, B, C, H, W) with T >= 1 and one "
        "target for each of the B sequences; stack the clips along the second dimension"
    )


def test_frames_of_another_size_are_told():
    with pytest.raises(ShapeError, match=r"training frame: got shape \(3, 2, 8, 9\); expected \(3, 2, 8, 8\)"):
        make_learner().train_step(torch.zeros(STEPS, BATCH, 2, 8, 9), torch.zeros(BATCH, dtype=torch.int64))


@pytest.mark.parametrize(("given", "told"), [(0, "0"), (STEPS - 1, "3"), (STEPS + 1, "5")])
def test_an_iterable_has_as_many_steps_as_the_learner(given, told):
    learner = make_learner()
    before = weights(learner)
    frames, targets = counts()
    with pytest.raises(ShapeError) as caught:
        learner.train_step([frames[0]] * given, targets)
    assert str(caught.value) == (
        f"training frames: got an iterable of {told} steps; expected {STEPS}, the steps that the learner was built "
        "for; give one frame per step, or build the learner for another number of steps"
    )
    assert equal(before, weights(learner))


def test_a_tensor_may_have_another_number_of_steps():
    """Its length is known beforehand, so that the mean over time is right."""
    frames, targets = counts()
    learner = make_learner()
    learner.backward(frames[:2], targets)
    short = build_learner(SPEC, batch_size=BATCH, steps=2, plan=PLANS["three blocks"], decay=0.5, dtype=torch.float64)
    short.backward(frames[:2], targets)
    pairs = zip(learner.network.parameters(), short.network.parameters(), strict=True)
    assert all(torch.equal(one.grad, other.grad) for one, other in pairs)


@pytest.mark.parametrize("rule", ["stdl", "sltt", "bptt"])
def test_builds_and_trains_inside_the_callers_fake_mode(rule):
    with FakeTensorMode():
        learner = build_learner(SPEC, rule=rule, batch_size=BATCH, steps=STEPS)
        metrics = learner.train_step(
            torch.empty(STEPS, BATCH, *SHAPE, dtype=torch.uint8), torch.zeros(BATCH, dtype=torch.int64)
        )
        assert metrics["loss"].shape == ()
        assert (learner.plan is not None) == (rule == "stdl")


def test_a_plan_may_be_an_object_a_document_or_a_file(tmp_path):
    plan = Plan.from_dict(PLANS["two blocks"])
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan.to_dict()), encoding="utf-8")
    for form in (plan, plan.to_dict(), file, str(file)):
        learner = build_learner(SPEC, batch_size=BATCH, steps=STEPS, plan=form)
        assert [(block.start, block.stop) for block in learner.plan.blocks] == [(0, 2), (2, 4)]
        assert learner.plan.blocks[0].auxiliary == str(SPEC.auxiliary(plan.blocks[0].auxiliary, 2).notation)
        assert learner.plan.metered_bytes is not None, "bytes of an unknown setting are metered again"
        assert len(learner.blocks) == 2


MOVED = [("stdl", {}), ("ottt-a", {}), ("ftrl-ottt", {}), ("sltt", {"class_weights": (1.0, 2.0, 1.0, 3.0)})]


@pytest.mark.parametrize(("rule", "options"), MOVED)
def test_moving_to_the_same_device_changes_nothing(rule, options):
    stays, moves = (make_learner(rule, optimizer="adamw", average_decay=0.9, **options) for _ in range(2))
    before = [id(weight) for weight in moves.network.parameters()]
    for learner in (stays, moves):
        train(learner, 1)
        if learner is moves:
            assert moves.to("cpu") is moves
        train(learner, 2, first_seed=1)
    assert equal(weights(stays), weights(moves))
    assert [id(weight) for weight in moves.network.parameters()] == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("rule", "options"), MOVED)
def test_a_learner_goes_on_after_moving(rule, options):
    stays, moves = (make_learner(rule, optimizer="adamw", average_decay=0.9, **options) for _ in range(2))
    for learner in (stays, moves):
        train(learner, 1)
        learner.accumulate(*counts(1)) if rule != "ftrl-ottt" else None
    moves.to("cuda")
    for learner in (stays, moves):
        learner.update() if rule != "ftrl-ottt" else None
        train(learner, 2, first_seed=2)
    torch.testing.assert_close([weight.cpu() for weight in weights(moves)], weights(stays), rtol=1e-9, atol=1e-12)
