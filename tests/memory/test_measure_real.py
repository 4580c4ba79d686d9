"""`memory --real`: the child process, its conversation and its failures, and what the operating system counts."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stdl_events.build import plan_learner
from stdl_events.cli import app, real_step
from stdl_events.cli.options.data_options import DataOptions
from stdl_events.cli.options.learner_options import Asked
from stdl_events.cli.output import messages
from stdl_events.cli.real_step import asked_again, check_room, request, run_child
from stdl_events.errors import MeasurementError, UserError
from stdl_events.memory.process import PeakWatch, _left_in_group, available_bytes
from stdl_events.memory.report import meter_step
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan


def child_that(program: str) -> list[str]:
    return [sys.executable, "-c", f"import json, os, signal, sys\ndocument = json.load(sys.stdin)\n{program}"]


@pytest.mark.slow
def test_a_real_process_is_measured_beside_the_meter() -> None:
    network = ["--network", "8C3-AP2-8C3", "--input", "2x16x16", "--classes", "3", "--batch", "8", "--steps", "2"]
    result = CliRunner().invoke(app, ["memory", *network, "--least-blocks", "2", "--real", "--json"])
    assert result.exit_code == 0, result.stderr or result.exception
    document = json.loads(result.stdout)
    real = document["real"]
    assert real["metered_bytes"] == document["peak_bytes"]
    assert real["real_bytes"] / real["metered_bytes"] == real["real_over_metered"] > 0
    assert (real["steps"], document["cuda"]) == (2, None)
    assert real["step_s"] > 0
    assert real["step_cpu_s"] > 0


@pytest.mark.parametrize("least_blocks", [1, 2])
def test_the_child_is_told_the_plan_and_the_command_line(least_blocks: int) -> None:
    spec = NetworkSpec.parse("4C3-4C3-3FC", input_shape=(2, 8, 8))
    step = meter_step(*plan_learner(spec, batch_size=2, steps=2, least_blocks=least_blocks))
    asked = Asked(
        "folder", ["epochs=1"], Path("recordings"), None, "2x8x8", 3, data_options=DataOptions(("--flip",), ("a=1",))
    )
    given = {"batch_size": 2, "rule": None, "budget": "1GB", "plan": "paper", "memory": "auto"}
    document = json.loads(json.dumps(request(asked, ["k=2"], given, step, "cpu")))
    assert asked_again(document) == (asked, ["k=2"], {"batch_size": 2, "rule": None})
    assert document["plan"] is not None
    plan = Plan.from_dict(document["plan"])
    assert plan == step.plan
    assert len(plan.blocks) == least_blocks
    assert (document["mode"], document["metered_bytes"]) == ("lean", step.footprint.peak_bytes)


def test_the_child_says_how_far_it_is_and_what_it_found() -> None:
    seen: list[tuple[int, int]] = []
    program = 'for n in (1, 2): print(json.dumps({"done": n, "of": 2}))\nprint(json.dumps({"result": document}))'
    assert run_child({"a": 1}, lambda *at: seen.append(at), child_that(program)) == {"a": 1}
    assert seen == [(1, 2), (2, 2)]


def test_without_a_terminal_the_progress_is_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(step: object, document: object, progress: Callable[[int, int], None]) -> dict[str, int]:
        del step, document
        progress(1, 4)
        time.sleep(0.2)
        return {"a": 1}

    monkeypatch.setattr(real_step, "run_real", train)
    with messages.status("metering") as status:
        assert real_step.run_shown(None, {}, status, every_s=0.02) == {"a": 1}  # type: ignore[arg-type]
    assert "time steps of training: 1 of 4 done\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "SIGKILL before the first time step, as a system does that has no mem",
        ),
        ('print(\'{"done": 3, "of": 4}\', flush=True); os.abort()', "SIGABRT after 3 of 4 time steps; expected"),
        ("raise RuntimeError('no memory here')", "failed before the first time step: RuntimeError: no memory here;"),
        ("pass", "failed before the first time step: without a message"),
    ],
)
def test_a_child_that_fails_is_one_line_with_an_exit_code_of_its_own(program: str, words: str) -> None:
    with pytest.raises(MeasurementError) as caught:
        run_child({}, lambda done, of: None, child_that(program))
    assert caught.value.exit_code == 10
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_step_that_the_machine_has_no_memory_for_is_refused() -> None:
    check_room(2_000_000_000, 2_000_000_000)
    check_room(2_000_000_000, None)
    with pytest.raises(UserError, match=r"got 1\.90 GB of free memory on this machine; expected about 2\.00 GB"):
        check_room(2_000_000_000, 1_900_000_000)


def test_a_freed_array_counts_for_the_peak() -> None:
    watch = PeakWatch()
    if not watch.is_exact:
        pytest.skip("this system cannot forget an earlier peak")
    size = 48_000_000
    array = np.ones(size, np.uint8)
    del array
    assert size * 0.9 < watch.peak_bytes() < size * 1.5
    assert PeakWatch().peak_bytes() < size / 2


def test_a_control_group_limits_what_is_left(tmp_path: Path) -> None:
    assert _left_in_group(tmp_path) is None
    for name, text in (("max", "max"), ("current", "700\n"), ("stat", "anon 500\ninactive_file 150\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert _left_in_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert _left_in_group(tmp_path) == 1000 - 700 + 150


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux")
def test_linux_says_what_is_left() -> None:
    left = available_bytes()
    assert left is not None
    assert 0 < left < 2**50
