"""Tensors with channels last: the layouts, and the kernels of packed spikes and poolings against the plain ones."""

import pytest
import torch
from torch import Tensor

from stdl_events.learning.lean import kernels
from stdl_events.learning.lean.kernels import laid_out, lies_channels_last, reference, turned
from stdl_events.learning.lean.kernels.layout import lies_in_both
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec, NeuronSpec

LAST = torch.channels_last


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    ("x", "lies"),
    [
        (numbers(2, 3, 4, 5), False),
        (numbers(2, 3, 4, 5).contiguous(memory_format=LAST), True),
        (numbers(2, 5, 4, 1).contiguous(memory_format=LAST)[:, 1:3], True),
        (numbers(2, 5, 1, 4).contiguous(memory_format=LAST)[:, 1:3], True),
        (numbers(2, 1, 4, 5).contiguous(memory_format=LAST), False),
        (numbers(2, 3, 1, 1).contiguous(memory_format=LAST), False),
        (numbers(2, 3, 4, 5).transpose(2, 3).contiguous(memory_format=LAST).transpose(2, 3), False),
    ],
)
def test_layouts_are_told_apart_and_made(x, lies):
    assert lies_channels_last(x) == lies
    for last in (False, True):
        found = laid_out(x, channels_last=last)
        assert torch.equal(found, x)
        assert laid_out(found, channels_last=last) is found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(3, 3), (6, 24)])
def test_spikes_are_unpacked_and_gradients_spread_as_in_rows(size, dtype):
    spikes = (numbers(2, 5, *size) > 0.5).to(dtype)
    bits = torch.zeros((2, 5, -(-size[0] * size[1] // 8)), dtype=torch.uint8)
    kernels.pack_(spikes, bits)
    found = kernels.unpack(bits[:, 1:4], size[0] * size[1], dtype, channels_last=True).unflatten(2, size)
    assert lies_channels_last(found)
    assert torch.equal(found, spikes[:, 1:4])
    plain = reference.unpack(bits[:, 1:4], size[0] * size[1], dtype, channels_last=True)
    assert (plain.stride(), plain.tolist()) == (found.flatten(2).stride(), found.flatten(2).tolist())
    grad = numbers(2, 5, *size).to(dtype)
    for part in (grad, grad[:, 1:4]):
        last = part.contiguous(memory_format=LAST)
        spread = kernels.spread(last, 3)
        assert lies_channels_last(spread)
        assert torch.equal(spread, reference.spread(part, 3))


@pytest.mark.parametrize("window", [2, 3])
def test_counts_may_lie_channels_last(window):
    spikes = (numbers(2, 5, 6, 12) > 0).float()
    bits = torch.zeros((2, 5, 9), dtype=torch.uint8)
    kernels.pack_(spikes, bits)
    rows, last = (torch.zeros((2, 5, 6 // window, 12 // window), dtype=torch.uint8) for _ in range(2))
    last = last.contiguous(memory_format=LAST)
    kernels.count_(bits, rows, window)
    kernels.count_(bits, last, window)
    assert torch.equal(last, rows)
    assert torch.equal(rows.float(), torch.nn.functional.avg_pool2d(spikes, window, divisor_override=1))


@pytest.mark.parametrize("kept", ["float", "int8"])
@pytest.mark.parametrize(("convolutions", "lies"), [("dense", True), ("auto", False)])
def test_a_layer_with_batch_norm_keeps_its_state_channels_last(convolutions, lies, kept):
    from collections import deque

    from stdl_events.learning.lean.chain import LeanChain
    from stdl_events.learning.lean.signals import Dense

    spec = NetworkSpec.parse("8C3-AP2-4C3-3FC", input_shape=(2, 8, 8), neuron=NeuronSpec(state=kept))
    network = SpikingNetwork.build(spec).train()
    for layer in network.layers_in_order()[:-1]:
        layer.get_submodule("body.synapse").convolutions = convolutions
    with torch.no_grad():
        chain, frames = LeanChain(), Dense(numbers(2, 2, 8, 8).float())
        _, state = chain.forward(network.layers_in_order(), frames, deque(network.initial_state(2)))
    assert [lies_channels_last(each) for each in state] == [lies, lies]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (17, 2, 3, 4), (40, 4, 2, 2), (3, 1, 4, 4), (3, 4, 1, 1)])
def test_turning_needs_no_second_tensor(shape, last):
    x = laid_out(torch.rand(shape, dtype=torch.float64), channels_last=not last)
    expected, address = x.clone(), x.data_ptr()
    found = turned(x, channels_last=last)
    assert torch.equal(found, expected)
    assert found.data_ptr() == address
    assert lies_channels_last(found) == last or lies_in_both(found)


def test_turning_what_is_not_contiguous_leaves_it_alone():
    x = torch.rand(4, 3, 5, 6)
    found = turned(x[:, :, ::2], channels_last=True)
    assert torch.equal(found, x[:, :, ::2])
    assert lies_channels_last(found)
    assert found.data_ptr() != x.data_ptr()
