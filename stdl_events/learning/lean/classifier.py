"""The classifier in lean mode: global average pooling and a linear layer.

B batch, C channels, H height, W width, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stdl_events.learning.lean.parts import accumulate, in_dtype, sample_parts
from stdl_events.learning.lean.signals import Dense, Signal, presynaptic
from stdl_events.learning.lean.steps import Step
from stdl_events.network.layers import ClassifierBody


def classifier_step(body: ClassifierBody, x: Signal) -> Step:
    """One step of a classifier; its output are logits_BK."""
    weight, bias = body.linear.weight, body.linear.bias

    def pooled_BC(signal: Signal) -> Tensor:
        parts = sample_parts(signal.shape, signal.dtype)
        means = [in_dtype(signal.dense(samples).mean((2, 3)), weight.dtype) for samples in parts]
        return means[0] if len(means) == 1 else torch.cat(means)

    in_BC = pooled_BC(x)
    learned_BC = in_BC if presynaptic(x) is x else pooled_BC(presynaptic(x))
    logits_BK = F.linear(in_BC, weight, bias)

    def backward(gradients: list[Tensor], needs_input: bool) -> Tensor | None:
        grad_BK = gradients.pop()
        accumulate(weight, grad_BK.T @ learned_BC)
        accumulate(bias, grad_BK.sum(0))
        if not needs_input:
            return None
        height, width = x.shape[2:]
        grad_BC = grad_BK @ weight.detach() / (height * width)
        layout = torch.channels_last if x.channels_last else torch.contiguous_format
        return in_dtype(grad_BC, x.dtype)[:, :, None, None].expand(x.shape).contiguous(memory_format=layout)

    return Step(Dense(logits_BK), (), backward)
