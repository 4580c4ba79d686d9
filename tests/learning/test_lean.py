"""Lean mode against plain autograd: the same gradients, states and running statistics, from less memory."""

import dataclasses
from collections import deque
from typing import Any

import pytest
import torch
from new_entries import ADAPTIVE_EXPONENTIAL, ARCTAN, neuron_settings, registered
from pairs import pairs
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.learning.block import LocalBlock
from stdl_events.learning.grid import Trace
from stdl_events.learning.lean import run_chunk_lean
from stdl_events.learning.lean.parts import PartSizes, part_sizes
from stdl_events.learning.learner import Learner
from stdl_events.learning.plain import run_chunk_plain
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.registries import NEURONS as KINDS
from stdl_events.network.registries import NORMS, SURROGATES
from stdl_events.network.spec import NetworkSpec, NeuronSpec

INPUT, BATCH, STEPS = (2, 8, 8), 4, 3
NETWORKS = {
    "conv": ("6C3-AP2-8C3(s2)-3FC", None),
    "residual": ("6C3-8R(s2)-8R-3FC", None),
    "sew": ("6C3-AP2-8SEWR(s2)-8SEWR-3FC", None),
    "linear": ("AP2-6C5-AP(k3s2p1)-9FC-3FC", None),
    "dropout": ("6C3-DP(0.3)-AP2-8C3-DP(0.5)-3FC", None),
    "norm-free": ("6S3-8NFR(s2)-8NFR-3FC", None),
    "auxiliary": ("6C3-AP2", "AP2-8SEWR-3FC"),
}
NEURONS = neuron_settings()
TRACES: dict[str, Trace] = {
    "ottt": Trace("ottt"),
    "ottt-0.3": Trace("ottt", 0.3),
    "ndot-paper": Trace("ndot-paper"),
    "ndot-official": Trace("ndot-official"),
}


def run(
    run_chunk: Any,
    notation: str,
    auxiliary: str | None,
    dtype: torch.dtype,
    *,
    kept: tuple[int, ...] = (),
    trace: Trace | None = None,
    **settings: Any,
) -> dict[str, Tensor]:
    """All results of a few online steps of one block, by name."""
    spec = NetworkSpec.parse(notation, input_shape=INPUT, **settings)
    network = SpikingNetwork.build(spec, seed=1, dtype=dtype).train()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("skip_gain"):  # starts at 0, where no gradient passes
                parameter.fill_(0.7)
    head = None
    if auxiliary is not None:
        head_spec = NetworkSpec.parse(auxiliary, input_shape=spec.output_shape, **settings)
        head = SpikingNetwork.build(head_spec, seed=2, dtype=dtype).train()
    block = LocalBlock(network, head, kept=kept, trace=trace)
    frames_TBCHW = torch.poisson(torch.full((STEPS, BATCH, *INPUT), 0.8), torch.Generator().manual_seed(0)).to(dtype)
    targets_B = torch.arange(BATCH) % 3
    torch.manual_seed(5)  # dropout masks
    state = deque(block.initial_state(BATCH))
    left: dict[str, Tensor] = {}
    for step, frame_BCHW in enumerate(frames_TBCHW):
        _, loss, _ = run_chunk(
            block, [frame_BCHW], state, lambda logits: torch.nn.functional.cross_entropy(logits[0], targets_B), True
        )
        left[f"loss {step}"] = loss
    for part in (network, head) if head is not None else (network,):
        for name, parameter in part.named_parameters():
            if parameter.grad is not None:
                left[f"gradient {part is head} {name}"] = parameter.grad
        left |= {f"buffer {part is head} {name}": buffer for name, buffer in part.named_buffers()}
    return left | {f"state {index}": entry.to(dtype) for index, entry in enumerate(state)}


def largest_relative_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    worst = 0.0
    for name, expected in theirs.items():
        scale = expected.abs().max().item()
        difference = (ours[name] - expected).abs().max().item()
        worst = max(worst, difference / scale if scale else difference)
    return worst


