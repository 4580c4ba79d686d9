"""How long a step of exported files takes on this machine, by threads and batch size.

The files and settings take turns, so that what else the machine does slows all of them alike. Each keeps its own state.

B batch, C channels, H height, W width.
"""

import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from stdl_events.errors import ModelError
from stdl_events.live.providers import CPU
from stdl_events.live.session import MAX_ARENA_BYTES, OnnxSession
from stdl_events.live.synthetic import busy_frames
from stdl_events.model_card import ModelCard

WARM_UP_STEPS = 3
STEPS_A_TURN = 5
# Of a file in eight bits: with one of these a product of four pairs is one instruction, without them it takes three.
_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})


@dataclass(frozen=True)
class StepTimes:
    """Times of one file with one number of threads and one batch size.

    Attributes:
        path: as it was given.
        precision: number format, as the card states it.
        bytes: size of the file.
        threads, batch: of each step.
        steps: number of steps.
        p50_ms, p95_ms, p99_ms: of a step.
        steps_per_s: time steps of one clip per second, all of the batch counted.
        frame_ms: time between two frames; None if they are not of equal time.
        scattered: share of the convolutions that were scattered; None with providers that scatter none.
    """

    path: str
    precision: str
    bytes: int
    threads: int
    batch: int
    steps: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    steps_per_s: float
    frame_ms: float | None
    scattered: float | None

    @property
    def in_time(self) -> bool | None:
        """True if the 99th percentile is below the time between two frames."""
        return None if self.frame_ms is None else self.p99_ms <= self.frame_ms

    def summary(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self) | {"in_time": self.in_time}


class _Contender:
    """One session with its frames, its state and the times so far."""

    def __init__(self, path: str | Path, threads: int, batch: int, *, frames: int, provider: str) -> None:
        self.path, self.threads, self.batch = path, threads, batch
        self.session = OnnxSession(path, threads=threads, provider=provider)
        self._require_memory(frames)
        self.state = self.session.initial_state(batch)
        self.frames_NBCHW = busy_frames(self.session.card, frames, batch)
        self.times_s: list[float] = []

    def _require_memory(self, frames: int) -> None:
        card = self.session.card
        values = frames * math.prod(card.frame.frame_shape_CHW) + sum(map(math.prod, card.state_shapes))
        if (needed := 4 * self.batch * values) > MAX_ARENA_BYTES:
            raise ModelError(
                str(self.path), got=f"batches of {self.batch:,}, whose frames and state take {needed >> 30} GiB",
                expected=f"at most {MAX_ARENA_BYTES >> 30} GiB", todo="use a smaller batch",
            )  # fmt: skip

    def run(self, steps: int) -> list[float]:
        """Run `steps` steps and return their times in seconds."""
        times_s = []
        for index in range(steps):
            frame_BCHW = self.frames_NBCHW[(len(self.times_s) + index) % len(self.frames_NBCHW)]
            began_s = time.perf_counter()
            _, self.state = self.session.step(frame_BCHW, self.state)
            times_s.append(time.perf_counter() - began_s)
        return times_s

    def result(self) -> StepTimes:
        times_ms = np.array(self.times_s) * 1e3
        p50, p95, p99 = (round(float(value), 4) for value in np.percentile(times_ms, [50, 95, 99]))
        card = self.session.card
        frame_ms = card.frame.dt_us / 1e3 if card.frame.dt_us else None
        counts = self.session.scattered
        rate = 1e3 * self.batch * len(times_ms) / float(times_ms.sum())
        return StepTimes(
            str(self.path), precision_of(card), self.session.path.stat().st_size, self.threads, self.batch,
            len(times_ms), p50, p95, p99, round(rate, 1), frame_ms, None if counts is None else round(counts.share, 4),
        )  # fmt: skip


def time_steps(
    paths: Sequence[str | Path],
    *,
    threads: Sequence[int] | None = None,
    batches: Sequence[int] = (1,),
    steps: int = 100,
    provider: str = CPU,
    progress: Callable[[int, int], None] | None = None,
) -> list[StepTimes]:
    """Time every file with every number of threads and batch size, in turns.

    Args:
        paths: exported files, or `models:NAME`.
        threads: numbers of threads within a step; None is 1, 2, 4 and so on up to all cores.
        steps: of each, in turns of `STEPS_A_TURN`, after a warm-up.
        provider: of onnxruntime, a name in `PROVIDERS`; the first steps of another than the CPU are compared with its.
        progress: called with the turns that ended, and their number.

    Returns:
        The times, in the order of the arguments: files, threads, batch sizes.

    Raises:
        ModelError: a file is unusable, a batch needs too much memory, or there is no such provider.
        MissingExtraError: the installed onnxruntime lacks the provider, or it does not start.
        VerificationError: the provider computes something else than the CPU.
    """
    settings = product(paths, threads or thread_counts(), batches)
    contenders = [_Contender(*setting, frames=STEPS_A_TURN, provider=provider) for setting in settings]
    for contender in contenders:
        contender.run(WARM_UP_STEPS)
    turns = -(-steps // STEPS_A_TURN)
    for turn in range(turns):
        for contender in contenders:
            contender.times_s += contender.run(min(STEPS_A_TURN, steps - turn * STEPS_A_TURN))
        if progress is not None:
            progress(turn + 1, turns)
    return [contender.result() for contender in contenders]


def precision_of(card: ModelCard) -> str:
    """Return the number format that a card states: float32 where it states none."""
    return str(card.provenance.get("precision", "float32")).partition(" ")[0]


def thread_counts() -> list[int]:
    """Return 1, 2, 4 and so on, and the number of cores of this machine."""
    cores = os.cpu_count() or 1
    return sorted({cores, *(1 << power for power in range(cores.bit_length()) if 1 << power <= cores)})


def machine() -> dict[str, Any]:
    """Return what the times depend on: processor, cores, and whether it multiplies eight bits in one instruction.

    The last is None where the system does not say.
    """
    lines = _cpu_lines()
    flags = next(
        (set(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))), None
    )
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "eight_bit_dot_product": None if flags is None else bool(flags & _DOT_PRODUCTS),
    }


def _cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
