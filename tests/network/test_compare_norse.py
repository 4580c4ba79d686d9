"""Norse models whose computation is not that of their module list: reproduced, or refused by the comparison runs."""

import norse.torch as norse
import pytest
import torch
from norse_models import (
    FRAMES,
    HIDDEN,
    Careful,
    Clamped,
    Doubled,
    Forgetful,
    Halved,
    InHand,
    NoisyInTraining,
    OneMask,
    Rectified,
    Renamed,
    Scaled,
    Skipping,
    batch_norm,
    cell,
    ending,
    on_a_grid,
    one_cell_twice,
    one_state,
    parameters,
    pooled_before_the_cell,
    pooled_between,
    pooled_twice,
    silent,
    silent_behind,
    to_the_end,
    with_dropout_in_training_only,
    with_hook,
    with_its_own_forward,
    with_one_convolution_twice,
    with_one_weight_twice,
    with_state_hooks,
    with_tensor_hook,
    with_weight_norm,
)
from torch import nn

from stdl_events.errors import NotationError
from stdl_events.network import compare_norse
from stdl_events.network.from_norse import _read, import_norse
from stdl_events.network.neurons.cell import NeuronCell

REFUSED = {
    "pooled before the cell": (pooled_before_the_cell, "membrane potentials of module 2 of shape (3, 4, 1, 1) instead"),
    "pooled before the cell and at the end": (pooled_twice, "membrane potentials of module 2 of shape (3, 4, 1, 1)"),
    "pooled in the middle": (pooled_between, "membrane potentials of module 4 of shape (3, 5, 1, 1) instead"),
    "spikes doubled": (
        lambda: ending(*to_the_end(), neurons=Doubled(parameters(), dt=0.001)), "spikes of module 1 that differ by 1",
    ),
    "potentials clamped": (
        lambda: ending(*to_the_end(), neurons=Clamped(parameters(), dt=0.001)),
        "membrane potentials of module 1 that differ by",
    ),
    "state forgotten": (
        lambda: ending(*to_the_end(), neurons=Forgetful(parameters(), dt=0.001)),
        "first in step 1 with its own train flags and its own weights",
    ),
    "rectified convolution": (
        lambda: ending(*to_the_end(), first=Rectified(2, 4, 3)), "membrane potentials of module 1 that differ by",
    ),
    "rectified behind silence": (
        lambda: silent_behind(Rectified(4, 4, 3)), "membrane potentials of module 3 that differ by",
    ),
    "a parameter of its own": (
        lambda: ending(*to_the_end(), first=Scaled(2, 4, 3)),
        "parameter 0.shift of the Norse model: got 0 convolutions, linear layers and batch norms that use it",
    ),
    "noise in training": (
        lambda: ending(nn.Flatten(), NoisyInTraining(HIDDEN, 5), cell(), nn.Linear(5, 3)).eval(),
        "with training mode and its own weights",
    ),
    "a dropout of its own": (lambda: ending(OneMask(0.5), *to_the_end()).eval(), "with training mode and its own"),
    "pooling of its own": (lambda: ending(Halved(2), *to_the_end()), "logits that differ by"),
    "a shortcut around all": (
        lambda: Skipping(nn.Conv2d(2, 4, 3), cell(), *to_the_end()), "got logits that differ by"
    ),
    "one state for two cells": (one_state, "membrane potentials of module 3 that differ by"),
    "hidden outputs": (
        lambda: norse.SequentialState(nn.Conv2d(2, 4, 3), cell(), *to_the_end(), return_hidden=True),
        "a model that returns tuple",
    ),
    "no state handed on": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), cell(), *to_the_end()), "a model that does not run, in step 0",
    ),
    "flattened in part": (
        lambda: ending(nn.Flatten(1, 2), nn.Linear(HIDDEN, 3)), "expected AdaptiveAvgPool2d(1) in front of",
    ),
    "flattened in part, spiking": (
        lambda: ending(nn.Flatten(1, 2), nn.Linear(HIDDEN, 3), cell()), "a model that does not run, in step 0",
    ),
    "flattened before pooling": (
        lambda: ending(nn.Flatten(), nn.AvgPool2d(2), nn.Linear(HIDDEN // 4, 3), cell()),
        "a model that does not run, in step 0",
    ),
    "a wrong flattening": (lambda: ending(nn.Flatten(0), nn.Linear(HIDDEN, 3), cell()), "module 2 of the Norse model"),
    "the largest of each window": (lambda: ending(nn.MaxPool2d(2), *to_the_end()), "got MaxPool2d("),
    "thresholds per channel": (
        lambda: ending(*to_the_end(), neurons=cell(v_th=[[[0.1]], [[0.2]], [[0.3]], [[0.4]]])), "4 values of v_th",
    ),
    "a threshold of too many dimensions": (
        lambda: ending(*to_the_end(), neurons=cell(v_th=torch.full((1,) * 5, 0.2))), "a model that does not run",
    ),
    "a forward hook": (lambda: with_hook("register_forward_hook"), "module 1 of the Norse model: got hooks"),
    "a forward pre-hook": (lambda: with_hook("register_forward_pre_hook"), "module 0 of the Norse model: got hooks"),
    "a backward hook": (lambda: with_hook("register_full_backward_hook"), "module 0 of the Norse model: got hooks"),
    "state hooks": (with_state_hooks, "module 1 of the Norse model: got hooks"),
    "a hook on a weight": (with_tensor_hook, "module 0 of the Norse model: got hooks"),
    "a forward of one object": (with_its_own_forward, "module 0 of the Norse model: got a forward set on the object"),
    "weight norm": (with_weight_norm, "module 0 of the Norse model: got a parametrisation"),
    "one weight twice": (with_one_weight_twice, "parameter 2.weight of the Norse model: got 2 convolutions"),
    "one convolution twice": (with_one_convolution_twice, "parameter 2.weight of the Norse model: got 2 convolutions"),
    "dropout in training alone": (with_dropout_in_training_only, "module 2 of the Norse model: got dropout in another"),
    "weights on the meta device": (lambda: ending(*to_the_end()).to("meta"), "got weights on the meta device"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "text"), REFUSED.values(), ids=REFUSED)
def test_what_the_network_would_not_reproduce_is_refused(build, text) -> None:
    torch.manual_seed(1)
    with pytest.raises(NotationError) as caught:
        import_norse(build(), input_shape=FRAMES)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


REPRODUCED = {
    "one cell and one pooling used twice": one_cell_twice,
    "subclasses that compute the same": lambda: InHand(
        Careful(2, 4, 3), Renamed(parameters(), dt=0.001), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ),
    "batch norm and dropout": lambda: batch_norm(frozen=False),
    "a frozen batch norm": lambda: batch_norm(frozen=True),
    "pooled to one pixel twice": lambda: ending(nn.AdaptiveAvgPool2d(1), *to_the_end()),
    "flattened from behind": lambda: ending(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(-3, -1), nn.Identity(), nn.Linear(4, 3)
    ),
    "nested": lambda: norse.SequentialState(ending(nn.AvgPool2d(2)), nn.Sequential(*to_the_end())),
    "weights on a grid": on_a_grid,
    "silent": silent,
    "a threshold with a dimension": lambda: ending(*to_the_end(), neurons=cell(v_th=[0.2])),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("build", REPRODUCED.values(), ids=REPRODUCED)
def test_what_is_reproduced_is_taken_over_and_the_model_stays_as_it_is(build, training) -> None:
    torch.manual_seed(1)
    model = build()
    if not training:
        model.eval()
    flags = [module.training for module in model.modules()]
    values = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    network = import_norse(model, input_shape=FRAMES)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(tensor, values[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    norms = [[m.training for m in side.modules() if isinstance(m, nn.BatchNorm2d)] for side in (model, network)]
    assert norms[0] == norms[1]

    model.double().eval()
    network.double().eval()
    state, theirs = network.initial_state(2), None
    for _ in range(5):
        frame = 2 * torch.rand((2, *FRAMES), dtype=torch.float64)
        expected, theirs = model(frame, theirs)
        logits, state = network.step(frame, state)
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("build", REPRODUCED.values(), ids=REPRODUCED)
def test_drawn_weights_make_every_layer_fire(build) -> None:
    """Silent neurons would make the comparison empty."""
    torch.manual_seed(1)
    model = build().double()
    model[0].double()
    reading = _read(model, FRAMES, None, 1.0)
    with torch.no_grad():
        compare_norse._draw_weights(reading.parts, torch.Generator().manual_seed(1))
        network = _read(model, FRAMES, None, 1.0).network.eval()
        cells = [module for module in network.modules() if isinstance(module, NeuronCell)]
        counts = [0.0] * len(cells)
        state = network.initial_state(3)
        with compare_norse._recorded(cells) as outputs:
            frames = compare_norse._frames(FRAMES, torch.Generator().manual_seed(2))
            for _ in range(compare_norse.STEPS):
                state = network.step(next(frames), state)[1]
        for index, (spikes, _) in enumerate(outputs):
            counts[index % len(cells)] += float(spikes.mean()) / compare_norse.STEPS
    assert min(counts) > 0.02
    assert max(counts) < 0.98
