"""Modules that lean mode would ignore are refused by name; plain mode supports them."""

import copy
from collections.abc import Callable

import pytest
import torch
from reference_cases import gradients, largest_difference
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm

from stdl_events.build import build_learner
from stdl_events.errors import NotationError, RuleError, ShapeError
from stdl_events.learning import Learner
from stdl_events.network.layers import ConvBody, SpikingUnit
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.synapse import ScaledWSConv2d

NOTATION = "4C3-AP2-4R-4SEWR(s2)-5S3-6FC-3FC"


def make(memory: str = "lean", notation: str = NOTATION, rule: str = "sltt", **options: object) -> Learner:
    spec = NetworkSpec.parse(notation, input_shape=(2, 8, 8))
    settings = {"batch_size": 2, "steps": 2, "memory": memory, "dtype": torch.float64, "decay": 0.5, "threshold": 0.4}
    return build_learner(spec, rule, **(settings | options))


def batch(size: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    frames = 3 * torch.rand(2, size, 2, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return frames, torch.arange(size)


def set_in(path: str, module: nn.Module) -> Callable[[SpikingNetwork], None]:
    def change(network: SpikingNetwork) -> None:
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, module)

    return change


def on(path: str, act: Callable[[nn.Module], object]) -> Callable[[SpikingNetwork], None]:
    return lambda network: act(network.get_submodule(path)) and None


def hooked(path: str, method: str) -> tuple[str, Callable[[SpikingNetwork], None]]:
    """A hook on the module or parameter at `path`."""

    def change(network: SpikingNetwork) -> None:
        parent, _, name = path.rpartition(".")
        getattr(getattr(network.get_submodule(parent), name), method)(hook)

    return path, change


def behind(network: SpikingNetwork, path: str, module: nn.Module) -> None:
    set_in(path, nn.Sequential(network.get_submodule(path), module))(network)


def hook(*arguments: object) -> None:
    del arguments


class Norm(nn.BatchNorm2d):
    """A batch norm with a forward of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def conv(**options: object) -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, dtype=torch.float64, bias=False, **({"padding": 1} | options))


SYNAPSE = "layers.1.body.first.synapse"
CHANGES: dict[str, tuple[str, Callable[[SpikingNetwork], None]]] = {
    "forward hook": hooked(f"{SYNAPSE}.conv", "register_forward_hook"),
    "forward pre-hook": hooked("layers.0.after.0", "register_forward_pre_hook"),
    "backward hook": hooked(f"{SYNAPSE}.norm", "register_full_backward_hook"),
    "backward pre-hook": hooked(SYNAPSE, "register_full_backward_pre_hook"),
    "hook on neurons": hooked("layers.2.body.shortcut.cell", "register_forward_hook"),
    "hook on the classifier": hooked("layers.5.body.linear", "register_forward_hook"),
    "hook on a parameter": hooked(f"{SYNAPSE}.conv.weight", "register_hook"),
    "hook on a gradient": hooked("layers.4.body.linear.bias", "register_post_accumulate_grad_hook"),
    "module behind a layer": ("layers.1.after.0", on("layers.1.after", lambda m: m.append(nn.ReLU()))),
    "module in front of a layer": ("layers.1.before.0", on("layers.1.before", lambda m: m.append(nn.MaxPool2d(1)))),
    "another container": ("layers.1.after", set_in("layers.1.after", nn.ModuleList())),
    "pooling that rounds up": ("layers.0.after.0", set_in("layers.0.after.0", nn.AvgPool2d(2, ceil_mode=True))),
    "module behind a synapse": (SYNAPSE, lambda network: behind(network, SYNAPSE, nn.ReLU())),
    "weight norm": (f"{SYNAPSE}.conv", on(f"{SYNAPSE}.conv", parametrizations.weight_norm)),
    "spectral norm": (f"{SYNAPSE}.conv", on(f"{SYNAPSE}.conv", spectral_norm)),
    "group norm": (f"{SYNAPSE}.norm", set_in(f"{SYNAPSE}.norm", nn.GroupNorm(2, 4, dtype=torch.float64))),
    "norm of one's own": (f"{SYNAPSE}.norm", set_in(f"{SYNAPSE}.norm", Norm(4, dtype=torch.float64))),
    "cumulative statistics": (f"{SYNAPSE}.norm", on(f"{SYNAPSE}.norm", lambda m: setattr(m, "momentum", None))),
    "no running statistics": (
        "layers.1.body.second.synapse.norm",
        set_in("layers.1.body.second.synapse.norm", nn.BatchNorm2d(4, track_running_stats=False, dtype=torch.float64)),
    ),
    "no affine parameters": (
        "layers.2.body.shortcut.synapse.norm",
        set_in("layers.2.body.shortcut.synapse.norm", nn.BatchNorm2d(4, affine=False, dtype=torch.float64)),
    ),
    "circular padding": (f"{SYNAPSE}.conv", set_in(f"{SYNAPSE}.conv", conv(padding_mode="circular"))),
    "padding by name": (f"{SYNAPSE}.conv", set_in(f"{SYNAPSE}.conv", conv(padding="same"))),
    "groups": (f"{SYNAPSE}.conv", set_in(f"{SYNAPSE}.conv", conv(groups=2))),
    "dilation": (f"{SYNAPSE}.conv", set_in(f"{SYNAPSE}.conv", conv(dilation=2, padding=2))),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_lean_refuses_by_name_and_plain_trains(change):
    name, make_change = CHANGES[change]
    learner = make()
    make_change(learner.network)
    before = copy.deepcopy(learner.network.state_dict())
    with pytest.raises(RuleError, match="use memory='plain'") as caught:
        learner.train_step(*batch())
    assert caught.value.subject == name
    assert all(torch.equal(value, before[key]) for key, value in learner.network.state_dict().items())
    if change == "another container":
        return
    plain = make("plain")
    make_change(plain.network)
    plain.train_step(*batch())


def test_a_hook_for_all_modules_is_refused():
    learner = make()
    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        with pytest.raises(RuleError, match="global module hooks"):
            learner.train_step(*batch())
    finally:
        handle.remove()
    learner.train_step(*batch())


@pytest.mark.parametrize("memory", ["plain", "lean"])
def test_rules_with_traces_refuse_a_module_replaced_later(memory):
    """Traced networks have neurons of their own and would not contain the new module."""
    learner = make(memory, rule="ottt-a")
    learner.network.layers[1].body = Own(learner.network.layers[0].body)
    with pytest.raises(RuleError, match=r"layers\.1\.body: got a Own.*use a rule without traces"):
        learner.train_step(*batch())


def test_an_auxiliary_network_is_looked_at_too():
    learner = make(rule="ell", notation="4C3-4C3-3FC")
    learner.blocks[0].auxiliary.layers[0].body.linear.register_forward_hook(hook)
    with pytest.raises(RuleError, match=r"blocks\.0\.auxiliary\.layers\.0\.body\.linear"):
        learner.train_step(*batch())


class Doubling(ConvBody):
    """A unit whose step a subclass has changed."""

    def step(self, x_BCHW, state):
        out, new = super().step(x_BCHW, state)
        return 2 * out, new


class Own(nn.Module):
    """A body of a class unknown to lean mode."""

    def __init__(self, unit: SpikingUnit) -> None:
        super().__init__()
        self.unit, self.shift = unit, nn.Parameter(torch.ones((), dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.norm = nn.GroupNorm(1, 4, dtype=torch.float64)
        self.state_shapes = unit.state_shapes

    def step(self, x_BCHW, state):
        out, new = self.unit.step(x_BCHW, state)
        return self.norm(out) + self.shift, new


@pytest.mark.parametrize("rule", ["sltt"])
@pytest.mark.parametrize("kind", ["own", "subclass", "assigned"])
def test_bodies_of_ones_own_run_by_autograd(kind, rule):
    found = {}
    for memory in ("plain", "lean"):
        learner = make(memory, "4C3-4C3-AP2-4C3-3FC", rule)
        layer = learner.network.layers[1]
        if kind == "own":
            layer.body = Own(layer.body)
            layer.body.norm.register_forward_hook(lambda module, inputs, out: 3 * out)
        elif kind == "subclass":
            layer.body.__class__ = Doubling
        else:
            step = layer.body.step
            layer.body.step = lambda x_BCHW, state, step=step: (step(x_BCHW, state)[0] * 5, step(x_BCHW, state)[1])
        learner.backward(*batch())
        found[memory] = gradients(learner)
    assert largest_difference(found["lean"], found["plain"]) <= 1e-12


@pytest.mark.parametrize("memory", ["plain", "lean"])
@pytest.mark.parametrize(
    ("notation", "rule", "name"),
    [
        ("4C3-AP2-4C3(s2)-AP2-4C3-3FC", "sltt", "layers.2.body.synapse.norm"),
        ("4C3-AP8-4R-3FC", "sltt", "layers.1.body.first.synapse.norm"),
        ("4C3-AP8-4C3-3FC", "ottt-a", "layers.1.body.synapse.norm"),
        ("4C3-AP8-4C3-4C3-3FC", "ell", "layers.1.body.synapse.norm"),
    ],
)
def test_one_value_per_channel_is_refused_before_anything_moves(notation, rule, name, memory):
    learner = make(memory, notation, rule)
    learner.train_step(*batch(2))
    before = copy.deepcopy(learner.network.state_dict())
    with pytest.raises(ShapeError, match="at least two values per channel") as caught:
        learner.train_step(*batch(1))
    assert caught.value.subject == name
    assert all(torch.equal(value, before[key]) for key, value in learner.network.state_dict().items())
    learner.freeze(learner.network)
    learner.network.layers[-1].requires_grad_(True)
    learner.train_step(*batch(1))


@pytest.mark.parametrize(
    ("notation", "norm", "channels"),
    [
        ("8S3-4NFB-3FC", "batch", 2),
        ("1S3-4NFR-3FC", "none", 2),
        ("1C3-4R-3FC", "ws", 2),
        ("1C3-4SEWR-3FC", "ws", 2),
        ("4C1-3FC", "ws", 1),
        ("4S1-4C3-3FC", "ws", 1),
    ],
)
def test_a_standardised_convolution_of_one_input_is_refused(notation, norm, channels):
    with pytest.raises(NotationError, match="one input"):
        NetworkSpec.parse(notation, input_shape=(channels, 8, 8), norm=norm)
    if norm == "ws":
        spec = NetworkSpec.parse(notation, input_shape=(channels, 8, 8), norm="batch")
        with pytest.raises(NotationError, match="one input"):
            spec.with_settings({}, "ws")


def test_a_single_standardised_weight_is_zero_and_finite_backward():
    conv = ScaledWSConv2d(1, 3, 1, 1, 0)
    weight = conv.standardised_weight()
    weight.sum().backward()
    assert not weight.any()
    assert conv.weight.grad.isfinite().all()


def test_complex_weights_are_refused():
    with pytest.raises(RuleError, match=r"dtype: got torch\.complex64"):
        make(dtype=torch.complex64)
