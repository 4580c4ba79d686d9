"""Random networks trained in plain and in lean mode, with all their results compared in float64."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stdl_events.build import build_learner
from stdl_events.errors import NotationError
from stdl_events.learning import Learner
from stdl_events.learning.lean.parts import PartSizes, part_sizes
from stdl_events.network.registries import NEURONS, NORMS, SURROGATES
from stdl_events.network.spec import NetworkSpec, NeuronSpec
from stdl_events.network.synapse import Synapse

CLASSES, CHANNELS, TRAIN_STEPS = 3, 2, 2
TOLERANCE, SMALL = 1e-12, 1e-3
BODIES = ("C", "S", "R", "SEWR", "NFR", "NFB", "FC")
RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("sltt", {}),
    ("sltt-k", {"k": 1}),
    ("ottt-a", {}),
    ("ottt-o", {"trace_decay": 0.3}),
    ("ndot-a", {"variant": "paper"}),
    ("ndot-a", {"variant": "official"}),
    ("ndot-o", {"variant": "official"}),
    ("ftrl-ottt", {}),
    ("ell", {}),
    ("decolle", {}),
    ("stdl", {}),
    ("stdl+ottt", {"update": "step"}),
    ("stdl+ndot", {}),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A random network with its rule, its frozen parameters and the sizes of lean mode's parts."""

    spec: NetworkSpec
    rule: str
    options: dict[str, Any]
    batch_size: int
    steps: int
    sizes: PartSizes
    frozen: str
    seed: int

    def __str__(self) -> str:
        options = "".join(f" {key}={value}" for key, value in self.options.items() if key != "plan")
        neuron = self.spec.neuron
        return (
            f"{self.seed}: {self.spec.notation} {self.spec.input_shape} norm {self.spec.norm}, {neuron.kind} "
            f"{neuron.reset} {neuron.surrogate}, {self.rule}{options}, frozen: {self.frozen}, {self.sizes}"
        )

    def learner(self, memory: str) -> Learner:
        learner = build_learner(
            self.spec,
            self.rule,
            batch_size=self.batch_size,
            steps=self.steps,
            memory=memory,
            lr=0.05,
            seed=self.seed,
            dtype=torch.float64,
            **self.options,
        )
        _scramble(learner, self.seed)
        _freeze(learner, self.frozen, self.seed)
        return learner

    def data(self) -> tuple[Tensor, Tensor]:
        """(frames_TBCHW, targets_B) of the batches, one per train step."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (TRAIN_STEPS * self.steps, self.batch_size, *self.spec.input_shape)
        frames = torch.rand(shape, generator=generator, dtype=torch.float64) * 3
        return frames, torch.randint(0, CLASSES, (TRAIN_STEPS, self.batch_size), generator=generator)

    def run(self, memory: str) -> tuple[dict[str, Tensor], int]:
        """All tensors after training, by name, and the number of trained parameters."""
        learner = self.learner(memory)
        frames, targets = self.data()
        left: dict[str, Tensor] = {}
        with part_sizes(self.sizes):
            for step, batch in enumerate(frames.split(self.steps)):
                metrics = learner.train_step(batch, targets[step])
                left |= {f"{step} {name}": value for name, value in metrics.items()}
                gradients = {name: p.grad for name, p in _named_parameters(learner).items() if p.grad is not None}
                left |= {f"{step} gradient {name}": gradient.clone() for name, gradient in gradients.items()}
        left |= {f"weight {name}": p.detach() for name, p in _named_parameters(learner).items()}
        left |= {f"buffer {name}": buffer for name, buffer in learner.network.named_buffers()}
        # Rules that update after every step drop their gradients; the momentum contains them.
        momenta = {name: learner.optimizer.state[p] for name, p in _named_parameters(learner).items()}
        momenta = {f"momentum {name}": state["momentum_buffer"] for name, state in momenta.items() if state}
        return left | momenta, sum(1 for momentum in momenta.values() if momentum.any())


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The difference of lean and plain mode: the largest |Δ| / max |plain| over all tensors, and its tensor.

    A gradient below the share `SMALL` of the largest one is compared with that share of the largest: it may be the
    rounding that is left of a zero, such as the gradient of a bias that the next batch norm removes.
    """

    case: Case
    worst: float
    where: str
    learned: int


def compare(seed: int) -> Outcome:
    """Run the case of `seed` in plain, lean and kept mode."""
    case = random_case(seed)
    plain, learned = case.run("plain")
    largest: dict[str, float] = {}
    for name, value in plain.items():
        largest[_kind(name)] = max(largest.get(_kind(name), 0.0), _largest(value))
    worst, where = 0.0, ""
    for memory in ("lean", "kept"):
        lean, _ = case.run(memory)
        if lean.keys() != plain.keys():
            return Outcome(case, float("inf"), f"{memory} {sorted(lean.keys() ^ plain.keys())}", learned)
        for name, expected in plain.items():
            scale = max(_largest(expected), SMALL * largest[_kind(name)])
            apart = (lean[name].double() - expected.double()).abs().max().item()
            found = apart / scale if scale else apart
            found = math.inf if math.isnan(found) else found
            if found > worst:
                worst, where = found, f"{memory} {name}"
    return Outcome(case, worst, where, learned)


def _largest(value: Tensor) -> float:
    return value.double().abs().max().item()


