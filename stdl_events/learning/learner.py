"""A learner: blocks, the rule that trains them, and their optimiser.

T time, B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stdl_events.errors import RuleError, ShapeError
from stdl_events.learning.block import LocalBlock
from stdl_events.learning.cuda_graphs import ReplayedChunks
from stdl_events.learning.grid import Rule
from stdl_events.learning.losses import Loss
from stdl_events.learning.online import RunChunk, run_sequence
from stdl_events.learning.plain import run_chunk_plain
from stdl_events.learning.proximal import Anchor
from stdl_events.network.network import SpikingNetwork
from stdl_events.plan.plan import Plan


class Learner:
    """Trains `network` by `rule`.

    Args:
        network: the inference network; the blocks' subnetworks share its weights.
        blocks: in order; one block for end-to-end rules.
        steps: T, for input that is an iterable of steps.
        random: for dropout masks, and for the steps that learn where the rule draws them.
        plan: how the network was cut, or None where no plan was made.
        run_chunk: runs a block over one chunk: ordinary autograd, or lean mode.
        replayed: the same recorded, where its recordings are to be replayed.

    `after_block`, a function of a block's index, may be set to watch training from outside; it is called when a block
    has finished a chunk of steps.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        blocks: Sequence[LocalBlock],
        *,
        rule: Rule,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        steps: int,
        random: np.random.Generator,
        plan: Plan | None = None,
        run_chunk: RunChunk = run_chunk_plain,
        replayed: ReplayedChunks | None = None,
    ) -> None:
        self.network = network
        self.blocks = tuple(blocks)
        self.rule = rule
        self.loss = loss
        self.optimizer = optimizer
        self.steps = steps
        self.random = random
        self.plan = plan
        self.run_chunk = replayed or run_chunk
        self._replayed = replayed
        self.after_block: Callable[[int], None] = _ignore
        self._anchor = None if rule.proximal is None else Anchor(rule.proximal, self._trained())

    def backward(self, frames_TBCHW: Tensor | Iterable[Tensor], targets_B: Tensor) -> dict[str, Tensor]:
        """Replace all gradients by those of this sequence; no weight moves.

        Args and returns as in `train_step`.
        """
        self._forget_gradients()
        return self._run(frames_TBCHW, targets_B, step_after_chunk=False)

    def train_step(self, frames_TBCHW: Tensor | Iterable[Tensor], targets_B: Tensor) -> dict[str, Tensor]:
        """One batch: gradients and updates as the rule has them.

        Args:
            frames_TBCHW: a tensor of any dtype on any device, or an iterable of its T steps. One step at a time is
                moved to the weights and cast, so that the input need not fit on the device.
            targets_B: class indices, int64.

        Returns:
            0-d tensors, on the device, so that reading them is the caller's choice of when to wait: "loss" of the
            network's own classifier, "correct" predictions of the batch, and "block_loss_<k>" of each block.

        Raises:
            ShapeError: the frames do not match the targets or the network.
        """
        self._forget_gradients()
        by_chunk = self.rule.update == "chunk"
        metrics = self._run(frames_TBCHW, targets_B, step_after_chunk=by_chunk)
        if not by_chunk:
            self._update()
        return metrics

    def anchor_weights(self) -> None:
        """Let the proximal term of `ftrl-ottt` hold the weights near what they are now: its first phase ends here."""
        if self._anchor is not None:
            self._anchor.move()

    def _run(
        self, frames_TBCHW: Tensor | Iterable[Tensor], targets_B: Tensor, *, step_after_chunk: bool
    ) -> dict[str, Tensor]:
        steps = self._check(frames_TBCHW, targets_B)
        device = next(self.network.parameters()).device
        targets_B = targets_B.to(device, non_blocking=True)
        if self._replayed is not None:
            targets_B = self._replayed.begin(targets_B, steps)
        self.network.train()
        chunk_steps = self.rule.time.chunk_steps or steps

        def after_chunk() -> None:
            if self._anchor is not None:
                self._anchor.add_gradients()
            if step_after_chunk:
                self._update()
                self._forget_gradients()

        logits_BK, losses = run_sequence(
            self.blocks,
            frames_TBCHW if isinstance(frames_TBCHW, Tensor) else _exactly(steps, frames_TBCHW),
            targets_B,
            steps=steps,
            chunk_steps=chunk_steps,
            run_chunk=self.run_chunk,
            loss=self.loss,
            after_block=self.after_block,
            after_chunk=after_chunk,
            learning_chunks=self._learning_chunks(-(-steps // chunk_steps)),
            generator=torch.Generator(device).manual_seed(int(self.random.integers(2**63))),
        )
        metrics = {f"block_loss_{index}": loss for index, loss in enumerate(losses)}
        return metrics | {"loss": losses[-1], "correct": (logits_BK.argmax(1) == targets_B).sum()}

    def _forget_gradients(self) -> None:
        # Recordings know the gradients by their addresses.
        self.optimizer.zero_grad(set_to_none=self._replayed is None)

    def _update(self) -> None:
        if self._anchor is not None and self._anchor.term.anchor == "previous":
            self._anchor.move()
        self.optimizer.step()

    def _learning_chunks(self, chunks: int) -> frozenset[int] | None:
        """The chunks of a sequence that have a backward: K, drawn anew (SLTT Algorithm 1, line 2); None for all."""
        count = self.rule.time.backward_chunks
        if count is None:
            return None
        if count > chunks:
            raise RuleError(
                f"rule {self.rule.name}",
                got=f"{count} steps that learn, of {chunks}",
                expected="no more steps that learn than steps in a sequence",
                todo="use a smaller k, or longer sequences",
            )
        return frozenset(self.random.choice(chunks, size=count, replace=False).tolist())

    def _trained(self) -> list[torch.nn.Parameter]:
        return [weight for block in self.blocks for weight in block.parameters() if weight.requires_grad]

    def _check(self, frames: Tensor | Iterable[Tensor], targets_B: Tensor) -> int:
        if not isinstance(frames, Tensor):
            return self.steps
        if frames.ndim != 5 or frames.shape[0] == 0 or frames.shape[1] != len(targets_B):
            raise ShapeError(
                "training frames",
                got=f"shape {tuple(frames.shape)} with {len(targets_B)} targets",
                expected="(T, B, C, H, W) with T >= 1 and one target for each of the B sequences",
                todo="stack the clips along the second dimension",
            )
        return frames.shape[0]

    def state_dict(self) -> dict[str, Any]:
        """Weights of network and auxiliary networks, and the states of optimiser, random draws and proximal term."""
        return {
            "network": self.network.state_dict(),
            "auxiliary": [block.auxiliary.state_dict() if block.auxiliary else {} for block in self.blocks],
            "optimizer": self.optimizer.state_dict(),
            "random": self.random.bit_generator.state,
            "anchor": [] if self._anchor is None else self._anchor.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        A rule with a proximal term takes over the state of one without, which trained its first phase: the loaded
        weights are then those that the term holds on to.
        """
        self.network.load_state_dict(state["network"])
        for block, weights in zip(self.blocks, state["auxiliary"], strict=True):
            if block.auxiliary is not None:
                block.auxiliary.load_state_dict(weights)
        self.optimizer.load_state_dict(state["optimizer"])
        self.random.bit_generator.state = state["random"]
        if self._anchor is not None:
            self._anchor.restore(state["anchor"] or [weight.detach() for weight in self._trained()])


def _exactly(steps: int, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """`frames`, of which there must be `steps`: the mean over time would be wrong otherwise."""
    count = 0
    for count, frame in enumerate(frames, start=1):
        if count > steps:
            raise _wrong_steps(f"more than {steps}", steps)
        yield frame
    if count < steps:
        raise _wrong_steps(str(count), steps)


def _wrong_steps(got: str, steps: int) -> ShapeError:
    return ShapeError(
        "training frames",
        got=f"an iterable of {got} steps",
        expected=f"{steps}, the steps that the learner was built for",
        todo="give one frame per step, or build the learner for another number of steps",
    )


def _ignore(index: int) -> None:
    del index  # nobody watches
