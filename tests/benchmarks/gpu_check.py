"""Everything about this package that needs a GPU, within ten minutes: tests, memory, times, SpikingJelly beside it.

    python tests/benchmarks/gpu_check.py [--minutes 10] [--stages NAME ...] [--out FOLDER]
    python tests/benchmarks/gpu_check.py --device cpu --quick --out FOLDER

Stages run in the order of their importance, each in a process of its own, so that one that fails or hangs loses its own
figures alone. Each has a share of the time that is left; what it does not use is for those behind it. Writes
<date>_gpu.json after every stage, and a table beside it.

Without a GPU it says what it would do, and writes nothing. `--device cpu --quick` runs the stages with tiny networks,
to see that they work: its figures are none.

Exit code: 0 if every stage that ran is right, 1 if one failed, 3 if nothing was checked since there is no GPU.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from bench_report import REPOSITORY, environment, write_result
from gpu_stages import STAGES, Setting, Stage
from gpu_table import to_markdown

NOTHING_CHECKED = 3
# Share of its estimated time with which a stage may still give its first rows.
LEAST_SHARE = 0.25
# A stage ends by itself this long before its time, so that what it measures last is not lost.
MARGIN_S = 5.0
PACKAGES = ("stdl-events", "torch", "triton", "norse", "spikingjelly")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="limit of the whole check")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny networks, to see that it works")
    parser.add_argument("--stages", nargs="+", choices=[stage.name for stage in STAGES], help="these alone")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    parser.add_argument("--child", nargs=2, metavar=("ROWS", "SECONDS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    chosen = [stage for stage in STAGES if asked.stages is None or stage.name in asked.stages]
    if asked.child is not None:
        run_stage(chosen[0], asked.device, asked.quick, Path(asked.child[0]), float(asked.child[1]))
        return 0
    if asked.device == "cuda" and not torch.cuda.is_available():
        print(intention(chosen, asked.minutes))
        return NOTHING_CHECKED
    options = ["--device", asked.device, *(["--quick"] if asked.quick else [])]
    facts = {"environment": environment(PACKAGES), "device": device_facts(asked.device), "quick": asked.quick}
    document = check(chosen, options, 60 * asked.minutes, facts, asked.out)
    print(to_markdown(document))
    return int(any(stage["state"] in ("failed", "out of time") for stage in document["stages"]))


def check(
    stages: Sequence[Stage],
    options: Sequence[str],
    limit_s: float,
    facts: dict[str, Any],
    out: Path,
    program: Path = Path(__file__),
) -> dict[str, Any]:
    """Run `stages` within `limit_s` seconds and write the result after each.

    Args:
        options: of the processes of the stages.
        facts: about the machine, in the result.
        program: runs one stage, with the arguments of this one.
    """
    ends_at = time.monotonic() + limit_s
    document = facts | {"limit_seconds": limit_s, "stages": []}
    for index, stage in enumerate(stages):
        left_s = ends_at - time.monotonic()
        allowed_s = left_s * stage.seconds / sum(later.seconds for later in stages[index:])
        reason = stage.missing("cpu" if "cpu" in options else "cuda")
        if reason is None and "--quick" not in options and allowed_s < LEAST_SHARE * stage.seconds:
            reason = f"{allowed_s:.0f} s are left for it, and it takes about {stage.seconds}"
        told = {"name": stage.name, "about": stage.about}
        print(f"{stage.name}: " + (f"skipped, {reason}" if reason else f"up to {allowed_s:.0f} s"), file=sys.stderr)
        if reason is None:
            told |= _in_child([sys.executable, str(program), *options], stage, allowed_s)
        else:
            told |= {"state": "skipped", "reason": reason, "rows": []}
        document["stages"].append(told)
        path = write_result(out, "gpu", document)
        path.with_suffix(".md").write_text(to_markdown(document), encoding="utf-8")
    return document


def _in_child(command: Sequence[str], stage: Stage, allowed_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        rows = Path(scratch) / "rows"
        rows.touch()
        child = ["--stages", stage.name, "--child", str(rows), str(allowed_s)]
        began = time.monotonic()
        ended = _ended([*command, *child], os.environ | stage.environment, allowed_s)
        found = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    told: dict[str, Any] = {"seconds": time.monotonic() - began, "rows": found}
    wrong = sum("failed" in row for row in found)
    if ended is None:
        return told | {"state": "out of time", "reason": f"ended after {allowed_s:.0f} s"}
    if ended.returncode != 0:
        return told | {"state": "failed", "reason": ended.stdout[-500:]}
    if wrong or not found:
        return told | {"state": "failed", "reason": f"{wrong} of {len(found)} rows failed"}
    return told | {"state": "done"}


def _ended(
    command: Sequence[str], variables: dict[str, str], seconds: float
) -> subprocess.CompletedProcess[str] | None:
    """The ended process, or None if it was stopped, with all that it started, after `seconds`."""
    child = subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        out, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    return subprocess.CompletedProcess(command, child.returncode, out)


def run_stage(stage: Stage, device: str, quick: bool, rows: Path, seconds: float) -> None:
    """Run a stage in this process; a line of `rows` for each of its rows."""
    setting = Setting(torch.device(device), quick, time.monotonic() + max(seconds - MARGIN_S, 0.5 * seconds))
    with rows.open("a", encoding="utf-8") as file:
        for row in stage.run(setting):
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()


def device_facts(device: str) -> dict[str, Any]:
    """The device, its driver, and what torch does to float32 on it."""
    if device == "cpu":
        return {"name": "cpu"}
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    return {
        "name": torch.cuda.get_device_name(),
        "bytes": torch.cuda.get_device_properties(0).total_memory,
        "driver": driver,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "convolutions in TF32": torch.backends.cudnn.allow_tf32,
    }


def intention(stages: Sequence[Stage], minutes: float) -> str:
    """What a check would do, and how long each stage would take."""
    lines = [f"No CUDA device is here: nothing was checked. On one, within {minutes:g} minutes, in this order:"]
    for stage in stages:
        reason = stage.missing("cuda")
        lines.append(f"  {stage.name:20} about {stage.seconds:3} s  {stage.about}" + (f" ({reason})" if reason else ""))
    total = sum(stage.seconds for stage in stages)
    return "\n".join([*lines, f"About {total} s on a large GPU. What fails or hangs costs its own stage alone."])


if __name__ == "__main__":
    sys.exit(main())
