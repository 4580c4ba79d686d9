"""Import of models built from Norse's modules: the network computes the same, and unsupported modules are refused."""

from collections.abc import Callable

import norse.torch as norse
import pytest
import torch
from norse.torch.functional.reset import reset_subtract, reset_value
from torch import nn

from stdl_events.errors import NotationError
from stdl_events.network.from_norse import import_norse

FRAMES = (2, 12, 12)
STEPS = 6


def cell(**changes: object) -> norse.LIFBoxCell:
    """A cell with decay 0.75 in double precision."""
    numbers = {"tau_mem_inv": 250.0, "v_leak": 0.0, "v_th": 0.4, "v_reset": 0.0, "alpha": 1.0}
    numbers |= {name: value for name, value in changes.items() if name in numbers}
    others = {name: value for name, value in changes.items() if name not in numbers}
    tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
    return norse.LIFBoxCell(
        norse.LIFBoxParameters(**tensors, **{"method": "triangle", "reset_method": reset_subtract} | others), dt=0.001
    )


def convolutional(make: Callable[[], nn.Module], *, norm: bool, bias: bool) -> norse.SequentialState:
    def norms(channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels)] if norm else []

    return norse.SequentialState(
        nn.Conv2d(2, 5, 3, padding=1, bias=bias),
        *norms(5),
        make(),
        nn.AvgPool2d(2),
        nn.Conv2d(5, 6, 5, stride=2, padding=1, bias=bias),
        *norms(6),
        make(),
        nn.Dropout(0.3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def spiking_to_the_end(make: Callable[[], nn.Module]) -> norse.SequentialState:
    return norse.SequentialState(
        nn.Conv2d(2, 4, 3, stride=2), make(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 9), make()
    )


def dense(make: Callable[[], nn.Module]) -> norse.SequentialState:
    return norse.SequentialState(
        nn.Sequential(nn.Conv2d(2, 4, 3, bias=False)),
        make(),
        nn.AvgPool2d(5),
        nn.Flatten(),
        nn.Linear(16, 20, bias=False),
        make(),
        nn.Linear(20, 3),
    )


MODELS = {
    "batch norm": lambda make: convolutional(make, norm=True, bias=False),
    "batch norm behind a bias": lambda make: convolutional(make, norm=True, bias=True),
    "no norm": lambda make: convolutional(make, norm=False, bias=True),
    "no bias": lambda make: convolutional(make, norm=False, bias=False),
    "hidden linear layer": dense,
    "spiking classifier": spiking_to_the_end,
}
CELLS = {
    "soft": {},
    "hard": {"reset_method": reset_value},
    "leak to 0.1, soft": {"v_leak": 0.1},
    "leak to -0.2, hard": {"v_leak": -0.2, "v_reset": -0.2, "reset_method": reset_value},
}


def shaken(model: nn.Module) -> nn.Module:
    """`model` in double precision, with random weights and running statistics."""
    model.double()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(0.3 * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))
    return model


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("settings", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_every_step_is_the_same(build, settings, training):
    torch.manual_seed(3)
    model = shaken(build(lambda: cell(**settings)))
    if training:
        model = norse.SequentialState(*(module for module in model if not isinstance(module, nn.Dropout)))
    model.train(training)
    network = import_norse(model, input_shape=FRAMES)
    assert network.training == training
    generator = torch.Generator().manual_seed(7)
    state, theirs = network.initial_state(4), None
    leak = settings.get("v_leak", 0.0)
    silent = model[-1].bias if isinstance(model[-1], nn.Linear) else 0.0
    for _ in range(STEPS):
        frame = 4 * torch.rand((4, *FRAMES), generator=generator, dtype=torch.float64)
        with torch.no_grad():
            expected, theirs = model(frame, theirs)
            logits, state = network.step(frame, state)
        torch.testing.assert_close(logits, expected, rtol=1e-11, atol=1e-11)
        potentials = [entry.v for entry in theirs if entry is not None]
        for ours, v in zip(state, potentials, strict=True):
            torch.testing.assert_close(ours.squeeze(), (v - leak).squeeze(), rtol=1e-11, atol=1e-11)
    assert (logits - silent).abs().max() > 1e-3, "silence would be equal to anything"


def test_gradients_are_the_same_up_to_the_scale_of_the_weights():
    torch.manual_seed(3)
    model = shaken(dense(cell))
    network = import_norse(model, input_shape=FRAMES)
    frame = 4 * torch.rand((4, *FRAMES), dtype=torch.float64)
    model(frame)[0].pow(2).sum().backward()
    network.step(frame, network.initial_state(4))[0].pow(2).sum().backward()
    gain = 1 - 0.75
    theirs = [model[0][0].weight.grad / gain, model[4].weight.grad / gain, model[6].weight.grad]
    ours = [
        network.layers[0].body.synapse.conv.weight.grad,
        *(network.layers[n].body.linear.weight.grad for n in (1, 2)),
    ]
    for got, expected in zip(ours, theirs, strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_the_copy_shares_nothing_and_reads_as_notation():
    model = convolutional(cell, norm=True, bias=False)
    network = import_norse(model, input_shape=FRAMES)
    assert network.spec.notation == "5C3-AP2-6C5(s2p1)-DP(0.3)-3FC"
    assert (network.spec.norm, network.spec.neuron.decay) == ("batch", 0.75)
    before = [tensor.clone() for tensor in network.state_dict().values()]
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.fill_(9)
    for ours, old in zip(network.state_dict().values(), before, strict=True):
        assert torch.equal(ours, old)


def test_a_foreign_surrogate_needs_one_of_ours():
    model = dense(lambda: norse.LIFBoxCell())
    with pytest.raises(NotationError) as caught:
        import_norse(model, input_shape=FRAMES)
    assert str(caught.value) == (
        "Norse cell: got the surrogate 'super'; expected 'triangle' with alpha 1, or another one given as surrogate=; "
        "change the cell's parameters"
    )
    network = import_norse(model, input_shape=FRAMES, surrogate="sigmoid", surrogate_width=4.0)
    neuron = network.spec.neuron
    assert (neuron.surrogate, neuron.surrogate_width, neuron.reset) == ("sigmoid", 4.0, "hard")
    assert neuron.decay == pytest.approx(0.9)


def end(*modules: nn.Module) -> norse.SequentialState:
    return norse.SequentialState(nn.Conv2d(2, 4, 3), cell(), *modules)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (end(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "got another last layer"),
        (end(nn.Flatten(), nn.Linear(400, 3)), "got 10x10 pixels in front of the last layer; expected Adaptive"),
        (
            end(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), cell()),
            "the last layer, pooled to one; expected",
        ),
        (
            norse.SequentialState(nn.Conv2d(1, 4, 3), cell(), nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3)),
            "got weights (4, 1, 3, 3); expected (4, 2, 3, 3), which frames of input_shape lead to",
        ),
        (
            end(nn.Flatten(), nn.Linear(4, 9), cell(), nn.Linear(9, 3)),
            "weights (9, 4); expected (9, 400), which frames",
        ),
        (
            end(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), cell(), nn.Flatten(), nn.Linear(4, 3)),
            "and only there",
        ),
        (end(nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)), "module 2 of the Norse model: got ReLU()"),
        (end(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 3)), "module 2 of the Norse model: got MaxPool2d("),
        (end(nn.AvgPool2d(2), cell(), nn.Flatten(), nn.Linear(4, 3)), "module 3 of the Norse model: got LIFBoxCell("),
        (end(nn.AvgPool2d((2, 3)), nn.Flatten(), nn.Linear(4, 3)), "AvgPool2d's kernel_size: got (2, 3)"),
        (end(nn.AvgPool2d(3, ceil_mode=True), nn.Linear(4, 3)), "module 2 of the Norse model: got AvgPool2d("),
        (end(nn.Conv2d(4, 4, 3, padding="same"), cell(), nn.Linear(4, 3)), "Conv2d's padding: got 'same'"),
        (end(nn.Conv2d(4, 4, 3, groups=2), cell(), nn.Linear(4, 3)), "expected no groups, no dilation"),
        (end(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), cell(), nn.Linear(4, 3)), "got 1 batch norms; expected one behind"),
        (end(nn.Conv2d(4, 4, 3), cell(v_th=0.5), nn.Linear(4, 3)), "got 2 different neurons"),
        (end(nn.Linear(4, 4), nn.Linear(4, 3)), "got a linear layer without a neuron"),
        (norse.SequentialState(norse.LIFBoxCell()), "module 0 of the Norse model"),
    ],
)
def test_what_has_no_counterpart_is_told(model, text):
    surrogate = "triangle" if len(model) == 1 else None
    with pytest.raises(NotationError) as caught:
        import_norse(model, input_shape=FRAMES, surrogate=surrogate)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"v_reset": 0.2, "reset_method": reset_value}, "got a reset to another potential than v_leak"),
        ({"reset_method": lambda z, v, reset, th: v}, "got a reset to another potential than v_leak"),
        ({"v_th": [0.4, 0.5]}, "got 2 values of v_th; expected one value for all neurons"),
        ({"alpha": 2.0}, "got the surrogate 'triangle'"),
        ({"tau_mem_inv": 2000.0}, "decay: got -1.0"),
        ({"v_leak": 0.5}, "threshold: got -0.0"),
    ],
)
def test_a_cell_that_is_none_of_ours_is_told(changes, text):
    model = dense(lambda: cell(**changes))
    with pytest.raises(NotationError) as caught:
        import_norse(model, input_shape=FRAMES)
    assert text in str(caught.value)


def test_a_batch_norm_of_other_constants_is_told():
    model = norse.SequentialState(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, eps=1e-3), cell(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    with pytest.raises(NotationError, match=r"BatchNorm2d: got BatchNorm2d\(4, eps=0.001.*expected the usual one"):
        import_norse(model, input_shape=FRAMES)


def test_the_momentum_of_batch_norms_is_kept_and_has_to_be_one():
    def model(*momenta):
        blocks = [(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2, momentum=momentum), cell()) for momentum in momenta]
        layers = [module for block in blocks for module in block]
        return norse.SequentialState(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))

    network = import_norse(model(0.03, 0.03), input_shape=FRAMES)
    assert [m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)] == [0.03, 0.03]
    with pytest.raises(NotationError, match=r"momentum=0.1.*expected the usual one, alike everywhere"):
        import_norse(model(0.03, 0.1), input_shape=FRAMES)
