"""Random small learning problems: the library's learner, and the equations that it must equal."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import torch
from reference_neurons import Equations
from reference_parts import Block, Part, Pool, notation
from reference_rules import Learned, gradients_by_hand
from torch import Tensor

from stdl_events.learning import Learner
from stdl_events.learning.blueprint import Blueprint
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan

BATCH, CLASSES, SHAPE = 3, 4, (2, 8, 8)
POOLS = (Pool(2, 2), Pool(3, 2, 1), Pool(3, 1, 1), Pool(2, 1))
TRACES = {
    "ottt-a": "ottt",
    "ottt-o": "ottt",
    "ndot-a": "ndot paper",
    "ndot-o": "ndot paper",
    "ftrl-ottt": "ottt",
    "stdl+ottt": "ottt",
    "stdl+ndot": "ndot paper",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A network cut into blocks, a rule with its options, and its equations."""

    parts: tuple[Part, ...]
    blocks: tuple[Block, ...]
    rule: str
    equations: Equations
    steps: int
    seed: int
    options: dict[str, Any]
    shape: tuple[int, int, int] = SHAPE

    @property
    def modes(self) -> tuple[str, ...]:
        """Lean mode is for rules that are online in time."""
        return ("plain", "lean") if self.equations.chunk == 1 and self.rule != "bptt" else ("plain",)

    def learner(self, **options: Any) -> Learner:
        """The library's learner in float64; no weight has a neutral value."""
        eq = self.equations
        settings = {
            "batch_size": BATCH,
            "steps": self.steps,
            "seed": self.seed,
            "dtype": torch.float64,
            "neuron": eq.kind,
            "decay": eq.decay,
            "threshold": eq.threshold,
            "reset": eq.reset,
            "surrogate": eq.surrogate,
            "surrogate_width": eq.width,
            "reset_amount": eq.theta,
            "norm": eq.norm,
            "alpha": None if eq.interval else eq.alpha,
        }
        spec = NetworkSpec.parse(notation(self.parts), input_shape=self.shape)
        settings |= self.options | options
        if settings.get("loss") in ("ce", "spike-mse"):
            settings["alpha"] = None  # it weighs the MSE of "ce+mse"
        blueprint = Blueprint.of(spec, self.rule, **settings)
        planned = self.rule.startswith("stdl")
        # Built as it is: `build_learner` would meter the plan first, which takes longer than all steps.
        learner = blueprint.build(Plan.from_dict(make_plan(self.parts, self.blocks, self.shape)) if planned else None)
        scramble_weights(learner, self.seed)
        learner.anchor_weights()
        return learner

    def changed(self, **fields: Any) -> "Case":
        return dataclasses.replace(self, **fields)

    def with_equations(self, **changes: Any) -> "Case":
        return self.changed(equations=dataclasses.replace(self.equations, **changes))

    def data(self) -> tuple[Tensor, Tensor]:
        """frames_TBCHW and targets_B."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        frames = torch.rand(self.steps, BATCH, *self.shape, generator=generator, dtype=torch.float64) * 3
        return frames, torch.randint(0, self.parts[-1].width, (BATCH,), generator=generator)

    def by_hand(self, learner: Learner, **options: Any) -> Learned:
        return gradients_by_hand(learner.state_dict(), self.parts, self.blocks, self.equations, *self.data(), **options)


def random_case(seed: int, rule: str, norm: str = "batch", **options: Any) -> Case:
    """A random network; blocks as the rule cuts it."""
    rng = np.random.default_rng([seed, len(norm), 8])
    layers = random_parts(rng, int(rng.integers(2, 4)))
    return case_of((*layers, classifier()), rng, seed, rule, norm, options)


def case_of(
    parts: tuple[Part, ...], rng: np.random.Generator, seed: int, rule: str, norm: str, options: dict[str, Any]
) -> Case:
    steps = int(rng.integers(4, 7))
    equations = Equations(
        chunk={"bptt": steps, "tbptt": options.get("k", 1)}.get(rule, 1),
        decay=float(rng.uniform(0.3, 0.8)),
        threshold=0.4,
        interval=rule == "tbptt" and "loss" not in options,
        trace=TRACES.get(rule, ""),
        norm=norm,
    )
    layers = len(parts) - 1
    if rule in ("tbptt", "decolle", "ell"):
        blocks = groups(layers, options.get("n", 1))
    elif rule.startswith("stdl"):
        blocks = random_blocks(rng, parts)
    else:
        blocks = (Block(0, len(parts)),)
    return Case(parts, blocks, rule, equations, steps, seed, options)


def groups(layers: int, n: int) -> tuple[Block, ...]:
    """Truncated local BPTT, Algorithm 1: a classifier where l % n == 0, the network's own in the last block."""
    stops = [layer for layer in range(1, layers) if layer % n == 0]
    borders = [0, *stops, layers + 1]
    return tuple(
        Block(start, stop, (classifier(),) if stop <= layers else ()) for start, stop in itertools.pairwise(borders)
    )


def random_blocks(rng: np.random.Generator, parts: tuple[Part, ...]) -> tuple[Block, ...]:
    """Random cuts, with auxiliary networks of a random layer."""
    cuts = [cut for cut in range(1, len(parts) - 1) if rng.random() < 0.7] or [1]
    blocks = []
    for start, stop in itertools.pairwise([0, *cuts]):
        before = (Pool(2, 2),) if rng.random() < 0.5 and smallest_side(parts[:stop]) >= 2 else ()
        body = Part(str(rng.choice(["C", "R", "SEWR"])), int(rng.integers(3, 6)), before=before)
        blocks.append(Block(start, stop, (body, classifier())))
    return (*blocks, Block(cuts[-1], len(parts)))


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


def smallest_side(layers: tuple[Part, ...]) -> int:
    return min(NetworkSpec.parse(notation(layers), input_shape=SHAPE).output_shape[1:])


def classifier() -> Part:
    return Part("FC", CLASSES)


def make_plan(
    parts: tuple[Part, ...], blocks: tuple[Block, ...], shape: tuple[int, int, int] = SHAPE
) -> dict[str, Any]:
    """The JSON of a plan with the given cuts."""
    spec = NetworkSpec.parse(notation(parts), input_shape=shape)
    return {
        "network": spec.notation,
        "input_shape": list(shape),
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
    """Gradients by the references' names; weights without gradient are left out."""
    named = {f"network.{name}": p.grad for name, p in learner.network.named_parameters()}
    for index, block in enumerate(learner.blocks):
        if block.auxiliary is not None:
            named |= {f"auxiliary.{index}.{name}": p.grad for name, p in block.auxiliary.named_parameters()}
    return {name: gradient.clone() for name, gradient in named.items() if gradient is not None}


def same(first: dict[Any, Tensor], second: dict[Any, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def largest_difference(ours: dict[str, Tensor], reference: dict[str, Tensor]) -> float:
    """max |Δ| / max |g|, the worst over all weights."""
    assert ours.keys() == reference.keys()
    worst = 0.0
    for name, gradient in reference.items():
        scale = gradient.abs().max().item()
        assert scale > 0, f"{name} has no gradient to compare"
        worst = max(worst, (ours[name] - gradient).abs().max().item() / scale)
    return worst
