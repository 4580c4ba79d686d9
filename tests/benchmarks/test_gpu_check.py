"""gpu_check runs on the CPU with tiny networks, ends in time, and loses no figure of a stage that fails or hangs."""

import json
import math
import os
import sys
import time
from pathlib import Path

import gpu_check
import pytest
import spikingjelly_contenders
import torch
from gpu_stages import STAGES, TINY, Setting, Stage, cuda_tests, guarded
from gpu_table import to_markdown
from step_measures import bare_convolutions, clip
from training_contenders import ours

from stdl_events.memory.macs import MultiplyAccumulates

# Processors without products in bfloat16 say so.
pytestmark = pytest.mark.filterwarnings("ignore:precision bf16:UserWarning")

CPU = torch.device("cpu")
FACTS = {
    "environment": {"date": "2026-01-02", "machine": "m", "commit": "c", "versions": {"torch": "2", "triton": None}},
    "device": {"name": "d"},
    "quick": True,
}


def rows_of(name: str) -> list[dict[str, object]]:
    stage = next(stage for stage in STAGES if stage.name == name)
    if (reason := stage.missing("cpu")) is not None:
        pytest.skip(reason)
    rows = list(stage.run(Setting(CPU, quick=True, until=time.monotonic())))
    json.dumps(rows, allow_nan=False)
    assert rows
    assert not [row for row in rows if "failed" in row]
    return rows


def test_the_meter_is_compared_with_the_bytes_of_a_real_step():
    rows = rows_of("meter")
    assert {row["mode"] for row in rows} == {"lean, fp32", "lean, bf16", "kept, fp32", "plain, fp32"}
    assert all(abs(row["live_bytes"] - row["metered_bytes"]) <= 16 for row in rows)


@pytest.mark.parametrize("name", ["times", "spikingjelly"])
def test_steps_are_timed_beside_their_convolutions(name):
    rows = rows_of(name)
    assert len({row["name"] for row in rows}) == len(rows) >= 3
    for row in rows:
        assert row["rounds"] >= 1
        assert row["fastest_seconds"] <= row["seconds"] <= row["slowest_seconds"]
        assert row["bare_share"] > 0
        assert row["peak_bytes"] > 0
        assert row["backend"]


def test_memory_grows_with_time_only_where_gradients_flow_through_it():
    peaks: dict[str, list[int]] = {}
    for row in rows_of("steps"):
        peaks.setdefault(row["name"], []).append(row["peak_bytes"])
    assert math.isclose(*peaks["sltt, lean"], rel_tol=0.01)
    short, long = peaks["bptt"]
    assert long > 2 * short


def test_bare_convolutions_are_those_of_the_step():
    inputs = clip(TINY.spec, TINY.batch, TINY.steps)
    step = ours("", rule="sltt", memory="plain").make(TINY.spec, TINY.batch, TINY.steps, CPU)
    bare = bare_convolutions(lambda: step(*inputs), CPU)
    with MultiplyAccumulates() as counted:
        bare()
    # The first layer's input needs no gradient; the second has a quarter of the pixels after pooling.
    first, second = 2 * 4 * 9 * 8 * 8, 4 * 4 * 9 * 4 * 4
    assert counted.count == TINY.steps * TINY.batch * (2 * first + 3 * second)