@pytest.mark.parametrize(("network", "neuron", "norm"), pairs(NETWORKS, NEURONS, NORMS))
def test_lean_is_plain_in_float64(network: str, neuron: str, norm: str) -> None:
    notation, auxiliary = NETWORKS[network]
    settings = {"neuron": NEURONS[neuron], "norm": norm}
    plain = run(run_chunk_plain, notation, auxiliary, torch.float64, **settings)
    lean = run(run_chunk_lean, notation, auxiliary, torch.float64, **settings)
    assert largest_relative_difference(lean, plain) <= 1e-12
    if norm == "batch":
        silent = [name for name, value in plain.items() if name.startswith("gradient") and not value.any()]
        assert len(silent) <= 2, "a network that does not learn would agree with anything"


@pytest.mark.parametrize(("network", "neuron", "trace", "norm"), pairs(NETWORKS, NEURONS, TRACES, NORMS))
def test_lean_traces_are_plain_in_float64(network: str, neuron: str, trace: str, norm: str) -> None:
    notation, auxiliary = NETWORKS[network]
    settings = {"neuron": NEURONS[neuron], "norm": norm, "trace": TRACES[trace]}
    plain = run(run_chunk_plain, notation, auxiliary, torch.float64, **settings)
    lean = run(run_chunk_lean, notation, auxiliary, torch.float64, **settings)
    assert largest_relative_difference(lean, plain) <= 1e-12
    untraced = run(run_chunk_lean, notation, auxiliary, torch.float64, **(settings | {"trace": None}))
    gradients_of = {name: value for name, value in lean.items() if name.startswith("gradient")}
    assert largest_relative_difference(gradients_of, {name: untraced[name] for name in gradients_of}) > 1e-3


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_lean_is_plain_for_every_surrogate(neuron: str, surrogate: str) -> None:
    assert_lean_is_plain_with(NEURONS[neuron], surrogate)


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_new_surrogate_is_taken_in_both_modes(neuron: str) -> None:
    with registered(SURROGATES, "arctan", ARCTAN):
        found = assert_lean_is_plain_with(NEURONS[neuron], "arctan")
    sigmoid = assert_lean_is_plain_with(NEURONS[neuron], "sigmoid")
    assert largest_relative_difference(found, sigmoid) > 1e-3


def assert_lean_is_plain_with(neuron: NeuronSpec, surrogate: str) -> dict[str, Tensor]:
    changed = dataclasses.replace(neuron, surrogate=surrogate, surrogate_width=1.5)
    plain, lean = (
        run(run_chunk, "6C3-AP2-8R(s2)-3FC", None, torch.float64, neuron=changed)
        for run_chunk in (run_chunk_plain, run_chunk_lean)
    )
    assert largest_relative_difference(lean, plain) <= 1e-12
    return lean


@pytest.mark.parametrize("network", [*NETWORKS, "bottleneck"])
@pytest.mark.parametrize("trace", [None, "ottt", "ndot-paper"])
def test_a_neuron_without_a_lean_form_learns_as_in_plain_mode(network: str, trace: str | None) -> None:
    notation, auxiliary = (NETWORKS | {"bottleneck": ("8S3-8NFB-8NFB(s2)-3FC", None)})[network]
    with registered(KINDS, "exponential", ADAPTIVE_EXPONENTIAL):
        neuron = NeuronSpec("exponential", decay=0.5, threshold=0.5)
        settings = {"neuron": neuron, "norm": "ws", "trace": trace and TRACES[trace]}
        plain = run(run_chunk_plain, notation, auxiliary, torch.float64, **settings)
        lean = run(run_chunk_lean, notation, auxiliary, torch.float64, **settings)
    assert largest_relative_difference(lean, plain) <= 1e-12
    assert any(name.endswith("cell.p.rise") and value.any() for name, value in lean.items()), "it learns its parameter"


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("trace", [None, *TRACES])
def test_lean_in_small_parts_is_plain(network: str, trace: str | None) -> None:
    notation, auxiliary = NETWORKS[network]
    settings = {"neuron": NEURONS["plif"], "norm": "batch", "trace": trace and TRACES[trace]}
    plain = run(run_chunk_plain, notation, auxiliary, torch.float64, **settings)
    with part_sizes(PartSizes(3000, 3000)):
        lean = run(run_chunk_lean, notation, auxiliary, torch.float64, **settings)
    assert largest_relative_difference(lean, plain) <= 1e-12


