"""Gradients of fully connected networks equal the paper's equations, written out by hand without autograd."""

import numpy as np
import pytest
import torch
from equations import Array, Constants, Layers
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.learning import Learner
from stdl_events.network.spec import NetworkSpec

BATCH, STEPS, INPUTS, CLASSES = 4, 6, 7, 3
SPEC = NetworkSpec.parse("9FC-8FC-6FC-3FC", input_shape=(INPUTS, 1, 1))
PLAN = {
    "network": SPEC.notation,
    "input_shape": [INPUTS, 1, 1],
    "batch_size": BATCH,
    "whole_bytes": 1,
    "blocks": [
        {"start": 0, "stop": 1, "subnetwork": "9FC", "auxiliary": "5FC-6FC-3FC", "predicted_bytes": 1},
        {"start": 1, "stop": 2, "subnetwork": "8FC", "auxiliary": "6FC-3FC", "predicted_bytes": 1},
        {"start": 2, "stop": 4, "subnetwork": "6FC-3FC", "auxiliary": None, "predicted_bytes": 1},
    ],
}
CONSTANTS = [
    Constants(decay=0.5, threshold=0.6, width=1.0, hard_reset=False, alpha=0.05),
    Constants(decay=0.9, threshold=0.8, width=0.7, hard_reset=False, alpha=0.0),
    Constants(decay=0.3, threshold=0.5, width=1.5, hard_reset=True, alpha=0.5),
    Constants(decay=0.0, threshold=0.5, width=1.0, hard_reset=False, alpha=1.0),
]


def make_learner(rule: str, constants: Constants) -> Learner:
    learner = build_learner(
        SPEC,
        rule=rule,
        batch_size=BATCH,
        steps=STEPS,
        plan=PLAN if rule == "stdl" else None,
        dtype=torch.float64,
        decay=constants.decay,
        threshold=constants.threshold,
        surrogate_width=constants.width,
        reset="hard" if constants.hard_reset else "soft",
        alpha=constants.alpha,
        seed=3,
    )
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in (parameter for block in learner.blocks for parameter in block.parameters()):
            # Strong enough that neurons of all layers fire.
            parameter.mul_(2).add_(torch.rand(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.3)
    return learner


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    frames = torch.rand(STEPS, BATCH, INPUTS, 1, 1, generator=generator, dtype=torch.float64) * 3
    return frames, torch.randint(0, CLASSES, (BATCH,), generator=generator)


def layers_of(weights: dict[str, Tensor]) -> Layers:
    count = len(weights) // 2
    names = [f"layers.{index}.body.linear" for index in range(count)]
    return [(weights[f"{name}.weight"].numpy(), weights[f"{name}.bias"].numpy()) for name in names]


def assert_same(module: torch.nn.Module, expected: Layers) -> None:
    linears = [part for part in module.modules() if isinstance(part, torch.nn.Linear)]
    for linear, (weight, bias) in zip(linears, expected, strict=True):
        for parameter, reference in ((linear.weight, weight), (linear.bias, bias)):
            scale = np.abs(reference).max()
            assert scale > 0
            assert np.abs(parameter.grad.numpy() - reference).max() <= 1e-12 * scale


@pytest.mark.parametrize("constants", CONSTANTS)
@pytest.mark.parametrize("rule", ["sltt", "bptt"])
def test_end_to_end_rules(rule, constants):
    learner = make_learner(rule, constants)
    frames, targets = data()
    layers = layers_of(learner.state_dict()["network"])
    run = constants.forward(layers, frames[..., 0, 0].numpy())
    differentiate = constants.online_gradients if rule == "sltt" else constants.bptt_gradients
    learner.backward(frames, targets)
    assert_same(learner.network, differentiate(layers, run, targets.numpy()))


@pytest.mark.parametrize("constants", CONSTANTS)
def test_stdl_block_by_block(constants):
    learner = make_learner("stdl", constants)
    frames, targets = data()
    state = learner.state_dict()
    network = layers_of(state["network"])
    learner.backward(frames, targets)
    signal: Array = frames[..., 0, 0].numpy()
    for block, planned, auxiliary in zip(learner.blocks, PLAN["blocks"], state["auxiliary"], strict=True):
        own = planned["stop"] - planned["start"]
        layers = network[planned["start"] : planned["stop"]] + layers_of(auxiliary)
        run = constants.forward(layers, signal)
        expected = constants.online_gradients(layers, run, targets.numpy())
        assert_same(block.subnetwork, expected[:own])
        if block.auxiliary is not None:
            assert_same(block.auxiliary, expected[own:])
            signal = np.stack([s[own] for s in run.s])
