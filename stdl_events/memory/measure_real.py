"""Real training steps, and the memory that this process takes for them beside the metered bytes.

A tiny network is trained first, so that libraries, threads and compiled kernels are there. Then the learner is built
and trained for two batches, the second one settled: with gradients and states of the optimiser.

T time, B batch, C channels, H height, W width.
"""

import dataclasses
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.learner import Learner
from stdl_events.learning.observer import Observer
from stdl_events.learning.targets import example_targets
from stdl_events.memory.process import PeakWatch
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan

BATCHES = 2
# Share of events in the frames: about that of real ones.
_DENSITY = 0.06


@dataclasses.dataclass(frozen=True)
class RealMemory:
    """Memory of a process that trains for real, on the CPU.

    Args:
        metered_bytes: the meter's peak.
        real_bytes: peak of resident memory above that of the process before it built the learner.
        is_exact: False if the system could not forget an earlier peak; `real_bytes` is then a lower bound.
        steps: T of the batches.
        step_s, step_cpu_s: seconds per time step in the last batch, and the processor's.
        step_faults: page faults per time step in the last batch.
    """

    metered_bytes: int
    real_bytes: int
    is_exact: bool
    steps: int
    step_s: float
    step_cpu_s: float
    step_faults: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self) | {"real_over_metered": self.real_bytes / self.metered_bytes}


def measure_real(
    blueprint: Blueprint,
    plan: Plan | None,
    metered_bytes: int,
    *,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> RealMemory:
    """Train the learner of `blueprint` and `plan` for two batches in this process.

    The result is that of a process which has trained nothing else: call it once per process.

    Args:
        metered_bytes: the meter's peak of the same step.
        progress: called with the time steps that are done, and all.
    """
    _warm_up(blueprint)
    frames_TBCHW, targets = example_batch(blueprint)
    watch = PeakWatch()
    learner = blueprint.build(plan)
    steps = _Steps(len(learner.blocks), BATCHES * learner.batches_per_update * blueprint.steps, progress)
    for _ in range(BATCHES):
        began_s, began = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        train_once(learner, frames_TBCHW, targets, steps)
        ended = resource.getrusage(resource.RUSAGE_SELF)
    count = learner.batches_per_update * blueprint.steps
    return RealMemory(
        metered_bytes=metered_bytes,
        real_bytes=watch.peak_bytes(),
        is_exact=watch.is_exact,
        steps=blueprint.steps,
        step_s=(time.perf_counter() - began_s) / count,
        step_cpu_s=(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime) / count,
        step_faults=(ended.ru_minflt - began.ru_minflt) // count,
    )


def example_batch(blueprint: Blueprint) -> tuple[Tensor, Tensor]:
    """Sparse frames_TBCHW, uint8, and targets for a learner of `blueprint`, on the host; the same at every call."""
    shape = (blueprint.steps, blueprint.batch_size, *blueprint.spec.input_shape)
    generator = torch.Generator().manual_seed(0)
    frames_TBCHW = torch.empty(shape, dtype=torch.uint8)
    for frame_BCHW in frames_TBCHW:
        frame_BCHW.bernoulli_(_DENSITY, generator=generator)
    return frames_TBCHW, example_targets(blueprint.loss, blueprint.batch_size, blueprint.spec.classes or 1)


def train_once(learner: Learner, frames_TBCHW: Tensor, targets: Tensor, observer: Observer | None = None) -> None:
    """A training step, or the accumulation of as many batches as belong to an update, and the update."""
    observer = observer or Observer()
    if learner.batches_per_update == 1:
        learner.train_step(frames_TBCHW, targets, observer=observer)
        return
    for _ in range(learner.batches_per_update):
        learner.accumulate(frames_TBCHW, targets, observer=observer)
    learner.update()


def _warm_up(blueprint: Blueprint) -> None:
    tiny = NetworkSpec.parse("4C3-AP2-4C3-2FC", input_shape=(blueprint.spec.input_shape[0], 8, 8))
    tiny = dataclasses.replace(tiny, neuron=blueprint.spec.neuron)
    small = Blueprint.of(
        tiny, "sltt", batch_size=2, steps=2, memory=blueprint.memory if blueprint.is_lean else "plain",
        precision=blueprint.precision, dtype=blueprint.dtype,
    )  # fmt: skip
    small = dataclasses.replace(small, optimizer=blueprint.optimizer)
    train_once(small.build(None), *example_batch(small))


class _Steps(Observer):
    """Reports the time steps that the last block is done with."""

    def __init__(self, blocks: int, of: int, progress: Callable[[int, int], None]) -> None:
        self._last, self._of, self._progress, self._done = blocks - 1, of, progress, 0

    def after_step(self, block: int, state: Sequence[Tensor]) -> None:
        del state
        if block == self._last:
            self._done += 1
            self._progress(self._done, self._of)