@pytest.mark.parametrize(("network", "norm", "kept"), pairs(NETWORKS, NORMS, [(0, 1, 2, 3), (1,)]))
def test_what_stays_and_what_is_made_again_are_the_same_bits(network: str, norm: str, kept: tuple[int, ...]) -> None:
    notation, auxiliary = NETWORKS[network]
    settings = {"neuron": NEURONS["lif"], "norm": norm}
    expected = run(run_chunk_lean, notation, auxiliary, torch.float32, **settings)
    found = run(run_chunk_lean, notation, auxiliary, torch.float32, kept=kept, **settings)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_outputs_that_stay_are_not_convolved_again() -> None:
    def convolutions(kept: tuple[int, ...]) -> int:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            run(run_chunk_lean, "6C3-8R(s2)-8C3-3FC", None, torch.float32, kept=kept)
        return sum(event.count for event in profile.key_averages() if event.key == "aten::convolution")

    # One for 6C3, three for 8R(s2) with its shortcut, one for 8C3; each step, in forward and recomputed.
    assert convolutions(()) == STEPS * 2 * 5
    assert convolutions((1,)) == STEPS * (2 * 5 - 3)
    assert convolutions((0, 1, 2)) == STEPS * 5


@pytest.mark.parametrize("network", NETWORKS)
def test_lean_is_plain_in_float32(network: str) -> None:
    notation, auxiliary = NETWORKS[network]
    settings = {"neuron": NEURONS["lif"], "norm": "batch"}
    plain = run(run_chunk_plain, notation, auxiliary, torch.float32, **settings)
    lean = run(run_chunk_lean, notation, auxiliary, torch.float32, **settings)
    assert largest_relative_difference(lean, plain) <= 1e-6


def test_twenty_optimiser_steps_stay_equal() -> None:
    spec = NetworkSpec.parse("6C3-AP2-8R-8C3-3FC", input_shape=INPUT, neuron=NEURONS["lif"])
    learners = [
        build_learner(spec, "stdl", batch_size=BATCH, steps=STEPS, memory=mode, dtype=torch.float64, plan=PLAN)
        for mode in ("plain", "lean")
    ]
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        frames_TBCHW = torch.poisson(torch.full((STEPS, BATCH, *INPUT), 0.8), generator)
        targets_B = torch.randint(0, 3, (BATCH,), generator=generator)
        for learner in learners:
            learner.train_step(frames_TBCHW, targets_B)
    plain, lean = (_weights(learner) for learner in learners)
    assert largest_relative_difference(lean, plain) <= 1e-9


PLAN = {
    "network": "6C3-AP2-8R-8C3-3FC",
    "input_shape": list(INPUT),
    "batch_size": BATCH,
    "whole_bytes": 1,
    "blocks": [
        {"start": 0, "stop": 1, "subnetwork": "6C3-AP2", "auxiliary": "8C3-3FC", "predicted_bytes": 1},
        {"start": 1, "stop": 4, "subnetwork": "8R-8C3-3FC", "auxiliary": None, "predicted_bytes": 1},
    ],
}


def _weights(learner: Learner) -> dict[str, Tensor]:
    heads = [block.auxiliary for block in learner.blocks if block.auxiliary is not None]
    parts = {"network": learner.network} | {f"auxiliary {index}": head for index, head in enumerate(heads)}
    return {f"{part} {name}": value for part, module in parts.items() for name, value in module.state_dict().items()}
