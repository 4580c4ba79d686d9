"""A plan: the blocks of a network and their auxiliary networks. Data only, no torch.

All bytes are those of one training step at the plan's batch size. A block's bytes are the peak of its own step plus all
resident bytes, so the largest block is the training's peak.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stdl_events.errors import PlanError
from stdl_events.network.spec import NetworkSpec
from stdl_events.validation import JSON_ERRORS


class PlanWarning(UserWarning):
    """A plan is not what its rule is made for: one block, where the rule decouples several."""


@dataclasses.dataclass(frozen=True)
class PlannedBlock:
    """Layers [start, stop) of the network and their auxiliary network.

    Args:
        subnetwork: the block's own layers, in the paper's notation.
        auxiliary: the auxiliary network, in the paper's notation; None for the last block.
        predicted_bytes: by the additive model, before anything is built.
        metered_bytes: on the built learner, None where it was not metered.
        kept: in lean mode, the layers whose convolutions' outputs are saved for backward, counted from the block's
            first layer through its auxiliary network's last.
    """

    start: int
    stop: int
    subnetwork: str
    auxiliary: str | None
    predicted_bytes: int
    metered_bytes: int | None = None
    kept: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class PlanSetting:
    """The settings that a plan's bytes depend on, besides the network's notation, the frames and the batch.

    Args:
        rule: the learning rule's name.
        steps: T of the metered step.
        memory: the memory mode.
        precision: "fp32", "bf16-convolutions", or "bf16-states" with convolutions in float32.
        dtype: of the weights, such as "float32".
        optimizer: its name.
        neuron, norm: those of the network.
        averaged: True if the weights are averaged.
        accumulates: True if gradients are accumulated over batches.
        frozen: names of what is not trained.
    """

    rule: str
    steps: int
    memory: str
    precision: str
    dtype: str
    optimizer: str
    neuron: str
    norm: str
    averaged: bool = False
    accumulates: bool = False
    frozen: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Plan:
    """The blocks of a network.

    Args:
        network: the whole network, in the paper's notation.
        input_shape: (C, H, W) of one frame.
        batch_size: sequences per batch that the bytes are for.
        blocks: in order; together they cover the network.
        whole_bytes: peak of the uncut network trained online in plain mode, the reference of ρ.
        budget_bytes: the allowed bytes, or None for a given plan.
        setting: settings that the bytes were metered for; None if the document has none.
        metered_bytes: peak of the whole training step, weight update included; None if not metered.
    """

    network: str
    input_shape: tuple[int, int, int]
    batch_size: int
    blocks: tuple[PlannedBlock, ...]
    whole_bytes: int
    budget_bytes: int | None = None
    setting: PlanSetting | None = None
    metered_bytes: int | None = None

    @property
    def total_bytes(self) -> int:
        """The training's peak: the metered one, or that of its largest block."""
        if self.metered_bytes is not None:
            return self.metered_bytes
        return max(block.metered_bytes or block.predicted_bytes for block in self.blocks)

    @property
    def rho(self) -> float:
        """ρ: the peak as a share of that of the uncut network."""
        return self.total_bytes / self.whole_bytes

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        document = dataclasses.asdict(self)
        document["input_shape"] = list(self.input_shape)
        document["blocks"] = [dataclasses.asdict(block) | {"kept": list(block.kept)} for block in self.blocks]
        if self.setting is not None:
            document["setting"]["frozen"] = list(self.setting.frozen)
        return document | {"total_bytes": self.total_bytes, "rho": self.rho}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Plan":
        """Read what `to_dict` wrote.

        Raises:
            PlanError: the document is not a plan.
        """
        try:
            blocks = tuple(
                PlannedBlock(**{**block, "kept": tuple(block.get("kept", ()))}) for block in document["blocks"]
            )
            return cls(
                network=document["network"],
                input_shape=tuple(document["input_shape"]),
                batch_size=document["batch_size"],
                blocks=blocks,
                whole_bytes=document["whole_bytes"],
                budget_bytes=document.get("budget_bytes"),
                metered_bytes=document.get("metered_bytes"),
                setting=_setting(document.get("setting")),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise PlanError(
                "plan",
                got=f"a document without a usable {error}",
                expected="the JSON that `stdl-events plan --json` prints",
                todo="make a new plan",
            ) from error

    @classmethod
    def load(cls, path: str | Path) -> "Plan":
        """Read a plan's JSON file.

        Raises:
            PlanError: the file is missing or is not a plan.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, *JSON_ERRORS) as error:
            raise PlanError(
                str(path),
                got=f"no readable JSON ({error})",
                expected="a file that `stdl-events plan --json` wrote",
                todo="check the path",
            ) from error
        return cls.from_dict(document)

    def check(self, spec: NetworkSpec) -> None:
        """Check that this is a plan for `spec`.

        Raises:
            PlanError: the plan is for another network, its blocks do not cover it, or an auxiliary network has other
                classes.
        """
        if self.network != spec.notation or self.input_shape != spec.input_shape:
            raise PlanError(
                "plan",
                got=f"a plan for {self.network} on {_shape(self.input_shape)}",
                expected=f"one for {spec.notation} on {_shape(spec.input_shape)}",
                todo="make a plan for this network",
            )
        borders = [0, *(block.stop for block in self.blocks)]
        starts = [block.start for block in self.blocks]
        lacking = [block.auxiliary is None for block in self.blocks]
        as_expected = [*[False] * (len(self.blocks) - 1), True]
        covered = starts == borders[:-1] and borders[-1] == len(spec.layers) and borders == sorted(set(borders))
        if not covered or lacking != as_expected:
            raise PlanError(
                "plan",
                got=f"blocks {[(block.start, block.stop) for block in self.blocks]}, {sum(lacking)} without auxiliary",
                expected=f"blocks that cover layers 0 to {len(spec.layers)} without gaps, all but the last with one",
                todo="correct the plan's blocks",
            )
        for block in self.blocks:
            if block.auxiliary is not None and spec.auxiliary(block.auxiliary, block.stop).classes != spec.classes:
                raise PlanError(
                    "plan",
                    got=f"auxiliary network {block.auxiliary}",
                    expected=f"one that ends in {spec.layers[-1].body}, the network's classifier",
                    todo="correct the plan's blocks",
                )


def _setting(document: Mapping[str, Any] | None) -> PlanSetting | None:
    if document is None:
        return None
    return PlanSetting(**{**document, "frozen": tuple(document.get("frozen", ()))})


def _shape(shape_CHW: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape_CHW))
