"""Preference of two blocks: with one block, a rule that plans decouples nothing in space."""

import warnings
from collections.abc import Callable
from typing import TypeVar

from stdl_events.errors import PlanError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.grid import require_count
from stdl_events.plan.plan import PlanWarning

Found = TypeVar("Found")


def prefer_two_blocks(blueprint: Blueprint, least_blocks: int | None, with_blocks: Callable[[int], Found]) -> Found:
    """Return the result of `with_blocks` for `least_blocks`; for None, with two blocks if possible and else with one.

    Args:
        with_blocks: plans with at least this many blocks, or raises `PlanError`.

    Warns:
        PlanWarning: only one block is possible, and it was not asked for.

    Raises:
        PlanError: no plan fits.
        RuleError: `least_blocks` is no count.
    """
    if least_blocks is not None:
        require_count("least_blocks", least_blocks)
        return with_blocks(least_blocks)
    spec = blueprint.spec
    reason = f"{spec.notation} has too few layers to be cut"
    if len(spec.layers) > 2:
        try:
            return with_blocks(2)
        except PlanError as error:
            reason = f"two blocks need more memory: {error.expected}, not {error.got}"
    found = with_blocks(1)
    warnings.warn(f"{blueprint.rule.one_block_words}, since {reason}", PlanWarning, stacklevel=2)
    return found
