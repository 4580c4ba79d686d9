"""Metrics are complete JSON lines, after a resumption too, and the same numbers are in TensorBoard."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stdl_events.errors import RunError
from stdl_events.training.metrics import METRICS_FILE, MetricsWriter, read_metrics


def test_rows_are_json_lines_and_scalars(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as metrics:
        metrics.write("start", 0, {"device": "cpu"})
        metrics.write("step", 2, {"loss": 0.5, "accuracy": 0.25})
    rows = read_metrics(tmp_path)
    assert [row.pop("unix_s") for row in rows] == [pytest.approx(time.time(), abs=600)] * 2
    assert rows == [
        {"kind": "start", "step": 0, "device": "cpu"},
        {"kind": "step", "step": 2, "loss": 0.5, "accuracy": 0.25},
    ]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("step/accuracy")] == [(2, 0.25)]
    assert board.Tags()["scalars"] == ["step/loss", "step/accuracy"]


def test_resuming_drops_what_was_written_behind_the_checkpoint(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as metrics:
        metrics.write("step", 1, {"loss": 3.0})
        position = metrics.position()
        metrics.write("step", 2, {"loss": 2.0})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"kind": "st')
    assert [row["loss"] for row in read_metrics(tmp_path)] == [3.0, 2.0]
    written_s = read_first(tmp_path)["unix_s"]
    for _ in range(2):  # the second one resumes at the same checkpoint, as after another kill
        with MetricsWriter(tmp_path, resume_at=position) as metrics:
            metrics.write("step", 2, {"loss": 1.0})
    assert [row["loss"] for row in read_metrics(tmp_path)] == [3.0, 1.0]
    board = EventAccumulator(str(tmp_path / "tensorboard"), purge_orphaned_data=False).Reload()
    points = board.Scalars("step/loss")
    assert [(point.step, point.value) for point in points] == [(1, 3.0), (2, 1.0)]
    assert points[0].wall_time == pytest.approx(written_s)


def read_first(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = json.loads((folder / METRICS_FILE).read_text().splitlines()[0])
    return row


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    for line in ("xx", "[]", "{}"):
        (tmp_path / METRICS_FILE).write_text('{"kind": "step", "step": 1}\n' + line + "\n")
        with pytest.raises(RunError, match=r"jsonl: got line 2, which is no row of metrics; .* remove line 2;"):
            read_metrics(tmp_path)


def test_a_number_that_json_lacks_is_refused(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as metrics, pytest.raises(ValueError, match="not JSON compliant"):
        metrics.write("step", 1, {"loss": float("nan")})
    assert json.loads("[]") == read_metrics(tmp_path)
