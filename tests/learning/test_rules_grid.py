"""The grid: names, options and their errors, and rules that coincide."""

import inspect

import pytest
import torch
from reference_cases import BATCH, SHAPE, gradients, largest_difference, random_case, same
from reference_parts import Block

from stdl_events.build import build_learner
from stdl_events.errors import RuleError
from stdl_events.learning import get_rule, list_rules
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import (
    EndToEnd,
    Layerwise,
    Planned,
    Proximal,
    Rule,
    Time,
    Trace,
    spatial_k,
    traced,
    truncated,
)
from stdl_events.learning.rules import rule_options
from stdl_events.network.registries import NORMS
from stdl_events.network.spec import NetworkSpec

NAMES = [
    "bptt", "sltt", "sltt-k", "tbptt", "ottt-a", "ottt-o", "ndot-a", "ndot-o", "ftrl-ottt", "decolle", "ell", "stdl",
    "stdl+ottt", "stdl+ndot",
]  # fmt: skip
SPEC = NetworkSpec.parse("3C3-AP2-4R-4SEWR-5FC-4FC", input_shape=SHAPE)


def build(rule="sltt", **options):
    return build_learner(SPEC, rule, **({"batch_size": BATCH, "steps": 3, "dtype": torch.float64} | options))


def test_the_named_rules():
    assert [rule.name for rule in list_rules()] == NAMES
    assert all(rule.source for rule in list_rules())


@pytest.mark.parametrize(
    ("name", "options", "space", "time", "update"),
    [
        ("bptt", {}, EndToEnd(), Time(None), "sequence"),
        ("sltt", {}, EndToEnd(), Time(1), "sequence"),
        ("sltt-k", {"k": 2}, EndToEnd(), Time(1, backward_chunks=2), "sequence"),
        ("tbptt", {"k": 5, "n": 2}, Layerwise(2), Time(5), "chunk"),
        ("tbptt", {"classifier": "random"}, Layerwise(1, "all"), Time(10), "chunk"),
        ("ottt-a", {}, EndToEnd(), Time(1, trace=Trace("ottt")), "sequence"),
        ("ottt-o", {"trace_decay": 0.5}, EndToEnd(), Time(1, trace=Trace("ottt", 0.5)), "chunk"),
        ("ndot-a", {}, EndToEnd(), Time(1, trace=Trace("ndot-paper")), "sequence"),
        ("ndot-o", {"variant": "official"}, EndToEnd(), Time(1, trace=Trace("ndot-official")), "chunk"),
        ("ftrl-ottt", {}, EndToEnd(), Time(1, trace=Trace("ottt")), "chunk"),
        ("decolle", {}, Layerwise(1, "auxiliary"), Time(1), "sequence"),
        ("ell", {}, Layerwise(1), Time(1), "sequence"),
        ("stdl", {}, Planned(), Time(1), "sequence"),
        ("stdl+ottt", {"update": "step"}, Planned(), Time(1, trace=Trace("ottt")), "chunk"),
        ("stdl+ndot", {"variant": "official"}, Planned(), Time(1, trace=Trace("ndot-official")), "sequence"),
    ],
)
def test_names_are_points_of_the_grid(name, options, space, time, update):
    rule = get_rule(name, **options)
    assert (rule.space, rule.time, rule.update) == (space, time, update)


def test_only_two_rules_have_a_proximal_term():
    assert get_rule("ftrl-ottt", proximal=0.5, proximal_norm="l1").proximal == Proximal(0.5, "l1", "phase")
    assert get_rule("ndot-o", variant="official").proximal == Proximal(0.025, "rms", "previous")
    assert [rule.name for rule in list_rules() if rule.proximal is not None] == ["ftrl-ottt"]


def test_every_option_of_every_rule_is_documented():
    text = inspect.getdoc(Blueprint.of)
    for name in NAMES:
        for option in rule_options(name):
            assert f"{option}:" in text or f"{option}," in text or f", {option}" in text, (name, option)


@pytest.mark.parametrize(
    ("rule", "options", "text"),
    [
        ("sltt", {"k": 2}, "rule sltt: got the option k; expected no options; leave it out, or choose a rule"),
        ("tbptt", {"K": 2}, "rule tbptt: got the option K; expected only k, n, classifier; leave it out"),
        ("sltt", {"learning_rate": 1}, "rule sltt: got the option learning_rate; expected no options"),
        ("tbptt", {"k": 0}, "steps per interval (k): got 0; expected a positive whole number; change it"),
        ("tbptt", {"n": 1.5}, "layers per block (n): got 1.5; expected a positive whole number; change it"),
        ("sltt-k", {"k": True}, "steps that learn (k): got True; expected a positive whole number; change it"),
        ("tbptt", {"classifier": "none"}, "classifier: got 'none'; expected trainable or random; choose one of these"),
        ("ndot-a", {"variant": "arxiv"}, "variant: got 'arxiv'; expected paper or official; choose one of these"),
        ("stdl+ottt", {"update": "T"}, "update: got 'T'; expected sequence or step; choose one of these"),
        ("ottt-a", {"trace_decay": 1.0}, "trace_decay: got 1.0; expected 0 <= trace_decay < 1; change trace_decay"),
        ("ftrl-ottt", {"proximal": -1.0}, "proximal: got -1.0; expected proximal >= 0; change proximal"),
        ("ftrl-ottt", {"proximal_norm": "l3"}, "proximal_norm: got 'l3'; expected l1 or l2 or rms; choose one"),
    ],
)
def test_wrong_options_are_told(rule, options, text):
    with pytest.raises(RuleError) as caught:
        build(rule, **options)
    assert str(caught.value).startswith(text)


