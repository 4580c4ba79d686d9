"""Needs of parts of a plan, and their Pareto fronts; see `plan.partition`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class Need(NamedTuple):
    """Need of a sequence of blocks: their number, the largest working peak, the auxiliary networks' fixed bytes."""

    blocks: int
    working: int
    fixed: int

    def after(self, other: "Need") -> "Need":
        return Need(self.blocks + other.blocks, max(self.working, other.working), self.fixed + other.fixed)

    @property
    def total(self) -> int:
        return self.working + self.fixed


NOTHING = Need(0, 0, 0)


class Bound(NamedTuple):
    """A bound of a search: a plan's bytes, and the number of blocks of the part that is searched."""

    budget_bytes: int
    blocks: int


def sums(front: Iterable[Need], behind: Sequence[Need]) -> Iterator[Need]:
    """The needs of two consecutive parts, in every combination."""
    return (one.after(other) for one in front for other in behind)


def joined(front: Iterable[Need], behind: Sequence[Need]) -> list[Need]:
    """The front of two consecutive parts."""
    return pareto(set(sums(front, behind)), 0)


def pareto(needs: Iterable[Need], least_blocks: int) -> list[Need]:
    """The Pareto front of (working, fixed), per number of blocks.

    A need is also dominated by one with fewer blocks, if these are at least `least_blocks`.
    """
    kept: list[Need] = []
    fewer: list[Need] = []
    blocks, least = 0, None
    for need in sorted(needs, key=lambda need: (need.blocks, need.working, need.fixed)):
        if need.blocks != blocks:
            fewer += [known for known in kept if known.blocks == blocks and 0 < least_blocks <= blocks]
            blocks, least = need.blocks, None
        if least is not None and need.fixed >= least:
            continue
        least = need.fixed
        if not any(known.working <= need.working and known.fixed <= need.fixed for known in fewer):
            kept.append(need)
    return kept
