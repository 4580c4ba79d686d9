"""What travels between layers in lean mode: the values that the next layer sees, bit for bit."""

import pytest
import torch
from torch import nn

from stdl_events.learning.lean.signals import Counts, Pooled, Scaled, Spikes, pool_backward, pooled

SHAPE = (3, 4, 9, 11)


def random_spikes(dtype: torch.dtype) -> tuple[Spikes, torch.Tensor]:
    fired = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.6
    spikes = Spikes(SHAPE, dtype, torch.device("cpu"))
    spikes.put(slice(0, 1), fired[:, :1])
    spikes.put(slice(1, 4), fired[:, 1:])
    return spikes, fired.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.AvgPool2d(3), nn.AvgPool2d(3, stride=1, padding=1)])
def test_pooled_spikes_are_kept_as_their_number_and_equal_torchs_pooling(pool, dtype):
    spikes, dense = random_spikes(dtype)
    signal = pooled(spikes, pool)
    assert isinstance(signal, Counts)
    assert signal.counts_BCHW.dtype == torch.uint8
    assert torch.equal(signal.dense(), pool(dense))
    assert torch.equal(signal.dense(slice(1, 3), slice(0, 2)), pool(dense)[1:3, 0:2])
    assert signal.shape == tuple(pool(dense).shape)


def test_what_is_no_spike_or_pooled_over_more_than_a_byte_counts_is_pooled_anew():
    spikes, dense = random_spikes(torch.float32)
    scaled = pooled(Scaled(spikes, 2.74), nn.AvgPool2d(2))
    assert isinstance(scaled, Pooled)
    assert torch.equal(scaled.dense(), nn.functional.avg_pool2d(dense * 2.74, 2))
    wide = pooled(spikes, nn.AvgPool2d(16, stride=1, padding=8))
    assert isinstance(wide, Pooled)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.AvgPool2d(3, stride=2, padding=1)])
def test_poolings_gradient_is_autograds(pool):
    x = torch.zeros(SHAPE, requires_grad=True)
    out = pool(x)
    gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    out.backward(gradient)
    assert torch.equal(pool_backward(gradient, SHAPE, pool), x.grad)
