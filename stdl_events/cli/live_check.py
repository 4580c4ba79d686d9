"""`live --check`: what a machine keeps up with."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from stdl_events.errors import UserError

if TYPE_CHECKING:
    from stdl_events.events.geometry import Size
    from stdl_events.frames import FrameSpec
    from stdl_events.live import Recogniser

# Windows that a rate is tried for, at least.
LEAST_WINDOWS = 5


def check(
    make: "Callable[[Size], Recogniser]",
    size: "Size | None",
    seconds: float,
    budget_ms: float | None,
    *,
    in_json: bool,
) -> None:
    """Measure and print a `Capacity`.

    Args:
        make: a recogniser of a source of this (width, height).
        budget_ms: by default the length of a window.

    Raises:
        UserError: the sensor's size, or the budget, is left open, or the time is too short.
    """
    from stdl_events.live.capacity import check_capacity

    if size is None:
        raise UserError(
            "live --check", got="a crop or scale", expected="the sensor's size too", todo="pass --sensor WxH"
        )
    spec = make(size).spec
    budget_ms = _budget_ms(budget_ms, spec)
    _require_time(seconds, spec)
    found = check_capacity(partial(make, size), size, seconds, budget_ms)
    print(found.to_json() if in_json else found.to_text())


def _budget_ms(asked_ms: float | None, spec: "FrameSpec") -> float:
    if asked_ms is not None:
        return asked_ms
    if spec.dt_us is None:
        raise UserError(
            "live --check", got="windows of a number of events, which have no length", expected="a budget",
            todo="pass --budget-ms MS",
        )  # fmt: skip
    return spec.dt_us / 1e3


def _require_time(seconds: float, spec: "FrameSpec") -> None:
    from stdl_events.live.capacity import RATES

    least_s = RATES * LEAST_WINDOWS * (spec.dt_us or 0) * 1e-6
    if seconds < least_s or not seconds:
        raise UserError(
            "live --check", got=f"{seconds:g} s", expected=f"at least {least_s:g} s",
            todo=f"give it more time: {LEAST_WINDOWS} windows for each of {RATES} rates",
        )  # fmt: skip