def test_more_learning_steps_than_steps_are_told():
    learner = build("sltt-k", k=4)
    with pytest.raises(RuleError) as caught:
        learner.backward(torch.zeros(3, BATCH, *SHAPE), torch.zeros(BATCH, dtype=torch.int64))
    assert str(caught.value) == (
        "rule sltt-k: got 4 steps that learn, of 3; expected no more steps that learn than steps in a sequence; "
        "use a smaller k, or longer sequences"
    )


def test_any_point_of_the_grid_trains_without_a_name():
    rule = Rule("mine", Layerwise(2), traced("ndot-paper"), "chunk", "nobody")
    learner = build(rule, loss="ce")
    before = [weight.detach().clone() for weight in learner.network.parameters()]
    learner.train_step(torch.rand(3, BATCH, *SHAPE) * 3, torch.tensor([0, 1, 2]))
    assert len(learner.blocks) == 2
    assert not all(torch.equal(a, b) for a, b in zip(before, learner.network.parameters(), strict=True))
    with pytest.raises(RuleError, match="rule mine: got the options k; expected no options beside a Rule"):
        build(rule, k=2)


def learned(seed: int, rule: str, steps: int, norm: str = "batch", **options: object) -> dict[str, torch.Tensor]:
    case = random_case(seed, rule, norm)
    learner = case.changed(blocks=(Block(0, len(case.parts)),)).learner(steps=steps, **options)
    frames, targets = case.data()
    learner.backward(frames[:steps], targets)
    assert len(learner.blocks) == 1
    return gradients(learner)


ONE_BLOCK = {"tbptt": {"k": 3, "n": 9, "loss": "ce+mse"}, "decolle": None, "ell": None}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rule", [name for name in NAMES if ONE_BLOCK.get(name, {}) is not None])
def test_with_one_step_and_one_block_every_rule_is_bptt(rule, norm):
    bptt, options = learned(20, "bptt", 1, norm), ONE_BLOCK.get(rule) or {}
    assert same(learned(20, rule, 1, norm, memory="plain", **options), bptt)
    assert largest_difference(learned(20, rule, 1, norm, **options), bptt) <= 1e-13


@pytest.mark.parametrize("loss", ["spike-mse", "ce", "ce+mse"])
@pytest.mark.parametrize("n", [2, 3, 99])
def test_truncated_by_nothing_is_bptt(loss, n):
    """tbptt(T, L) with the network in one group; the classifier itself is not counted."""
    case = random_case(21, "bptt")
    n = max(n, len(case.parts) - 1)
    bptt = learned(21, "bptt", 4, loss=loss, surrogate_width=3.0)
    ours = learned(21, "tbptt", 4, k=4, n=n, loss=loss, surrogate_width=3.0)
    assert same(ours, bptt)


def test_truncated_to_one_step_is_sltt():
    sltt, ours = learned(22, "sltt", 4), learned(22, "tbptt", 4, k=1, n=9, loss="ce+mse")
    assert same(ours, sltt)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rule", ["ottt-a", "ottt-o", "stdl+ottt", "ndot-a"])
def test_traces_that_keep_nothing_are_sltt(rule, norm):
    """With λ = 0, OTTT's trace is the spike; NDOT's e is clamped to 0."""
    sltt = learned(23, "sltt", 4, norm)
    assert largest_difference(learned(23, rule, 4, norm, trace_decay=0.0), sltt) <= 1e-13


@pytest.mark.parametrize("rule", ["ottt-a", "ndot-a", "bptt"])
def test_traces_and_gradients_through_time_are_not_sltt(rule):
    assert largest_difference(learned(23, rule, 4), learned(23, "sltt", 4)) > 1e-3


def test_sltt_k_with_all_steps_is_sltt():
    sltt, ours = learned(24, "sltt", 4), learned(24, "sltt-k", 4, k=4)
    assert same(ours, sltt)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("rule", "whole"), [("stdl", "sltt"), ("stdl+ottt", "ottt-a"), ("stdl+ndot", "ndot-a")])
def test_one_planned_block_is_the_rule_on_the_whole_network(rule, whole, norm):
    for memory in ("plain", "lean"):
        assert same(*(learned(25, name, 4, norm, memory=memory) for name in (rule, whole)))


@pytest.mark.parametrize(
    ("n", "borders"), [(1, [0, 1, 2, 3, 5]), (2, [0, 2, 5]), (3, [0, 3, 5]), (4, [0, 5]), (9, [0, 5])]
)
def test_layers_in_groups_of_n(n, borders):
    learner = build("tbptt", n=n, loss="ce")
    lengths = [len(block.subnetwork.spec.layers) for block in learner.blocks]
    assert [0, *torch.tensor(lengths).cumsum(0).tolist()] == borders
    heads = [block.auxiliary and block.auxiliary.spec.notation for block in learner.blocks]
    assert heads == ["4FC"] * (len(borders) - 2) + [None]


def test_steps_that_show_all_the_memory():
    assert [time.steps_to_meter(10) for time in (Time(None), Time(1), truncated(3), truncated(9))] == [10, 2, 6, 10]
    # The learning steps between one step without a backward pass in front and one behind.
    assert [spatial_k(k).steps_to_meter(10) for k in (1, 2, 5)] == [3, 4, 7]
    assert Time(1).steps_to_meter(1) == 1
