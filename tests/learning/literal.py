"""Slow, literal transcriptions of the learning rules, for comparison; they share no code with the library.

A network is described by `Part`s, from which `notation` writes the library's text; weights are read by name out of a
learner's `state_dict`. Gradients are those of autograd; those that a rule drops are cut by `detach`.

T time, B batch, C channels, H height, W width, K classes.
"""

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

WS_GAIN = 2.74


@dataclasses.dataclass(frozen=True)
class Pool:
    kernel: int
    stride: int
    padding: int = 0

    def __str__(self) -> str:
        return f"AP(k{self.kernel}s{self.stride}p{self.padding})"


@dataclasses.dataclass(frozen=True)
class Part:
    """One layer: poolings, a body, poolings. A kind is C, R, SEWR or FC; `reference_layers` also has S and NFR."""

    kind: str
    width: int
    kernel: int = 3
    stride: int = 1
    before: tuple[Pool, ...] = ()
    after: tuple[Pool, ...] = ()

    def __str__(self) -> str:
        stride = f"(s{self.stride})" if self.kind != "FC" else ""
        kernel = str(self.kernel) if self.kind in ("C", "S") else ""
        return "-".join([*map(str, self.before), f"{self.width}{self.kind}{kernel}{stride}", *map(str, self.after)])


@dataclasses.dataclass(frozen=True)
class Neuron:
    decay: float
    threshold: float = 1.0
    reset: str = "soft"
    surrogate: str = "triangle"
    width: float = 1.0
    kind: str = "lif"
    adaptation: float = 0.2
    adaptation_decay: float = 0.9


@dataclasses.dataclass(frozen=True)
class Block:
    """Layers [start, stop) of the network, and the layers of the auxiliary network, none for the last block."""

    start: int
    stop: int
    auxiliary: tuple[Part, ...] = ()


def notation(parts: Sequence[Part]) -> str:
    return "-".join(map(str, parts))


def heaviside(distance: Tensor, neuron: Neuron) -> Tensor:
    """A step whose derivative is the surrogate: a smooth primitive is added and its value is taken away again."""
    if neuron.surrogate == "triangle":
        inside = distance.clamp(-neuron.width, neuron.width)
        primitive = inside / neuron.width - inside * inside.abs() / (2 * neuron.width**2)
    elif neuron.surrogate == "rectangle":
        primitive = distance.clamp(-neuron.width / 2, neuron.width / 2) / neuron.width
    else:
        primitive = torch.sigmoid(neuron.width * distance)
    return (distance >= 0).to(distance.dtype) + (primitive - primitive.detach())


class Cells:
    """The neurons of one chain of layers: potentials by the name of their cell, zero before the first step."""

    def __init__(self, neuron: Neuron, weights: dict[str, Tensor]) -> None:
        self.neuron, self.weights = neuron, weights
        self.u: dict[str, Tensor | float] = {}
        self.a: dict[str, Tensor | float] = {}

    def fire(self, name: str, current: Tensor) -> Tensor:
        """STDL eq. (1) to (4)."""
        n = self.neuron
        decay = torch.sigmoid(self.weights[f"{name}.p.logit"]) if n.kind == "plif" else n.decay
        m = decay * self.u.get(name, 0.0) + current
        threshold = n.threshold + (n.adaptation * self.a.get(name, 0.0) if n.kind == "alif" else 0.0)
        s = heaviside(m - threshold, n)
        self.u[name] = m - n.threshold * s if n.reset == "soft" else m * (1 - s)
        self.a[name] = n.adaptation_decay * self.a.get(name, 0.0) + s
        return s

    def forget_gradients(self) -> None:
        """Temporal gradients end here."""
        for memory in (self.u, self.a):
            for name, entry in memory.items():
                memory[name] = entry.detach()


