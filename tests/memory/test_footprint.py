"""The peak of a training step: its breakdown against sums by hand, its position, and that a short run shows it."""

import dataclasses

import pytest
import torch

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.lean.parts import PartSizes, part_sizes
from stdl_events.learning.make_loss import make_loss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.rules import get_rule
from stdl_events.memory.choose_plan import Planner
from stdl_events.memory.footprint import measure_learner, profile_learner
from stdl_events.memory.ledger import Ledger
from stdl_events.memory.meter import LiveBytes, measure, tensor_bytes
from stdl_events.memory.report import StepMemory, floor_bytes, meter_step
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.partition import Cut

FLOAT = 4
BATCH = 8
NOTATION = "8C3-AP2-8R-16R(s2)-10FC"


def make_spec(notation: str = NOTATION, size: int = 16, **settings: str) -> NetworkSpec:
    norm = settings.pop("norm", "batch")
    return NetworkSpec.parse(notation, input_shape=(2, size, size), norm=norm).with_settings(settings)


def make_blueprint(
    rule: str, spec: NetworkSpec, *, steps: int = 4, memory: str = "lean", optimizer: str = "adamw", batch: int = BATCH
) -> Blueprint:
    chosen = get_rule(rule)
    if chosen.loss == "spike-mse":
        spec = spec.with_settings({}, classifier="spiking")
    loss = make_loss(chosen.loss, threshold=1.0)
    return Blueprint(spec, chosen, batch, steps, loss, OptimizerSpec(optimizer), memory=memory)


def profile(rule: str, spec: NetworkSpec, **options) -> StepMemory:
    return meter_step(make_blueprint(rule, spec, **options), None)


def two_real_steps(blueprint: Blueprint) -> int:
    """The peak of training's first two steps, without a ledger or a settled optimiser, with every part of a layer."""
    steps = blueprint.rule.time.steps_to_meter(blueprint.steps)

    def prepare(live: LiveBytes):
        learner = blueprint.build(None)
        frames = torch.empty((steps, BATCH, *blueprint.spec.input_shape), dtype=torch.uint8)
        targets = torch.zeros(BATCH, dtype=torch.int64)
        live.exclude(frames)
        return lambda: learner.train_step(frames, targets)

    return measure(prepare).peak_bytes


@pytest.mark.parametrize("memory", ["lean", "kept"])
def test_of_parts_that_are_alike_the_first_ones_are_enough(memory):
    blueprint = make_blueprint("sltt", make_spec("6C3-20R(s2)-6SEWR-AP2-8C3-10FC"), memory=memory)
    with part_sizes(PartSizes(1500, 1500)):
        peak = two_real_steps(blueprint)
        assert measure_learner(blueprint, None)[0].peak_bytes == peak
        assert profile_learner(lambda: blueprint.build(None), batch_size=BATCH).peak_bytes == peak
    assert peak != measure_learner(blueprint, None)[0].peak_bytes, "the parts are small enough to matter"


@pytest.mark.parametrize(
    ("rule", "memory"),
    [(rule, "plain") for rule in ("bptt", "sltt", "tbptt", "ndot-o", "ftrl-ottt")]
    + [(rule, memory) for rule in ("ell", "stdl") for memory in ("lean", "kept")],
)
def test_the_parts_add_up_to_the_peak_of_real_training(rule, memory):
    blueprint = make_blueprint(rule, make_spec("8C3-AP2-8R-DP(0.2)-16C3-10FC"), memory=memory)
    step = meter_step(blueprint, None)
    assert two_real_steps(blueprint) == step.footprint.peak_bytes == measure_learner(blueprint, None)[0].peak_bytes
    document = step.to_dict()
    parts = dict(document["breakdown"])
    assert list(parts) == ["weights", "gradients", "optimizer", "membrane", "saved", "input", "other"]
    assert parts.pop("input") == 4 * BATCH * 2 * 16 * 16
    assert sum(parts.values()) == document["peak_bytes"]
    assert all(count >= 0 for count in parts.values())


@pytest.mark.parametrize(("optimizer", "slots", "counters"), [("adamw", 2, FLOAT), ("sgd", 1, 0)])
@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_weights_gradients_and_optimiser_states_are_those_of_the_network(memory, optimizer, slots, counters):
    spec = make_spec()
    network = SpikingNetwork.build(spec)
    weights = tensor_bytes(network.parameters())
    found = profile("sltt", spec, memory=memory, optimizer=optimizer).footprint
    assert found.breakdown["weights"] == weights + tensor_bytes(network.buffers())
    assert found.breakdown["gradients"] == weights
    assert found.breakdown["optimizer"] == slots * weights + counters * len(list(network.parameters()))


