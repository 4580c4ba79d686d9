"""The meter against bytes counted by hand, against the paper's figures, and flat in time for online rules."""

import dataclasses
import functools

import pytest
import torch

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.losses import InstantaneousLoss
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.rules import get_rule
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.meter import LiveBytes, measure, metering, tensor_bytes
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.zoo import get_network
from stdl_events.plan.plan import Plan, PlannedBlock
from stdl_events.sizes import format_bytes

FLOAT = 4


def test_every_storage_counts_once_from_its_birth_to_its_death():
    with metering() as live:
        a = torch.empty(1000)
        assert live.now == 1000 * FLOAT
        views = a.view(10, 100), a[5:], a.t()
        assert live.now == 1000 * FLOAT
        a.mul_(2)
        b = a.to(torch.float64)
        assert live.now == 1000 * FLOAT + 1000 * 8
        del b
        assert live.now == 1000 * FLOAT
        del a
        assert live.now == 1000 * FLOAT, "a view keeps its storage"
        del views
        assert live.now == 0
        assert live.peak == 1000 * FLOAT + 1000 * 8


def test_temporaries_count_for_the_peak():
    with metering() as live:
        a = torch.empty(100)
        live.reset_peak()
        b = (a + 1) * 2 + a
        assert live.now == 2 * 100 * FLOAT
        # a, the product and the sum; the first sum is released when the product exists.
        assert live.peak == 3 * 100 * FLOAT
        assert b.shape == (100,)


def test_laps_have_peaks_of_their_own():
    with metering() as live:
        kept = torch.empty(10)
        torch.empty(90)
        assert live.lap_peak() == 100 * FLOAT
        torch.empty(20)
        assert live.lap_peak() == 30 * FLOAT
        assert live.lap_peak() == 10 * FLOAT
        assert live.peak == 100 * FLOAT
        assert kept.shape == (10,)


def test_real_tensors_are_metered_the_same_way():
    with LiveBytes() as live:
        a = torch.zeros(50)
        b = a + 1
        assert live.now == 2 * 50 * FLOAT
        del a
        assert live.now == 50 * FLOAT
        assert b.sum().item() == 50


@pytest.mark.parametrize("use", [lambda x: list(x), lambda x: x[0], lambda x: x.view(-1), lambda x: x.mul_(2)])
def test_an_excluded_input_stays_out_whatever_is_done_with_it(use):
    with metering() as live:
        x = torch.empty(8, 100)
        live.exclude(x)
        assert live.now == 0
        views = use(x)
        assert live.now == 0
        copy = x + 1
        assert live.now == 800 * FLOAT
        del x, views, copy
        assert live.now == 0
        others = [torch.empty(100) for _ in range(16)]
        assert live.now == 16 * 100 * FLOAT, "addresses of freed storages are counted again"
        del others


def test_what_autograd_keeps_is_counted_until_backward():
    """y = tanh(x w): saved are x, w and the output of tanh."""
    with metering() as live:
        x = torch.empty(64, 10)
        w = torch.empty(10, 20).requires_grad_()
        start = live.now
        assert start == (64 * 10 + 10 * 20) * FLOAT
        y = torch.tanh(x @ w)
        assert live.now == start + 64 * 20 * FLOAT
        loss = y.sum()
        del y
        assert live.now == start + (64 * 20 + 1) * FLOAT, "tanh needs its output"
        loss.backward()
        assert live.now == start + (10 * 20 + 1) * FLOAT, "the gradient is left"
        assert w.grad is not None


def test_a_step_of_a_linear_layer_is_its_sum_by_hand():
    batch, inputs, outputs = 32, 40, 24
    weights = (inputs * outputs + outputs) * FLOAT
    activations = batch * outputs * FLOAT

    def prepare(live):
        layer = torch.nn.Linear(inputs, outputs)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, foreach=False)
        x = torch.empty(batch, inputs)
        live.exclude(x)

        def step():
            optimizer.zero_grad(set_to_none=True)
            y = layer(x)
            y.backward(torch.empty_like(y))
            optimizer.step()

        return step

    report = measure(prepare)
    # Weights, gradients and momenta are resident. At the peak, the end of backward: output and its gradient.
    assert report.resident_bytes == 3 * weights
    assert report.peak_bytes == 3 * weights + 2 * activations


def test_bytes_of_tensors_and_how_people_read_them():
    assert tensor_bytes([torch.empty(3, 5), torch.empty(2, dtype=torch.uint8)]) == 62
    assert [format_bytes(n) for n in (0, 999, 1000, 1_234_567, 3_510_000_000)] == [
        "0 B",
        "999 B",
        "1.00 kB",
        "1.23 MB",
        "3.51 GB",
    ]


def make_blueprint(
    rule: str, spec: NetworkSpec, *, batch_size: int, steps: int = 2, memory: str = "plain"
) -> Blueprint:
    return Blueprint(spec, get_rule(rule), batch_size, steps, InstantaneousLoss(), OptimizerSpec(), memory=memory)


