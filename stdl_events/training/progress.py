"""Progress of a run on stderr: a bar or regular lines, and one line per epoch."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from stdl_events.errors import printable

GB = 10**9
LEAST_BYTES_SHOWN = GB
# Cells of the bar and the time left beside it.
LEAST_BAR = 14


class HashingProgress:
    """A bar over the bytes of the recordings that are hashed, if they are many; silent where `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=_plain_console(),
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
    """A bar over all steps of the run, on a terminal; elsewhere a line at least every ten seconds. Silent if `quiet`.

    A line per epoch is printed in any case, as wide as the terminal.
    """

    def __init__(
        self, *, total_steps: int, done_steps: int, quiet: bool, console: Console | None = None, every_s: float = 10.0
    ) -> None:
        self._console = console or _plain_console()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._quiet = quiet
        self._task = self._bar.add_task("steps", total=total_steps, completed=done_steps, numbers="")
        self._total, self._first, self._step = total_steps, done_steps, done_steps
        self._began_s = self._step_s = time.monotonic()
        self._has_begun = False
        silent = quiet or self._console.is_terminal
        self._beat = None if silent else Heartbeat(self._say_where, every_s)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if not self._quiet:
            self._console.print(printable(text, kept="\n"), soft_wrap=True)
            self._said()

    def at(self, step: int) -> None:
        """Note that `step` steps are done."""
        if step == self._step:
            return
        self._step, self._step_s = step, time.monotonic()
        if not self._has_begun:  # the first one may compile loops for a minute, and says nothing of the others
            self._has_begun, self._first, self._began_s = True, step, self._step_s

    def step(self, step: int, row: Mapping[str, Any]) -> None:
        """Show a step row of the metrics."""
        self.at(step)
        numbers = [f"loss {row['loss']:.3f}", f"accuracy {row['accuracy']:.3f}", f"{row['samples_per_s']:.0f}/s"]
        width = self._console.width - len(f"steps {step}/{self._total} ") - LEAST_BAR
        self._bar.update(self._task, completed=step, numbers=fitted([*numbers, *_rate(row)], width))

    def epoch(self, step: int, row: Mapping[str, Any], epochs: int) -> None:
        """Print an epoch row of the metrics, the first numbers of which fit into a line."""
        self.at(step)
        self._bar.update(self._task, completed=step)
        if self._quiet:
            return
        parts = [
            f"epoch {row['epoch']}/{epochs}", f"loss {row['loss']:.3f}", f"accuracy {row['accuracy']:.3f}",
            *_watched(row), *_rate(row), *self._left(), f"{row['samples_per_s']:.0f} clips/s", *_memory(row),
        ]  # fmt: skip
        self._console.print(fitted(parts, self._console.width), soft_wrap=True)
        self._said()

    def _say_where(self) -> None:
        since = duration(time.monotonic() - self._step_s)
        parts = [f"step {self._step}/{self._total}", *(self._left() or [f"for {since}"])]
        self._console.print(fitted(parts, self._console.width), soft_wrap=True)

    def _left(self) -> list[str]:
        """The time left, by the mean time of this process's steps behind the first one; nothing where there is none."""
        done, left = self._step - self._first, self._total - self._step
        if not done or not left:
            return []
        mean_s = (self._step_s - self._began_s) / done
        into_step_s = min(mean_s, time.monotonic() - self._step_s)
        return [f"{duration(mean_s * left - into_step_s)} left"]

    def _said(self) -> None:
        if self._beat is not None:
            self._beat.restart()

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        if self._beat is not None:
            self._beat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beat is not None:
            self._beat.stop()
        self._bar.stop()


class Heartbeat:
    """A thread that calls a function whenever nothing has restarted it for a time.

    A thread, since a single step or evaluation may take longer.

    Args:
        call: without arguments.
        every_s: time between two calls, or since `restart`.
    """

    def __init__(self, call: Callable[[], None], every_s: float) -> None:
        self._call, self._every_s = call, every_s
        self._woken, self._stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def restart(self) -> None:
        """Wait the whole time again before the next call."""
        self._woken.set()

    def stop(self) -> None:
        """End the thread; returns when it has ended."""
        self._stopped = True
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            if self._woken.wait(self._every_s):
                self._woken.clear()
            else:
                self._call()


class LineProgress:
    """A line on stderr whenever work has gone on for ten seconds: what is done, of how much, and what follows.

    Until that is known, and for work that does not tell, it is the time so far.

    Args:
        name: of the work.
        quiet: say nothing.
    """

    def __init__(
        self, name: str, *, console: Console | None = None, every_s: float = 10.0, quiet: bool = False
    ) -> None:
        self._console = console or _plain_console()
        self._name, self._text, self._quiet, self._began_s = name, "", quiet, time.monotonic()
        self._beat = Heartbeat(self._say, every_s)

    def at(self, done: int, total: int, what: str = "") -> None:
        """Note that `done` of `total` parts are done, and `what` follows."""
        self._text = f"{done:,} of {total:,} done" + (f", now {what}" if what else "")

    def _say(self) -> None:
        if not self._quiet:
            text = self._text or f"{duration(time.monotonic() - self._began_s)} so far"
            self._console.print(f"{self._name}: {text}", soft_wrap=True)

    def __enter__(self) -> "LineProgress":
        self._beat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._beat.stop()


def duration(seconds: float) -> str:
    """A time in two units at most: `12 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def fitted(parts: Sequence[str], width: int) -> str:
    """As many of the first parts as fit into a line, at least one."""
    line = parts[0]
    for part in parts[1:]:
        if len(line) + 2 + len(part) > width:
            break
        line += f"  {part}"
    return line


def _plain_console() -> Console:
    """A console for names of files and classes, in which brackets are text."""
    return Console(stderr=True, highlight=False, markup=False)


def _watched(row: Mapping[str, Any]) -> list[str]:
    named = (("validation_accuracy", "validation"), ("held_out_accuracy", "held out"))
    return [f"{words} {row[key]:.3f}" for key, words in named if key in row]


def _rate(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['mean_rate']:.1%} fire"] if "mean_rate" in row else []


def _memory(row: Mapping[str, Any]) -> list[str]:
    named = (("peak_cuda_bytes", "CUDA"), ("peak_rss_bytes", "RAM"))
    return [f"{row[key] / GB:.2f} GB {words}" for key, words in named if key in row]
