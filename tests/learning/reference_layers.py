"""Layers written out by hand, forward and backward, without autograd; no code of the library is used.

A network is described by the `Part`s of `reference_parts`; weights are read by name. Signals are spikes with the traces
of the weights' gradients. B batch, C channels, H height, W width, K classes.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from reference_neurons import Equations, Neurons
from reference_parts import Part, Pool
from torch import Tensor

WS_GAIN = 2.74
Back = Callable[[Tensor], Tensor]


@dataclasses.dataclass
class Pair:
    """Spikes, and the presynaptic values in the weights' gradients."""

    value: Tensor
    trace: Tensor

    def each(self, linear: Callable[[Tensor], Tensor]) -> "Pair":
        return Pair(linear(self.value), linear(self.trace))


class Chain:
    """Layers in sequence, named from `first` on; `back` is a step's backward, newest first."""

    def __init__(
        self,
        parts: Sequence[Part],
        first: int,
        weights: dict[str, Tensor],
        prefix: str,
        equations: Equations,
        steps: int = 1,
    ) -> None:
        self.parts, self.first, self.weights, self.prefix, self.eq = parts, first, weights, prefix, equations
        self.bodies = {
            "C": self.unit,
            "S": self.currents,
            "R": self.residual,
            "SEWR": self.sew,
            "NFR": self.norm_free,
        }
        self.steps, self.penalty = steps, 0.0
        self.rates: dict[str, list[Tensor]] = {}
        self.neurons: dict[str, Neurons] = {}
        self.gradients: dict[str, Tensor] = {}

    def step(self, x: Pair, *, classifies: bool) -> tuple[Pair, Back]:
        backs: list[Back] = []
        for position, part in enumerate(self.parts):
            name = f"layers.{self.first + position}.body"
            for pool in part.before:
                x = self._note(backs, average_pool(x, pool))
            if part.kind == "FC":
                last = classifies and position == len(self.parts) - 1
                x = self._note(
                    backs,
                    self.classifier(name, x) if last and not self.eq.interval else self.dense(name, x, quiet=not last),
                )
            else:
                x = self._note(backs, self.bodies[part.kind](name, part, x))
            for pool in part.after:
                x = self._note(backs, average_pool(x, pool))

        def back(g: Tensor) -> Tensor:
            for undo in reversed(backs):
                g = undo(g)
            return g

        return x, back

    def end_chunk(self) -> None:
        """No error comes from later steps: STDL eq. (17), SLTT eq. (13); truncated local BPTT at an interval's end."""
        for neurons in self.neurons.values():
            neurons.end_chunk()

    def _note(self, backs: list[Back], done: tuple[Pair, Back]) -> Pair:
        backs.append(done[1])
        return done[0]

    def _add(self, name: str, gradient: Tensor) -> None:
        key = f"{self.prefix}{name}"
        self.gradients[key] = self.gradients.get(key, 0.0) + gradient

    def fire(self, name: str, current: Tensor, gain: float = 1.0, *, quiet: bool = True) -> tuple[Pair, Back]:
        neurons = self.neurons.setdefault(name, Neurons(self.eq))
        logit = f"{name}.p.logit"
        if self.eq.kind == "plif":  # λ = σ(logit) (Fang et al., section 4.2)
            neurons.decay = 1 / (1 + torch.exp(-self.weights[logit]))
        spikes = neurons.fire(current)
        pair = Pair(gain * spikes, gain * neurons.trace() if self.eq.trace else gain * spikes)
        loud = self.loud(name, spikes) if quiet and self.prefix == "network." else torch.zeros_like(spikes)

        def back(g: Tensor) -> Tensor:
            error, of_decay = neurons.back(gain * g + loud)
            if self.eq.kind == "plif":
                self._add(logit, of_decay * neurons.decay * (1 - neurons.decay))
            return error

        return pair, back

    def loud(self, name: str, spikes: Tensor) -> Tensor:
        """The derivative of the penalty on rates, beta / T Σ over clips of max(0, rate - target) / B, by each spike."""
        layer = name.removesuffix(".cell").replace(".body", "")
        slope = torch.zeros_like(spikes)
        for sample, own in enumerate(spikes):
            rate = own.sum() / own.numel()
            self.rates.setdefault(layer, []).append(rate)
            over = rate - self.eq.targets.get(layer, self.eq.target)
            if over > 0:
                self.penalty += self.eq.beta * over.item() / len(spikes) / self.steps
                slope[sample] = self.eq.beta / own.numel() / len(spikes) / self.steps
        return slope

    def unit(self, name: str, part: Part, x: Pair, stride: int | None = None) -> tuple[Pair, Back]:
        current, undo_synapse = self.synapse(f"{name}.synapse", x, part.stride if stride is None else stride)
        out, undo_neurons = self.fire(f"{name}.cell", current, WS_GAIN if self.eq.norm == "ws" else 1.0)
        return out, lambda g: undo_synapse(undo_neurons(g))

    def residual(self, name: str, part: Part, x: Pair) -> tuple[Pair, Back]:
        hidden, undo_first = self.unit(f"{name}.first", part, x)
        current, undo_second = self.synapse(f"{name}.second.synapse", hidden, 1)
        passed, undo_passed = x.value, None
        if not self.keeps_shape(part, x):
            passed, undo_passed = self.synapse(f"{name}.shortcut", x, part.stride)
        gain = WS_GAIN if self.eq.norm == "ws" else 1.0
        out, undo_neurons = self.fire(f"{name}.second.cell", current + passed, gain)

        def back(g: Tensor) -> Tensor:
            error = undo_neurons(g)
            return undo_first(undo_second(error)) + (error if undo_passed is None else undo_passed(error))

        return out, back

    def sew(self, name: str, part: Part, x: Pair) -> tuple[Pair, Back]:
        hidden, undo_first = self.unit(f"{name}.first", part, x)
        out, undo_second = self.unit(f"{name}.second", part, hidden, stride=1)
        passed, undo_passed = x, None
        if not self.keeps_shape(part, x):
            passed, undo_passed = self.unit(f"{name}.shortcut", part, x)
        total = Pair(out.value + passed.value, out.trace + passed.trace)

        def back(g: Tensor) -> Tensor:
            return undo_first(undo_second(g)) + (g if undo_passed is None else undo_passed(g))

        return total, back

    def currents(self, name: str, part: Part, x: Pair) -> tuple[Pair, Back]:
        """Currents, which no neuron fires: each is its own trace, as frames are."""
        current, undo = self.synapse(f"{name}.synapse", x, part.stride)
        return Pair(current, current), undo

    def norm_free(self, name: str, part: Part, x: Pair) -> tuple[Pair, Back]:
        """x + α g f(x / β), f of two neurons, each in front of a convolution (SLTT, appendix E.2); here β is 1."""
        assert self.keeps_shape(part, x)
        alpha, gain = 0.2, self.weights[f"{name}.skip_gain"]
        first, undo_first = self.fire(f"{name}.units.0.cell", x.value, WS_GAIN)
        hidden, undo_hidden = self.synapse(f"{name}.units.0.synapse", first, 1)
        second, undo_second = self.fire(f"{name}.units.1.cell", hidden, WS_GAIN)
        branch, undo_branch = self.synapse(f"{name}.units.1.synapse", second, 1)
        grown = alpha * gain * branch

        def back(g: Tensor) -> Tensor:
            self._add(f"{name}.skip_gain", alpha * (g * branch).sum())
            return g + undo_first(undo_hidden(undo_second(undo_branch(alpha * gain * g))))

        # The branch is a current and its own trace; the shortcut keeps the trace of its signal.
        return Pair(x.value + grown, x.trace + grown), back

    @staticmethod
    def keeps_shape(part: Part, x: Pair) -> bool:
        return part.stride == 1 and x.value.shape[1] == part.width

    def classifier(self, name: str, x: Pair) -> tuple[Pair, Back]:
        """Global average pooling and a linear layer."""
        shape = x.value.shape
        pixels = shape[2] * shape[3]
        logits, undo = self.linear(name, x.each(lambda z: z.sum((2, 3)) / pixels))
        return Pair(logits, logits), lambda g: (undo(g) / pixels)[:, :, None, None].expand(shape)

    def dense(self, name: str, x: Pair, *, quiet: bool = True) -> tuple[Pair, Back]:
        """Flatten, linear, neurons."""
        shape = x.value.shape
        current, undo_linear = self.linear(name, x.each(lambda z: z.reshape(len(z), -1)))
        out, undo_neurons = self.fire(f"{name}.cell", current, quiet=quiet)
        return out.each(lambda z: z[:, :, None, None]), lambda g: undo_linear(undo_neurons(g[:, :, 0, 0])).reshape(
            shape
        )

    def linear(self, name: str, x_BF: Pair) -> tuple[Tensor, Back]:
        weight = self.weights[f"{name}.linear.weight"]

        def back(g: Tensor) -> Tensor:
            self._add(f"{name}.linear.weight", g.T @ x_BF.trace)
            self._add(f"{name}.linear.bias", g.sum(0))
            return g @ weight

        return x_BF.value @ weight.T + self.weights[f"{name}.linear.bias"], back

    def synapse(self, name: str, x: Pair, stride: int) -> tuple[Tensor, Back]:
        """Convolution and norm; the weight's gradient is the error times the presynaptic activity (SLTT eq. (12))."""
        weight, undo_weight = self.weight(name)
        kernel = weight.shape[-1]
        columns, patches = (F.unfold(z, kernel, padding=kernel // 2, stride=stride) for z in (x.value, x.trace))
        side = (x.value.shape[2] + 2 * (kernel // 2) - kernel) // stride + 1
        matrix = weight.flatten(1)
        out, undo_norm = self.normalise(name, (matrix @ columns).unflatten(2, (side, side)))

        def back(g: Tensor) -> Tensor:
            error = undo_norm(g).flatten(2)
            undo_weight(torch.einsum("bop,bip->oi", error, patches).reshape(weight.shape))
            return F.fold(matrix.T @ error, x.value.shape[2:], kernel, padding=kernel // 2, stride=stride)

        return out, back

    def weight(self, name: str) -> tuple[Tensor, Callable[[Tensor], None]]:
        """The convolution's weight, standardised if the network's norm is ws, and the name of its gradient."""
        key = f"{name}.conv.weight"
        w = self.weights[key]
        if self.eq.norm != "ws":
            return w, lambda g: self._add(key, g)
        count, gain = w[0].numel(), self.weights[f"{name}.conv.gain"]
        centred = w - w.mean((1, 2, 3), keepdim=True)
        scale = count / (count - 1)
        total = scale * (centred**2).sum((1, 2, 3), keepdim=True) + 1e-4

        def back(g: Tensor) -> None:
            self._add(f"{name}.conv.gain", (g * centred).sum((1, 2, 3), keepdim=True) / total**0.5)
            along = (g * centred).sum((1, 2, 3), keepdim=True) * gain
            slope = g * gain / total**0.5 - along * scale * centred / total**1.5
            self._add(key, slope - slope.mean((1, 2, 3), keepdim=True))

        return gain * centred / total**0.5, back

    def normalise(self, name: str, y: Tensor) -> tuple[Tensor, Back]:
        if self.eq.norm != "batch":
            return y + self.weights[f"{name}.conv.bias"][:, None, None], self._through_bias(name)
        gain, bias = (self.weights[f"{name}.norm.{kind}"][:, None, None] for kind in ("weight", "bias"))
        over = (0, 2, 3)
        std = (((y - y.mean(over, keepdim=True)) ** 2).mean(over, keepdim=True) + 1e-5) ** 0.5
        z = (y - y.mean(over, keepdim=True)) / std

        def back(g: Tensor) -> Tensor:
            self._add(f"{name}.norm.weight", (g * z).sum(over))
            self._add(f"{name}.norm.bias", g.sum(over))
            slope = g * gain
            return (slope - slope.mean(over, keepdim=True) - z * (slope * z).mean(over, keepdim=True)) / std

        return z * gain + bias, back

    def _through_bias(self, name: str) -> Back:
        def back(g: Tensor) -> Tensor:
            self._add(f"{name}.conv.bias", g.sum((0, 2, 3)))
            return g

        return back


def average_pool(x: Pair, pool: Pool) -> tuple[Pair, Back]:
    """Average pooling in which padding counts."""
    shape = x.value.shape
    side = (shape[2] + 2 * pool.padding - pool.kernel) // pool.stride + 1
    pixels = pool.kernel**2

    def forward(z: Tensor) -> Tensor:
        columns = F.unfold(z, pool.kernel, padding=pool.padding, stride=pool.stride)
        return columns.unflatten(1, (shape[1], pixels)).mean(2).unflatten(2, (side, side))

    def back(g: Tensor) -> Tensor:
        columns = (g.flatten(2) / pixels)[:, :, None].expand(-1, -1, pixels, -1).flatten(1, 2)
        return F.fold(columns, shape[2:], pool.kernel, padding=pool.padding, stride=pool.stride)

    return x.each(forward), back
