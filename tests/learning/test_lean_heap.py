"""Parts of a layer leave nothing of their own in the heap: a small tensor between large ones keeps them apart."""

import gc

import pytest
import torch
from torch import Tensor, nn

from stdl_events.learning.lean.parts import PartSizes, channel_parts, part_sizes
from stdl_events.learning.lean.signals import Counts, Dense
from stdl_events.learning.lean.synapse import LeanSynapse
from stdl_events.memory.meter import metering
from stdl_events.network.layers import SpikingUnit
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec


def synapse_of(channels: int, *, training: bool) -> LeanSynapse:
    spec = NetworkSpec.parse(f"{channels}C3-3FC", input_shape=(2, 6, 6))
    network = SpikingNetwork.build(spec, seed=0, dtype=torch.float64).train(training)
    body = network.layers_in_order()[0].body
    assert isinstance(body, SpikingUnit)
    frames_BCHW = torch.rand((4, 2, 6, 6), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return LeanSynapse(body.synapse, Dense(frames_BCHW))


def tensors() -> int:
    gc.collect()
    return sum(type(each) in (Tensor, nn.Parameter) for each in gc.get_objects())


@torch.no_grad()
def left_by(parts: int, *, training: bool) -> int:
    """Tensors that a layer's forward has left for its backward, beside those of its start."""
    with part_sizes(PartSizes(channel_bytes=1, most=parts)):
        synapse = synapse_of(8, training=training)
        runs = channel_parts(synapse.shape, torch.float64)
        before = tensors()
        for channels in runs:
            synapse.current(channels)
        synapse.pause()
        assert len(runs) == parts
        return tensors() - before


@pytest.mark.parametrize("training", [True, False])
def test_more_parts_leave_no_more_tensors(training: bool) -> None:
    assert left_by(8, training=training) == left_by(1, training=training) == 0


@torch.no_grad()
def test_the_statistics_of_all_parts_are_those_of_the_layer() -> None:
    with part_sizes(PartSizes(channel_bytes=1, most=4)):
        synapse = synapse_of(8, training=True)
        currents = [synapse.current(channels) for channels in channel_parts(synapse.shape, torch.float64)]
        synapse.pause()
        gradient_BCHW = torch.rand(synapse.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        runs = channel_parts(synapse.shape, torch.float64)
        found = [synapse.backward(channels, gradient_BCHW[:, channels]) for channels in runs]
    normed_BCHW, pixels = torch.cat(currents, 1), gradient_BCHW.shape[0] * gradient_BCHW.shape[2:].numel()
    assert normed_BCHW.mean((0, 2, 3)).abs().max() < 1e-12
    mean_BCHW = gradient_BCHW.mean((0, 2, 3), keepdim=True)
    share_BCHW = normed_BCHW * (gradient_BCHW * normed_BCHW).sum((0, 2, 3), keepdim=True) / pixels
    expected_BCHW = gradient_BCHW - mean_BCHW - share_BCHW  # times 1 / standard deviation, one number per channel
    ratio_BCHW = torch.cat(found, 1) / expected_BCHW
    assert (ratio_BCHW - ratio_BCHW[:1, :, :1, :1]).abs().max() < 1e-6 * ratio_BCHW.abs().max()


def backward_peak_bytes(runs: int) -> tuple[int, int]:
    """The peak of `finish` above its beginning, and the bytes of the unpacked input, for so many runs of samples."""
    with metering() as live, part_sizes(PartSizes(sample_bytes=1, most=runs)), torch.no_grad():
        spec = NetworkSpec.parse("3C3-8C3(s2)-3FC", input_shape=(2, 16, 16))
        body = SpikingNetwork.build(spec).layers_in_order()[1].body
        assert isinstance(body, SpikingUnit)
        counts = Counts(torch.zeros((8, 3, 16, 16), dtype=torch.uint8), torch.float32)
        synapse = LeanSynapse(body.synapse, counts)
        gradient_BCHW = torch.zeros(synapse.shape)
        synapse.finish(gradient_BCHW, needs_input=False)  # makes room for the weight's gradient
        live.reset_peak()
        began_bytes = live.now
        synapse.finish(gradient_BCHW, needs_input=True)
        return live.peak - began_bytes, 8 * 3 * 16 * 16 * 4


@pytest.mark.parametrize("runs", [2, 4, 8])
def test_the_input_and_its_gradient_are_not_in_memory_together_part_by_part(runs: int) -> None:
    peak_bytes, input_bytes = backward_peak_bytes(runs)
    small_bytes = 3 * 8 * 3 * 9 * 4  # gradients of the weight
    assert peak_bytes <= input_bytes + input_bytes // runs + small_bytes
