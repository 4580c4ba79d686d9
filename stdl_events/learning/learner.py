"""A learner: blocks, the rule that trains them, and their optimiser.

T time, B batch, C channels, H height, W width, K classes.
"""

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stdl_events.errors import RuleError
from stdl_events.learning.block import LocalBlock
from stdl_events.learning.checks import check_batch, check_targets, checked_frames
from stdl_events.learning.cuda_graphs import ReplayedChunks
from stdl_events.learning.frozen import frozen_marks, set_frozen
from stdl_events.learning.grid import Rule
from stdl_events.learning.losses import Loss
from stdl_events.learning.observer import Observer
from stdl_events.learning.online import RunChunk, run_sequence
from stdl_events.learning.plain import run_chunk_plain
from stdl_events.learning.proximal import Anchor
from stdl_events.learning.saved import check_state, taken_back_on_error
from stdl_events.network.layers import Layer
from stdl_events.network.network import SpikingNetwork
from stdl_events.plan.plan import Plan


class Learner:
    """Trains `network` by `rule`.

    Args:
        network: the inference network; the blocks' subnetworks share its weights.
        blocks: in order; one block for end-to-end rules.
        steps: T, for input that is an iterable of steps.
        random: for dropout masks, and for the learning steps of rules that draw them.
        plan: the plan of the blocks, or None without one.
        run_chunk: runs a block over one chunk: ordinary autograd, or lean mode.
        check_layer: raises for a layer, given its name, that `run_chunk` does not support; called before each sequence.
        replayed: `run_chunk` with replayed CUDA graphs, None for no replay.

    Training puts every module into training mode, so a module's evaluation mode lasts only until the next step.
    `freeze` excludes modules from training, their batch norm included. `requires_grad_(False)` freezes parameters
    alone: neither momentum nor weight decay changes them.
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
        check_layer: Callable[[str, Layer], None] | None = None,
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
        self._check_layer = check_layer
        self._replayed = replayed
        self._anchor = None if rule.proximal is None else Anchor(rule.proximal, self._trained())

    def backward(
        self,
        frames_TBCHW: Tensor | Iterable[Tensor],
        targets_B: Tensor,
        *,
        observer: Observer | None = None,
        learning_chunks: Collection[int] | None = None,
    ) -> dict[str, Tensor]:
        """Replace all gradients by those of this sequence; weights are unchanged.

        Args and returns as in `train_step`.
        """
        return self._run(frames_TBCHW, targets_B, False, observer or Observer(), learning_chunks)

    def train_step(
        self,
        frames_TBCHW: Tensor | Iterable[Tensor],
        targets_B: Tensor,
        *,
        observer: Observer | None = None,
        learning_chunks: Collection[int] | None = None,
    ) -> dict[str, Tensor]:
        """Train on one batch: gradients and updates of the rule.

        A refused batch changes no state. A tensor, a list or a tuple is checked as a whole beforehand. Each frame of
        any other iterable is checked at its step: if one is refused, or the iterable itself fails, running statistics
        and random state are restored, and gradients are dropped. For rules that update within the sequence, the frames
        are collected first.

        Args:
            frames_TBCHW: a tensor of any real dtype on any device, or an iterable of its T steps. One step at a time is
                moved to the weights and cast, so that the input need not fit on the device.
            targets_B: class indices of any integer dtype.
            observer: called during the sequence.
            learning_chunks: for rules that draw their learning steps: these, counted from 0; None to draw them.

        Returns:
            0-d tensors on the device, so that the caller chooses when to synchronise: "loss" of the network's own
            classifier, "correct" predictions of the batch, and "block_loss_<k>" of each block.

        Raises:
            ShapeError: the frames do not match the targets or the network.
            BatchError: targets are not class indices, or frames are not finite real numbers. Values on a device are
                read once, before the first step. Values of integer frames, and of an iterable's frames on a device, are
                not read.
        """
        by_chunk = self.rule.update == "chunk"
        metrics = self._run(frames_TBCHW, targets_B, by_chunk, observer or Observer(), learning_chunks)
        if not by_chunk:
            self._update()
        return metrics

    def anchor_weights(self) -> None:
        """Set the anchor of `ftrl-ottt`'s proximal term to the current weights, the end of its first phase."""
        if self._anchor is not None:
            self._anchor.move()

    def freeze(self, *modules: torch.nn.Module) -> None:
        """Exclude modules from training, for fine-tuning the others.

        Their parameters get no gradient. Their batch norms normalise with the running statistics instead of those of
        each step, and the running statistics are not updated. Dropout stays active. A checkpoint does not store this.

        Args:
            modules: of the network or of an auxiliary network, such as `learner.network.layers[0]`.

        Raises:
            RuleError: a module belongs to neither.
        """
        set_frozen(self._networks(), modules, frozen=True)

    def unfreeze(self, *modules: torch.nn.Module) -> None:
        """Undo `freeze`, with the same arguments and errors."""
        set_frozen(self._networks(), modules, frozen=False)

    def _networks(self) -> list[SpikingNetwork]:
        return [self.network, *(block.auxiliary for block in self.blocks if block.auxiliary is not None)]

    def _train(self, batch_size: int) -> None:
        """Put all modules into training mode, and refuse unsupported ones."""
        self.network.train()
        start = 0
        for index, block in enumerate(self.blocks):
            for part in block.parts:
                part.train()
            block.check(index, start, batch_size, self._check_layer)
            start += len(block.subnetwork.layers)

    def _run(
        self,
        frames: Tensor | Iterable[Tensor],
        targets_B: Tensor,
        step_after_chunk: bool,
        observer: Observer,
        learning_chunks: Collection[int] | None,
    ) -> dict[str, Tensor]:
        spec = self.network.spec
        if step_after_chunk and not isinstance(frames, Tensor | Sequence):
            frames = list(itertools.islice(frames, self.steps + 1))
        if isinstance(frames, Tensor | Sequence):
            steps, targets_B = check_batch(frames, targets_B, spec, self.steps)
            undo: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        else:
            steps, targets_B = self.steps, check_targets(targets_B, spec)
            frames = checked_frames(frames, len(targets_B), spec, steps)
            undo = taken_back_on_error(self.random, self._buffers(), self._forget_gradients)
        chunk_steps = self.rule.time.chunk_steps or steps
        self._check_count(-(-steps // chunk_steps))
        self._train(len(targets_B))
        with undo:
            return self._learn(frames, targets_B, steps, chunk_steps, step_after_chunk, observer, learning_chunks)

    def _learn(
        self,
        frames: Iterable[Tensor],
        targets_B: Tensor,
        steps: int,
        chunk_steps: int,
        step_after_chunk: bool,
        observer: Observer,
        learning_chunks: Collection[int] | None,
    ) -> dict[str, Tensor]:
        self._forget_gradients()
        device = next(self.network.parameters()).device
        targets_B = targets_B.to(device, non_blocking=True)
        if self._replayed is not None:
            marks = frozen_marks([part for block in self.blocks for part in block.parts])
            targets_B = self._replayed.begin(targets_B, steps, marks)

        def after_chunk() -> None:
            if self._anchor is not None:
                self._anchor.add_gradients()
            if step_after_chunk:
                self._update()
                self._forget_gradients()

        logits_BK, losses = run_sequence(
            self.blocks,
            frames,
            targets_B,
            steps=steps,
            chunk_steps=chunk_steps,
            run_chunk=self.run_chunk,
            loss=self.loss,
            after_chunk=after_chunk,
            observer=observer,
            learning_chunks=self._draw_learning(steps, chunk_steps) if learning_chunks is None else learning_chunks,
            generator=torch.Generator(device).manual_seed(int(self.random.integers(2**63))),
        )
        metrics = {f"block_loss_{index}": loss for index, loss in enumerate(losses)}
        return metrics | {"loss": losses[-1], "correct": (logits_BK.argmax(1) == targets_B).sum()}

    def _forget_gradients(self) -> None:
        # Recorded graphs contain the gradients' addresses.
        self.optimizer.zero_grad(set_to_none=self._replayed is None)
        for block in self.blocks:
            for parameter in block.parameters():
                if not parameter.requires_grad:  # the optimiser updates every parameter with a gradient, even of zeros
                    parameter.grad = None

    def _update(self) -> None:
        if self._anchor is not None and self._anchor.term.anchor == "previous":
            self._anchor.move()
        self.optimizer.step()

    def _check_count(self, chunks: int) -> None:
        count = self.rule.time.backward_chunks
        if count is not None and count > chunks:
            raise RuleError(
                f"rule {self.rule.name}",
                got=f"{count} steps that learn, of {chunks}",
                expected="no more steps that learn than steps in a sequence",
                todo="use a smaller k, or longer sequences",
            )

    def _draw_learning(self, steps: int, chunk_steps: int) -> frozenset[int] | None:
        """The chunks of a sequence with a backward pass: K random ones (SLTT Algorithm 1, line 2); None for all."""
        count = self.rule.time.backward_chunks
        if count is None:
            return None
        return frozenset(self.random.choice(-(-steps // chunk_steps), size=count, replace=False).tolist())

    def _trained(self) -> list[torch.nn.Parameter]:
        return [weight for block in self.blocks for weight in block.parameters() if weight.requires_grad]

    def _buffers(self) -> Iterator[Tensor]:
        """Running statistics, those of auxiliary networks included."""
        for block in self.blocks:
            yield from block.subnetwork.buffers()
            if block.auxiliary is not None:
                yield from block.auxiliary.buffers()

    def state_dict(self) -> dict[str, Any]:
        """Weights of network and auxiliary networks; states of optimiser, random generator and proximal term."""
        return {
            "network": self.network.state_dict(),
            "auxiliary": [block.auxiliary.state_dict() if block.auxiliary else {} for block in self.blocks],
            "optimizer": self.optimizer.state_dict(),
            "random": self.random.bit_generator.state,
            "anchor": [] if self._anchor is None else self._anchor.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`.

        A rule with a proximal term accepts the state of one without, which trained its first phase. The loaded weights
        are then the anchor.

        Raises:
            RunError: the state is that of another network, plan or optimiser; nothing is loaded.
        """
        check_state(state, self.state_dict())
        self.network.load_state_dict(state["network"])
        for block, weights in zip(self.blocks, state["auxiliary"], strict=True):
            if block.auxiliary is not None:
                block.auxiliary.load_state_dict(weights)
        self.optimizer.load_state_dict(state["optimizer"])
        self.random.bit_generator.state = state["random"]
        if self._anchor is not None and state["anchor"]:
            self._anchor.restore(state["anchor"])
        else:
            self.anchor_weights()
