"""STDL eq. (1) to (7), (17), (18) for fully connected networks, in numpy, without automatic differentiation.

A network is a list of (W_OI, b_O), the last one the classifier without neurons. Layers ℓ and steps t count from 0.

B batch, I inputs, O outputs, K classes.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Layers = list[tuple[Array, Array]]


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Results of the forward pass: m[t][ℓ] before reset, s[t][ℓ] with s[t][0] the input, logits[t]."""

    m: list[list[Array]]
    s: list[list[Array]]
    logits: list[Array]


@dataclasses.dataclass(frozen=True)
class Constants:
    decay: float
    threshold: float
    width: float
    hard_reset: bool
    alpha: float

    def surrogate(self, m: Array) -> Array:
        return np.maximum(0, self.width - np.abs(m - self.threshold)) / self.width**2  # STDL eq. (7)

    def forward(self, layers: Layers, inputs_TBI: Array) -> Trajectory:
        """STDL eq. (1) to (4)."""
        u = [np.zeros((inputs_TBI.shape[1], len(b))) for _, b in layers[:-1]]
        m_all, s_all, logits = [], [], []
        for x in inputs_TBI:
            m_now, s_now = [], [x]
            for index, (w, b) in enumerate(layers[:-1]):
                m = self.decay * u[index] + s_now[-1] @ w.T + b
                s = (m >= self.threshold).astype(float)
                u[index] = m * (1 - s) if self.hard_reset else m - self.threshold * s
                m_now.append(m)
                s_now.append(s)
            m_all.append(m_now)
            s_all.append(s_now)
            w, b = layers[-1]
            logits.append(s_now[-1] @ w.T + b)
        return Trajectory(m_all, s_all, logits)

    def loss_slope(self, logits_BK: Array, targets_B: npt.NDArray[np.int64], steps: int) -> Array:
        """∂L[t]/∂logits of ((1 - α) CE + α MSE) / T, means over the batch."""
        batch, classes = logits_BK.shape
        one_hot = np.eye(classes)[targets_B]
        softmax = np.exp(logits_BK - logits_BK.max(1, keepdims=True))
        softmax /= softmax.sum(1, keepdims=True)
        mse = 2 * (logits_BK - one_hot) / (batch * classes)
        return ((1 - self.alpha) * (softmax - one_hot) / batch + self.alpha * mse) / steps

    def reset_slope(self, m: Array) -> Array:
        """∂u/∂m of the reset."""
        if self.hard_reset:
            return 1 - (m >= self.threshold) - m * self.surrogate(m)
        return 1 - self.threshold * self.surrogate(m)

    def online_gradients(self, layers: Layers, run: Trajectory, targets_B: npt.NDArray[np.int64]) -> Layers:
        """STDL eq. (17), (18)."""
        total = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
        for m, s, logits in zip(run.m, run.s, run.logits, strict=True):
            psi = self.loss_slope(logits, targets_B, len(run.logits))
            for index in reversed(range(len(layers))):
                total[index] = (total[index][0] + psi.T @ s[index], total[index][1] + psi.sum(0))
                if index > 0:
                    psi = psi @ layers[index][0] * self.surrogate(m[index - 1])
        return total

    def bptt_gradients(self, layers: Layers, run: Trajectory, targets_B: npt.NDArray[np.int64]) -> Layers:
        """STDL eq. (5), (6)."""
        total = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
        later = [np.zeros_like(m) for m in run.m[0]]
        for t in reversed(range(len(run.logits))):
            delta = self.loss_slope(run.logits[t], targets_B, len(run.logits))
            for index in reversed(range(len(layers))):
                total[index] = (total[index][0] + delta.T @ run.s[t][index], total[index][1] + delta.sum(0))
                if index > 0:
                    m = run.m[t][index - 1]
                    from_above = delta @ layers[index][0] * self.surrogate(m)
                    delta = from_above + later[index - 1] * self.decay * self.reset_slope(m)
                    later[index - 1] = delta
        return total
