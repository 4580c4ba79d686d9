"""Progress of a run on stderr: a bar, and one line per epoch."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

GB = 10**9
LEAST_BYTES_SHOWN = GB


class HashingProgress:
    """A bar over the bytes of the recordings that are hashed, if they are many; silent where `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, highlight=False),
            disable=quiet,
        )
        self._quiet = quiet

    def show(self, done: int, total: int) -> None:
        """Advance the bar; it appears at the first call for at least `LEAST_BYTES_SHOWN`."""
        if self._quiet or total < LEAST_BYTES_SHOWN:
            return
        if not self._bar.tasks:
            self._bar.start()
            self._bar.add_task("hashing the recordings", total=total)
        self._bar.update(self._bar.tasks[0].id, completed=done)

    def __enter__(self) -> "HashingProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar.tasks:
            self._bar.stop()


class TrainingProgress:
    """A bar over all steps of the run; silent where `quiet`."""

    def __init__(self, *, total_steps: int, done_steps: int, quiet: bool) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=Console(stderr=True, highlight=False),
            disable=quiet,
        )
        self._quiet = quiet
        self._task = self._bar.add_task("training", total=total_steps, completed=done_steps, numbers="")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if not self._quiet:
            self._bar.console.print(text, soft_wrap=True)

    def step(self, step: int, row: Mapping[str, Any]) -> None:
        """Show a step row of the metrics."""
        numbers = (
            f"loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}  {row['samples_per_s']:.0f}/s  {_memory(row)}"
        )
        self._bar.update(self._task, completed=step, numbers=numbers)

    def epoch(self, step: int, row: Mapping[str, Any], epochs: int) -> None:
        """Print an epoch row of the metrics."""
        self._bar.update(self._task, completed=step)
        if not self._quiet:
            self._bar.console.print(
                f"epoch {row['epoch']}/{epochs}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}  "
                f"{_watched(row)}  {row['samples_per_s']:.0f} clips/s  {_memory(row)}"
            )

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def _watched(row: Mapping[str, Any]) -> str:
    for name, words in (("validation", "validation"), ("held_out", "held out")):
        if f"{name}_accuracy" in row:
            return f"{words} {row[f'{name}_accuracy']:.3f}"
    return ""


def _memory(row: Mapping[str, Any]) -> str:
    text = f"{row['peak_rss_bytes'] / GB:.2f} GB RAM"
    if "peak_cuda_bytes" in row:
        text += f", {row['peak_cuda_bytes'] / GB:.2f} GB CUDA"
    return text
