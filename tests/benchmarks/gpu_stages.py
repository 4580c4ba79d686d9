"""The stages of gpu_check: what is measured on one GPU, in the order of importance.

A stage is a generator of rows, flat mappings of names to text, numbers and truth values. The rows that it has given
when its time is over are kept. A row with `failed` says why its figure is missing or wrong.
"""

import dataclasses
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any
from xml.etree import ElementTree

import spikingjelly_contenders as spikingjelly
import torch
from bench_report import REPOSITORY
from step_measures import bare_convolutions, clip, in_turns, peak_bytes
from table_lean import GOALS_GB
from table_memory import PUBLISHED, Published
from training_contenders import Contender, ours

from stdl_events.learning.blueprint import Blueprint
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.meter import LiveBytes
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.zoo import parse_network

Row = dict[str, Any]
ROUNDS = 9
STEPS_OVER_TIME = (4, 10, 20, 40)
CUDA_MARK = "pytest.mark.cuda"
MOST_APART = 0.02
"""Share by which the meter may miss the live bytes on the device."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where a stage runs, and until when (`time.monotonic`); `quick` is with tiny networks."""

    device: torch.device
    quick: bool
    until: float


@dataclasses.dataclass(frozen=True)
class Stage:
    """Part of a check.

    Args:
        about: what it does, in words.
        seconds: what it takes on a large GPU, estimated; also its share of the time.
        run: yields rows.
        package: that it needs beside this one's.
        environment: variables of its process, which choose among kernels for CUDA.
    """

    name: str
    about: str
    seconds: int
    run: Callable[[Setting], Iterator[Row]]
    package: str | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def missing(self, device: str) -> str | None:
        """Why it cannot run here, or None."""
        if self.package is not None and find_spec(self.package) is None:
            return f"{self.package} is not installed: pip install -e '.[bench]'"
        if self.environment and device == "cpu":
            return "the choice is one of kernels for CUDA"
        return None


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, a batch and T."""

    name: str
    notation: str
    input_shape: tuple[int, int, int]
    batch: int
    steps: int

    @property
    def spec(self) -> NetworkSpec:
        return parse_network(self.notation, input_shape=self.input_shape, classes=10)


SMALL = Case("small", "32C3-AP2-64C3-AP2-64C3-AP2-128C3", (2, 32, 32), 16, 10)
LARGE = Case("VGG-11", "vgg11", (2, 128, 128), 32, 4)
TINY = Case("tiny", "4C3-AP2-4C3", (2, 8, 8), 2, 2)


def cases(setting: Setting) -> Sequence[Case]:
    return (TINY,) if setting.quick else (LARGE, SMALL)


def cuda_tests(setting: Setting, folder: Path = REPOSITORY / "tests") -> Iterator[Row]:
    """The tests marked cuda: how many passed and were skipped in each file, and a row for each test that failed."""
    files = [str(path) for path in sorted(folder.rglob("test_*.py")) if CUDA_MARK in path.read_text(encoding="utf-8")]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", f"--junitxml={report}"]
        ended = subprocess.run([*command, *files], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        found = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    counts: dict[tuple[str, str], Row] = {}
    for case in found:
        name, outcome = str(case.get("classname")), next(iter(case), None)
        if outcome is not None and outcome.tag in ("failure", "error"):
            yield {"tests": f"{name}::{case.get('name')}", "failed": str(outcome.get("message"))[:200]}
            continue
        reason = "" if outcome is None else str(outcome.get("message"))
        row = counts.setdefault((name, reason), {"tests": name, "skipped" if reason else "passed": 0, "reason": reason})
        row["skipped" if reason else "passed"] += 1
    yield from counts.values()
    if not found or (setting.device.type == "cuda" and not any("passed" in row for row in counts.values())):
        yield {"tests": str(folder), "failed": "no test ran: " + (ended.stdout + ended.stderr)[-300:]}


def meter_against_device(setting: Setting) -> Iterator[Row]:
    """What the meter says without a device, beside what a step takes on it."""
    goals = [row for row in PUBLISHED if (row.network, row.steps) in GOALS_GB]
    tiny = Published("", TINY.notation, TINY.input_shape, 10, TINY.batch, TINY.steps, "adamw", {})
    for precision, memory in (("fp32", "lean"), ("bf16", "lean"), ("fp32", "kept"), ("fp32", "plain")):
        for row in [tiny] if setting.quick else goals:
            spec = parse_network(row.network, input_shape=row.input_shape, classes=row.classes)
            blueprint = Blueprint.of(
                spec, "sltt", batch_size=row.batch_size, steps=row.steps, memory=memory, precision=precision,
                optimizer=row.optimizer, device=setting.device,
            )  # fmt: skip
            facts = {"network": row.network, "batch": row.batch_size, "mode": f"{memory}, {precision}"}
            yield facts | guarded(partial(_metered_and_real, blueprint))


def _metered_and_real(blueprint: Blueprint) -> Row:
    metered = measure_learner(blueprint, None)[0].peak_bytes
    steps = blueprint.rule.time.steps_to_meter(blueprint.steps)
    frames_TBCHW, targets_B = clip(blueprint.spec, blueprint.batch_size, steps)
    inputs = (frames_TBCHW.to(torch.uint8), targets_B)
    with LiveBytes() as live:
        step = blueprint.build(None).train_step
        for tensor in inputs:
            live.exclude(tensor)
        step(*inputs)
        live.reset_peak()
        step(*inputs)
    row: Row = {"metered_bytes": metered, "live_bytes": live.peak}
    if blueprint.device.type == "cuda":
        del step
        on_device = tuple(tensor.to(blueprint.device) for tensor in inputs)
        row["allocated_bytes"] = peak_bytes(lambda: blueprint.build(None).train_step, on_device)
    row["live_over_metered"] = live.peak / metered
    if abs(live.peak / metered - 1) > MOST_APART:
        row["failed"] = f"the meter is {100 * abs(live.peak / metered - 1):.1f} % away"
    return row


def own_contenders(device: torch.device) -> list[Contender]:
    """This package's modes."""
    modes = [
        ours("sltt, lean", rule="sltt", memory="lean"),
        ours("sltt, kept", rule="sltt", memory="kept"),
        ours("sltt, plain", rule="sltt", memory="plain"),
        ours("sltt, lean, bf16", rule="sltt", memory="lean", precision="bf16"),
        ours("sltt, kept, bf16", rule="sltt", memory="kept", precision="bf16"),
    ]
    if device.type == "cuda":
        modes += [
            ours("sltt, lean, graphs", rule="sltt", memory="lean", cuda_graphs=True),
            ours("sltt, kept, graphs", rule="sltt", memory="kept", cuda_graphs=True),
            ours("sltt, kept, bf16, graphs", rule="sltt", memory="kept", precision="bf16", cuda_graphs=True),
        ]
    return [*modes, ours("bptt", rule="bptt", memory="plain")]