@pytest.mark.parametrize(("rule", "memory"), [("sltt", "lean"), ("sltt", "plain"), ("bptt", "plain")])
@pytest.mark.parametrize(("neuron", "entries"), [("lif", 1), ("plif", 1), ("alif", 2)])
def test_membrane_states_count_once_whatever_backward_keeps_of_them(rule, neuron, entries, memory):
    spec = make_spec(kind=neuron)
    # 8C3 at 16x16, then halved: 8R has two layers of neurons, 16R two at half the size again.
    neurons = 8 * 16 * 16 + 2 * 8 * 8 * 8 + 2 * 16 * 4 * 4
    found = profile(rule, spec, memory=memory).footprint
    assert found.breakdown["membrane"] == entries * BATCH * neurons * FLOAT


def test_traces_and_dropout_masks_are_states_too():
    spec = make_spec("8C3-DP(0.5)-8C3-10FC")
    neurons = BATCH * 2 * 8 * 16 * 16
    mask = BATCH * 8 * 16 * 16
    traces = neurons * FLOAT
    assert profile("sltt", spec).footprint.breakdown["membrane"] == neurons * FLOAT + mask
    assert profile("ottt-a", spec).footprint.breakdown["membrane"] == neurons * FLOAT + traces + mask


def test_auxiliary_networks_have_weights_and_states_of_their_own():
    spec = make_spec("8C3-16C3-10FC")
    head = spec.auxiliary("AP2-8C3-10FC", 1)
    blueprint = make_blueprint("stdl", spec)
    plan = Planner(blueprint).with_cuts([Cut(0, 1, head), Cut(1, 3, None)])
    found = meter_step(blueprint, plan)
    networks = SpikingNetwork.build(spec), SpikingNetwork.build(head)
    weights = sum(tensor_bytes([*network.parameters(), *network.buffers()]) for network in networks)
    neurons = 8 * 16 * 16 + 16 * 16 * 16 + 8 * 8 * 8
    assert found.footprint.breakdown["weights"] == weights
    assert found.footprint.breakdown["membrane"] == BATCH * neurons * FLOAT
    assert found.floor_bytes == floor_bytes(make_blueprint("sltt", spec)), "the floor knows no auxiliary networks"
    blocks = found.to_dict()["blocks"]
    assert [(block["subnetwork"], block["auxiliary"]) for block in blocks] == [
        ("8C3", "AP2-8C3-10FC"),
        ("16C3-10FC", None),
    ]
    assert max(block["peak_bytes"] for block in blocks) == found.footprint.peak_bytes


def test_what_bptt_saves_grows_by_the_same_for_every_step_and_what_online_rules_save_does_not():
    saved = [profile("bptt", make_spec(), steps=steps).footprint.breakdown["saved"] for steps in (2, 3, 4, 8)]
    per_step = saved[1] - saved[0]
    assert per_step > 0.9 * saved[0] / 2
    assert saved[2] - saved[1] == per_step
    assert saved[3] - saved[2] == 4 * per_step


@pytest.mark.parametrize(
    ("rule", "memory"), [("stdl", "lean"), ("stdl", "plain"), ("ell", "lean"), ("ottt-a", "plain"), ("sltt-k", "lean")]
)
def test_two_steps_show_what_any_number_needs(rule, memory):
    spec = make_spec("8C3-AP2-8R-10FC")
    short = profile(rule, spec, steps=40, memory=memory).footprint
    blueprint = make_blueprint(rule, spec, steps=4, memory=memory)
    assert short.steps == (3 if rule == "sltt-k" else 2)
    long = meter_step(blueprint, None, every_step=True).footprint
    assert long.steps == 4
    assert (long.peak_bytes, long.breakdown, long.blocks) == (short.peak_bytes, short.breakdown, short.blocks)
    assert measure_learner(blueprint, None)[0].peak_bytes == short.peak_bytes


def test_the_rule_that_draws_its_steps_is_metered_where_gradients_wait_while_others_run():
    """Weights outweigh all else, so a step that runs after one that learned holds the gradients as well."""
    spec = make_spec("64C3-64C3-10FC", size=4)
    found = profile("sltt-k", spec, optimizer="sgd", batch=1, steps=6, memory="plain").footprint
    assert found.breakdown["gradients"] == tensor_bytes(SpikingNetwork.build(spec).parameters())


def test_lean_mode_saves_one_bit_per_spike():
    """Two convolutions without norm: frame and spikes are saved, the rest is recomputed."""
    spec = make_spec("2C3-16C3-10FC", norm="none")
    found = profile("sltt", spec, memory="lean").footprint
    frame, bits, more_bits = 2 * 16 * 16 * FLOAT, 2 * 16 * 16 // 8, 16 * 16 * 16 // 8
    pooled_logits_and_losses = 2048
    assert found.breakdown["saved"] - BATCH * (frame + bits + more_bits) in range(pooled_logits_and_losses)
    plain = profile("sltt", spec, memory="plain").footprint
    assert plain.breakdown["saved"] > 10 * found.breakdown["saved"]


