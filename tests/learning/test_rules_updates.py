"""Time and scope of weight updates, random draws, and the state of a saved learner."""

import functools

import pytest
import torch
from reference_cases import BATCH, SHAPE, Case, random_case, same
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.learning import Learner, list_rules
from stdl_events.learning.observer import Observer
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan

LR = 0.05
SGD = {"optimizer": "sgd", "momentum": 0.0, "lr": LR}
NAMES = [rule.name for rule in list_rules()]


def weights(learner: Learner) -> dict[str, Tensor]:
    named = {f"network.{name}": w.detach().clone() for name, w in learner.network.named_parameters()}
    for index, block in enumerate(learner.blocks):
        if block.auxiliary is not None:
            named |= {f"auxiliary.{index}.{name}": w.detach().clone() for name, w in block.auxiliary.named_parameters()}
    return named


def trained_by_hand(case: Case, learner: Learner) -> dict[str, Tensor]:
    """Plain SGD after every chunk."""
    moved: dict[str, Tensor] = {}

    def after_chunk(own: dict[str, Tensor], gradients: dict[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            own[name] = own[name] - LR * gradient
        gradients.clear()
        moved.update(own)

    case.by_hand(learner, after_chunk=after_chunk)
    return moved


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("ottt-o", {}),
        ("ndot-o", {}),
        ("stdl+ottt", {"update": "step"}),
        ("stdl+ndot", {"update": "step"}),
        ("tbptt", {"k": 2, "n": 1}),
        ("tbptt", {"k": 3, "n": 2}),
    ],
)
@pytest.mark.parametrize("norm", ["batch", "ws"])
def test_weights_move_after_every_chunk(rule, options, norm):
    case = random_case(30, rule, norm, **options)
    learner = case.learner(**SGD)
    expected = trained_by_hand(case, learner)
    learner.train_step(*case.data())
    for name, weight in weights(learner).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ["ottt", "ndot"])
def test_online_and_accumulated_differ_only_in_when_the_optimiser_steps(rule):
    """Equal gradients at fixed weights; each train step follows from its own updates."""
    accumulated, online = (random_case(31, f"{rule}-{kind}").learner(**SGD) for kind in "ao")
    data = random_case(31, f"{rule}-a").data()
    for learner in (accumulated, online):
        learner.backward(*data)
    assert all(
        torch.equal(a.grad, b.grad)
        for a, b in zip(accumulated.network.parameters(), online.network.parameters(), strict=True)
    )
    before = weights(accumulated)
    gradients = {f"network.{name}": w.grad.clone() for name, w in accumulated.network.named_parameters()}
    accumulated.train_step(*data)
    online.train_step(*data)
    moved = weights(accumulated)
    assert all(torch.allclose(moved[name], before[name] - LR * gradients[name], rtol=0, atol=1e-15) for name in before)
    assert not same(moved, weights(online))


@pytest.mark.parametrize("rule", ["ottt", "ndot"])
def test_with_one_step_online_and_accumulated_are_the_same(rule):
    learners = [random_case(32, f"{rule}-{kind}").changed(steps=1) for kind in "ao"]
    trained = [case.learner(**SGD) for case in learners]
    for learner in trained:
        learner.train_step(*learners[0].data())
    assert same(*map(weights, trained))