def own_times(setting: Setting) -> Iterator[Row]:
    """Seconds and peak bytes of a training step in each mode, beside the bare convolutions."""
    yield from _times(own_contenders(setting.device), setting)


def spikingjelly_times(setting: Setting) -> Iterator[Row]:
    """SpikingJelly's ways to train the same networks."""
    levels = spikingjelly.LEVELS if setting.device.type == "cuda" else spikingjelly.LEVELS[:1]
    memopt = [spikingjelly.bptt(level) for level in levels]
    yield from _times([spikingjelly.bptt(), spikingjelly.sltt(), *memopt], setting)


def _times(contenders: Sequence[Contender], setting: Setting) -> Iterator[Row]:
    plain, rounds = ours("", rule="sltt", memory="plain"), 1 if setting.quick else ROUNDS
    ends = [setting.until] if setting.quick else [(time.monotonic() + setting.until) / 2, setting.until]
    for case, until in zip(cases(setting), ends, strict=True):
        spec, device = case.spec, setting.device
        inputs = clip(spec, case.batch, case.steps, device)
        whole_step = plain.make(spec, case.batch, case.steps, device)
        bare = bare_convolutions(partial(whole_step, *inputs), device)
        facts = {"network": case.name, "batch": case.batch, "steps": case.steps}
        for contender in contenders:
            yield (
                facts
                | {"name": contender.name}
                | guarded(partial(_timed, contender, case, inputs, bare, rounds, until))
            )