@pytest.mark.parametrize("rule", ["sltt", "ell"])
def test_the_moment_names_the_widest_layer(rule):
    found = profile(rule, make_spec("2C3-32C3-AP4-4C3-10FC")).footprint
    assert found.moment.site is not None
    assert (found.moment.site.layer, found.moment.site.notation) == (2, "32C3-AP4")
    assert found.moment.block == (1 if rule == "sltt" else 2)
    assert f"of block {found.moment.block}, layer 2 (32C3-AP4), step " in str(found.moment)


def test_the_moment_names_the_convolution_of_a_residual_block_and_the_auxiliary_network():
    wide = profile("sltt", make_spec("2C3-32R-AP4-4C3-10FC")).footprint.moment.site
    assert wide is not None
    assert str(wide).startswith("layer 2 (32R-AP4), ")
    assert wide.unit in ("first convolution", "second convolution", "shortcut")
    spec = make_spec("2C3-4C3-10FC")
    blueprint = make_blueprint("stdl", spec)
    plan = Planner(blueprint).with_cuts([Cut(0, 1, spec.auxiliary("64C3-10FC", 1)), Cut(1, 3, None)])
    moment = meter_step(blueprint, plan).footprint.moment
    assert moment.block == 1
    assert f"block 1, auxiliary layer 1 (64C3), step {moment.steps[0]}" in str(moment)


def test_where_weights_outweigh_all_else_the_peak_is_while_they_move():
    found = profile("sltt", make_spec("128C3-128C3-10FC", size=4), batch=1).footprint
    assert (found.moment.phase, found.moment.block) == ("update", None)
    assert str(found.moment).startswith("update, layer 2 (128C3), step ")


def test_backward_through_a_sequence_says_that_it_goes_through_all_steps():
    found = profile("bptt", make_spec(), steps=3).footprint
    assert found.moment.block == 1
    backward = [lap.moment for lap in found.laps if lap.moment.phase == "backward"]
    assert {moment.steps for moment in backward} == {(1, 3)}
    assert str(backward[0]).endswith("steps 1 to 3")


@pytest.mark.parametrize(("neuron", "entries"), [("lif", 1), ("alif", 2)])
def test_the_floor_is_parameters_states_and_one_working_set(neuron, entries):
    spec = make_spec("8C3-16C3-AP2-4C3-10FC", kind=neuron)
    network = SpikingNetwork.build(spec)
    parameters = tensor_bytes(network.parameters()) * 4 + tensor_bytes(network.buffers())
    states = entries * BATCH * (8 * 16 * 16 + 16 * 16 * 16 + 4 * 8 * 8) * FLOAT
    widest = BATCH * (16 * 16 * 16 * FLOAT + 8 * 16 * 16 // 8)
    assert floor_bytes(make_blueprint("sltt", spec)) == parameters + states + widest
    step = profile("sltt", spec)
    assert step.to_dict()["peak_over_floor"] == pytest.approx(step.footprint.peak_bytes / step.floor_bytes)
    assert 1 < step.to_dict()["peak_over_floor"] < 3


def test_the_floor_of_frames_that_outweigh_every_layer_takes_them_as_they_are():
    spec = make_spec("AP8-2C3-10FC", size=64)
    few = dataclasses.replace(make_blueprint("sltt", spec), batch_size=1)
    many = dataclasses.replace(few, batch_size=11)
    per_sequence = 2 * 8 * 8 * FLOAT + 2 * 8 * 8 * FLOAT + 2 * 64 * 64 * FLOAT
    assert floor_bytes(many) - floor_bytes(few) == 10 * per_sequence


def test_a_ledger_knows_what_was_alive_at_its_peak_and_what_for():
    ledger = Ledger()
    with LiveBytes(ledger) as live:
        weight = torch.zeros(10)
        ledger.watch(weight, "weight")
        ledger.label([weight], "weights")
        ledger.start()
        live.reset_peak()
        state = torch.zeros(20)
        lives = ledger.succeed([], [state])
        product = weight.view(2, 5) * 2.0
        large = torch.zeros(100)
        ledger.label_unlabelled("saved", born_after=0)
        del large
        after = torch.ones(20)
        ledger.succeed(lives, [after])
        small = torch.zeros(1)
    tick, peak = ledger.peak()
    assert peak == live.peak == (10 + 20 + 10 + 100) * FLOAT
    at_peak = {"weights": 40, "gradients": 0, "optimizer": 0, "membrane": 80, "saved": 440, "other": 0}
    assert ledger.breakdown(tick) == at_peak
    # Replaced states are saved for backward.
    now = {"weights": 40, "gradients": 0, "optimizer": 0, "membrane": 80, "saved": 120, "other": FLOAT}
    assert ledger.breakdown(ledger.clock) == now
    assert ledger.user(tick, forward=True) == "weight"
    assert ledger.user(tick, forward=False) is None, "nothing uses the weight behind the peak"
    assert [name for _, _, name in ledger.uses()] == ["weight"]
    assert (product.shape, state.shape, small.shape) == ((2, 5), (20,), (1,))