def test_memopt_trains_as_without_it():
    pytest.importorskip("spikingjelly.activation_based", reason="SpikingJelly is not installed")
    losses = []
    for level in (0, 1):
        torch.manual_seed(0)
        step = spikingjelly_contenders.bptt(level).make(TINY.spec, TINY.batch, TINY.steps, CPU)
        losses.append([float(step(*clip(TINY.spec, TINY.batch, TINY.steps))) for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_measure_that_raises_gives_a_row_that_says_so():
    def out_of_memory() -> dict[str, object]:
        raise torch.cuda.OutOfMemoryError("no\n  room")

    assert guarded(out_of_memory) == {"failed": "OutOfMemoryError: no room"}


def test_tests_are_counted_by_their_outcome(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = cuda\n")
    (tmp_path / "test_any.py").write_text("def test_not_asked():\n    raise AssertionError\n")
    (tmp_path / "test_gpu.py").write_text(
        "import pytest\n"
        "pytestmark = pytest.mark.cuda\n"
        "def test_right():\n    pass\n"
        "def test_wrong():\n    assert 1 == 2\n"
        "def test_elsewhere():\n    pytest.skip('too small')\n"
    )
    failed, passed, skipped = sorted(cuda_tests(Setting(CPU, True, 0.0), tmp_path), key=lambda row: sorted(row))
    assert failed["tests"] == "test_gpu::test_wrong"
    assert "1 == 2" in failed["failed"]
    assert passed == {"tests": "test_gpu", "passed": 1, "reason": ""}
    assert skipped == {"tests": "test_gpu", "skipped": 1, "reason": "too small"}


PROGRAM = """
import json, os, subprocess, sys, time
name, rows = sys.argv[sys.argv.index("--stages") + 1], sys.argv[sys.argv.index("--child") + 1]
with open(rows, "a") as file:
    file.write(json.dumps({"name": name, "failed": "it"} if name == "wrong" else {"name": name}) + "\\n")
if name == "crash":
    os.abort()
if name == "hang":
    further = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(os.environ["PID_FILE"], "w").write(str(further.pid))
    time.sleep(600)
"""


def test_a_stage_that_fails_or_hangs_loses_itself_alone(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    pid_file = tmp_path / "pid"
    stages = [
        Stage("crash", "a", 50, lambda _: iter(())),
        Stage("hang", "b", 2, lambda _: iter(()), environment={"PID_FILE": str(pid_file)}),
        Stage("wrong", "c", 50, lambda _: iter(())),
        Stage("absent", "d", 1, lambda _: iter(()), package="no_such_package"),
        Stage("late", "e", 10**6, lambda _: iter(())),
        Stage("right", "f", 50, lambda _: iter(())),
    ]
    document = gpu_check.check(stages[:4], [], 100.0, FACTS, tmp_path / "out", program)
    states = {stage["name"]: stage["state"] for stage in document["stages"]}
    assert states == {"crash": "failed", "hang": "out of time", "wrong": "failed", "absent": "skipped"}
    assert [stage["rows"][0]["name"] for stage in document["stages"][:3]] == ["crash", "hang", "wrong"]
    assert "no_such_package is not installed" in document["stages"][3]["reason"]
    for _ in range(200):
        if not _alive(int(pid_file.read_text())):
            break
        time.sleep(0.01)
    else:
        raise AssertionError("a process that a stage started is left")
    assert json.loads((tmp_path / "out" / "2026-01-02_gpu.json").read_text()) == document
    document = gpu_check.check(stages[4:], [], 50.0, FACTS, tmp_path / "out", program)
    assert [stage["state"] for stage in document["stages"]] == ["skipped", "done"]
    assert "it takes about 1000000" in document["stages"][0]["reason"]
    assert "## right: done" in (tmp_path / "out" / "2026-01-02_gpu.md").read_text()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_it_says_what_it_would_do(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--out", str(tmp_path), "--minutes", "7"])
    assert gpu_check.main() == gpu_check.NOTHING_CHECKED
    said = capsys.readouterr().out
    assert "nothing was checked" in said
    assert "within 7 minutes" in said
    assert all(stage.name in said and f"about {stage.seconds:3} s" in said for stage in STAGES)
    assert not list(tmp_path.iterdir())


def test_the_stages_fit_into_ten_minutes():
    assert sum(stage.seconds for stage in STAGES) <= 600


def test_a_table_has_units_and_every_column():
    rows = [{"name": "a|b", "peak_bytes": 2_500_000}, {"name": "c", "seconds": 0.25, "failed": "x\ny"}]
    told = {"name": "n", "about": "t", "state": "failed", "reason": "1 of 2", "seconds": 3.2, "rows": rows}
    lines = to_markdown(FACTS | {"limit_seconds": 60.0, "stages": [told]}).splitlines()
    start = lines.index("| name | peak MB | seconds ms | failed |")
    assert lines[start + 2 : start + 4] == ["| a/b | 2.5 |  |  |", "| c |  | 250 | x y |"]
    assert "## n: failed, 3 s" in lines
