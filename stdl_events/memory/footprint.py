"""Memory of one training step of a learner: its peak, with its breakdown and its position in the step.

The learner is built and run with fake tensors, see `stdl_events.memory.meter`. The optimiser's states are allocated
first, so that the metered step equals every training step after the first.

T time, B batch, C channels, H height, W width.
"""

import bisect
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import Time
from stdl_events.learning.lean import alike_parts_skipped
from stdl_events.learning.observer import Observer
from stdl_events.learning.targets import example_targets
from stdl_events.memory.cost_store import remembered
from stdl_events.memory.ledger import Ledger, Life
from stdl_events.memory.meter import LiveBytes, MemoryReport, measure, metering
from stdl_events.memory.moments import Footprint, Lap, Moment, Phase
from stdl_events.memory.sites import sites_of
from stdl_events.plan.plan import Plan

if TYPE_CHECKING:
    from stdl_events.learning.learner import Learner


def meter_learner(
    build: "Callable[[], Learner]", *, batch_size: int, steps: int | None = None
) -> tuple[MemoryReport, tuple[int, ...]]:
    """Meter one training step.

    Args:
        build: builds the learner, on the CPU.
        steps: T of the metered step. None for the fewest with the peak of the learner's own T: two for online rules,
            whose memory does not grow with T.

    Returns:
        The report of the whole step, and the peak bytes while each block ran.
    """
    watched: list[_BlockPeaks] = []

    def prepare(live: LiveBytes) -> Callable[[], object]:
        learner = build()
        watched.append(_BlockPeaks(live))
        return _settled_step(learner, live, batch_size, steps, watched[-1])

    with alike_parts_skipped():
        report = measure(prepare, settled=True)
    return report, watched[-1].in_order()


def measure_learner(
    blueprint: Blueprint, plan: Plan | None, *, steps: int | None = None
) -> tuple[MemoryReport, tuple[int, ...]]:
    """Meter a training step of the learner of `blueprint` and `plan`, in a fake tensor mode of its own.

    Args:
        steps: T of the metered step. None for the fewest with the peak of the blueprint's own T: two for online rules,
            whose memory does not grow with T.

    Returns:
        The report of the whole step, and the peak bytes while each block ran.
    """
    host = blueprint.on_host()
    return meter_learner(lambda: host.build(plan), batch_size=host.batch_size, steps=steps)


def profile_learner(build: "Callable[[], Learner]", *, batch_size: int, steps: int | None = None) -> Footprint:
    """`meter_learner` with the breakdown and the position of the peak."""
    ledger = Ledger()
    with metering(ledger) as live, alike_parts_skipped():
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


def planned_footprint(blueprint: Blueprint, plan: Plan | None) -> Footprint:
    """`profile_learner` of the learner of `blueprint` and `plan`, metered once per process."""
    return _footprint(replace(blueprint.on_host(), seed=0), plan and _as_built(plan))


# Runs with several seeds of one recipe have the same, and so has what a plan was metered with.
@remembered(dataclasses.asdict, Footprint.from_dict, most=256)
def _footprint(blueprint: Blueprint, plan: Plan | None) -> Footprint:
    return profile_learner(lambda: blueprint.build(plan), batch_size=blueprint.batch_size)


def _as_built(plan: Plan) -> Plan:
    """`plan` without its bytes, on which the learner does not depend."""
    blocks = tuple(replace(block, predicted_bytes=0, metered_bytes=None) for block in plan.blocks)
    return replace(plan, blocks=blocks, whole_bytes=0, budget_bytes=None, setting=None, metered_bytes=None)


def _settled_step(
    learner: "Learner", live: LiveBytes, batch_size: int, steps: int | None, observer: Observer
) -> Callable[[], object]:
    """The training step, with gradients and optimiser states allocated as after a first step.

    If batches are accumulated, it is the last one before an update, with the gradients of those before.
    """
    metered = _steps_to_meter(learner, steps)
    frames_TBCHW = torch.empty((metered, batch_size, *learner.network.spec.input_shape), dtype=torch.uint8)
    targets = example_targets(learner.loss, batch_size, learner.network.spec.classes or 1)
    live.exclude(frames_TBCHW)
    for group in learner.optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight, requires_grad=False)
    learner.optimizer.step()
    if learner.rule.update == "chunk":
        learner.optimizer.zero_grad(set_to_none=True)
    chunks = _middle_chunks(learner.rule.time, metered)
    if learner.batches_per_update == 1:
        live.reset_peak()
        return lambda: learner.train_step(frames_TBCHW, targets, observer=observer, learning_chunks=chunks)
    learner.accumulate(frames_TBCHW, targets, learning_chunks=chunks)
    live.reset_peak()

    def last_of_several() -> None:
        learner.accumulate(frames_TBCHW, targets, observer=observer, learning_chunks=chunks)
        learner.update()

    return last_of_several


def _middle_chunks(time: Time, steps: int) -> range | None:
    """Consecutive learning chunks between others, the draw with the highest peak; None for all chunks."""
    if time.backward_chunks is None:
        return None
    chunks = -(-steps // (time.chunk_steps or steps))
    first = min(1, (chunks - time.backward_chunks) // 2)
    return range(first, first + time.backward_chunks)


class _BlockPeaks(Observer):
    """Records the peak bytes while each block ran."""

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
    """Labels tensors in the ledger by purpose during a learner's step."""

    def __init__(self, learner: "Learner", ledger: Ledger, live: LiveBytes) -> None:
        super().__init__(live)
        self._learner, self._ledger = learner, ledger
        self._marks: list[tuple[int, Moment]] = [(0, Moment("update", None, (1, 1)))]
        self._states: dict[int, list[Life | None]] = {}
        self._done = [0] * len(learner.blocks)
        self._chunk = (1, 1)
        self._began = 0

    def begin(self) -> None:
        """Label the tensors that are alive before the step, optimiser states and gradients included."""
        learner, ledger = self._learner, self._ledger
        for weight, site in sites_of(learner.blocks):
            ledger.watch(weight, site)
            for value in _tensors(learner.optimizer.state.get(weight, {})):
                ledger.watch(value, site)
        networks = [part for block in learner.blocks for part in (block.subnetwork, block.auxiliary) if part]
        if learner.average is not None:
            networks.append(learner.average.network)
        for network in networks:
            ledger.label([*network.parameters(), *network.buffers()], "weights")
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
        """Label the gradients of a block's weights."""
        found = (weight.grad for weight in self._learner.blocks[index].parameters())
        self._ledger.label((gradient for gradient in found if gradient is not None), "gradients")

    def moment(self, tick: int) -> Moment:
        """The position in the step at a tick of the ledger."""
        _, moment = self._marks[bisect.bisect_right(self._marks, tick, key=lambda mark: mark[0]) - 1]
        return replace(moment, site=self._ledger.user(tick, forward=moment.phase != "backward"))

    def laps(self) -> list[Lap]:
        """Peak bytes at each layer, in the order of the computation."""
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
    """True if the moments differ at most in the unit of their layer."""
    layers = [replace(moment, site=moment.site and moment.site.whole_layer) for moment in moments]
    return layers[0] == layers[1]


def _steps_to_meter(learner: "Learner", steps: int | None) -> int:
    time = learner.rule.time
    return time.steps_to_meter(learner.steps) if steps is None else max(steps, time.steps_to_meter(steps))
