"""Learning rules written out by hand, without autograd: chunks, blocks, losses and gradients.

It shares no code with the library. A network is described by the `Part`s of `reference_parts`; weights are read by name
out of a learner's `state_dict`. Equation numbers are those of the paper that each function names.

T time, B batch, C channels, H height, W width, K classes.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from reference_layers import Chain, Pair
from reference_neurons import Equations
from reference_parts import Block, Part
from torch import Tensor


def one_hot(y: Tensor, classes: int) -> Tensor:
    return torch.eye(classes, dtype=torch.float64)[y]


def loss_and_errors(logits: Sequence[Tensor], y: Tensor, steps: int, eq: Equations) -> tuple[float, list[Tensor]]:
    """A chunk's loss, and its derivative with respect to the logits of each of its steps."""
    batch, classes = logits[0].shape
    wanted = one_hot(y, classes)
    if eq.interval:  # truncated local BPTT, eq. (3)
        gap = sum(logits) / len(logits) - wanted
        return (gap**2).mean().item(), [2 * gap / (batch * classes) / len(logits)] * len(logits)
    target = wanted if eq.mse_target is None else torch.full_like(wanted, eq.mse_target)
    total, errors = 0.0, []
    for z in logits:  # ((1 - α) CE + α MSE) / T, as NDOT eq. (13)
        probabilities = torch.exp(z) / torch.exp(z).sum(1, keepdim=True)
        cross_entropy = -(torch.log(probabilities) * wanted).sum() / batch
        total += ((1 - eq.alpha) * cross_entropy + eq.alpha * ((z - target) ** 2).mean()).item() / steps
        slope = (1 - eq.alpha) * (probabilities - wanted) / batch
        errors.append((slope + eq.alpha * 2 * (z - target) / (batch * classes)) / steps)
    return total, errors


class Learned(NamedTuple):
    """All weights' gradients and each block's loss, summed over the sequence, the network's logits, and the rates."""

    gradients: dict[str, Tensor]
    losses: list[float]
    logits_TBK: Tensor
    rates: dict[str, float]


@dataclasses.dataclass
class ReferenceBlock:
    """A block's layers and its auxiliary layers."""

    subnetwork: Chain
    auxiliary: Chain | None

    def learn(
        self, inputs: list[Pair], y: Tensor, steps: int, eq: Equations, *, learns: bool
    ) -> tuple[list[Pair], list[Tensor], float]:
        """One chunk: forward through its steps, then backward from the last to the first."""
        outputs, logits, backs = [], [], []
        for x in inputs:
            out, undo = self.subnetwork.step(x, classifies=self.auxiliary is None)
            head, undo_head = (out, None) if self.auxiliary is None else self.auxiliary.step(out, classifies=True)
            outputs.append(out)
            logits.append(head.value.flatten(1))
            backs.append((head.value.shape, undo, undo_head))
        loss, errors = loss_and_errors(logits, y, steps, eq)
        loss, self.subnetwork.penalty = loss + self.subnetwork.penalty, 0.0
        for (shape, undo, undo_head), error in reversed(list(zip(backs, errors, strict=True)) if learns else []):
            g = error.reshape(shape)
            undo(g if undo_head is None else undo_head(g))
        for chain in self.chains():
            chain.end_chunk()
        return outputs, logits, loss

    def chains(self) -> list[Chain]:
        return [chain for chain in (self.subnetwork, self.auxiliary) if chain is not None]


def gradients_by_hand(
    state_dict: dict[str, object],
    parts: Sequence[Part],
    blocks: Sequence[Block],
    eq: Equations,
    frames: Tensor,
    y: Tensor,
    *,
    learning_steps: Sequence[int] | None = None,
    after_chunk: Callable[[dict[str, Tensor], dict[str, Tensor]], None] | None = None,
) -> Learned:
    """One sequence by the rule's equations.

    Args:
        learning_steps: the chunks with a backward pass; None for all.
        after_chunk: called after each chunk with all weights and the accumulated gradients; may change both.
    """
    weights = {f"network.{name}": value.double().clone() for name, value in state_dict["network"].items()}
    for index, own in enumerate(state_dict["auxiliary"]):
        weights |= {f"auxiliary.{index}.{name}": value.double().clone() for name, value in own.items()}
    by_hand = [
        ReferenceBlock(
            Chain(
                parts[block.start : block.stop], block.start, Named(weights, "network."), "network.", eq, len(frames)
            ),
            Chain(block.auxiliary, 0, Named(weights, f"auxiliary.{index}."), f"auxiliary.{index}.", eq)
            if block.auxiliary
            else None,
        )
        for index, block in enumerate(blocks)
    ]
    total: dict[str, Tensor] = {}
    losses = [0.0] * len(blocks)
    outputs: list[Tensor] = []
    for number, start in enumerate(range(0, len(frames), eq.chunk)):
        signal = [Pair(frame, frame) for frame in frames[start : start + eq.chunk].double()]
        for index, block in enumerate(by_hand):
            learns = learning_steps is None or number in learning_steps
            signal, logits, loss = block.learn(signal, y, len(frames), eq, learns=learns)
            losses[index] += loss
            for chain in block.chains():
                for name, gradient in chain.gradients.items():
                    total[name] = total.get(name, 0.0) + gradient
                chain.gradients.clear()
        outputs += logits
        if after_chunk is not None:
            after_chunk(weights, total)
    rates = {name: sum(own).item() / len(own) for block in by_hand for name, own in block.subnetwork.rates.items()}
    return Learned(total, losses, torch.stack(outputs), rates)


class Named(dict):
    """Weights by their names inside one network."""

    def __init__(self, weights: dict[str, Tensor], prefix: str) -> None:
        super().__init__()
        self.all, self.prefix = weights, prefix

    def __missing__(self, name: str) -> Tensor:
        return self.all[self.prefix + name]
