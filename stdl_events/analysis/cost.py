"""Hardware costs of training: memory accesses, additions and multiply-accumulates per batch. No torch.

The model is that of truncated local BPTT (equations 8 to 17, with figure 9): on-chip memory holds the weights and the
states of one layer, everything else is transferred; spikes are one bit and their transfer is free. It covers any rule
that cuts a network into blocks and time into intervals. Two readings are ours. At the first step of an interval no
potential error is written, since no earlier step would read it; only this reading gives the paper's own figures.
Traces, which the paper does not have, are further states of their neurons: forward reads and writes them, and the
weight gradient multiplies with them instead of adding on a spike.
of a weight multiplies with instead of adding on a spike.

Weights are those of convolutions and fully connected layers; biases and norms are not counted.
"""

import dataclasses
import math
from collections.abc import Sequence

from stdl_events.network.notation import BLOCK_KERNEL, BOTTLENECK, LayerSpec, Op
from stdl_events.network.spec import NetworkSpec


@dataclasses.dataclass(frozen=True)
class Unit:
    """Synapses and the neurons that belong to them.

    Args:
        weights: |W|.
        neurons: of one sequence; |U| is this times the batch.
        operations: M of one sequence: additions of the synapses in one step if every input spikes.
        past: True if the presynaptic neurons are neurons of the network, which can keep traces.
    """

    weights: int
    neurons: int
    operations: int
    past: bool = True


@dataclasses.dataclass(frozen=True)
class Block:
    """A chain of units that learns from one classifier; and whether the classifier learns."""

    units: tuple[Unit, ...]
    classifier: Unit
    classifier_learns: bool = True


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The intervals of a rule.

    Args:
        steps: T.
        interval: k, steps that gradients flow through; the last interval may be shorter.
        learning: number of intervals with a backward.
        traces: number of values in a neuron's trace.
    """

    steps: int
    interval: int
    learning: int
    traces: int = 0

    @property
    def lengths(self) -> list[int]:
        """Steps of each interval."""
        whole, rest = divmod(self.steps, self.interval)
        return [self.interval] * whole + ([rest] if rest else [])


@dataclasses.dataclass(frozen=True)
class Cost:
    """Costs of one batch. Accesses count numbers, reads and writes together."""

    memory_bytes: float
    accesses: float
    additions: float
    macs: float

    def relative_to(self, other: "Cost") -> "Cost":
        """Return each cost as a share of that of `other`."""
        return Cost(*(mine / its for mine, its in zip(self._all(), other._all(), strict=True)))

    def figure_of_merit(self, baseline: "Cost", accuracy_loss: float) -> float:
        """Truncated local BPTT, eq. (17): accuracy lost plus the mean of the four costs, relative to `baseline`."""
        return accuracy_loss + 0.25 * sum(self.relative_to(baseline)._all())

    def _all(self) -> tuple[float, float, float, float]:
        return self.memory_bytes, self.accesses, self.additions, self.macs


def training_cost(
    blocks: Sequence[Block], schedule: Schedule, *, batch_size: int, activity: float, memory_bytes: float
) -> Cost:
    """Return the cost of training on one batch.

    Args:
        activity: α, the share of inputs that spike in a step.
        memory_bytes: metered, or by `memory_by_equation`; returned as is.
    """
    accesses = additions = macs = 0.0
    # Intervals that learn have the mean length of all intervals.
    share = schedule.learning / len(schedule.lengths)
    for block in blocks:
        flow = _Flow(block, batch_size, activity, schedule.traces)
        accesses += schedule.steps * flow.forward_accesses
        accesses += share * sum(flow.backward_accesses(length) for length in schedule.lengths)
        additions += schedule.steps * (flow.forward_additions + share * flow.backward_additions)
        macs += schedule.steps * (flow.trace_macs + share * flow.backward_macs)
    return Cost(memory_bytes, accesses, additions, macs)


def memory_by_equation(graphs: Sequence[float], interval: int, resident_bytes: float, constant: float = 0.0) -> float:
    """Equations (8) to (10): k - 1 whole graphs of a step, the largest of its blocks, and the resident bytes.

    It is the paper's Algorithm 1, which runs all blocks forward before any backward, so that only an interval's last
    step profits from blocks. Here blocks take turns, and a learner's metered peak is lower.

    Args:
        graphs: bytes that autograd saves for one step of each block.
        resident_bytes: N(w): weights, their gradients and optimiser states.
        constant: C, workspace of the device's libraries.
    """
    return (interval - 1) * sum(graphs) + max(graphs) + resident_bytes + constant


class _Flow:
    """Transfers and operations of one step of one block, by equations (11) to (16). Capitals are the paper's."""

    def __init__(self, block: Block, batch_size: int, activity: float, traces: int) -> None:
        units, classifier = block.units, block.classifier
        self.W = [unit.weights for unit in units]
        self.U = [unit.neurons * batch_size for unit in units]
        self.M = [unit.operations * batch_size for unit in units]
        self.Uc, self.Mc = classifier.neurons * batch_size, classifier.operations * batch_size
        # Random weights are regenerated on each use (section IV-B).
        self.Wc = classifier.weights if block.classifier_learns else 0
        self.traced = [unit.past and traces > 0 for unit in units]
        self.batch, self.activity, self.traces = batch_size, activity, traces

    @property
    def forward_accesses(self) -> float:
        reads = sum(self.W) + sum(self.U) + self.Wc + self.Uc  # eq. (11)
        writes = sum(self.U) + self.Uc
        return reads + writes + 2 * self.traces * sum(self.U)

    def backward_accesses(self, length: int) -> float:
        """Return the accesses over an interval of `length` steps."""
        above = sum(self.W[1:])
        between = sum(self.W) + 2 * sum(self.U) + above + 2 * self.Wc + 3 * self.Uc  # eq. (12)
        last = above + sum(self.U[:-1]) + self.Wc  # section IV-B, at t = t_k
        gradients, errors = sum(self.W) + self.Wc, sum(self.U) + self.Uc  # eq. (13)
        return (length - 1) * (between + errors) + last + length * (gradients + self.trace_reads)

    @property
    def forward_additions(self) -> float:
        return self.activity * (sum(self.M) + self.Mc)  # eq. (14)

    @property
    def backward_additions(self) -> float:
        added = sum(weights for weights, traced in zip(self.W, self.traced, strict=True) if not traced)
        classifier = self.Wc if not self.traces else 0
        return 2 * sum(self.U) + 2 * self.Uc + self.batch * self.activity * (added + classifier)  # eq. (15)

    @property
    def backward_macs(self) -> float:
        multiplied = sum(weights for weights, traced in zip(self.W, self.traced, strict=True) if traced)
        classifier = self.Wc if self.traces else 0
        return sum(self.M[1:]) + self.Mc + self.batch * (multiplied + classifier)  # eq. (16)

    @property
    def trace_reads(self) -> float:
        """Return the reads for the weight gradients, one value per neuron."""
        return sum(self.U) if self.traces else 0

    @property
    def trace_macs(self) -> float:
        return self.traces * sum(self.U)


