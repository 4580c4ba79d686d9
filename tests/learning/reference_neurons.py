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
        kind: "lif", "plif" or "alif".
        theta: subtracted from the next step's potential per spike; None is decay times threshold.
        trace: "", "ottt", "ndot paper" or "ndot official".
        interval: the loss is on the mean spikes of each chunk (truncated local BPTT, eq. (3)).
        beta: weight of the penalty on rates; 0 for none.
        targets: rates without a penalty, by the layer of neurons; those of the others are `target`.
    """

    chunk: int
    decay: float
    threshold: float
    width: float = 2.0
    surrogate: str = "triangle"
    kind: str = "lif"
    reset: str = "soft"
    adaptation: float = 0.2
    adaptation_decay: float = 0.9
    theta: float | None = None
    trace: str = ""
    trace_decay: float | None = None
    interval: bool = False
    alpha: float = 0.05
    mse_target: float | None = None
    norm: str = "batch"
    beta: float = 0.0
    target: float = 0.02
    targets: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def rise(self) -> float:
        """Increase of the threshold per unit of adaptation: β of ALIF."""
        return self.adaptation if self.kind == "alif" else 0.0

    def slope(self, distance: Tensor) -> Tensor:
        """The surrogate's derivative at a membrane potential minus its threshold."""
        if self.surrogate == "rectangle":  # truncated local BPTT, eq. (6)
            return (distance.abs() < self.width / 2) / self.width
        if self.surrogate == "sigmoid":  # NDOT section 3.2
            value = 1 / (1 + torch.exp(-self.width * distance))
            return self.width * value * (1 - value)
        assert self.surrogate == "triangle"
        return torch.clamp(self.width - distance.abs(), min=0) / self.width**2  # STDL eq. (7)


class Neurons:
    """One layer of neurons with its history since the initial state.

    Attributes:
        decay: λ; a number, or the layer's learned one as a 0-dimensional tensor.
        m, distance, s: of every step, the potential before firing, the same minus the threshold, and the spikes.
        gamma, alpha: the errors of the next step's potential and of the adaptation that this step leaves.
    """

    def __init__(self, equations: Equations) -> None:
        self.eq = equations
        self.decay: Tensor | float = equations.decay
        self.m: list[Tensor] = []
        self.distance: list[Tensor] = []
        self.s: list[Tensor] = []
        self.adaptation: Tensor | float = 0.0
        self.open: list[int] = []
        self.gamma: Tensor | float = 0.0
        self.alpha: Tensor | float = 0.0

    def end_chunk(self) -> None:
        """No error comes from later steps."""
        self.open.clear()
        self.gamma = self.alpha = 0.0

    @property
    def amount(self) -> Tensor | float:
        """What a spike subtracts from the next step's potential under soft reset."""
        return self.decay * self.eq.threshold if self.eq.theta is None else self.eq.theta

    def rest(self, t: int) -> Tensor:
        """The potential after the reset of step t."""
        if self.eq.reset == "hard":
            return self.m[t] * (1 - self.s[t])
        subtracted = self.eq.threshold if self.eq.theta is None else self.eq.theta / self.decay
        return self.m[t] - subtracted * self.s[t]

    def carried(self) -> Tensor | float:
        """The newest step's part of the next one's potential."""
        if not self.m:
            return 0.0
        if self.eq.reset == "hard":
            return self.decay * self.m[-1] * (1 - self.s[-1])
        return self.decay * self.m[-1] - self.amount * self.s[-1]

    def fire(self, current: Tensor) -> Tensor:
        """Truncated local BPTT, eq. (1) and (2); with θ = λ V_th it is STDL eq. (1) to (3).

        ALIF's threshold is V_th + β a[t-1], with a[t] = ρ a[t-1] + s[t] (Bellec et al., section 2).
        """
        self.m.append(self.carried() + current)
        self.distance.append(self.m[-1] - (self.eq.threshold + self.eq.rise * self.adaptation))
        self.s.append((self.distance[-1] >= 0).double())
        self.adaptation = self.eq.adaptation_decay * self.adaptation + self.s[-1]
        self.open.append(len(self.m) - 1)
        return self.s[-1]

    def back(self, from_space: Tensor) -> tuple[Tensor, Tensor | float]:
        """Errors of the newest open step's potential, from the spikes' error and the next step's, and of its λ.

        Truncated local BPTT, eq. (4) and (5). Under hard reset the next potential is λ m (1 - s) + x, whose slope is
        λ (1 - s) in m and -λ m in s. A spike raises the adaptation, which lowers the next distance by β.
        """
        t = self.open.pop()
        hard = self.eq.reset == "hard"
        lost = self.decay * self.m[t] if hard else self.amount
        passed = self.decay * (1 - self.s[t]) if hard else self.decay
        through_spikes = (from_space - lost * self.gamma + self.alpha) * self.eq.slope(self.distance[t])
        self.gamma = through_spikes + passed * self.gamma
        self.alpha = self.eq.adaptation_decay * self.alpha - self.eq.rise * through_spikes
        return self.gamma, (self.gamma * self.rest(t - 1)).sum() if t > 0 else 0.0

    def trace(self) -> Tensor:
        """The presynaptic trace of the newest step, by its closed form."""
        decay = self.decay if self.eq.trace_decay is None else self.eq.trace_decay
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

    def dependency(self, i: int, decay: Tensor | float) -> Tensor:
        """e between steps i and i + 1, counted from 0."""
        if self.eq.trace == "ndot official":
            return self.official_dependency(i + 1, decay)
        e = self.rest(i)  # NDOT eq. (8), footnote 2
        if i > 0:
            before = self.rest(i - 1)
            e = torch.where(before == 0, decay * torch.sign(self.m[i - 1]), e / before)  # NDOT appendix A.2
        return e.clamp(-decay, decay)

    def official_dependency(self, t: int, decay: Tensor | float) -> Tensor:
        """The released code's quotient of step t over step t - 1, threshold subtracted from the remaining potential."""
        numerator = self.rest(t) - self.eq.threshold * self.s[t]
        denominator = self.rest(t - 1) - self.eq.threshold * self.s[t - 1]
        quotient = numerator / denominator
        bad = torch.isnan(quotient) | torch.isinf(quotient) | (denominator == 0)
        return torch.where(bad, decay, quotient).clamp(-decay, decay)
