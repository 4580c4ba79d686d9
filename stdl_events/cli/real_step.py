"""Real training steps in a child process, for `memory --real`; a child that fails or is killed is an error here.

The child (`real_child.py`) gets one JSON document on stdin, and writes one per line: the time steps done, the result.
"""

import dataclasses
import json
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from stdl_events import child_process
from stdl_events.cli.options.data_options import DataOptions
from stdl_events.cli.options.learner_options import Asked
from stdl_events.cli.output import messages, results
from stdl_events.errors import MeasurementError, UserError
from stdl_events.plugins import loaded_plugins

if TYPE_CHECKING:
    from rich.status import Status

    from stdl_events.memory.report import StepMemory

PROGRAM = "stdl_events.cli.real_child"
# Options that the plan and the mode are the answer to.
PLANNING = ("memory", "budget", "budget_of", "rho", "plan", "least_blocks")
_PATHS = ("data", "config")


def request(
    asked: Asked, rule_options: list[str] | None, given: Mapping[str, Any], step: "StepMemory", device: str
) -> dict[str, Any]:
    """The child's document: what the command line names, the plan that was made of it, and its metered peak."""
    named = dataclasses.asdict(asked)
    return {
        "asked": named | {name: None if named[name] is None else str(named[name]) for name in _PATHS},
        "rule_options": rule_options,
        "given": {name: value for name, value in given.items() if name not in PLANNING},
        "mode": step.blueprint.memory,
        "precision": step.blueprint.precision,
        "plan": None if step.plan is None else step.plan.to_dict(),
        "metered_bytes": step.footprint.peak_bytes,
        "plugins": list(loaded_plugins()),
        "device": device,
    }


def run_real(step: "StepMemory", document: Mapping[str, Any], progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Run the step of `document`, made by `request`, where there is room for it.

    Args:
        progress: called with the time steps that are done, and all; before the first one too.

    Returns:
        A `RealMemory` as a document; on CUDA a `CudaMemory`.

    Raises:
        UserError: this machine has not the memory.
        MeasurementError: the child failed or was killed.
    """
    from stdl_events.memory.measure_real import BATCHES
    from stdl_events.memory.process import available_bytes

    if document["device"] == "cpu":
        check_room(step.process_bytes, available_bytes())
    progress(0, BATCHES * step.blueprint.accumulate * step.blueprint.steps)
    return run_child(document, progress)


def run_shown(
    step: "StepMemory", document: Mapping[str, Any], status: "Status", *, every_s: float = 10.0
) -> dict[str, Any]:
    """`run_real` with its progress: a status on a terminal, elsewhere lines."""
    from stdl_events.training.progress import LineProgress

    def show(done: int, of: int) -> None:
        status.update(f"training: time step {done} of {of}")
        if lines is not None:
            lines.at(done, of)

    if messages.is_terminal:
        lines = None
        return run_real(step, document, show)
    with LineProgress("time steps of training", console=messages, every_s=every_s) as lines:
        return run_real(step, document, show)


def asked_again(document: Mapping[str, Any]) -> tuple[Asked, list[str] | None, dict[str, Any]]:
    """The arguments of `request`, read from its document."""
    named = dict(document["asked"])
    data_options = DataOptions(**{name: tuple(values) for name, values in named.pop("data_options").items()})
    named |= {name: None if named[name] is None else Path(named[name]) for name in _PATHS}
    return Asked(**named, data_options=data_options), document["rule_options"], document["given"]


def check_room(needed_bytes: int, available_bytes: int | None) -> None:
    """Refuse a step that the machine has no memory for.

    Args:
        needed_bytes: what the process is expected to take.
        available_bytes: what is left; None if unknown, and anything may be tried.

    Raises:
        UserError: there is less.
    """
    from stdl_events.sizes import format_bytes

    if available_bytes is not None and needed_bytes > available_bytes:
        raise UserError(
            "--real", got=f"{format_bytes(available_bytes)} of free memory on this machine",
            expected=f"about {format_bytes(needed_bytes)} for the step",
            todo="use a smaller --batch, or end other programs",
        )  # fmt: skip


def run_child(
    document: Mapping[str, Any],
    progress: Callable[[int, int], None],
    command: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Run the step of `document` in a child process and return its result.

    Args:
        progress: called with the time steps that are done, and all.
        command: of the child.

    Raises:
        MeasurementError: the child failed or was killed.
    """
    command = command or child_process.command(PROGRAM)
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command, env=child_process.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            text=True, encoding="utf-8",
        )  # fmt: skip
        done, result = "before the first time step", None
        try:
            for line in _conversation(child, json.dumps(document)):
                if "result" in line:
                    result = line["result"]
                else:
                    progress(line["done"], line["of"])
                    done = f"after {line['done']} of {line['of']} time steps"
            code = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        if code != 0 or result is None:
            raise _failed(code, done, _last_line(errors))
        found: dict[str, Any] = result
        return found


def _conversation(child: subprocess.Popen[str], document: str) -> Any:
    """Send the document; yield the child's lines."""
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdout:
        try:
            with child.stdin:
                child.stdin.write(document)
        except BrokenPipeError:  # it ended early; its code says why
            pass
        for line in child.stdout:
            yield json.loads(line)


def _failed(code: int, done: str, message: str) -> MeasurementError:
    todo = "use a smaller --batch, or a --budget"
    if code < 0:
        name = signal.Signals(-code).name
        why = ", as a system does that has no memory left" if -code == signal.SIGKILL else ""
        got = f"a child process that ended with {name} {done}{why}"
    else:
        got = f"a child process that failed {done}: {message}"
        todo = f"correct that, or {todo}"
    return MeasurementError("--real", got=got, expected="training steps that end", todo=todo)


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = [line.strip() for line in errors.read()[-4096:].decode("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), "without a message")[:300]


def print_cuda(found: dict[str, Any]) -> None:
    """Print a `CudaMemory`, as a document."""
    from stdl_events.sizes import format_bytes

    results.print(
        f"on {found['device']}: {format_bytes(found['allocated_bytes'])} allocated, of which "
        f"{format_bytes(found['workspace_bytes'])} workspaces of libraries; {format_bytes(found['reserved_bytes'])} "
        f"reserved; metered / allocated {found['metered_over_allocated']:.3f}"
    )


def print_real(found: dict[str, Any]) -> None:
    """Print a `RealMemory`, as a document."""
    from stdl_events.sizes import format_bytes

    real = f"{'' if found['is_exact'] else 'at least '}{format_bytes(found['real_bytes'])}"
    results.print(
        f"a real process: {real} at the peak, {format_bytes(found['metered_bytes'])} metered, real / metered "
        f"{found['real_over_metered']:.2f}; {found['step_s']:.2g} s a time step, {found['step_cpu_s']:.2g} s of the "
        f"processor, {found['step_faults']} page faults"
    )
    if not found["is_exact"]:
        results.print("this system does not let a process forget its earlier peak: memory below that is not counted")
