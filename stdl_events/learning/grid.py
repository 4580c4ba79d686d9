"""The grid of learning rules: where gradients stop in space and in time, and when weights are updated.

Every point can be trained, named or not: `Rule(name, space, time, update, source)`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from stdl_events.arguments import is_number
from stdl_events.errors import RuleError

RandomClassifiers: TypeAlias = Literal["none", "auxiliary", "all"]
TraceKind: TypeAlias = Literal["ottt", "ndot-paper", "ndot-official"]
Update: TypeAlias = Literal["sequence", "chunk"]
ProximalNorm: TypeAlias = Literal["l1", "l2", "rms"]


def require_count(subject: str, value: object) -> None:
    """Raise RuleError unless `value` is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RuleError(subject, got=repr(value), expected="a positive whole number", todo="change it")


def require_choice(subject: str, value: object, choices: Sequence[str]) -> None:
    """Raise RuleError unless `value` is one of `choices`."""
    if value not in choices:
        raise RuleError(subject, got=repr(value), expected=" or ".join(choices), todo="choose one of these")


@dataclasses.dataclass(frozen=True)
class EndToEnd:
    """The whole network as one block."""


@dataclasses.dataclass(frozen=True)
class Layerwise:
    """Blocks of `layers` layers each, all but the last with a linear classifier of their own.

    Args:
        layers: n; the network's own classifier belongs to the last block and is not counted.
        random: classifiers that keep their random weights: none, the blocks' own, or the network's too.
    """

    layers: int = 1
    random: RandomClassifiers = "none"

    def __post_init__(self) -> None:
        require_count("layers per block (n)", self.layers)


@dataclasses.dataclass(frozen=True)
class Planned:
    """Blocks with auxiliary networks, cut for a memory budget."""


Space: TypeAlias = EndToEnd | Layerwise | Planned


@dataclasses.dataclass(frozen=True)
class Trace:
    """The presynaptic trace, which replaces the spikes of the step in the weights' gradients.

    Args:
        kind: OTTT's decaying sum of spikes; or NDOT's, decayed like the membrane potential, as in the paper or as in
            the released code.
        decay: λ of the trace, None for the decay of the neurons.
    """

    kind: TraceKind
    decay: float | None = None

    def __post_init__(self) -> None:
        if self.decay is not None and not (is_number(self.decay) and 0 <= self.decay < 1):
            raise RuleError(
                "trace_decay", got=repr(self.decay), expected="0 <= trace_decay < 1", todo="change trace_decay"
            )


@dataclasses.dataclass(frozen=True)
class Time:
    """The steps that gradients flow through.

    Args:
        chunk_steps: steps per chunk, through which gradients flow back: 1 is online learning, None the whole sequence.
        backward_chunks: number of chunks with a backward pass, drawn at random for each sequence; None for all.
        trace: presynaptic trace in place of the steps that gradients do not reach.
    """

    chunk_steps: int | None = 1
    backward_chunks: int | None = None
    trace: Trace | None = None

    def __post_init__(self) -> None:
        for subject, count in (
            ("steps per interval (k)", self.chunk_steps),
            ("steps that learn (k)", self.backward_chunks),
        ):
            if count is not None:
                require_count(subject, count)

    @property
    def name(self) -> str:
        """Name of the end-to-end rule with this time axis."""
        if self.trace is not None:
            return "OTTT" if self.trace.kind == "ottt" else "NDOT"
        if self.chunk_steps is None:
            return "BPTT"
        if self.chunk_steps > 1:
            return "truncated BPTT"
        return "SLTT" if self.backward_chunks is None else "SLTT-K"

    def steps_to_meter(self, steps: int) -> int:
        """Number of steps whose peak equals that of a sequence of `steps`.

        Two consecutive chunks. Where only some chunks have a backward pass: these, between one without in front and one
        behind, which covers every draw.
        """
        if self.chunk_steps is None:
            return steps
        if self.backward_chunks is None:
            return min(steps, 2 * self.chunk_steps)
        learning = self.backward_chunks * self.chunk_steps
        return steps if steps <= learning else learning + 2 * self.chunk_steps

    def draw_learning(self, steps: int, random: np.random.Generator) -> frozenset[int] | None:
        """The chunks of a sequence with a backward pass: K random ones (SLTT Algorithm 1, line 2); None for all."""
        if self.backward_chunks is None:
            return None
        chunks = -(-steps // (self.chunk_steps or steps))
        return frozenset(random.choice(chunks, size=self.backward_chunks, replace=False).tolist())


FULL = Time(chunk_steps=None)
SPATIAL = Time(chunk_steps=1)


def truncated(steps: int) -> Time:
    """Gradients flow through chunks of `steps` steps."""
    return Time(chunk_steps=steps)


def spatial_k(steps: int) -> Time:
    """Online, with a backward pass in `steps` random steps of a sequence."""
    return Time(chunk_steps=1, backward_chunks=steps)


def traced(kind: TraceKind, decay: float | None = None) -> Time:
    """Online, with traces of the presynaptic neurons."""
    return Time(chunk_steps=1, trace=Trace(kind, decay))


@dataclasses.dataclass(frozen=True)
class Proximal:
    """A term in each step's loss that pulls the weights W towards earlier weights Ŵ.

    Args:
        weight: ρ.
        norm: "l2" is ρ |W - Ŵ|², "l1" is ρ |W - Ŵ|, "rms" is ρ |W - Ŵ|₂ / √n for each tensor of n weights.
        anchor: Ŵ are the weights of an earlier "phase" of training, or those before the "previous" update.
    """

    weight: float
    norm: ProximalNorm = "l2"
    anchor: Literal["phase", "previous"] = "phase"

    def __post_init__(self) -> None:
        require_choice("proximal_norm", self.norm, ("l1", "l2", "rms"))
        if not (is_number(self.weight) and self.weight >= 0):
            raise RuleError("proximal", got=repr(self.weight), expected="proximal >= 0", todo="change proximal")


@dataclasses.dataclass(frozen=True)
class Rule:
    """One learning rule.

    Args:
        name: as in the papers.
        update: the optimiser steps once per "sequence" or after every "chunk" of steps.
        source: where the rule is defined.
        loss: name of its default loss.
    """

    name: str
    space: Space
    time: Time
    update: Update
    source: str
    loss: str = "ce+mse"
    proximal: Proximal | None = None

    @property
    def one_block_words(self) -> str:
        """Note on a plan of one block: the end-to-end rule that it equals."""
        return f"one block: with the network in one piece, {self.name} is {self.time.name}"

    def check_steps(self, steps: int) -> None:
        """Raise RuleError if more chunks are to learn than a sequence of `steps` has."""
        count, chunks = self.time.backward_chunks, -(-steps // (self.time.chunk_steps or steps))
        if count is not None and count > chunks:
            raise RuleError(
                f"rule {self.name}",
                got=f"{count} steps that learn, of {chunks}",
                expected="no more steps that learn than steps in a sequence",
                todo="use a smaller k, or longer sequences",
            )

    def check_accumulation(self) -> None:
        """Raise RuleError for a rule that updates within a sequence, so that nothing is left to accumulate."""
        if self.update == "chunk":
            raise RuleError(
                f"rule {self.name}",
                got="gradients to accumulate over batches, where weights are updated within a sequence",
                expected="a rule that updates after the sequence",
                todo="accumulate nothing, or use another rule, such as stdl",
            )

    def uncut(self) -> "Rule":
        """The same rule with the network in one piece."""
        return dataclasses.replace(self, space=EndToEnd())