@functools.cache
def cifar_peak(name: str, classes: int, rule: str, steps: int) -> int:
    spec = get_network(name, input_shape=(3, 32, 32), classes=classes)
    return measure_learner(make_blueprint(rule, spec, batch_size=512), None, steps=steps)[0].peak_bytes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "classes", "sltt_gb", "bptt_gb"),
    [("resnet18", 10, 4.88, 15.45), ("resnet19", 100, 12.38, 39.44), ("vgg16", 10, 2.54, 7.84)],
)
def test_the_papers_figures_at_batch_size_512_and_four_steps(name, classes, sltt_gb, bptt_gb):
    """STDL, Table II; a GB is 10^9 bytes, the optimiser SGD with momentum."""
    assert cifar_peak(name, classes, "sltt", 4) / 1e9 == pytest.approx(sltt_gb, rel=0.02)
    assert cifar_peak(name, classes, "bptt", 4) / 1e9 == pytest.approx(bptt_gb, rel=0.02)


# Large frames in front of a network that pools them at once: were the clip counted, it would dominate.
FLAT_SPEC = NetworkSpec.parse("AP8-8C3-8C3-AP2-8C3-10FC", input_shape=(2, 64, 64))


def planned(spec: NetworkSpec) -> Plan:
    blocks = (PlannedBlock(0, 2, "AP8-8C3-8C3-AP2", "8C3-10FC", 1), PlannedBlock(2, 4, "8C3-10FC", None, 1))
    return Plan(spec.notation, spec.input_shape, 4, blocks, whole_bytes=1)


@functools.cache
def flat_peak(rule: str, steps: int, memory: str = "plain") -> int:
    plan = planned(FLAT_SPEC) if rule == "stdl" else None
    blueprint = make_blueprint(rule, FLAT_SPEC, batch_size=4, memory=memory)
    return measure_learner(blueprint, plan, steps=steps)[0].peak_bytes


@pytest.mark.parametrize("memory", ["lean", "plain"])
@pytest.mark.parametrize("rule", ["stdl", "sltt"])
def test_online_rules_need_the_same_for_any_number_of_steps(rule, memory):
    peaks = {flat_peak(rule, steps, memory) for steps in (2, 4, 8, 16)}
    assert len(peaks) == 1


def test_bptt_needs_more_for_every_step():
    peaks = [flat_peak("bptt", steps) for steps in (2, 4, 8, 16)]
    per_step = (peaks[1] - peaks[0]) / 2
    assert per_step > 0.5 * flat_peak("sltt", 2) / 4
    assert peaks[2] - peaks[1] == pytest.approx(4 * per_step, rel=0.05)
    assert peaks[3] - peaks[2] == pytest.approx(8 * per_step, rel=0.05)


def test_one_block_of_stdl_costs_what_sltt_costs():
    whole = Plan(
        FLAT_SPEC.notation, FLAT_SPEC.input_shape, 4, (PlannedBlock(0, 4, FLAT_SPEC.notation, None, 1),), whole_bytes=1
    )
    report, blocks = measure_learner(make_blueprint("stdl", FLAT_SPEC, batch_size=4), whole)
    assert report.peak_bytes == flat_peak("sltt", 2) == blocks[0]


def test_the_blocks_of_a_plan_are_metered_one_by_one():
    report, blocks = measure_learner(make_blueprint("stdl", FLAT_SPEC, batch_size=4), planned(FLAT_SPEC))
    assert len(blocks) == 2
    assert max(blocks) == report.peak_bytes
    assert all(peak > report.resident_bytes for peak in blocks)


@pytest.mark.parametrize(("optimizer", "tensors_per_weight"), [("adamw", 4), ("sgd", 3), ("plain sgd", 2)])
def test_weights_gradients_and_optimiser_state_are_resident(optimizer, tensors_per_weight):
    spec = NetworkSpec.parse("8C3-16C3-10FC", input_shape=(2, 8, 8))
    kind, momentum = optimizer.split()[-1], 0.0 if optimizer == "plain sgd" else None
    blueprint = make_blueprint("sltt", spec, batch_size=2)
    blueprint = dataclasses.replace(blueprint, optimizer=OptimizerSpec(kind, momentum=momentum))
    weights = 8 * 2 * 9 + 2 * 8 + 16 * 8 * 9 + 2 * 16 + 16 * 10 + 10
    buffers = (2 * 8 + 2 * 16) * FLOAT + 2 * 8
    # AdamW counts its steps in one float per weight tensor; targets are two int64.
    counters = 8 * FLOAT if kind == "adamw" else 0
    report, _ = measure_learner(blueprint, None)
    assert report.resident_bytes == tensors_per_weight * weights * FLOAT + buffers + counters + 2 * 8
