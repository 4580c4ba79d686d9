"""SpikingJelly's ways to train the network of `training_contenders`: BPTT, its memory optimiser `memopt`, and SLTT.

SpikingJelly 2 chooses what computes a neuron by itself (cuda, triton or torch; it has no CuPy any more), and states it.
Its environment variables in `IMPLEMENTATION` choose another one; they are read when it is imported.
"""

import torch
import torch.nn.functional as F
from step_measures import clip
from torch import Tensor, nn
from training_contenders import DECAY, LEARNING_RATE, Contender, SpikingBlock, Step, layers_of, step_by_step

from stdl_events.network.spec import NetworkSpec

LIBRARY = "spikingjelly"
IMPLEMENTATION = ("SJ_LIF_CUDA_IMPLEMENTATION", "SJ_SPIKE_COMPRESS_CUDA_IMPLEMENTATION")
# These settings mean: decay DECAY, unscaled input, soft reset.
NEURON = {"tau": 1 / (1 - DECAY), "decay_input": False, "v_reset": None}
# Level 1 needs no GPU; above, it measures peaks of CUDA memory and keeps what lowers them.
LEVELS = (1, 4)


def bptt(memopt: int = 0) -> Contender:
    """Multi-step BPTT.

    Args:
        memopt: level of the memory optimiser. Level 1 checkpoints blocks and packs inputs that it finds binary; level 4
            also splits blocks, in space and neurons in time, and gives up checkpoints that do not lower the peak, all
            as SpikingJelly's own example does. 0 does nothing.
    """

    def make(spec: NetworkSpec, batch_size: int, steps: int, device: torch.device) -> Step:
        from spikingjelly.activation_based import functional, layer, neuron, surrogate
        from spikingjelly.activation_based.memopt import optimize_memory

        def block(convolution: nn.Conv2d) -> nn.Module:
            node = neuron.LIFNode(surrogate_function=surrogate.PiecewiseQuadratic(), detach_reset=False, **NEURON)
            return SpikingBlock(nn.Sequential(convolution, layer.BatchNorm2d(convolution.out_channels)), node)

        network = nn.Sequential(
            *layers_of(spec, layer.Conv2d, block, layer.AvgPool2d),
            layer.AdaptiveAvgPool2d(1),
            layer.Flatten(),
            layer.Linear(spec.layers[-1].input_shape[0], spec.classes),
        ).to(device)
        functional.set_step_mode(network, "m")
        if memopt:
            # Counts, not zeros: of a clip of zeros every layer's input is binary, and would be packed as if it were.
            example_TBCHW, _ = clip(spec, batch_size, steps, device)

            def example(module: nn.Module) -> object:
                functional.reset_net(module)
                return module(example_TBCHW)

            network = optimize_memory(
                network,
                SpikingBlock,
                example,
                level=memopt,
                split_fn=lambda module: (module.current, module.neuron),
                can_chunk=lambda module: isinstance(module, neuron.BaseNode),
            )
            functional.reset_net(network)
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

    return Contender("SpikingJelly BPTT" + (f", memopt {memopt}" if memopt else ""), LIBRARY, make, backend)


def sltt() -> Contender:
    """Online LIF nodes, with a backward pass at each step."""

    def make(spec: NetworkSpec, batch_size: int, steps: int, device: torch.device) -> Step:
        from spikingjelly.activation_based import functional, neuron, surrogate

        def block(convolution: nn.Conv2d) -> nn.Module:
            node = neuron.SLTTLIFNode(surrogate_function=surrogate.PiecewiseQuadratic(), **NEURON)
            return SpikingBlock(nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels)), node)

        return step_by_step(spec, block, functional.reset_net, device, online=True)

    return Contender("SpikingJelly SLTT", LIBRARY, make, backend)


def backend(device: torch.device) -> str:
    """What computes its LIF neurons on `device`."""
    from spikingjelly.activation_based import functional

    return str(functional.neuron_implementation("lif", device)["implementation"])
