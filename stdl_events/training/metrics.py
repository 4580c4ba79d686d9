"""Metrics of a run: JSON lines for programs and TensorBoard scalars for people."""

import json
import os
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from stdl_events.errors import RunError
from stdl_events.whole_file import appending

METRICS_FILE = "metrics.jsonl"


class MetricsWriter:
    """Append rows to `metrics.jsonl` and their numbers to `tensorboard/` in a run's folder.

    Args:
        resume_at: length of the file in bytes at the checkpoint. Rows behind it are cut off, since the resumed run
            writes them again.
        resume_step: the step at which the run resumes; TensorBoard drops later points.

    Raises:
        RunError: the folder cannot be written, or is full; also from `write`.
    """

    def __init__(self, folder: Path, *, resume_at: int = 0, resume_step: int = 0) -> None:
        self._writing = partial(appending, folder / METRICS_FILE, room_for="metrics", error=RunError)
        with self._writing():
            self._file = (folder / METRICS_FILE).open("a+b")
            self._file.truncate(resume_at)
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step if resume_at else None)

    def write(self, kind: str, step: int, row: dict[str, Any]) -> None:
        """Write one row; `kind` names it (`start`, `step`, `epoch`, `end`), `step` counts updates so far."""
        line = json.dumps({"kind": kind, "step": step} | row, allow_nan=False)
        with self._writing():
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        for name, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def position(self) -> int:
        """Bytes written so far: what a checkpoint stores and `resume_at` takes."""
        return self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Every row of a run's `metrics.jsonl`."""
    return [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]
