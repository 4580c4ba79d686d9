"""What one training step of a learner needs: its peak, what that is made of, and where in the step it is.

The learner is built and run with fake tensors, see `stdl_events.memory.meter`. The optimiser's states are allocated
first, so that the metered step is like every step of a training but its first.

T time, B batch, C channels, H height, W width.
"""

import bisect
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Time
from stdl_events.learning.learner import Learner
from stdl_events.learning.observer import Observer
from stdl_events.memory.ledger import Kind, Ledger, Life
from stdl_events.memory.meter import LiveBytes, MemoryReport, measure, metering
from stdl_events.memory.sites import Site, sites_of
from stdl_events.plan.plan import Plan

Phase: TypeAlias = Literal["forward", "backward", "update"]


@dataclasses.dataclass(frozen=True)
class Moment:
    """A moment of a training step.

    Args:
        block: counted from 1; None while weights move.
        steps: the first and the last time step, counted from 1, that it may belong to: the backward of a chunk of steps
            goes through all of them.
        site: the layer, None where no weight tells.
    """

    phase: Phase
    block: int | None
    steps: tuple[int, int]
    site: Site | None = None

    def __str__(self) -> str:
        first, last = self.steps
        when = f"step {first}" if first == last else f"steps {first} to {last}"
        where = "" if self.block is None else f" of block {self.block}"
        at = "" if self.site is None else f", {self.site}"
        return f"{self.phase}{where}{at}, {when}"


@dataclasses.dataclass(frozen=True)
class Lap:
    """The most that was alive while a step was at one layer."""

    moment: Moment
    peak_bytes: int


@dataclasses.dataclass(frozen=True)
class Footprint:
    """What one training step needs.

    Args:
        peak_bytes: the most that was alive at one moment, the input clip apart.
        breakdown: what those bytes were for; they add up to the peak. "weights" are parameters and running statistics;
            "membrane" is everything that goes from one time step to the next: membrane potentials, traces, dropout's
            masks; "saved" is what a forward leaves behind for its backward or for the next block, "other" the rest.
        moment: when that was.
        steps: T of the metered step.
        blocks: the most that was alive while each block ran.
        laps: from layer to layer, in the order of the computation.
    """

    peak_bytes: int
    breakdown: dict[Kind, int]
    moment: Moment
    steps: int
    blocks: tuple[int, ...]
    laps: tuple[Lap, ...]


def meter_learner(
    build: Callable[[], Learner], *, batch_size: int, steps: int | None = None
) -> tuple[MemoryReport, tuple[int, ...]]:
    """Meter one training step.

    Args:
        build: makes the learner, on the CPU.
        steps: T of the metered step; None for as many as show all the memory that the learner's own T needs: two are
            enough for online rules, whose memory does not grow with T.

    Returns:
        The report of the whole step, and the most that was alive while each block ran.
    """
    watched: list[_BlockPeaks] = []

    def prepare(live: LiveBytes) -> Callable[[], object]:
        learner = build()
        watched.append(_BlockPeaks(live))
        return _settled_step(learner, live, batch_size, steps, watched[-1])

    report = measure(prepare, settled=True)
    return report, watched[-1].in_order()


def measure_learner(
    blueprint: Blueprint, plan: Plan | None, *, steps: int | None = None
) -> tuple[MemoryReport, tuple[int, ...]]:
    """Meter a training step of the learner that `blueprint` and `plan` describe, with fake tensors of its own.

    Args:
        steps: T of the metered step; None for as many as show all the memory that the blueprint's own T needs: two are
            enough for online rules, whose memory does not grow with T.

    Returns:
        The report of the whole step, and the most that was alive while each block ran.
    """
    host = blueprint.on_host()
    return meter_learner(lambda: host.build(plan), batch_size=host.batch_size, steps=steps)


def profile_learner(build: Callable[[], Learner], *, batch_size: int, steps: int | None = None) -> Footprint:
    """As `meter_learner`, with everything that there is to know about the peak."""
    ledger = Ledger()
    with metering(ledger) as live:
        learner = build()
        record = _Recorder(learner, ledger, live)
        step = _settled_step(learner, live, batch_size, steps, record)
        record.begin()
        live.reset_peak()
        ledger.start()
        step()
        tick, peak_bytes = ledger.peak()
        assert peak_bytes == live.peak, "the ledger and the meter count the same"
        return Footprint(
            peak_bytes,
            ledger.breakdown(tick),
            record.moment(tick),
            _steps_to_meter(learner, steps),
            record.in_order(),
            tuple(record.laps()),
        )


def _settled_step(
    learner: Learner, live: LiveBytes, batch_size: int, steps: int | None, observer: Observer
) -> Callable[[], object]:
    """The training step, with gradients and optimiser states there as a first step would leave them."""
    metered = _steps_to_meter(learner, steps)
    frames_TBCHW = torch.empty((metered, batch_size, *learner.network.spec.input_shape), dtype=torch.uint8)
    targets_B = torch.zeros(batch_size, dtype=torch.int64)
    live.exclude(frames_TBCHW)
    for group in learner.optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight, requires_grad=False)
    learner.optimizer.step()
    if learner.rule.update == "chunk":
        learner.optimizer.zero_grad(set_to_none=True)
    live.reset_peak()
    chunks = _middle_chunks(learner.rule.time, metered)
    return lambda: learner.train_step(frames_TBCHW, targets_B, observer=observer, learning_chunks=chunks)


