"""Training steps on a fake accelerator: checks that all tensors are on it and that no step synchronises with it.

Run by `test_accelerator` in a process of its own, since the name of a backend is the process's. Tensors have no memory,
only a device: operators refuse to mix devices, and values cannot be read.
"""

import itertools
import types
from typing import Any

import torch
import torch.utils.backend_registration as backends
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stdl_events.build import build_learner
from stdl_events.learning import learner, list_rules
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec

DEVICE = "accel"
# The time loop of each rule sees a few layers; every kind of layer is seen by one rule.
FEW_LAYERS, ALL_LAYERS = "6C3-DP(0.3)-AP2-8R(s2)-3FC", "6C3-DP(0.3)-AP2-8R(s2)-AP(k3s2p1)-8SEWR-9FC-3FC"
STEPS, BATCH = 2, 4
MODES = ("lean", "plain")
# Settings of different parts of a step share a variant.
VARIANTS: tuple[dict[str, Any], ...] = (
    {"neuron": "plif", "norm": "ws", "optimizer": "adamw", "mse_target": "threshold"},
    {"neuron": "alif", "norm": "none", "loss": "spike-mse"},
    {"reset": "hard", "clip_norm": 1.0, "label_smoothing": 0.1, "class_weights": (1.0, 2.0, 0.5)},
)


class Journeys(TorchDispatchMode):
    """Records copies to the accelerator, and refuses copies from it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[torch.dtype, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [x.device.type for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.ndim]
        for result in tree_leaves(out):
            if isinstance(result, Tensor) and DEVICE in given:
                assert result.device.type == DEVICE, f"{func} brings values back to the host"
            elif isinstance(result, Tensor) and result.device.type == DEVICE and "cpu" in given:
                self.sent.append((result.dtype, result.numel()))
        return out


def to(network: SpikingNetwork, device: str) -> SpikingNetwork:
    """`Module.to` for tensors without storage."""
    for module in network.modules():
        for group, wrap in ((module._parameters, torch.nn.Parameter), (module._buffers, lambda tensor: tensor)):
            for name, value in group.items():
                if value is not None:
                    group[name] = wrap(torch.empty(value.shape, dtype=value.dtype, device=device))
    return network


class HostGenerators(types.ModuleType):
    """torch with generators on the host alone: a fake device has no random generator."""

    def __getattr__(self, name: str) -> Any:
        return torch.Generator if name == "generator" else getattr(torch, name)

    @staticmethod
    def Generator(device: Any) -> torch.Generator:
        del device
        return torch.Generator()


def train(notation: str, rule: str, memory: str, variant: dict[str, Any]) -> None:
    spec = NetworkSpec.parse(notation, input_shape=(2, 16, 16))
    options = {"batch_size": BATCH, "steps": STEPS, "memory": memory, "device": DEVICE} | variant
    with FakeTensorMode():
        made = build_learner(spec, rule, **options)
        frames_TBCHW = torch.empty((STEPS, BATCH, 2, 16, 16), dtype=torch.uint8)
        with Journeys() as journeys:
            metrics = made.train_step(frames_TBCHW, torch.zeros(BATCH, dtype=torch.int64))
    assert {value.device.type for value in metrics.values()} == {DEVICE}
    frame = frames_TBCHW[0].numel()
    assert sorted(journeys.sent, key=str) == sorted([(torch.int64, BATCH)] + [(torch.uint8, frame)] * STEPS, key=str)


def main() -> None:
    backends._setup_privateuseone_for_python_backend(DEVICE)
    SpikingNetwork.to = to
    learner.torch = HostGenerators("torch")
    rules = [rule.name for rule in list_rules()]
    cases = [*itertools.product([FEW_LAYERS], rules, MODES, [{}])]
    cases += itertools.product([ALL_LAYERS], ["sltt"], MODES, ({}, *VARIANTS))
    for case in cases:
        train(*case)
    print(f"{len(cases)} learners trained")


if __name__ == "__main__":
    main()
