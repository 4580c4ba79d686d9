"""Metrics of a run: JSON lines for programs and TensorBoard scalars for people."""

import json
import os
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from stdl_events.errors import RunError
from stdl_events.validation import JSON_ERRORS
from stdl_events.whole_file import appending

METRICS_FILE = "metrics.jsonl"
_NOT_SCALARS = ("step", "unix_s")


class MetricsWriter:
    """Append rows to `metrics.jsonl` and their numbers to `tensorboard/` in a run's folder.

    Args:
        resume_at: length of the file in bytes at the checkpoint. Rows behind it are cut off, since the resumed run
            writes them again. TensorBoard's files are written again from the rest, so that each point is there once.

    Raises:
        RunError: the folder cannot be written, or is full; also from `write`.
    """

    def __init__(self, folder: Path, *, resume_at: int = 0) -> None:
        self._writing = partial(appending, folder / METRICS_FILE, room_for="metrics", error=RunError)
        with self._writing():
            self._file = (folder / METRICS_FILE).open("a+b")
            self._file.truncate(resume_at)
            for stale in (folder / "tensorboard").glob("events.out.tfevents.*"):
                stale.unlink()
            self._board = SummaryWriter(str(folder / "tensorboard"))
        for row in read_metrics(folder):
            self._show(row)

    def write(self, kind: str, step: int, row: dict[str, Any]) -> None:
        """Write one row; `kind` names it (`start`, `step`, `epoch`, `end`), `step` counts updates so far."""
        whole = {"kind": kind, "step": step, "unix_s": round(time.time(), 3)} | row
        line = json.dumps(whole, allow_nan=False)
        with self._writing():
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        self._show(whole)

    def _show(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and name not in _NOT_SCALARS:
                self._board.add_scalar(f"{row['kind']}/{name}", value, row["step"], row.get("unix_s"))

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
    """Every row of a run's `metrics.jsonl`, without one that a kill left unfinished.

    Raises:
        RunError: the file is damaged.
    """
    rows = []
    lines = (folder / METRICS_FILE).read_text("utf-8", "replace").split("\n")[:-1]
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append(row | {"kind": row["kind"], "step": row["step"]})
        except (*JSON_ERRORS, TypeError, KeyError):
            raise RunError(
                str(folder / METRICS_FILE), got=f"line {number}, which is no row of metrics", expected="rows of JSON",
                todo=f"remove line {number}; a resumed run goes on from its checkpoint",
            ) from None  # fmt: skip
    return rows
