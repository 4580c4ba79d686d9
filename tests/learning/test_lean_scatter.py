"""Lean mode with scattered convolutions against plain autograd, and its bytes against the metered ones."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stdl_events.build import build_learner, plan_learner
from stdl_events.errors import RuleError
from stdl_events.learning.lean.parts import PartSizes, part_sizes
from stdl_events.learning.lean.pooling import Pooled
from stdl_events.learning.lean.signals import Counts, Dense, Scaled, Spikes
from stdl_events.learning.lean.sparse import choose
from stdl_events.learning.lean.synapse import LeanSynapse
from stdl_events.learning.learner import Learner
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.meter import LiveBytes
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.synapse import Synapse, set_convolutions
from stdl_events.scatter.break_even import fixed_break_even

INPUT, BATCH, STEPS = (2, 28, 24), 4, 3
NOTATION = "16C3-24C3(s2)-16R(s2)-AP2-3FC"
RULES = ("stdl", "ottt-a", "ndot-a", "decolle")


def learner(rule: str = "sltt", notation: str = NOTATION, **options: Any) -> Learner:
    spec = NetworkSpec.parse(notation, input_shape=INPUT)
    options = {
        "convolutions": "auto",
        "dtype": torch.float64,
        "seed": 1,
        "lr": 0.01,
        "decay": 0.5,
        "threshold": 1.2,
    } | options
    return build_learner(spec, rule, batch_size=BATCH, steps=STEPS, **options)


def frames(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.poisson(torch.full((STEPS, BATCH, *INPUT), 0.2), torch.Generator().manual_seed(0)).to(dtype)


def gradients(trained: Learner) -> dict[str, Tensor]:
    """All gradients of one batch and the network's running statistics."""
    trained.backward(frames(trained.network.initial_state(1)[0].dtype), torch.arange(BATCH) % 3)
    blocks = [parameter.grad for block in trained.blocks for parameter in block.parameters()]
    named = {str(index): grad for index, grad in enumerate(blocks) if grad is not None}
    return named | dict(trained.network.named_buffers())


def count_scattered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """What each convolution of a step scatters: forward, gradient of the weights."""
    found = []

    def noting(*arguments: Any, **options: Any) -> Any:
        chosen = choose(*arguments, **options)
        found.append((False, False) if chosen is None else (chosen.forward, chosen.weights))
        return chosen

    monkeypatch.setattr("stdl_events.learning.lean.synapse.choose", noting)
    return found


@pytest.mark.parametrize("memory", ["lean", "kept"])
@pytest.mark.parametrize("norm", ["batch", "ws", "none"])
def test_gradients_are_those_of_autograd(memory, norm, monkeypatch):
    wanted = gradients(learner(memory="plain", norm=norm))
    with fixed_break_even(1.0):
        chosen = count_scattered(monkeypatch)
        torch.testing.assert_close(gradients(learner(memory=memory, norm=norm)), wanted, rtol=1e-12, atol=1e-12)
    assert any(forward for forward, _ in chosen)
    assert any(weights for _, weights in chosen)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_learns_the_same(rule, monkeypatch):
    plain = learner(rule, memory="plain")
    wanted = gradients(plain)
    with fixed_break_even(1.0):
        chosen = count_scattered(monkeypatch)
        torch.testing.assert_close(gradients(learner(rule, plan=plain.plan)), wanted, rtol=1e-12, atol=1e-12)
    assert any(forward for forward, _ in chosen)


def test_parts_of_channels_and_samples_give_the_same(monkeypatch):
    wanted = gradients(learner(memory="plain"))
    with fixed_break_even(1.0), part_sizes(PartSizes(channel_bytes=4000, sample_bytes=8000)):
        chosen = count_scattered(monkeypatch)
        torch.testing.assert_close(gradients(learner()), wanted, rtol=1e-12, atol=1e-12)
    assert any(forward for forward, _ in chosen)


def test_an_output_is_recomputed_to_the_bit():
    module = SpikingNetwork.build(NetworkSpec.parse("16C3-3FC", input_shape=(8, 24, 20))).layers_in_order()[0]
    synapse = module.get_submodule("body.synapse")
    assert isinstance(synapse, Synapse)
    synapse.convolutions = "auto"
    spikes = (torch.rand((4, 8, 24, 20), generator=torch.Generator().manual_seed(0)) < 0.1).float()
    counts = Counts(spikes.to(torch.uint8), torch.float32)
    with fixed_break_even(1.0), torch.no_grad():
        lean = LeanSynapse(synapse.train(), counts)
        assert lean._scattering is not None and lean._scattering.forward  # noqa: PT018
        first = lean._output(slice(0, 16)).clone()
        lean.pause()
        assert torch.equal(lean._output(slice(0, 16)), first)


