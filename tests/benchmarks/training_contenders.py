"""One network in several libraries, each with its training step: the contenders of bench_training.

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
from stdl_events.network.spec import NetworkSpec

DECAY = 0.5
LEARNING_RATE = 0.01
# These settings mean: decay DECAY, unscaled input, soft reset.
SJ_NEURON: dict[str, Any] = {"tau": 1 / (1 - DECAY), "decay_input": False, "v_reset": None}
Step = Callable[[Tensor, Tensor], object]
"""(frames_TBCHW float32, targets_B) -> anything; one whole training step."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """A way to train.

    Args:
        make: (spec, batch size, T) -> training step of a new network.
        library: name of the library.
        ours: its options of `build_learner`, for contenders of this package.
    """

    name: str
    library: str
    make: Callable[[NetworkSpec, int, int], Step]
    ours: dict[str, Any] | None = None


def ours(name: str, **options: Any) -> Contender:
    """A rule of this package."""

    def make(spec: NetworkSpec, batch_size: int, steps: int) -> Step:
        common: dict[str, Any] = {"batch_size": batch_size, "steps": steps, "lr": LEARNING_RATE, "loss": "ce"}
        chosen = dict(options)
        if "least_blocks" in options:
            # The same cuts in every mode, so that modes are compared and not plans.
            chosen["plan"] = build_learner(spec, memory="plain", least_blocks=chosen.pop("least_blocks"), **common).plan
        return build_learner(spec, decay=DECAY, **common, **chosen).train_step

    return Contender(name, "stdl-events", make, options)


def spikingjelly_bptt(*, memopt: bool) -> Contender:
    """Multi-step BPTT; `memopt` checkpoints blocks and packs binary inputs, the level that needs no GPU."""

    def make(spec: NetworkSpec, batch_size: int, steps: int) -> Step:
        from spikingjelly.activation_based import functional, layer, neuron, surrogate
        from spikingjelly.activation_based import memopt as optimizer_of_memory

        def block(convolution: nn.Conv2d) -> nn.Module:
            node = neuron.LIFNode(surrogate_function=surrogate.PiecewiseQuadratic(), detach_reset=False, **SJ_NEURON)
            return SpikingBlock(convolution, layer.BatchNorm2d(convolution.out_channels), node)

        network = nn.Sequential(
            *layers_of(spec, layer.Conv2d, block, layer.AvgPool2d),
            layer.AdaptiveAvgPool2d(1),
            layer.Flatten(),
            layer.Linear(spec.layers[-1].input_shape[0], spec.classes),
        )
        functional.set_step_mode(network, "m")
        if memopt:
            clip = torch.zeros(steps, batch_size, *spec.input_shape)

            def example(module: nn.Module) -> object:
                functional.reset_net(module)
                return module(clip)

            network = optimizer_of_memory.optimize_memory(network, SpikingBlock, example, level=1)
        sgd = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9)

        def step(frames_TBCHW: Tensor, targets_B: Tensor) -> Tensor:
            functional.reset_net(network)
            sgd.zero_grad(set_to_none=True)
            logits_TBK = network(frames_TBCHW)
            loss = F.cross_entropy(logits_TBK.flatten(0, 1), targets_B.repeat(steps))
            loss.backward()
            sgd.step()
            return loss.detach()

        return step

    return Contender("SpikingJelly BPTT" + (", memopt" if memopt else ""), "spikingjelly", make)


def spikingjelly_sltt() -> Contender:
    """SpikingJelly's online LIF nodes, with a backward pass at each step."""

    def make(spec: NetworkSpec, batch_size: int, steps: int) -> Step:
        from spikingjelly.activation_based import functional, neuron, surrogate

        def block(convolution: nn.Conv2d) -> nn.Module:
            node = neuron.SLTTLIFNode(surrogate_function=surrogate.PiecewiseQuadratic(), **SJ_NEURON)
            return SpikingBlock(convolution, nn.BatchNorm2d(convolution.out_channels), node)

        return _step_by_step(spec, block, functional.reset_net, online=True)

    return Contender("SpikingJelly SLTT", "spikingjelly", make)


def snntorch_bptt() -> Contender:
    """snnTorch's leaky neurons, stepped in a loop."""

    def make(spec: NetworkSpec, batch_size: int, steps: int) -> Step:
        import snntorch

        def reset(network: nn.Module) -> None:
            for module in network.modules():
                if isinstance(module, snntorch.Leaky):
                    module.reset_mem()

        def block(convolution: nn.Conv2d) -> nn.Module:
            node = snntorch.Leaky(beta=DECAY, init_hidden=True)
            return SpikingBlock(convolution, nn.BatchNorm2d(convolution.out_channels), node)

        return _step_by_step(spec, block, reset, online=False)

    return Contender("snnTorch BPTT", "snntorch", make)


class SpikingBlock(nn.Sequential):
    """Convolution, batch norm, neuron."""


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


def _step_by_step(
    spec: NetworkSpec, block: Callable[[nn.Conv2d], nn.Module], reset: Callable[[nn.Module], object], *, online: bool
) -> Step:
    network = nn.Sequential(
        *layers_of(spec, nn.Conv2d, block, nn.AvgPool2d),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(spec.layers[-1].input_shape[0], spec.classes or 0),
    )
    sgd = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9)

    def step(frames_TBCHW: Tensor, targets_B: Tensor) -> Tensor:
        reset(network)
        sgd.zero_grad(set_to_none=True)
        total = torch.zeros(())
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