def _middle_chunks(time: Time, steps: int) -> range | None:
    """Chunks that learn next to each other, with others around them, which is where most is needed; None for all."""
    if time.backward_chunks is None:
        return None
    chunks = -(-steps // (time.chunk_steps or steps))
    first = min(1, (chunks - time.backward_chunks) // 2)
    return range(first, first + time.backward_chunks)


class _BlockPeaks(Observer):
    """The most that was alive while each block ran."""

    def __init__(self, live: LiveBytes) -> None:
        self._live = live
        self._peaks: dict[int, int] = {}

    def after_block(self, block: int, state: Sequence[Tensor]) -> None:
        del state
        self._peaks[block] = max(self._live.lap_peak(), self._peaks.get(block, 0))

    def in_order(self) -> tuple[int, ...]:
        """Bytes, from the first block to the last."""
        return tuple(peak for _, peak in sorted(self._peaks.items()))


class _Recorder(_BlockPeaks):
    """Watches a learner's step, and tells its ledger what tensors are for."""

    def __init__(self, learner: Learner, ledger: Ledger, live: LiveBytes) -> None:
        super().__init__(live)
        self._learner, self._ledger = learner, ledger
        self._marks: list[tuple[int, Moment]] = [(0, Moment("update", None, (1, 1)))]
        self._states: dict[int, list[Life | None]] = {}
        self._done = [0] * len(learner.blocks)
        self._chunk = (1, 1)
        self._began = 0

    def begin(self) -> None:
        """Label what there is before the step, with optimiser states and gradients there."""
        learner, ledger = self._learner, self._ledger
        for weight, site in sites_of(learner.blocks):
            ledger.watch(weight, site)
            for value in _tensors(learner.optimizer.state.get(weight, {})):
                ledger.watch(value, site)
        for part in (part for block in learner.blocks for part in (block.subnetwork, block.auxiliary) if part):
            ledger.label([*part.parameters(), *part.buffers()], "weights")
        for state in learner.optimizer.state.values():
            ledger.label(_tensors(state), "optimizer")
        for index in range(len(learner.blocks)):
            self.gradients(index)

    def before_chunk(self, block: int, steps: int, state: Sequence[Tensor]) -> None:
        self._began, first = self._ledger.clock, self._done[block] + 1
        self._states[block] = self._ledger.succeed(self._states.get(block, []), state)
        self._chunk = (first, first + steps - 1)
        self._mark("forward", block + 1, (first, first))

    def after_step(self, block: int, state: Sequence[Tensor]) -> None:
        self._states[block] = self._ledger.succeed(self._states[block], state)
        self._done[block] += 1
        self._mark("forward", block + 1, (min(self._done[block] + 1, self._chunk[1]),) * 2)

    def after_forward(self, block: int, learns: bool) -> None:
        if learns:
            self._ledger.label_unlabelled("saved", born_after=self._began)
            self._mark("backward", block + 1, self._chunk)

    def after_block(self, block: int, state: Sequence[Tensor]) -> None:
        self._states[block] = self._ledger.succeed(self._states[block], state)
        self._mark("update", None, (self._chunk[1],) * 2)
        super().after_block(block, state)
        self.gradients(block)

    def gradients(self, index: int) -> None:
        """The gradients of a block's weights are there."""
        found = (weight.grad for weight in self._learner.blocks[index].parameters())
        self._ledger.label((gradient for gradient in found if gradient is not None), "gradients")

    def moment(self, tick: int) -> Moment:
        """What was going on at a tick of the ledger."""
        _, moment = self._marks[bisect.bisect_right(self._marks, tick, key=lambda mark: mark[0]) - 1]
        return replace(moment, site=self._ledger.user(tick, forward=moment.phase != "backward"))

    def laps(self) -> list[Lap]:
        """The most that was alive at each layer, in the order of the computation."""
        levels = list(self._ledger.levels())
        found: list[Lap] = []
        at = 0
        for start, stop, site in self._ledger.uses():
            top = 0
            while at < len(levels) and levels[at][0] < stop:
                top = max(top, levels[at][1])
                at += 1
            _, moment = self._marks[bisect.bisect_right(self._marks, start, key=lambda mark: mark[0]) - 1]
            moment = replace(moment, site=site)
            if found and _same_layer(found[-1].moment, moment):
                found[-1] = Lap(found[-1].moment, max(top, found[-1].peak_bytes))
            elif moment.phase != "update":
                found.append(Lap(moment, top))
        return found

    def _mark(self, phase: Phase, block: int | None, steps: tuple[int, int]) -> None:
        self._marks.append((self._ledger.divide(), Moment(phase, block, steps)))


def _tensors(state: Mapping[str, Any]) -> list[Tensor]:
    return [value for value in state.values() if isinstance(value, Tensor)]


def _same_layer(*moments: Moment) -> bool:
    """Whether moments differ in nothing but the unit of their layer."""
    layers = [replace(moment, site=moment.site and moment.site.whole_layer) for moment in moments]
    return layers[0] == layers[1]


def _steps_to_meter(learner: Learner, steps: int | None) -> int:
    time = learner.rule.time
    return time.steps_to_meter(learner.steps) if steps is None else max(steps, time.steps_to_meter(steps))
