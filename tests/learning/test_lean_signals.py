"""Signals between layers in lean mode: their values equal the next layer's input, bit for bit."""

import pytest
import torch
from torch import nn

from stdl_events.learning.lean.kernels import pack_
from stdl_events.learning.lean.pooling import Pooled, pool_backward, pooled
from stdl_events.learning.lean.signals import Counts, Dense, Dropped, Scaled, Spikes

SHAPE = (3, 4, 9, 11)


def random_spikes(dtype: torch.dtype) -> tuple[Spikes, torch.Tensor]:
    fired = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.6
    spikes = Spikes(SHAPE, dtype, torch.device("cpu"))
    pack_(fired.to(dtype), spikes.bits_BCQ)
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
    sums = pooled(Dense(dense * 0.3), nn.AvgPool2d(2))
    assert isinstance(sums, Pooled)
    assert torch.equal(sums.dense(), nn.functional.avg_pool2d(dense * 0.3, 2))
    wide = pooled(spikes, nn.AvgPool2d(16, stride=1, padding=8))
    assert isinstance(wide, Pooled)


def test_scaled_spikes_are_counted_too():
    spikes, dense = random_spikes(torch.float64)
    signal = pooled(Scaled(spikes, 2.74), nn.AvgPool2d(2))
    assert isinstance(signal, Scaled)
    assert isinstance(signal.source, Counts)
    torch.testing.assert_close(signal.dense(), nn.functional.avg_pool2d(dense * 2.74, 2), rtol=1e-12, atol=0)


def test_tiling_windows_are_counted_like_others():
    fired = torch.rand((2, 3, 8, 12), generator=torch.Generator().manual_seed(3)) < 0.6
    spikes = Spikes((2, 3, 8, 12), torch.float32, torch.device("cpu"))
    pack_(fired.float(), spikes.bits_BCQ)
    signal = pooled(spikes, nn.AvgPool2d(4))
    assert isinstance(signal, Counts)
    assert torch.equal(signal.dense(), nn.functional.avg_pool2d(fired.float(), 4))


def test_spikes_handed_on_are_given_to_the_first_who_asks_for_all_of_them():
    spikes, dense = random_spikes(torch.float32)
    handed = dense.clone()
    spikes.hand_on(handed)
    assert spikes.dense(slice(0, 2)) is not handed
    spikes.hand_on(handed)
    assert spikes.dense() is handed
    again = spikes.dense()
    assert again is not handed
    assert torch.equal(again, dense)


def test_signals_do_not_write_into_what_others_keep():
    values = torch.rand(SHAPE, generator=torch.Generator().manual_seed(4))
    kept, mask = values.clone(), torch.rand(SHAPE, generator=torch.Generator().manual_seed(5)) < 0.5
    source = Dense(values)
    assert torch.equal(Scaled(source, 2.0).dense(), 2 * kept)
    assert torch.equal(Dropped(Scaled(source, 2.0), mask, 0.5).dense(), 4 * kept * mask)
    assert torch.equal(values, kept)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.AvgPool2d(4), nn.AvgPool2d(3, stride=2, padding=1)])
@pytest.mark.parametrize("shape", [SHAPE, (2, 3, 8, 12)])
def test_poolings_gradient_is_autograds(pool, shape):
    x = torch.zeros(shape, requires_grad=True)
    out = pool(x)
    gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    out.backward(gradient)
    assert torch.equal(pool_backward(gradient, shape, pool), x.grad)
