"""Peaks of a training step and their positions in it, as data."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from stdl_events.memory.cost_store import whole_number
from stdl_events.memory.ledger import KINDS, Kind
from stdl_events.memory.sites import Site

Phase: TypeAlias = Literal["forward", "backward", "update"]


@dataclasses.dataclass(frozen=True)
class Moment:
    """A position in a training step.

    Args:
        block: counted from 1; None during the optimiser's update.
        steps: first and last time step, counted from 1; the backward of a chunk covers all steps of the chunk.
        site: the layer, None if no weight identifies it.
    """

    phase: Phase
    block: int | None
    steps: tuple[int, int]
    site: Site | None = None

    def __str__(self) -> str:
        first, last = self.steps
        when = f"step {first}" if first == last else f"steps {first} to {last}"
        where = "" if self.block is None else f" of block {self.block}"
        at = "" if self.site is None else f", {self.site}"
        return f"{self.phase}{where}{at}, {when}"


@dataclasses.dataclass(frozen=True)
class Lap:
    """Peak bytes while a step was at one layer."""

    moment: Moment
    peak_bytes: int


@dataclasses.dataclass(frozen=True)
class Footprint:
    """Memory of one training step.

    Args:
        peak_bytes: the most live bytes at any time, without the input clip.
        breakdown: the peak's bytes by purpose; they add up to the peak. "weights" are parameters and running
            statistics. "membrane" is the state between time steps: membrane potentials, traces, dropout's masks.
            "saved" is saved for backward or for the next block. "other" is the rest.
        moment: position of the peak.
        steps: T of the metered step.
        blocks: peak bytes while each block ran.
        laps: peaks from layer to layer, in the order of the computation.
    """

    peak_bytes: int
    breakdown: dict[Kind, int]
    moment: Moment
    steps: int
    blocks: tuple[int, ...]
    laps: tuple[Lap, ...]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Footprint":
        """Read what `dataclasses.asdict` made of a footprint, and JSON of that.

        Raises:
            ValueError, TypeError, KeyError: the document is something else.
        """
        return cls(
            whole_number(document["peak_bytes"]),
            {kind: whole_number(document["breakdown"][kind]) for kind in KINDS},
            _moment_from(document["moment"]),
            whole_number(document["steps"]),
            tuple(map(whole_number, document["blocks"])),
            tuple(Lap(_moment_from(lap["moment"]), whole_number(lap["peak_bytes"])) for lap in document["laps"]),
        )


def _moment_from(document: Mapping[str, Any]) -> Moment:
    first, last = map(whole_number, document["steps"])
    site = document["site"]
    return Moment(document["phase"], document["block"], (first, last), None if site is None else Site(**site))
