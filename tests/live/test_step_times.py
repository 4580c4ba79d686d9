"""`bench`: every file at every setting, the frames of `check_model.py`, and no figure without its meaning."""

import itertools
import json
import os
import runpy
from pathlib import Path

import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import ModelError
from stdl_events.live import OnnxSession
from stdl_events.live.step_times import thread_counts, time_steps
from stdl_events.live.synthetic import busy_frames

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    card = make_card(stream_spec(dt_us=10_000_000))
    eight_bits = card.model_copy(update={"provenance": {"precision": "int8 Conv, calibrated on 3 clips"}})
    return [str(write_model(tmp_path / f"{name}.onnx", each)) for name, each in (("a", card), ("b", eight_bits))]


def test_every_file_is_timed_at_every_setting(files: list[str]) -> None:
    turns: list[tuple[int, int]] = []
    times = time_steps(files, threads=[1, 2], batches=[1, 3], steps=7, progress=lambda *turn: turns.append(turn))
    assert [(each.path, each.threads, each.batch) for each in times] == [*itertools.product(files, (1, 2), (1, 3))]
    assert {each.steps for each in times} == {7}
    assert all(0 < each.p50_ms <= each.p95_ms <= each.p99_ms for each in times)
    assert [each.precision for each in times[::4]] == ["float32", "int8"]
    assert turns == [(1, 2), (2, 2)]
    assert all(each.in_time for each in times)


def test_the_frames_are_those_of_check_model(files: list[str]) -> None:
    program = runpy.run_path(str(REPOSITORY / "deploy" / "check_model.py"))
    theirs, _ = program["open_model"](files[0], 1)
    ours_NBCHW = busy_frames(OnnxSession(files[0]).card, 4, 1)
    np.testing.assert_array_equal(ours_NBCHW, list(program["random_frames"](theirs, 4, seed=0)))
    assert ours_NBCHW.any()


def test_all_cores_are_among_the_thread_counts() -> None:
    counts = thread_counts()
    assert counts[0] == 1
    assert counts[-1] == os.cpu_count()


def test_the_command_compares_with_the_first_file(files: list[str], run_cli) -> None:
    code, out, _ = run_cli("bench", *files, "--threads", 1, "--steps", 5, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["machine"]["cores"] == os.cpu_count()
    first, second = found["measured"]
    assert first["faster"] == 1
    assert second["faster"] == pytest.approx(first["p50_ms"] / second["p50_ms"], abs=1e-3)
    assert (first["frame_ms"], first["in_time"]) == (10_000, True)

    code, out, _ = run_cli("bench", *files, "--threads", 1, "--batch", 1, "--batch", 16, "--steps", 5)
    assert code == 0
    assert max(map(len, out.splitlines()[:6])) <= 80
    assert f"{files[1]}: a frame comes every 10000 ms: in time" in out


def test_a_model_that_is_too_slow_is_named(tmp_path: Path, run_cli) -> None:
    write_model(tmp_path / "m.onnx", make_card(stream_spec(dt_us=1)))
    _, out, _ = run_cli("bench", tmp_path / "m.onnx", "--threads", 1, "--threads", 2, "--steps", 5)
    assert "a frame comes every 0.001 ms: too slow with --threads 1, 2" in out


def test_no_more_threads_than_cores_are_started(files: list[str], monkeypatch, run_cli) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    code, out, err = run_cli(
        "bench", files[0], "--threads", 1, "--threads", 1000, "--threads", 999, "--steps", 5, "--json"
    )
    assert code == 0
    assert [each["threads"] for each in json.loads(out)["measured"]] == [1, 2]
    assert err.startswith("stdl-events: warning: --threads 1000: this machine has 2 cores, so 2 threads are used\n")


def test_what_is_no_model_is_one_line(tmp_path: Path, run_cli) -> None:
    code, out, err = run_cli("bench", tmp_path / "none.onnx")
    assert (code, out) == (2, "")
    assert "got no such file" in err
    assert len(err.splitlines()) == 1
    with pytest.raises(ModelError):
        time_steps([tmp_path / "none.onnx"])


def test_a_batch_that_no_memory_holds_is_refused(run_cli) -> None:
    code, out, err = run_cli("bench", "models:walkers", "--batch", "100000", "--steps", "5")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "got batches of 100,000, whose frames and state take 23 GiB; expected at most" in err
