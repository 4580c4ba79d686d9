"""`precision="auto"`: the first number formats whose training step fits into the budget, and why no earlier ones."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from stdl_events.errors import NotationError, PlanError, RuleError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.precision import precision_on
from stdl_events.learning.registries import STEP_PRECISIONS
from stdl_events.memory.choose_plan import PAPER, PlanLike, read_plan
from stdl_events.plan.plan import Plan, PlanWarning


def choose_precision(
    precision: str,
    device: torch.device,
    planned_in: Callable[[str], tuple[Blueprint, Plan | None]],
    *,
    is_bounded: bool,
) -> tuple[Blueprint, Plan | None]:
    """The result of `planned_in` for the first candidate of `precision` that fits.

    Args:
        planned_in: plans for a precision by its name, or raises `PlanError`.
        is_bounded: True if there is a budget. Without one the first candidate fits.

    Warns:
        PlanWarning: another candidate than the first is chosen: which, and what the earlier ones would have needed.

    Raises:
        PlanError: none fits; the message is that of the last one.
        RuleError: the first candidate is impossible for other reasons.
    """
    first, *others = STEP_PRECISIONS[precision].candidates
    try:
        return planned_in(first)
    except PlanError as error:
        if not is_bounded or error.subject != "memory budget":
            raise
        refused, last = [_why(first, error)], error
    for name in others:
        settled = precision_on(name, device)
        try:
            found = planned_in(settled)
        except PlanError as error:
            refused.append(_why(settled, error))
            last = error
        except (RuleError, NotationError) as error:
            refused.append(f"{settled} is impossible for it ({error.subject}: {error.got})")
        else:
            warnings.warn(f"precision {precision}: {settled} is chosen, since {', and '.join(refused)}", PlanWarning, 3)
            return found
    raise PlanError(last.subject, got=last.got, expected=f"one that fits: {', and '.join(refused)}", todo=last.todo)


def precision_of(plan: PlanLike) -> str:
    """The precision that a given plan was made for.

    Raises:
        RuleError: it says none.
    """
    is_document = plan != PAPER and isinstance(plan, Plan | Mapping | str | Path)
    setting = read_plan(plan).setting if is_document else None  # type: ignore[arg-type]
    if setting is None:
        raise RuleError(
            "precision auto",
            got="a plan that names no precision",
            expected="a budget or rho to choose it for",
            todo="give the precision by its name",
        )
    return setting.precision


def _why(precision: str, error: PlanError) -> str:
    return f"{precision} needs {error.expected}, not {error.got}"
