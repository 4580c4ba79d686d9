"""What a training process on the CPU takes beyond the metered bytes, and what it leaves of a budget.

Two things are not metered: buffers inside libraries, most of them of convolutions, and memory that the C library's heap
keeps when parts of a step are freed.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

from stdl_events.errors import PlanError, RuleError
from stdl_events.learning.blueprint import Blueprint, MemoryMode
from stdl_events.learning.grid import require_choice
from stdl_events.sizes import parse_bytes

SUBJECT = "memory budget"
BudgetOf: TypeAlias = Literal["step", "process"]
"""What a budget bounds: the metered bytes of a step, or all that a process on the CPU takes for it."""

# Bounds of all rows of `tests/benchmarks/measure_workspace.py` (glibc 2.36, torch 2.13) with the heap as it comes, of
# steps below `FIRST_BYTES`. The share of the bytes above is assumed: the few larger steps that were seen took at most
# half of theirs.
FIXED_BYTES = 4_000_000
SHARES = {"lean": 1.5, "kept": 1.5, "plain": 1.1}
FIRST_BYTES = 350_000_000
SHARE_ABOVE = 0.6


def cpu_allowance_bytes(peak_bytes: int, memory: MemoryMode) -> int:
    """Room to leave beside the metered bytes of a step on the CPU.

    Args:
        peak_bytes: metered peak of the step.
        memory: the memory mode that the rule runs in.
    """
    first = min(peak_bytes, FIRST_BYTES)
    return FIXED_BYTES + math.ceil(SHARES[memory] * first + SHARE_ABOVE * (peak_bytes - first))


def clip_bytes(blueprint: Blueprint) -> int:
    """Bytes of the clips of a batch, T frames as uint8, which are beside the metered bytes."""
    return blueprint.steps * blueprint.batch_size * math.prod(blueprint.spec.input_shape)


@contextlib.contextmanager
def step_budget_of(blueprint: Blueprint, budget: int | str | None, budget_of: BudgetOf) -> Iterator[int | str | None]:
    """The budget of the step within `budget`, that itself or of the process; a refusal of the body states both.

    Mode "auto" begins with a lean blueprint, whose allowance is the largest.

    Raises:
        RuleError: the budget of a process is asked for and not given, or not on the CPU.
        PlanError: the body's, or clip and allowance alone need as much.
    """
    require_choice("budget_of", budget_of, get_args(BudgetOf))
    if budget_of == "step":
        yield budget
        return
    if budget is None:
        raise RuleError(
            "budget_of process", got="no budget", expected="the bytes that the process may take", todo="add a budget"
        )
    process_bytes = parse_bytes(budget)
    step_bytes = step_budget(blueprint, process_bytes, blueprint.memory if blueprint.is_lean else "plain")
    try:
        yield step_bytes
    except PlanError as error:
        if error.subject != SUBJECT:
            raise
        got = f"{process_bytes} bytes for the process, which leave {step_bytes} for the step beside clip and allowance"
        raise PlanError(SUBJECT, got=got, expected=f"{error.expected} for the step", todo=error.todo) from error


def step_budget(blueprint: Blueprint, budget_bytes: int, memory: MemoryMode) -> int:
    """The metered bytes that a step may have, so that clip, step and allowance are within `budget_bytes`.

    Raises:
        RuleError: the blueprint is for another device than the CPU, for which there is no allowance.
        PlanError: clip and allowance alone need as much.
    """
    if blueprint.device.type != "cpu":
        raise RuleError(
            "budget of a process",
            got=f"device {blueprint.device}",
            expected="the CPU, whose allowance is measured",
            todo="use budget_of=step",
        )
    others = clip_bytes(blueprint)
    if others + cpu_allowance_bytes(0, memory) >= budget_bytes:
        raise PlanError(
            SUBJECT,
            got=f"{budget_bytes} bytes for the process",
            expected=f"more than the {others + cpu_allowance_bytes(0, memory)} bytes of the clip and the allowance",
            todo="allow more memory, or use a smaller batch or smaller frames",
        )
    low, high = 0, budget_bytes
    while high - low > 1:
        middle = (low + high) // 2
        fits = others + middle + cpu_allowance_bytes(middle, memory) <= budget_bytes
        low, high = (middle, high) if fits else (low, middle)
    return low