@pytest.mark.parametrize("options", [{}, {"convolutions": "dense"}])
def test_dense_convolutions_are_those_without_the_kernels_to_the_bit(options):
    with fixed_break_even(0.0):
        wanted = gradients(learner(dtype=torch.float32, convolutions="dense"))
    with fixed_break_even(1.0):
        found = gradients(learner(dtype=torch.float32, **options))
    same = all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert same == bool(options)


def test_signals_with_values_of_their_own_stay_dense():
    conv = torch.nn.Conv2d(2, 16, 3, padding=1)
    bits = Spikes((2, 2, 32, 32), torch.float32, torch.device("cpu"))
    bits.bits_BCQ.zero_()
    counts = Counts(torch.zeros((2, 2, 32, 32), dtype=torch.uint8), torch.float32, 4)
    values = Dense(torch.zeros(2, 2, 32, 32))
    half = Dense(torch.zeros(2, 2, 32, 32, dtype=torch.bfloat16))
    whole = [slice(0, 2)], [slice(0, 16)]

    def scatters(signal: Any, convolution: torch.nn.Conv2d = conv) -> bool:
        with fixed_break_even(1.0):
            return choose(convolution, signal, *whole, room=2**20, learns=True) is not None

    assert all(scatters(signal) for signal in (bits, counts, values, Scaled(bits, 0.5), Scaled(counts, 2.0)))
    assert not any(scatters(signal) for signal in (half, Pooled(values, torch.nn.AvgPool2d(1))))
    assert not scatters(bits, torch.nn.Conv2d(2, 16, 3, padding=1, groups=2))
    assert not scatters(bits, torch.nn.Conv2d(2, 16, 3, padding=1, dilation=2))
    assert not scatters(bits, torch.nn.Conv2d(2, 16, (3, 1)))


def real_peak(trained: Learner) -> int:
    """The peak of all live tensors in a settled step, without the clip."""
    clip, targets_B = frames(torch.float32), torch.arange(BATCH) % 3
    with LiveBytes() as live:
        live.exclude(clip)
        live.exclude(targets_B)
        for tensor in (*trained.network.parameters(), *trained.network.buffers()):
            live.exclude(tensor)
        trained.train_step(clip, targets_B)
        live.reset_peak()
        trained.train_step(clip, targets_B)
    return live.peak


@pytest.mark.parametrize(
    ("memory", "notation", "channel_bytes"),
    [
        ("lean", NOTATION, 4 * 2**20),
        ("lean", NOTATION, 30_000),
        ("kept", "32C3-32C3-AP2-32C3-3FC", 4 * 2**20),
        ("lean", "16C5-16SEWR-3FC", 30_000),
    ],
)
def test_a_step_takes_no_more_bytes_than_the_dense_one(memory, notation, channel_bytes, monkeypatch):
    """The meter runs the dense path, whose bytes are those of a real dense step."""
    options: dict[str, Any] = {"notation": notation, "memory": memory, "dtype": torch.float32}
    with part_sizes(PartSizes(channel_bytes=channel_bytes)):
        dense = real_peak(learner(convolutions="dense", **options))
        with fixed_break_even(1.0):
            chosen = count_scattered(monkeypatch)
            assert real_peak(learner(**options)) <= dense
    assert any(forward for forward, _ in chosen)


def test_the_meter_takes_the_dense_path():
    spec = NetworkSpec.parse(NOTATION, input_shape=INPUT)
    reports = []
    for limit in (0.0, 1.0):
        with fixed_break_even(limit):
            planned = plan_learner(spec, "sltt", batch_size=BATCH, steps=STEPS, convolutions="auto")
            reports.append(measure_learner(*planned)[0])
    assert reports[0] == reports[1]


def test_an_unknown_choice_is_refused():
    with pytest.raises(RuleError, match="convolutions"):
        learner(convolutions="sparse")


def test_the_choice_reaches_every_synapse_of_a_learner():
    trained = learner("stdl", convolutions="dense", average_decay=0.9)
    assert trained.average is not None
    networks = [trained.network, trained.average.network, *(part for block in trained.blocks for part in block.parts)]
    synapses = [module for network in networks for module in network.modules() if isinstance(module, Synapse)]
    assert {synapse.convolutions for synapse in synapses} == {"dense"}
    set_convolutions(networks, "auto")
    assert {synapse.convolutions for synapse in synapses} == {"auto"}