def units_of(layers: Sequence[LayerSpec], *, first: bool) -> tuple[Unit, ...]:
    """Return the units of a chain of layers; `first` if its input is the frames."""
    units = [unit for layer in layers for unit in _UNITS[layer.body.kind](layer.body, _body_input(layer))]
    if first and units:
        units[0] = dataclasses.replace(units[0], past=False)
    return tuple(units)


def classifier_of(spec: NetworkSpec) -> Unit:
    """Return the classifier at the end of `spec`: linear behind global average pooling, or spiking behind neurons."""
    layer = spec.layers[-1]
    channels, height, width = _body_input(layer)
    inputs = channels * height * width if spec.classifier == "spiking" else channels
    return Unit(inputs * layer.body.channels, layer.body.channels, inputs * layer.body.channels)


Shape = tuple[int, int, int]


def _body_input(layer: LayerSpec) -> Shape:
    return layer.shape_before(layer.ops.index(layer.body))


def _convolution(shape: Shape, channels: int, kernel: int, stride: int, padding: int) -> tuple[int, int, Shape]:
    """Return |W|, M and the output's shape."""
    out = Op("C", channels, kernel, stride, padding).output_shape(shape)
    weights = channels * shape[0] * kernel * kernel
    return weights, weights * out[1] * out[2], out


def _same(shape: Shape, channels: int, kernel: int, stride: int) -> tuple[int, int, Shape]:
    return _convolution(shape, channels, kernel, stride, kernel // 2)


def _conv(op: Op, shape: Shape) -> list[Unit]:
    weights, operations, out = _convolution(shape, op.channels, op.kernel, op.stride, op.padding)
    return [Unit(weights, math.prod(out) if op.kind == "C" else 0, operations)]


def _dense(op: Op, shape: Shape) -> list[Unit]:
    weights = math.prod(shape) * op.channels
    return [Unit(weights, op.channels, weights)]


def _residual(op: Op, shape: Shape) -> list[Unit]:
    """The shortcut's synapses belong to the second unit; with neurons of its own, the shortcut is a third unit."""
    first, first_operations, middle = _same(shape, op.channels, BLOCK_KERNEL, op.stride)
    second, second_operations, out = _same(middle, op.channels, BLOCK_KERNEL, 1)
    neurons = math.prod(out)
    units = [Unit(first, neurons, first_operations), Unit(second, neurons, second_operations)]
    if op.stride == 1 and op.channels == shape[0]:
        return units
    passed, passed_operations, _ = _same(shape, op.channels, 1, op.stride)
    if op.kind == "SEWR":
        return [*units, Unit(passed, neurons, passed_operations)]
    return [units[0], Unit(second + passed, neurons, second_operations + passed_operations)]


def _norm_free(op: Op, shape: Shape) -> list[Unit]:
    """Neurons precede their synapses."""
    inner = op.channels // BOTTLENECK
    branch = [(op.channels, BLOCK_KERNEL, op.stride), (op.channels, BLOCK_KERNEL, 1)]
    if op.kind == "NFB":
        branch = [(inner, 1, 1), (inner, BLOCK_KERNEL, op.stride), (op.channels, 1, 1)]
    units, at = [], shape
    for channels, kernel, stride in branch:
        neurons = math.prod(at)
        weights, operations, at = _same(at, channels, kernel, stride)
        units.append(Unit(weights, neurons, operations))
    if op.stride != 1 or op.channels != shape[0]:
        passed, passed_operations, _ = _same(shape, op.channels, 1, op.stride)
        first = units[0]
        units[0] = Unit(first.weights + passed, first.neurons, first.operations + passed_operations)
    return units


_UNITS = {
    "C": _conv,
    "S": _conv,
    "R": _residual,
    "SEWR": _residual,
    "NFR": _norm_free,
    "NFB": _norm_free,
    "FC": _dense,
}
