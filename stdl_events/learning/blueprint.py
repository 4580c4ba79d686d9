"""What a learner is built from, as data, and building it."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch

from stdl_events.errors import RuleError
from stdl_events.learning.block import LocalBlock
from stdl_events.learning.cuda_graphs import CUDARecorder, ReplayedChunks
from stdl_events.learning.grid import Layerwise, Rule
from stdl_events.learning.lean import check_layer, run_chunk_lean
from stdl_events.learning.learner import Learner
from stdl_events.learning.losses import Loss
from stdl_events.learning.online import RunChunk
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.plain import run_chunk_plain
from stdl_events.learning.precision import Precision, flowing_dtype
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.partition import Cut
from stdl_events.plan.plan import Plan

MemoryMode: TypeAlias = Literal["lean", "kept", "plain"]


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """Everything that a learner is built from, its plan apart.

    Args:
        batch_size: sequences per batch.
        steps: T, time steps per sequence.
        seed: of the initial weights, which depend on `spec` and `seed` alone.
        memory: "lean" makes outputs of convolutions again in the backward, except those that a plan keeps; with "kept"
            all stay; "plain" is ordinary autograd.
        precision: with "bf16" membrane potentials, currents and convolutions are in bfloat16.
        cuda_graphs: whether blocks' steps are recorded and replayed.

    Raises:
        RuleError: there is nothing to learn: no classifier, no sequence or no step; no device to replay on; or the
            dtype is not a floating point type.
    """

    spec: NetworkSpec
    rule: Rule
    batch_size: int
    steps: int
    loss: Loss
    optimizer: OptimizerSpec
    seed: int = 0
    dtype: torch.dtype = torch.float32
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    memory: MemoryMode = "lean"
    precision: Precision = "fp32"
    cuda_graphs: bool = False

    @property
    def is_lean(self) -> bool:
        """Whether lean mode is asked for and the rule can use it."""
        return self.memory != "plain" and self.rule.time.chunk_steps == 1

    @property
    def flowing(self) -> torch.dtype:
        """The type of membrane potentials and of what travels between layers."""
        return flowing_dtype(self.precision, self.dtype, self.rule)

    def __post_init__(self) -> None:
        flowing_dtype(self.precision, self.dtype, self.rule)
        if self.spec.classes is None:
            raise RuleError(
                "network",
                got=f"{self.spec.notation}, which ends in spikes",
                expected="a classifier at its end",
                todo="end the notation with the number of classes and FC, such as 10FC",
            )
        if self.cuda_graphs and self.device.type != "cuda":
            raise RuleError(
                "cuda_graphs", got=f"the device {self.device}", expected="a CUDA device", todo="train without them"
            )
        if not self.dtype.is_floating_point:
            raise RuleError(
                "dtype",
                got=str(self.dtype),
                expected="a floating point type: membrane potentials are compared with a threshold",
                todo="use torch.float32 or torch.float64",
            )
        for name, count in (("batch_size", self.batch_size), ("steps", self.steps)):
            if count < 1:
                raise RuleError(name, got=str(count), expected="a positive number", todo=f"change {name}")

    def on_host(self) -> "Blueprint":
        """The same without a device, to be looked at rather than to train."""
        return dataclasses.replace(self, device=torch.device("cpu"), cuda_graphs=False)

    def build(self, plan: Plan | None) -> Learner:
        """The learner, cut as `plan` says or, without one, as the rule does by itself."""
        network = SpikingNetwork.build(self.spec, seed=self.seed, dtype=self.dtype, device=self.device)
        cuts = self.cuts(plan)
        kept = [block.kept for block in plan.blocks] if plan is not None else [()] * len(cuts)
        blocks = [self._block(network, index, cut, kept[index]) for index, cut in enumerate(cuts)]
        self._freeze_random_classifiers(blocks)
        run_chunk: RunChunk = run_chunk_lean if self.is_lean else run_chunk_plain
        weights = [weight for block in blocks for weight in block.parameters() if weight.requires_grad]
        return Learner(
            network,
            blocks,
            rule=self.rule,
            loss=self.loss,
            optimizer=self.optimizer.build(weights),
            steps=self.steps,
            random=np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0,))),
            plan=plan,
            run_chunk=run_chunk,
            check_layer=check_layer if self.is_lean else None,
            replayed=ReplayedChunks(run_chunk, CUDARecorder) if self.cuda_graphs else None,
        )

    def cuts(self, plan: Plan | None) -> list[Cut]:
        """Where the network is cut: as `plan` says or, without one, as the rule does by itself."""
        if plan is not None:
            heads = [
                None if block.auxiliary is None else self.spec.auxiliary(block.auxiliary, block.stop)
                for block in plan.blocks
            ]
            return [Cut(block.start, block.stop, head) for block, head in zip(plan.blocks, heads, strict=True)]
        if isinstance(self.rule.space, Layerwise):
            return layerwise_cuts(self.spec, self.rule.space.layers)
        return [Cut(0, len(self.spec.layers), None)]

    def _block(self, network: SpikingNetwork, index: int, cut: Cut, kept: Sequence[int]) -> LocalBlock:
        auxiliary = None
        if cut.auxiliary is not None:
            # Seeds of their own, so that the network's weights do not depend on the plan.
            seed = int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0])
            auxiliary = SpikingNetwork.build(cut.auxiliary, seed=seed, dtype=self.dtype, device=self.device)
        layers = cut.stop - cut.start + (len(cut.auxiliary.layers) if cut.auxiliary else 0)
        stay = range(layers) if self.memory == "kept" else kept
        return LocalBlock(
            network.slice(cut.start, cut.stop),
            auxiliary,
            trace=self.rule.time.trace,
            kept=stay,
            flowing=self.flowing,
        )

    def _freeze_random_classifiers(self, blocks: Sequence[LocalBlock]) -> None:
        random = self.rule.space.random if isinstance(self.rule.space, Layerwise) else "none"
        for block in blocks:
            if random == "all" or (random == "auxiliary" and block.auxiliary is not None):
                classifier = (block.auxiliary or block.subnetwork).layers_in_order()[-1]
                classifier.requires_grad_(False)


def layerwise_cuts(spec: NetworkSpec, layers: int) -> list[Cut]:
    """Blocks of `layers` layers, each with a classifier of the network's own form; the last ends in the network's."""
    last = len(spec.layers) - 1
    stops = [*range(layers, last, layers), last + 1]
    classifier = str(spec.layers[-1])
    return [
        Cut(start, stop, None if stop == last + 1 else spec.auxiliary(classifier, stop))
        for start, stop in zip([0, *stops], stops, strict=False)
    ]
