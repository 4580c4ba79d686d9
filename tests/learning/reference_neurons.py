"""Neurons, their errors and their traces, written out by hand, without autograd; no code of the library is used.

Equation numbers are those of the paper that each function names. T time, B batch, C channels, H height, W width.
"""

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Equations:
    """The neuron and the settings that distinguish the rules.

    Args:
        chunk: steps that gradients flow back through.
        theta: subtracted from the next step's potential per spike; None is decay times threshold.
        trace: "", "ottt", "ndot paper" or "ndot official".
        interval: the loss is on the mean spikes of each chunk (truncated local BPTT, eq. (3)).
    """

    chunk: int
    decay: float
    threshold: float
    width: float = 2.0
    surrogate: str = "triangle"
    theta: float | None = None
    trace: str = ""
    trace_decay: float | None = None
    interval: bool = False
    alpha: float = 0.05
    mse_target: float | None = None
    norm: str = "batch"

    @property
    def reset(self) -> float:
        return self.decay * self.threshold if self.theta is None else self.theta

    def slope(self, m: Tensor) -> Tensor:
        """The surrogate's derivative at membrane potential m."""
        distance = m - self.threshold
        if self.surrogate == "rectangle":  # truncated local BPTT, eq. (6)
            return (distance.abs() < self.width / 2) / self.width
        return torch.clamp(self.width - distance.abs(), min=0) / self.width**2  # STDL eq. (7)


class Neurons:
    """One layer of neurons with its history since the initial state."""

    def __init__(self, equations: Equations) -> None:
        self.eq = equations
        self.m: list[Tensor] = []
        self.s: list[Tensor] = []
        self.open: list[int] = []
        self.gamma: Tensor | float = 0.0

    def rest(self, t: int) -> Tensor:
        """The potential after the reset of step t."""
        return self.m[t] - self.eq.reset / self.eq.decay * self.s[t]

    def fire(self, current: Tensor) -> Tensor:
        """Truncated local BPTT, eq. (1) and (2); with θ = λ V_th it is STDL eq. (1) to (3)."""
        past = self.eq.decay * self.m[-1] - self.eq.reset * self.s[-1] if self.m else 0.0
        self.m.append(past + current)
        self.s.append((self.m[-1] >= self.eq.threshold).double())
        self.open.append(len(self.m) - 1)
        return self.s[-1]

    def back(self, from_space: Tensor) -> Tensor:
        """Truncated local BPTT, eq. (4) and (5): the potential's error from the spikes' error and the next step's."""
        delta = from_space - self.eq.reset * self.gamma
        self.gamma = delta * self.eq.slope(self.m[self.open.pop()]) + self.eq.decay * self.gamma
        return self.gamma

    def trace(self) -> Tensor:
        """The presynaptic trace of the newest step, by its closed form."""
        decay = self.eq.decay if self.eq.trace_decay is None else self.eq.trace_decay
        now = len(self.s) - 1
        if self.eq.trace == "ottt":  # NDOT section 4.1: the sum over k <= t of λ^(t-k) s[k]
            return sum(decay ** (now - k) * self.s[k] for k in range(now + 1))
        total = self.s[now].clone()
        for k in range(now):  # NDOT eq. (11): s[t] + the sum over k < t of P[k, t] s[k]
            product = torch.ones_like(total)
            for i in range(k, now):
                product = product * self.dependency(i, decay)
            total = total + product * self.s[k]
        return total

    def dependency(self, i: int, decay: float) -> Tensor:
        """e between steps i and i + 1, counted from 0."""
        if self.eq.trace == "ndot official":
            return self.official_dependency(i + 1, decay)
        e = self.rest(i)  # NDOT eq. (8), footnote 2
        if i > 0:
            before = self.rest(i - 1)
            e = torch.where(before == 0, decay * torch.sign(self.m[i - 1]), e / before)  # NDOT appendix A.2
        return e.clamp(-decay, decay)

    def official_dependency(self, t: int, decay: float) -> Tensor:
        """The released code's quotient of step t over step t - 1, threshold subtracted from the remaining potential."""
        numerator = self.rest(t) - self.eq.threshold * self.s[t]
        denominator = self.rest(t - 1) - self.eq.threshold * self.s[t - 1]
        quotient = numerator / denominator
        bad = torch.isnan(quotient) | torch.isinf(quotient) | (denominator == 0)
        return torch.where(bad, decay, quotient).clamp(-decay, decay)
