"""A plan as text and as a document, for `plan`, `memory`, `train` and the run's folder."""

from typing import Any

from stdl_events.events.defects import count_of
from stdl_events.learning.grid import Rule
from stdl_events.learning.registries import DEFAULT_PRECISION
from stdl_events.plan.plan import Plan
from stdl_events.sizes import format_bytes


def plan_document(plan: Plan, rule: Rule) -> dict[str, Any]:
    """Return the plan, JSON-ready, with the note of `plan_note`; `Plan.from_dict` reads it back."""
    return plan.to_dict() | {"note": plan_note(plan, rule)}


def plan_note(plan: Plan, rule: Rule) -> str | None:
    """Return a note with the rule that a plan of one block equals; None for two blocks and more."""
    return rule.one_block_words if len(plan.blocks) == 1 else None


def describe_plan(plan: Plan, rule: Rule) -> list[str]:
    """Return text lines: the number of blocks, then each block with its auxiliary network and its peak."""
    share = f"{plan.rho:.3f} of the {format_bytes(plan.whole_bytes)} that the uncut network needs trained online"
    blocks = plan_note(plan, rule) or count_of(len(plan.blocks), "block")
    setting = plan.setting
    if setting is not None and setting.precision != DEFAULT_PRECISION:
        blocks += f"; precision {setting.precision}"
    lines = [f"plan: {blocks}; peak {format_bytes(plan.total_bytes)}, {share}"]
    for number, block in enumerate(plan.blocks, 1):
        auxiliary = "" if block.auxiliary is None else f", auxiliary network {block.auxiliary}"
        kept = f", outputs kept of {count_of(len(block.kept), 'layer')}" if block.kept else ""
        needs = format_bytes(block.metered_bytes or block.predicted_bytes)
        lines.append(f"block {number}: {block.subnetwork}{auxiliary}{kept}: {needs}")
    return lines