def _timed(
    contender: Contender,
    case: Case,
    inputs: tuple[torch.Tensor, torch.Tensor],
    bare: Callable[[], None],
    rounds: int,
    until: float,
) -> Row:
    device = inputs[0].device
    made_at = time.perf_counter()
    step = contender.make(case.spec, case.batch, case.steps, device)
    step(*inputs)  # a learner with CUDA graphs records its second step
    prepared_s = time.perf_counter() - made_at
    step_s, bare_s = in_turns([partial(step, *inputs), bare], rounds, device, until)
    del step
    peak = peak_bytes(partial(contender.make, case.spec, case.batch, case.steps, device), inputs)
    return {
        "seconds": median(step_s),
        "fastest_seconds": min(step_s),
        "slowest_seconds": max(step_s),
        "rounds": len(step_s),
        "bare_share": median(bare_s) / median(step_s),
        "peak_bytes": peak,
        "prepared_seconds": prepared_s,
        "backend": contender.backend(device),
    }


def memory_over_steps(setting: Setting) -> Iterator[Row]:
    """Peak bytes of a step for growing T."""
    case = TINY if setting.quick else SMALL
    contenders = own_contenders(torch.device("cpu"))
    if setting.quick:
        contenders = [contenders[0], contenders[-1]]
    if find_spec(spikingjelly.LIBRARY) is not None:
        contenders += [spikingjelly.bptt(), spikingjelly.bptt(memopt=1), spikingjelly.sltt()]
    for contender in contenders:
        for steps in (2, 6) if setting.quick else STEPS_OVER_TIME:
            facts = {"network": case.name, "batch": case.batch, "name": contender.name, "steps": steps}
            yield facts | guarded(partial(_peak, contender, case, steps, setting.device))


def _peak(contender: Contender, case: Case, steps: int, device: torch.device) -> Row:
    inputs = clip(case.spec, case.batch, steps, device)
    return {"peak_bytes": peak_bytes(partial(contender.make, case.spec, case.batch, steps, device), inputs)}


def guarded(measure: Callable[[], Row]) -> Row:
    """The row of `measure`, or one that says why there is none, so that the next ones are measured."""
    try:
        return measure()
    except Exception as error:  # of compilers, drivers and other libraries
        words = re.sub(r"\s+", " ", str(error)).strip()
        return {"failed": f"{type(error).__name__}: {words[:200]}"}


def _forced(implementation: str) -> dict[str, str]:
    return dict.fromkeys(spikingjelly.IMPLEMENTATION, implementation)


STAGES = (
    Stage("tests", "the tests marked cuda", 120, cuda_tests),
    Stage("meter", "the meter against the device, three goals in four modes", 100, meter_against_device),
    Stage("times", "lean, kept, plain, bf16 and CUDA graphs", 80, own_times),
    Stage(
        "spikingjelly", "SpikingJelly: BPTT, SLTT, memopt 1 and 4, as it chooses its kernels", 90, spikingjelly_times,
        spikingjelly.LIBRARY,
    ),
    Stage("steps", "memory over T = 4, 10, 20, 40", 60, memory_over_steps),
    Stage(
        "spikingjelly-triton", "the same with its Triton kernels", 50, spikingjelly_times, spikingjelly.LIBRARY,
        _forced("triton"),
    ),
    Stage(
        "spikingjelly-torch", "the same in torch alone", 50, spikingjelly_times, spikingjelly.LIBRARY, _forced("torch")
    ),
)  # fmt: skip
