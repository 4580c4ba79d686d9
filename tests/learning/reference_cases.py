"""Random learning problems for every rule: the library's learner, and the equations that it must equal."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import torch
from literal import Block, Part, notation
from problems import (
    BATCH,
    CLASSES,
    SHAPE,
    classifier,
    make_plan,
    random_parts,
    scramble_weights,
)
from reference_neurons import Equations
from reference_rules import gradients_by_hand
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.learning import Learner
from stdl_events.network.spec import NetworkSpec

TRACES = {
    "ottt-a": "ottt",
    "ottt-o": "ottt",
    "ndot-a": "ndot paper",
    "ndot-o": "ndot paper",
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

    def learner(self, **options: Any) -> Learner:
        eq = self.equations
        settings = {
            "batch_size": BATCH,
            "steps": self.steps,
            "seed": self.seed,
            "dtype": torch.float64,
            "decay": eq.decay,
            "threshold": eq.threshold,
            "surrogate": eq.surrogate,
            "surrogate_width": eq.width,
            "reset_amount": eq.theta,
            "norm": eq.norm,
            "alpha": None if eq.interval else eq.alpha,
        }
        if self.rule.startswith("stdl"):
            settings["plan"] = make_plan(self.parts, self.blocks)
        spec = NetworkSpec.parse(notation(self.parts), input_shape=SHAPE)
        settings |= self.options | options
        if settings.get("loss") in ("ce", "spike-mse"):
            settings["alpha"] = None  # it weighs the MSE of "ce+mse"
        learner = build_learner(spec, self.rule, **settings)
        scramble_weights(learner, self.seed)
        learner.anchor_weights()
        return learner

    def with_equations(self, **changes: Any) -> "Case":
        return dataclasses.replace(self, equations=dataclasses.replace(self.equations, **changes))

    def data(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.seed + 1)
        frames = torch.rand(self.steps, BATCH, *SHAPE, generator=generator, dtype=torch.float64) * 3
        return frames, torch.randint(0, CLASSES, (BATCH,), generator=generator)

    def by_hand(self, learner: Learner, **options: Any) -> tuple[dict[str, Tensor], list[float]]:
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
        trace=TRACES.get(rule, "ottt" if rule == "ftrl-ottt" else ""),
        norm=norm,
    )
    layers = len(parts) - 1
    if rule in ("tbptt", "decolle", "ell"):
        blocks = groups(layers, options.get("n", 1))
    elif rule.startswith("stdl"):
        head = (Part("R", 4, before=()), classifier())
        blocks = (Block(0, 1, head), Block(1, len(parts)))
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
