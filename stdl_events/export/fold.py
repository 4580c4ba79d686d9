"""The network for inference: norms folded into convolutions, no parts that only training needs."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stdl_events.network.network import SpikingNetwork
from stdl_events.network.synapse import ScaledWSConv2d, Synapse


def fold_norms(network: SpikingNetwork) -> SpikingNetwork:
    """Return a copy of `network` in evaluation mode whose every synapse is one plain convolution.

    Batch norm is folded into the weights with its running statistics; standardised weights become plain ones. A norm
    of another kind stays behind its convolution. The copy computes the same up to rounding; `network` is not modified.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(folded.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Synapse):
                setattr(module, name, _fold(child))
    return folded


def _fold(synapse: Synapse) -> nn.Module:
    conv = _plain(synapse.conv) if isinstance(synapse.conv, ScaledWSConv2d) else synapse.conv
    if isinstance(synapse.norm, nn.BatchNorm2d):
        return fuse_conv_bn_eval(conv, synapse.norm)
    return conv if synapse.norm is None else Synapse(conv, synapse.norm)


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