def _kind(name: str) -> str:
    """What tensors of comparable size have in common: gradients of one train step, momenta; others are on their own."""
    kind, found, _ = name.partition("gradient ")
    return kind if found else "momentum" if name.startswith("momentum ") else name


def random_case(seed: int) -> Case:
    rng = np.random.default_rng([seed, 10])
    while True:
        try:
            spec = _random_spec(rng)
        except NotationError:  # a layer's input is too small, or a standardised convolution has a fan-in of 1
            continue
        # A norm takes the scale of a weight away. With one or two inputs nothing else is left, and the gradient is
        # rounding.
        if all(layer.least_fan_in > 2 for layer in spec.layers):
            break
    rule, options = RULES[rng.integers(len(RULES))]
    if rule.startswith("stdl"):
        plan = _random_plan(spec, rng)
        options = {**options, "plan": plan}
    sizes = PartSizes(*(int(10 ** rng.uniform(0, 4)) for _ in range(2)), most=int(rng.integers(1, 33)))
    frozen = str(rng.choice(["nothing", "nothing", "some", "norms", "layers", "first", "all but the last"]))
    return Case(spec, rule, options, int(rng.integers(2, 5)), int(rng.integers(1, 4)), sizes, frozen, seed)


def _random_spec(rng: np.random.Generator) -> NetworkSpec:
    tokens = []
    for _ in range(int(rng.integers(1, 5))):
        kind = str(rng.choice(BODIES, p=[0.22, 0.14, 0.18, 0.18, 0.1, 0.1, 0.08]))
        width = int(rng.integers(1, 6)) * (4 if kind == "NFB" else 1)
        if tokens and kind in ("R", "SEWR", "NFR") and rng.random() < 0.5:
            width = int(tokens[-1][0]) if tokens[-1][0].isdigit() else width  # an identity shortcut
        kernel = str(rng.choice([1, 3, 5])) if kind in ("C", "S") else ""
        stride = "(s2)" if kind != "FC" and rng.random() < 0.25 else ""
        tokens.append(f"{width}{kind}{kernel}{stride}")
        if kind == "FC":
            break
        if rng.random() < 0.35:
            tokens.append(str(rng.choice(["AP2", "AP(k3s1p1)", "AP(k3s2p1)", "DP(0.4)"])))
    if rng.random() < 0.1:
        tokens.insert(0, "AP2")
    neuron = NeuronSpec(
        str(rng.choice(NEURONS.names)),
        decay=float(rng.uniform(0.2, 0.8)),
        threshold=float(rng.uniform(0.2, 0.6)),
        reset=str(rng.choice(["soft", "hard"])),
        surrogate=str(rng.choice(SURROGATES.names)),
        surrogate_width=float(rng.uniform(1, 3)),
    )
    return NetworkSpec.parse(
        "-".join([*tokens, f"{CLASSES}FC"]),
        input_shape=(int(rng.integers(1, CHANNELS + 1)), 8, int(rng.integers(6, 10))),
        neuron=neuron,
        norm=str(rng.choice(NORMS.names)),
    )


def _random_plan(spec: NetworkSpec, rng: np.random.Generator) -> dict[str, Any]:
    """Two blocks, or one if the network cannot be cut."""
    cuts = [0, int(rng.integers(1, len(spec.layers))), len(spec.layers)] if len(spec.layers) > 1 else [0, 1]
    blocks: list[dict[str, Any]] = []
    for start, stop in itertools.pairwise(cuts):
        last = stop == len(spec.layers)
        dense = not last and spec.layers[stop].body.kind == "FC"
        kind = rng.choice(["C3", "R", "SEWR"]) if last or spec.layers[stop].input_shape[0] > 2 else "C3"
        head = f"{CLASSES}FC" if dense else f"{int(rng.integers(1, 5))}{kind}-{CLASSES}FC"
        block = {"start": start, "stop": stop, "subnetwork": spec.slice(start, stop).notation, "predicted_bytes": 1}
        blocks.append(block | {"auxiliary": None if last else head})
    return {
        "network": spec.notation,
        "input_shape": list(spec.input_shape),
        "batch_size": 1,
        "whole_bytes": 1,
        "blocks": blocks,
    }


def _named_parameters(learner: Learner) -> dict[str, nn.Parameter]:
    named = dict(learner.network.named_parameters())
    for index, block in enumerate(learner.blocks):
        if block.auxiliary is not None:
            named |= {f"auxiliary {index} {name}": p for name, p in block.auxiliary.named_parameters()}
    return named


def _scramble(learner: Learner, seed: int) -> None:
    """Change all weights and running statistics, so that none has a neutral value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in _named_parameters(learner).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype), alpha=0.2)
        for name, buffer in learner.network.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand(buffer.shape, generator=generator, dtype=buffer.dtype))


def _freeze(learner: Learner, what: str, seed: int) -> None:
    rng = np.random.default_rng([seed, 11])
    layers = list(learner.network.layers)
    if what == "some":
        for parameter in _named_parameters(learner).values():
            parameter.requires_grad_(bool(rng.random() < 0.6))
    elif what == "norms":
        norms = [module.norm for module in learner.network.modules() if isinstance(module, Synapse) and module.norm]
        learner.freeze(*(norm for norm in norms if rng.random() < 0.6))
    elif what == "layers":
        learner.freeze(*(layer for layer in layers if rng.random() < 0.5))
    elif what == "first":
        learner.freeze(layers[0])
    elif what == "all but the last":
        for layer in layers[:-1]:
            layer.requires_grad_(False)
