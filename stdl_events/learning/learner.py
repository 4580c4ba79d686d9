"""A learner: blocks, the rule that trains them, and their optimiser.

T time, B batch, C channels, H height, W width, K classes.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stdl_events.errors import RuleError, ShapeError
from stdl_events.learning.averaging import AveragedWeights
from stdl_events.learning.block import LocalBlock, start_training
from stdl_events.learning.checks import check_any, check_losses, checked_to_predict
from stdl_events.learning.cuda_graphs import ReplayedChunks
from stdl_events.learning.frozen import frozen_marks, set_frozen
from stdl_events.learning.gradients import Gradients
from stdl_events.learning.grid import Rule
from stdl_events.learning.loss_weights import batch_weight, resident_loss
from stdl_events.learning.losses import Loss
from stdl_events.learning.named_devices import require_device
from stdl_events.learning.observer import Observer
from stdl_events.learning.online import RunChunk, run_sequence
from stdl_events.learning.plain import run_chunk_plain
from stdl_events.learning.proximal import Anchor
from stdl_events.learning.rates import RatePenalty
from stdl_events.learning.saved import LearnerState, taken_back_on_error
from stdl_events.learning.targets import count_correct, has_soft_targets, resident_targets
from stdl_events.network.layers import Layer
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.populations import populations
from stdl_events.network.readout import running_means
from stdl_events.plan.plan import Plan

Handling: TypeAlias = Literal["replace", "add", "apply"]
"""Of a sequence's gradients: they replace the old ones, are added to them, or are applied after every chunk."""


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
        average_decay: of `average`, the moving average of the network's weights; None for no average.
        batches_per_update: batches that the caller accumulates, which the meter counts the memory of.
        rate_penalty: part of each block's loss, which makes its layers of neurons quiet, or with weight 0
            watches them; None for neither.

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
        average_decay: float | None = None,
        batches_per_update: int = 1,
        rate_penalty: RatePenalty | None = None,
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
        learned = (weight for block in self.blocks for weight in block.parameters() if weight.requires_grad)
        self._anchor = None if rule.proximal is None else Anchor(rule.proximal, learned)
        self.batches_per_update = batches_per_update
        self.rate_penalty = rate_penalty
        self.average = None if average_decay is None else AveragedWeights(network, average_decay)
        self._gradients = Gradients(self.blocks, optimizer, keep_addresses=replayed is not None)
        self._state = LearnerState(network, self.blocks, optimizer, random, self._anchor, self.average)

    @property
    def trained_network(self) -> SpikingNetwork:
        """The network to evaluate and keep: with averaged weights, if these are averaged, else `network`."""
        return self.network if self.average is None or not self.average.updates else self.average.network

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
        return self._run(frames_TBCHW, targets_B, "replace", observer or Observer(), learning_chunks)

    def accumulate(
        self,
        frames_TBCHW: Tensor | Iterable[Tensor],
        targets_B: Tensor,
        *,
        observer: Observer | None = None,
        learning_chunks: Collection[int] | None = None,
    ) -> dict[str, Tensor]:
        """Add the gradients of this batch to those accumulated since the last update; weights are unchanged.

        The gradients are those of one batch of all clips, but for the norms: batch norm has the statistics of each
        batch. Frames of an iterable are collected first, so that a refused batch changes nothing.

        Args and returns as in `train_step`.

        Raises:
            RuleError: the rule updates within a sequence.
            ShapeError, BatchError: as `train_step`.
        """
        self.rule.check_accumulation()
        return self._run(frames_TBCHW, targets_B, "add", observer or Observer(), learning_chunks)

    def update(self) -> None:
        """Update the weights once by all accumulated gradients.

        Raises:
            RuleError: there are none.
        """
        self._gradients.check_some()
        self._gradients.forget_frozen()
        self._update()
        self._gradients.clear()
        self._update_average()

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
            targets_B: class indices of any integer dtype; for a loss with `soft_targets` weights of them, targets_BK.
            observer: called during the sequence.
            learning_chunks: for rules that draw their learning steps: these, counted from 0; None to draw them.

        Returns:
            0-d tensors on the device, so that the caller chooses when to synchronise: "loss" of the network's own
            classifier, "correct" predictions of the batch, and "block_loss_<k>" of each block. With a rate penalty,
            which is part of the losses, or watched rates also "rate_<name>": the mean share that fires, of each of
            `populations`.

        Raises:
            ShapeError: the frames do not match the targets or the network.
            BatchError: targets are not class indices, or frames are not finite real numbers. Values on a device are
                read once, before the first step. Values of integer frames, and of an iterable's frames on a device, are
                not read.
            RuleError: there are accumulated gradients, which it would drop.
            LossError: on the CPU, a block's loss is NaN or infinite. Weights are as before, unless the rule updates
                within a sequence. On a device no loss is read: `check_losses` reads those that a step returned.
        """
        self._gradients.check_empty("train_step")
        by_chunk = self.rule.update == "chunk"
        handling: Handling = "apply" if by_chunk else "replace"
        metrics = self._run(frames_TBCHW, targets_B, handling, observer or Observer(), learning_chunks)
        if not by_chunk:
            self._update()
        self._update_average()
        return metrics

    def predict(self, frames_TBCHW: Tensor | Iterable[Tensor]) -> Tensor:
        """Return logits_BK, the mean over all steps, of the network that is kept; nothing is learned or updated.

        It runs in evaluation mode. The next training step switches back, so a loop need not switch by itself.

        Raises:
            ShapeError: there is no frame, or one does not belong to the network.
            BatchError: a frame is no tensor of real numbers, or is not finite; values on a device are not read.
        """
        found: deque[Tensor] = deque(running_means(self.trained_network, checked_to_predict(frames_TBCHW)), maxlen=1)
        if not found:
            raise ShapeError("frames", got="none", expected="at least one time step", todo="give a sequence of frames")
        return found[0]

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

    def to(self, device: torch.device | str) -> "Learner":
        """Move everything that the learner keeps, and compute there from now on; returns itself.

        Weights stay the same objects, so an optimiser or a schedule of one's own goes on. Accumulated gradients move
        too. `build_learner(device=...)` plans for a device, this does not: its budget is that of the first one.

        Raises:
            RuleError: the device is not there; or CUDA graphs are recorded, which contain addresses.
        """
        if self._replayed is not None:
            raise RuleError(
                "to", got="a learner with cuda_graphs", expected="one without", todo="build it with device=... instead"
            )
        place = require_device(device)
        self._state.move(place)
        self.loss = resident_loss(self.loss, place, next(self.network.parameters()).dtype)
        return self

    def _networks(self) -> list[SpikingNetwork]:
        return [self.network, *(block.auxiliary for block in self.blocks if block.auxiliary is not None)]

    def _run(
        self,
        frames: Tensor | Iterable[Tensor],
        targets_B: Tensor,
        handling: Handling,
        observer: Observer,
        learning_chunks: Collection[int] | None,
    ) -> dict[str, Tensor]:
        frames, targets_B, steps, is_stream = check_any(
            frames, targets_B, self.network.spec, self.steps, collect=handling != "replace",
            soft=has_soft_targets(self.loss),
        )  # fmt: skip
        undo: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if is_stream:
            undo = taken_back_on_error(self.random, self._state.buffers(), self._gradients.forget)
        self.rule.check_steps(steps)
        start_training(self.network, self.blocks, len(targets_B), self._check_layer)
        with undo:
            return self._learn(frames, targets_B, steps, handling, observer, learning_chunks)

    def _learn(
        self,
        frames: Iterable[Tensor],
        targets_B: Tensor,
        steps: int,
        handling: Handling,
        observer: Observer,
        learning_chunks: Collection[int] | None,
    ) -> dict[str, Tensor]:
        targets_B = resident_targets(targets_B, next(self.network.parameters()))
        gathering: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if handling == "add":
            gathering = self._gradients.adding(batch_weight(self.loss, targets_B))
        else:
            self._gradients.clear()
            self._gradients.forget()
        if self._replayed is not None:
            marks = frozen_marks([part for block in self.blocks for part in block.parts])
            targets_B = self._replayed.begin(targets_B, steps, marks)

        def after_chunk() -> None:
            if self._anchor is not None:
                self._anchor.add_gradients()
            if handling == "apply":
                self._update()
                self._gradients.forget()

        chosen = self.rule.time.draw_learning(steps, self.random) if learning_chunks is None else learning_chunks
        with gathering:
            logits_BK, losses, rates_L = run_sequence(
                self.blocks,
                frames,
                targets_B,
                steps=steps,
                chunk_steps=self.rule.time.chunk_steps or steps,
                run_chunk=self.run_chunk,
                loss=self.loss,
                after_chunk=after_chunk,
                observer=observer,
                learning_chunks=chosen,
                generator=torch.Generator(targets_B.device).manual_seed(int(self.random.integers(2**63))),
                rate_penalty=self.rate_penalty,
            )
            if losses[0].device.type == "cpu":
                check_losses(losses)
        metrics = {f"block_loss_{index}": loss for index, loss in enumerate(losses)}
        if rates_L is not None:
            metrics |= {f"rate_{name}": rate for name, rate in zip(populations(self.network), rates_L, strict=True)}
        return metrics | {"loss": losses[-1], "correct": count_correct(logits_BK, targets_B)}

    def _update(self) -> None:
        if self._anchor is not None and self._anchor.term.anchor == "previous":
            self._anchor.move()
        self.optimizer.step()

    def _update_average(self) -> None:
        if self.average is not None:
            self.average.update()

    def state_dict(self) -> dict[str, Any]:
        """Weights of network and auxiliary networks; states of optimiser, random generator, proximal term and average.

        Raises:
            RuleError: there are accumulated gradients, which it would lack.
        """
        self._gradients.check_empty("state_dict")
        return self._state.to_state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the result of `state_dict`; accumulated gradients are dropped.

        A rule with a proximal term accepts the state of one without, which trained its first phase. The loaded weights
        are then the anchor. Averaged weights begin anew with the state of a learner that had none.

        Raises:
            RunError: the state is that of another network, plan or optimiser; nothing is loaded.
        """
        self._state.load(state)
        self._gradients.clear()