def test_the_released_ndot_holds_weights_near_those_before_the_last_update():
    """Its online loss has 0.025 Σ |Δp|₂ / √n, whose slope is Δp / (|Δp|₂ √n)."""
    case = random_case(33, "ndot-o", variant="official").with_equations(trace="ndot official")
    learner = case.learner(**SGD)
    history: list[dict[str, Tensor]] = []

    def after_chunk(own: dict[str, Tensor], gradients: dict[str, Tensor]) -> None:
        before = dict(own)
        for name, gradient in gradients.items():
            pull = torch.zeros_like(gradient)
            if history:
                change = own[name] - history[-1][name]
                pull = 0.025 * change / (change.norm() * change.numel() ** 0.5)
            own[name] = own[name] - LR * (gradient + pull)
        gradients.clear()
        history.append(before)

    ends: dict[str, Tensor] = {}
    case.by_hand(learner, after_chunk=lambda own, gradients: (after_chunk(own, gradients), ends.update(own)))
    learner.train_step(*case.data())
    for name, weight in weights(learner).items():
        torch.testing.assert_close(weight, ends[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("rule", "options", "still"),
    [
        ("decolle", {}, "the blocks' own"),
        ("tbptt", {"k": 2, "classifier": "random"}, "all"),
        ("tbptt", {"k": 2, "classifier": "trainable"}, "none"),
        ("ell", {}, "none"),
    ],
)
def test_random_classifiers_keep_their_weights(rule, options, still):
    spec = NetworkSpec.parse("3C3-4C3-4FC", input_shape=SHAPE)
    learner = build_learner(
        spec, rule, batch_size=BATCH, steps=4, decay=0.5, threshold=0.3, surrogate_width=4.0, **SGD, **options
    )
    before = weights(learner)
    learner.train_step(torch.rand(4, BATCH, *SHAPE) * 3, torch.tensor([0, 1, 2]))
    moved = {name for name, weight in weights(learner).items() if not torch.equal(weight, before[name])}
    own = {name for name in before if name.startswith("auxiliary")}
    last = {name for name in before if name.startswith("network.layers.2.")}
    expected = {"none": set(), "the blocks' own": own, "all": own | last}[still]
    assert before.keys() - moved == expected
    optimised = {id(weight) for group in learner.optimizer.param_groups for weight in group["params"]}
    assert len(optimised) == len(moved)


SPEC = NetworkSpec.parse("3C3-DP(0.3)-AP2-4R-5C3-4FC", input_shape=SHAPE)


@functools.cache
def planned(rule: str) -> Plan | None:
    options = {"batch_size": BATCH, "steps": 4, "dtype": torch.float64}
    return build_learner(SPEC, rule, **options).plan if rule.startswith("stdl") else None


def make(rule: str, seed: int = 0, **options: object) -> Learner:
    chosen = {"lr": 0.02, "decay": 0.5, "threshold": 0.4, "plan": planned(rule), "dtype": torch.float64} | options
    return build_learner(SPEC, rule, batch_size=BATCH, steps=4, seed=seed, **chosen)


def counts(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 4, (4, BATCH, *SHAPE), generator=generator, dtype=torch.uint8)
    return frames, torch.randint(0, 4, (BATCH,), generator=generator)


@pytest.mark.parametrize("rule", NAMES)
def test_training_repeats_by_seed(rule):
    learners = [make(rule, seed) for seed in (1, 1, 2)]
    losses = [[learner.train_step(*counts(step))["loss"].item() for step in range(3)] for learner in learners]
    assert losses[0] == losses[1] != losses[2]
    assert same(weights(learners[0]), weights(learners[1]))


@pytest.mark.parametrize("rule", ["sltt-k", "ndot-a", "ftrl-ottt", "tbptt", "decolle"])
def test_a_saved_learner_goes_on_as_if_nothing_happened(rule, tmp_path):
    """Masks of dropout, the steps that learn and the anchor included."""
    learner = make(rule)
    for step in range(2):
        learner.train_step(*counts(step))
    torch.save(learner.state_dict(), tmp_path / "learner.pt")
    fresh = make(rule, seed=9)
    fresh.load_state_dict(torch.load(tmp_path / "learner.pt", weights_only=True))
    for step in range(2, 4):
        assert learner.train_step(*counts(step)) == fresh.train_step(*counts(step))
    assert same(weights(learner), weights(fresh))


class Changes(Observer):
    """Per step: True if gradients have changed."""

    def __init__(self, learner: Learner) -> None:
        self.learner, self.total, self.seen = learner, 0.0, []

    def after_block(self, block: int, state: object) -> None:
        found = (weight.grad for weight in self.learner.network.parameters())
        total = sum(gradient.abs().sum().item() for gradient in found if gradient is not None)
        self.seen.append(total != self.total)
        self.total = total


def test_sltt_k_draws_every_choice_of_steps():
    """Each of 4 steps learns about half the time, and always two of them together."""
    learner = make("sltt-k", k=2)
    seen = []
    for step in range(60):
        chosen = Changes(learner)
        learner.backward(*counts(step), observer=chosen)
        seen.append(tuple(chosen.seen))
    assert {sum(changes) for changes in seen} == {2}
    assert len(set(seen)) == 6


def test_the_second_phase_of_ftrl_holds_on_to_the_first_ones_weights():
    first = make("ottt-a", seed=3)
    for step in range(3):
        first.train_step(*counts(step))
    second, free = make("ftrl-ottt", proximal=5.0, lr=0.01), make("ottt-o", lr=0.01)
    for learner in (second, free):
        learner.load_state_dict(first.state_dict())
        for group in learner.optimizer.param_groups:
            group["lr"] = 0.01
        for step in range(6):
            learner.train_step(*counts(10 + step))

    def distance(learner: Learner) -> float:
        end, start = weights(learner), weights(first)
        return sum((end[name] - start[name]).square().sum().item() for name in start)

    assert distance(second) < 0.7 * distance(free)
