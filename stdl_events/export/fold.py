"""The network for inference: norms folded into convolutions, no parts that only training needs."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stdl_events.network.network import SpikingNetwork
from stdl_events.network.units import ScaledWSConv2d


def fold_norms(network: SpikingNetwork) -> SpikingNetwork:
    """Return a copy of `network` in evaluation mode whose every synapse is one plain convolution.

    Batch norm is folded into the weights with its running statistics; standardised weights become plain ones. The copy
    computes the same up to rounding; `network` is not modified.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(folded.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Sequential) and len(child) and isinstance(child[0], nn.Conv2d):
                setattr(module, name, _fold(child))
    return folded


def _fold(synapse: nn.Sequential) -> nn.Conv2d:
    conv = synapse[0]
    assert isinstance(conv, nn.Conv2d), "a synapse starts with its convolution"
    if len(synapse) == 2:
        norm = synapse[1]
        assert isinstance(norm, nn.BatchNorm2d), "only batch norm follows a synapse's convolution"
        return fuse_conv_bn_eval(conv, norm)
    return _plain(conv) if isinstance(conv, ScaledWSConv2d) else conv


def _plain(conv: ScaledWSConv2d) -> nn.Conv2d:
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    padding = conv.padding[0]
    assert isinstance(padding, int), "the notation pads by numbers, alike in both directions"
    weight = conv.standardised_weight()
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        kernel,
        stride,
        padding,
        bias=conv.bias is not None,
        dtype=weight.dtype,
        device=weight.device,
    ).requires_grad_(False)
    plain.weight.copy_(weight)
    if conv.bias is not None and plain.bias is not None:
        plain.bias.copy_(conv.bias)
    return plain
