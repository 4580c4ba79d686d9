"""Evaluation with scattered convolutions: the same as dense ones, and only where values may be read."""

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from stdl_events.network import scattered
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.synapse import ScaledWSConv2d, Synapse, set_convolutions
from stdl_events.scatter.break_even import fixed_break_even

SHAPE = (3, 4, 9, 8)


@pytest.fixture
def scatters(monkeypatch):
    """Scatter all that may be scattered; returns the list of what was."""
    found = []

    def noting(*arguments):
        found.append(arguments)
        original(*arguments)

    original = scattered.scattered
    monkeypatch.setattr(scattered, "scattered", noting)
    with fixed_break_even(1.0):
        yield found


def inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.poisson(torch.full(SHAPE, 0.3), generator).to(dtype)


def synapse(conv: nn.Conv2d | None = None) -> Synapse:
    module = Synapse(conv or nn.Conv2d(4, 6, 3, 2, 1, dtype=torch.float64))
    module.convolutions = "auto"
    return module


@pytest.mark.parametrize("norm", ["batch", "ws", "none"])
def test_a_network_steps_as_with_dense_convolutions(norm, scatters):
    spec = NetworkSpec.parse("6C3-AP2-8C5(s2)-8R-8SEWR(s2)-3FC", input_shape=(2, 16, 12)).with_settings({}, norm)
    network = SpikingNetwork.build(spec, seed=1, dtype=torch.float64).eval()
    frames = torch.poisson(torch.full((3, 4, 2, 16, 12), 0.5), torch.Generator().manual_seed(0)).double()
    outputs = []
    for convolutions in ("dense", "auto"):
        set_convolutions([network], convolutions)
        state = network.initial_state(4)
        with torch.no_grad():
            for frame_BCHW in frames:
                logits_BK, state = network.step(frame_BCHW, state)
        outputs.append((logits_BK, *state))
        assert bool(scatters) == (convolutions == "auto")
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_what_scatters(scatters):
    for module in (synapse(), synapse(ScaledWSConv2d(4, 6, 3, 1, 1, dtype=torch.float64))):
        module(inputs())
    assert len(scatters) == 2


class Own(nn.Conv2d):
    """A convolution of the caller's own."""


@torch.no_grad()
def test_what_stays_dense(scatters):
    hooked, replaced, dense = synapse(), synapse(), synapse()
    hooked.conv.register_forward_hook(lambda module, arguments, out: None)
    replaced.conv.forward = lambda x: x
    dense.convolutions = "dense"
    own = synapse(Own(4, 6, 3, dtype=torch.float64))
    grouped = synapse(nn.Conv2d(4, 6, 3, groups=2, dtype=torch.float64))
    padded = synapse(nn.Conv2d(4, 6, 3, padding="same", dtype=torch.float64))
    circular = synapse(nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular", dtype=torch.float64))
    for module in (hooked, replaced, dense, own, grouped, padded, circular):
        module(inputs())
    synapse(nn.Conv2d(4, 6, 3, dtype=torch.bfloat16))(inputs(torch.bfloat16))
    synapse()(inputs()[:, :, ::2])
    with torch.enable_grad():
        synapse()(inputs())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        synapse()(mode.from_tensor(inputs()))
    with fixed_break_even(0.2):
        synapse()(inputs())
    assert scatters == []


@torch.no_grad()
def test_torch_keeps_its_number_of_threads(scatters):
    number = torch.get_num_threads()
    synapse()(inputs())
    assert scatters
    assert torch.get_num_threads() == number