@dataclasses.dataclass
class Chain:
    """Layers in sequence, named from `first` on in `weights`; `norm` is batch, ws or none."""

    parts: Sequence[Part]
    first: int
    weights: dict[str, Tensor]
    neuron: Neuron
    norm: str
    ends_in_classifier: bool

    def __post_init__(self) -> None:
        self.cells = Cells(self.neuron, self.weights)

    def step(self, x: Tensor) -> Tensor:
        for position, part in enumerate(self.parts):
            name = f"layers.{self.first + position}.body"
            for pool in part.before:
                x = average_pool(x, pool)
            if part.kind != "FC":
                x = {"C": self.unit, "R": self.residual, "SEWR": self.sew}[part.kind](name, part, x)
            elif self.ends_in_classifier and position == len(self.parts) - 1:
                x = self.linear(name, x.sum((2, 3)) / (x.shape[2] * x.shape[3]))
            else:
                x = self.cells.fire(f"{name}.cell", self.linear(name, x.reshape(len(x), -1)))[:, :, None, None]
            for pool in part.after:
                x = average_pool(x, pool)
        return x

    def linear(self, name: str, x_BF: Tensor) -> Tensor:
        return x_BF @ self.weights[f"{name}.linear.weight"].T + self.weights[f"{name}.linear.bias"]

    def synapse(self, name: str, x: Tensor, stride: int) -> Tensor:
        w = self.weights[f"{name}.conv.weight"]
        if self.norm == "ws":
            fan_in = w[0].numel()
            mean = w.sum((1, 2, 3), keepdim=True) / fan_in
            variance = ((w - mean) ** 2).sum((1, 2, 3), keepdim=True) / (fan_in - 1)
            w = (w - mean) / torch.sqrt(variance * fan_in + 1e-4) * self.weights[f"{name}.conv.gain"]
        out = F.conv2d(x, w, stride=stride, padding=w.shape[-1] // 2)
        if self.norm != "batch":
            return out + self.weights[f"{name}.conv.bias"][:, None, None]
        count = out.numel() / out.shape[1]
        mean = out.sum((0, 2, 3), keepdim=True) / count
        variance = ((out - mean) ** 2).sum((0, 2, 3), keepdim=True) / count
        gain, bias = self.weights[f"{name}.norm.weight"], self.weights[f"{name}.norm.bias"]
        return (out - mean) / torch.sqrt(variance + 1e-5) * gain[:, None, None] + bias[:, None, None]

    def spikes(self, name: str, current: Tensor) -> Tensor:
        s = self.cells.fire(f"{name}.cell", current)
        return WS_GAIN * s if self.norm == "ws" else s

    def unit(self, name: str, part: Part, x: Tensor) -> Tensor:
        return self.spikes(name, self.synapse(f"{name}.synapse", x, part.stride))

    def residual(self, name: str, part: Part, x: Tensor) -> Tensor:
        hidden = self.unit(f"{name}.first", part, x)
        current = self.synapse(f"{name}.second.synapse", hidden, 1)
        identity = part.stride == 1 and x.shape[1] == part.width
        shortcut = x if identity else self.synapse(f"{name}.shortcut", x, part.stride)
        return self.spikes(f"{name}.second", current + shortcut)

    def sew(self, name: str, part: Part, x: Tensor) -> Tensor:
        hidden = self.unit(f"{name}.first", part, x)
        out = self.spikes(f"{name}.second", self.synapse(f"{name}.second.synapse", hidden, 1))
        identity = part.stride == 1 and x.shape[1] == part.width
        return out + (x if identity else self.unit(f"{name}.shortcut", part, x))


def average_pool(x: Tensor, pool: Pool) -> Tensor:
    """Average pooling in which padding counts."""
    channels = x.shape[1]
    mean = torch.full((channels, 1, pool.kernel, pool.kernel), pool.kernel**-2.0, dtype=x.dtype)
    return F.conv2d(x, mean, stride=pool.stride, padding=pool.padding, groups=channels)


def instantaneous_loss(logits_BK: Tensor, targets_B: Tensor, alpha: float) -> Tensor:
    """(1 - α) CE + α MSE against one-hot targets, means over the batch."""
    rows = torch.arange(len(targets_B))
    cross_entropy = (torch.logsumexp(logits_BK, 1) - logits_BK[rows, targets_B]).mean()
    one_hot_BK = torch.zeros_like(logits_BK)
    one_hot_BK[rows, targets_B] = 1
    return (1 - alpha) * cross_entropy + alpha * ((logits_BK - one_hot_BK) ** 2).mean()


def leaves(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as new leaf tensors, without the buffers of batch norm."""
    return {
        name: value.detach().clone().requires_grad_()
        for name, value in state_dict.items()
        if "running" not in name and "num_batches" not in name
    }


@dataclasses.dataclass(frozen=True)
class Problem:
    """A network with weights, cut into blocks, and one batch to learn.

    Args:
        online: temporal gradients are dropped, as in SLTT's Algorithm 1 and STDL eq. (17); else BPTT, STDL eq. (6).
    """

    parts: tuple[Part, ...]
    blocks: tuple[Block, ...]
    neuron: Neuron
    norm: str
    alpha: float
    online: bool

    def gradients(
        self, state_dict: dict[str, object], frames_TBCHW: Tensor, targets_B: Tensor
    ) -> tuple[dict[str, Tensor], list[float], Tensor]:
        """Block after block, each over the whole sequence: all weights' gradients, the blocks' losses, the logits."""
        network = leaves(state_dict["network"])
        auxiliaries = [leaves(weights) for weights in state_dict["auxiliary"]]
        signal, losses = list(frames_TBCHW), []
        for block, auxiliary in zip(self.blocks, auxiliaries, strict=True):
            signal, loss = self._learn(block, network, auxiliary, signal, targets_B)
            losses.append(loss)
        named = {f"network.{name}": weight.grad for name, weight in network.items()}
        for index, auxiliary in enumerate(auxiliaries):
            named |= {f"auxiliary.{index}.{name}": weight.grad for name, weight in auxiliary.items()}
        return named, losses, torch.stack(signal)

    def _learn(
        self, block: Block, network: dict[str, Tensor], auxiliary: dict[str, Tensor], signal: list[Tensor], y: Tensor
    ) -> tuple[list[Tensor], float]:
        last = not block.auxiliary
        layers = self.parts[block.start : block.stop]
        subnetwork = Chain(layers, block.start, network, self.neuron, self.norm, last)
        head = Chain(block.auxiliary, 0, auxiliary, self.neuron, self.norm, True)
        outputs, total = [], torch.zeros((), dtype=torch.float64)
        for s in signal:
            out = subnetwork.step(s.detach())  # STDL eq. (10)
            logits = out if last else head.step(out)
            loss = instantaneous_loss(logits, y, self.alpha) / len(signal)  # STDL eq. (11)
            total = total + loss
            outputs.append(out.detach())
            if self.online:
                loss.backward()  # STDL eq. (17), (18)
                subnetwork.cells.forget_gradients()
                head.cells.forget_gradients()
        if not self.online:
            total.backward()  # STDL eq. (5), (6)
        return outputs, total.item()
