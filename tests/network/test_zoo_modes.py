"""Every kind of layer in the notation: built and stepped without data, trained alike in plain and lean mode."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from stdl_events.build import build_learner
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.zoo import get_network, list_networks

EVERYTHING = "4C3-DP(0.3)-AP2-6R(s2)-8S3-8NFR-DP(0.2)-8NFB(s2)-8SEWR-5FC-3FC"


@pytest.mark.parametrize("name", list_networks())
def test_every_network_steps_in_training_mode(name):
    spec = get_network(name, input_shape=(2, 64, 64), classes=7)
    with FakeTensorMode():
        network = SpikingNetwork.build(spec)
        state = network.initial_state(3)
        logits, new = network.step(torch.empty((3, 2, 64, 64)), state)
    assert tuple(logits.shape) == (3, 7)
    assert [entry.shape for entry in new] == [entry.shape for entry in state]


@pytest.mark.parametrize("norm", ["batch", "ws", "none"])
@pytest.mark.parametrize(
    "neuron",
    [{"neuron": "lif", "reset_amount": 0.3}, {"neuron": "plif", "reset_amount": 0.3}, {"neuron": "alif"}],
    ids=lambda settings: settings["neuron"],
)
def test_lean_mode_gives_the_gradients_of_plain_mode(neuron, norm):
    spec = NetworkSpec.parse(EVERYTHING, input_shape=(2, 12, 12))
    generator = torch.Generator().manual_seed(5)
    frames = 2 * torch.rand((3, 4, 2, 12, 12), generator=generator, dtype=torch.float64)
    gradients = []
    for memory in ("plain", "lean"):
        settings = {"dtype": torch.float64, "decay": 0.5, "threshold": 0.4, "norm": norm, **neuron}
        learner = build_learner(spec, "sltt", batch_size=4, steps=3, memory=memory, **settings)
        with torch.no_grad():
            noise = torch.Generator().manual_seed(8)
            for parameter in learner.network.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=noise, dtype=torch.float64))
        torch.manual_seed(9)  # masks of dropout
        learner.backward(frames, torch.tensor([0, 1, 2, 0]))
        gradients.append({name: parameter.grad for name, parameter in learner.network.named_parameters()})
    plain, lean = gradients
    for name, gradient in plain.items():
        assert gradient.abs().max() > 0, f"{name} learns nothing"
        torch.testing.assert_close(lean[name], gradient, rtol=0, atol=1e-12 * gradient.abs().max().item(), msg=name)
