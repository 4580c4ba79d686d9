"""One network in several libraries, each with its training step: the contenders of bench_training and gpu_check.

All have convolution, batch norm, leaky integrate-and-fire with soft reset (decay 0.5, threshold 1), average pooling,
and a linear classifier on the pooled spikes; all learn by SGD from the mean cross-entropy of the steps. SpikingJelly's
multi-step batch norm takes its statistics over all time steps, snnTorch's reset comes one step late.

T time, B batch, C channels, H height, W width, K classes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stdl_events.build import build_learner
from stdl_events.learning.lean.kernels.choice import kernel
from stdl_events.network.spec import NetworkSpec

DECAY = 0.5
LEARNING_RATE = 0.01
HOST = torch.device("cpu")
Step = Callable[[Tensor, Tensor], object]
"""(frames_TBCHW float32, targets_B) -> anything; one whole training step."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """A way to train.

    Args:
        make: (spec, batch size, T, device) -> training step of a new network.
        library: name of the library.
        backend: device -> what computes its neurons there, as the library itself says.
        ours: its options of `build_learner`, for contenders of this package.
    """

    name: str
    library: str
    make: Callable[[NetworkSpec, int, int, torch.device], Step]
    backend: Callable[[torch.device], str] = lambda _: "torch"
    ours: dict[str, Any] | None = None


def ours(name: str, **options: Any) -> Contender:
    """A rule of this package."""

    def make(spec: NetworkSpec, batch_size: int, steps: int, device: torch.device) -> Step:
        common: dict[str, Any] = {"batch_size": batch_size, "steps": steps, "lr": LEARNING_RATE, "loss": "ce"}
        chosen = dict(options)
        if "least_blocks" in options:
            # The same cuts in every mode, so that modes are compared and not plans.
            chosen["plan"] = build_learner(spec, memory="plain", least_blocks=chosen.pop("least_blocks"), **common).plan
        return build_learner(spec, decay=DECAY, device=device, **common, **chosen).train_step

    def backend(device: torch.device) -> str:
        if options["memory"] == "plain":
            return "torch"
        dtype = torch.bfloat16 if "bf16" in options.get("precision", "fp32") else torch.float32
        where = kernel("fire_", device, dtype, surrogate="triangle").__module__.rpartition(".")[2]
        return {"reference": "torch", "cpu": "numba", "cuda": "triton"}.get(where, where)

    return Contender(name, "stdl-events", make, backend, options)


def snntorch_bptt() -> Contender:
    """snnTorch's leaky neurons, stepped in a loop."""

    def make(spec: NetworkSpec, batch_size: int, steps: int, device: torch.device) -> Step:
        import snntorch

        def reset(network: nn.Module) -> None:
            for module in network.modules():
                if isinstance(module, snntorch.Leaky):
                    module.reset_mem()

        def block(convolution: nn.Conv2d) -> nn.Module:
            node = snntorch.Leaky(beta=DECAY, init_hidden=True)
            return SpikingBlock(nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels)), node)

        return step_by_step(spec, block, reset, device, online=False)

    return Contender("snnTorch BPTT", "snntorch", make)


class SpikingBlock(nn.Module):
    """A current, of convolution and batch norm, and its neuron."""

    def __init__(self, current: nn.Module, neuron: nn.Module) -> None:
        super().__init__()
        self.current, self.neuron = current, neuron

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(self.current(x))


def layers_of(
    spec: NetworkSpec,
    convolution: Callable[..., nn.Conv2d],
    block: Callable[[nn.Conv2d], nn.Module],
    pool: Callable[[int], nn.Module],
) -> list[nn.Module]:
    """The convolutions and poolings of `spec`, without its classifier, built from a library's modules."""
    modules: list[nn.Module] = []
    inputs = spec.input_shape[0]
    for layer in spec.layers[:-1]:
        for op in layer.ops:
            if op.kind == "C":
                modules.append(block(convolution(inputs, op.channels, op.kernel, op.stride, op.padding, bias=False)))
                inputs = op.channels
            else:
                assert op.kind == "AP", "the benchmark's networks have convolutions and average pooling"
                modules.append(pool(op.kernel))
    return modules


def step_by_step(
    spec: NetworkSpec,
    block: Callable[[nn.Conv2d], nn.Module],
    reset: Callable[[nn.Module], object],
    device: torch.device,
    *,
    online: bool,
) -> Step:
    """A training step that loops over time: its backward pass after each step if `online`, else after all."""
    network = nn.Sequential(
        *layers_of(spec, nn.Conv2d, block, nn.AvgPool2d),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(spec.layers[-1].input_shape[0], spec.classes or 0),
    ).to(device)
    sgd = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9)

    def step(frames_TBCHW: Tensor, targets_B: Tensor) -> Tensor:
        reset(network)
        sgd.zero_grad(set_to_none=True)
        total = torch.zeros((), device=device)
        for frame_BCHW in frames_TBCHW:
            loss = F.cross_entropy(network(frame_BCHW), targets_B) / len(frames_TBCHW)
            if online:
                loss.backward()
            total = total + (loss.detach() if online else loss)
        if not online:
            total.backward()
        sgd.step()
        return total.detach()

    return step
