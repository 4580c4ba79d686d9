"""Accumulated gradients are those of one batch of all clips; what cannot be accumulated is refused."""

import pytest
import torch
from reference_cases import BATCH, SHAPE, gradients, random_case, same
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.errors import BatchError, RuleError, ShapeError
from stdl_events.learning import Learner, list_rules
from stdl_events.network.spec import NetworkSpec

RULES = list_rules()
AFTER_SEQUENCE = [rule.name for rule in RULES if rule.update == "sequence"] + ["ftrl-ottt"]
WITHIN_SEQUENCE = [rule.name for rule in RULES if rule.update == "chunk"]
OPTIONS = {"ftrl-ottt": {"update": "sequence"}, "sltt-k": {"k": 2}}


def pair(rule: str, norm: str, **options: object) -> tuple[Learner, Learner]:
    case = random_case(50, rule, norm, **OPTIONS.get(rule, {}))
    one, other = (case.learner(**options) for _ in range(2))
    return one, other


def clips(learner: Learner, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(learner.steps, count, *SHAPE, generator=generator, dtype=torch.float64) * 3
    return frames, torch.randint(0, 4, (count,), generator=generator)


def accumulate(learner: Learner, frames: Tensor, targets: Tensor, sizes: list[int], **options: object) -> None:
    for part, own in zip(frames.split(sizes, dim=1), targets.split(sizes), strict=True):
        learner.accumulate(part, own, **options)


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rule", "norm"), [*((rule, "none") for rule in AFTER_SEQUENCE), ("stdl", "ws")])
def test_gradients_equal_those_of_one_batch(rule, norm):
    parts, whole = pair(rule, norm)
    with torch.no_grad():  # the proximal term pulls
        for learner in (parts, whole):
            for weight in learner.network.parameters():
                weight.mul_(1.01)
    frames, targets = clips(parts, 6)
    chunks = {"learning_chunks": (1, 2)} if rule == "sltt-k" else {}
    accumulate(parts, frames, targets, [1, 3, 2], **chunks)
    whole.backward(frames, targets, **chunks)
    expected = gradients(whole)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-3
    assert_same(gradients(parts), expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_clips_count_by_the_weight_of_their_class_and_updates_are_equal(optimizer):
    settings = {"class_weights": (1.0, 7.0, 0.5, 2.0), "label_smoothing": 0.1, "clip_norm": 0.3}
    parts, whole = pair("stdl", "none", optimizer=optimizer, **settings)
    for step in range(2):
        frames, targets = clips(parts, 5, step)
        assert len(set(targets.tolist())) > 1
        accumulate(parts, frames, targets, [2, 3])
        parts.update()
        whole.train_step(frames, targets)
        assert_same(dict(parts.network.named_parameters()), dict(whole.network.named_parameters()))


def test_a_refused_batch_leaves_the_accumulated_gradients():
    learner, other = pair("stdl", "batch")
    frames, targets = clips(learner, 4)
    for one in (learner, other):
        one.accumulate(frames, targets)
    before = gradients(learner)
    with pytest.raises(BatchError):
        learner.accumulate(frames, targets + 99)
    with pytest.raises(BatchError):
        learner.backward(frames, targets + 99)
    with pytest.raises(ShapeError):
        learner.accumulate((frame for frame in frames[:-1]), targets)
    with pytest.raises(RuntimeError, match="no more"):
        learner.accumulate(failing(frames), targets)
    assert same(gradients(learner), before)
    for one in (learner, other):
        one.accumulate(iter(frames), targets)
        one.update()
    assert all(torch.equal(a, b) for a, b in zip(tensors(learner), tensors(other), strict=True))


def failing(frames: Tensor):
    yield frames[0]
    raise RuntimeError("no more")


def tensors(learner: Learner) -> list[Tensor]:
    return list(learner.network.state_dict().values())


def test_an_error_within_the_sequence_drops_what_was_accumulated(monkeypatch):
    learner, _ = pair("sltt", "none")
    learner.accumulate(*clips(learner, 3))
    with monkeypatch.context() as patch:
        patch.setattr(learner.loss.__class__, "chunk", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learner.accumulate(*clips(learner, 3))
    assert not gradients(learner)
    with pytest.raises(RuleError, match=r"update: got no gradients; .* call accumulate\(frames, targets\) first"):
        learner.update()


def test_accumulated_gradients_are_never_dropped_silently():
    learner, _ = pair("sltt", "none")
    batch = clips(learner, 3)
    learner.accumulate(*batch)
    for what in (lambda: learner.train_step(*batch), learner.state_dict):
        with pytest.raises(RuleError, match="got the gradients of 1 accumulated batches; expected none; call update"):
            what()
    learner.backward(*batch)
    learner.train_step(*batch)
    state = learner.state_dict()
    learner.accumulate(*batch)
    learner.load_state_dict(state)
    learner.train_step(*batch)


def test_what_is_frozen_between_two_batches_stays():
    learner, _ = pair("sltt", "none", momentum=0.9)
    learner.train_step(*clips(learner, 3))
    learner.accumulate(*clips(learner, 3))
    layer = learner.network.layers[0]
    learner.freeze(layer)
    before = [weight.clone() for weight in layer.parameters()]
    learner.accumulate(*clips(learner, 3, seed=1))
    learner.update()
    assert all(torch.equal(old, new) for old, new in zip(before, layer.parameters(), strict=True))


@pytest.mark.parametrize("rule", WITHIN_SEQUENCE)
def test_rules_that_update_within_a_sequence_are_refused(rule):
    spec = NetworkSpec.parse("3C3-4FC", input_shape=SHAPE)
    message = f"rule {rule}: got gradients to accumulate over batches, where weights are updated within a sequence"
    with pytest.raises(RuleError, match=message):
        build_learner(spec, rule, batch_size=BATCH, steps=2, accumulate=2)
    learner = build_learner(spec, rule, batch_size=BATCH, steps=2)
    with pytest.raises(RuleError, match=message):
        learner.accumulate(torch.zeros(2, BATCH, *SHAPE), torch.zeros(BATCH, dtype=torch.int64))
    with pytest.raises(RuleError, match="accumulate: got 0; expected a positive whole number"):
        build_learner(spec, "sltt", batch_size=BATCH, steps=2, accumulate=0)
