"""Random small learning problems, and the learner and the literal transcription of each."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import torch
from literal import Block, Neuron, Part, Pool, Problem, notation
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.learning import Learner
from stdl_events.network.spec import NetworkSpec

BATCH, CLASSES, SHAPE = 3, 4, (2, 8, 8)
POOLS = (Pool(2, 2), Pool(3, 2, 1), Pool(3, 1, 1), Pool(2, 1))


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem with its data."""

    problem: Problem
    rule: str
    steps: int
    seed: int

    def spec(self) -> NetworkSpec:
        return NetworkSpec.parse(notation(self.problem.parts), input_shape=SHAPE)

    def plan(self) -> dict[str, Any] | None:
        return None if self.rule != "stdl" else make_plan(self.problem.parts, self.problem.blocks)

    def learner(self, *, scramble: bool = True, **options: Any) -> Learner:
        """The library's learner in float64; `scramble` changes all weights, so that none has a neutral value."""
        neuron = self.problem.neuron
        learner = build_learner(
            self.spec(),
            rule=self.rule,
            batch_size=BATCH,
            steps=self.steps,
            plan=self.plan(),
            seed=self.seed,
            dtype=torch.float64,
            alpha=self.problem.alpha,
            neuron=neuron.kind,
            decay=neuron.decay,
            threshold=neuron.threshold,
            reset=neuron.reset,
            surrogate=neuron.surrogate,
            surrogate_width=neuron.width,
            norm=self.problem.norm,
            **options,
        )
        if scramble:
            scramble_weights(learner, self.seed)
        return learner

    def data(self) -> tuple[Tensor, Tensor]:
        """frames_TBCHW and targets_B."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        frames = torch.rand(self.steps, BATCH, *SHAPE, generator=generator, dtype=torch.float64) * 3
        return frames, torch.randint(0, CLASSES, (BATCH,), generator=generator)


def make_plan(parts: tuple[Part, ...], blocks: tuple[Block, ...]) -> dict[str, Any]:
    """The JSON of a plan with the given cuts."""
    spec = NetworkSpec.parse(notation(parts), input_shape=SHAPE)
    return {
        "network": spec.notation,
        "input_shape": list(SHAPE),
        "batch_size": BATCH,
        "whole_bytes": 1,
        "blocks": [
            {
                "start": block.start,
                "stop": block.stop,
                "subnetwork": spec.slice(block.start, block.stop).notation,
                "auxiliary": notation(block.auxiliary) if block.auxiliary else None,
                "predicted_bytes": 1,
            }
            for block in blocks
        ],
    }


def scramble_weights(learner: Learner, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed + 2)
    with torch.no_grad():
        for block in learner.blocks:
            for parameter in block.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.add_(noise, alpha=0.2)


def gradients(learner: Learner) -> dict[str, Tensor]:
    """Gradients by the literal transcription's names; weights without gradient are left out."""
    named = {f"network.{name}": p.grad for name, p in learner.network.named_parameters()}
    for index, block in enumerate(learner.blocks):
        if block.auxiliary is not None:
            named |= {f"auxiliary.{index}.{name}": p.grad for name, p in block.auxiliary.named_parameters()}
    return {name: gradient.clone() for name, gradient in named.items() if gradient is not None}


def largest_difference(ours: dict[str, Tensor], reference: dict[str, Tensor]) -> float:
    """max |Δ| / max |g|, the worst over all weights."""
    assert ours.keys() == reference.keys()
    worst = 0.0
    for name, gradient in reference.items():
        scale = gradient.abs().max().item()
        assert scale > 0, f"{name} has no gradient to compare"
        worst = max(worst, (ours[name] - gradient).abs().max().item() / scale)
    return worst


def random_parts(rng: np.random.Generator, count: int) -> tuple[Part, ...]:
    """Convolutions and residual blocks with pooling between them; enough pixels stay for every pool."""
    parts, size = [], SHAPE[1]
    for _ in range(count):
        kind = str(rng.choice(["C", "R", "SEWR"]))
        stride = int(rng.choice([1, 2])) if size >= 4 else 1
        size = -(-size // stride)
        pools: tuple[Pool, ...] = ()
        if size >= 4 and rng.random() < 0.5:
            pools = (POOLS[rng.integers(len(POOLS))],)
            size = (size + 2 * pools[0].padding - pools[0].kernel) // pools[0].stride + 1
        kernel = int(rng.choice([1, 3, 5])) if kind == "C" else 3
        parts.append(Part(kind, int(rng.integers(3, 6)), kernel, stride, after=pools))
    return tuple(parts)


def classifier() -> Part:
    return Part("FC", CLASSES)


def random_case(seed: int, rule: str, norm: str, **neuron: Any) -> Case:
    """A random network and, for "stdl", random cuts with auxiliary networks of random layers."""
    rng = np.random.default_rng([seed, len(norm)])
    layers = random_parts(rng, int(rng.integers(2, 4)))
    parts = (*layers, classifier())
    cuts = list(range(1, len(layers))) if rule == "stdl" else []
    cuts = [cut for cut in cuts if len(cuts) == 1 or rng.random() < 0.7] or cuts[:1]
    borders = [0, *cuts, len(parts)]
    blocks = []
    for start, stop in itertools.pairwise(borders):
        head: tuple[Part, ...] = ()
        if stop != len(parts):
            before = (Pool(2, 2),) if rng.random() < 0.5 and smallest_side(layers[:stop]) >= 2 else ()
            kind = str(rng.choice(["C", "R", "SEWR"]))
            head = (Part(kind, int(rng.integers(3, 6)), before=before), classifier())
        blocks.append(Block(start, stop, head))
    options: dict[str, Any] = {"decay": float(rng.uniform(0.2, 0.8)), "width": 1.0, "threshold": 0.6}
    problem = Problem(parts, tuple(blocks), Neuron(**(options | neuron)), norm, 0.05, rule != "bptt")
    return Case(problem, rule, int(rng.integers(3, 7)), seed)


def smallest_side(layers: tuple[Part, ...]) -> int:
    return min(NetworkSpec.parse(notation(layers), input_shape=SHAPE).output_shape[1:])
