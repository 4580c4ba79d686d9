"""What the class weights of a loss make of a batch: its weight among others, and the shares of its clips."""

import dataclasses

import torch
from torch import Tensor

from stdl_events.learning.losses import CrossEntropy, Loss
from stdl_events.learning.targets import clip_weights


def batch_weight(loss: Loss, targets_B: Tensor) -> Tensor | float:
    """The weight of a batch in the mean over several: its clips, or the sum of their classes' weights."""
    weights = loss.class_weights if isinstance(loss, CrossEntropy) else None
    if weights is None:
        return float(len(targets_B))
    weights_K = weights if isinstance(weights, Tensor) else torch.tensor(weights, device=targets_B.device)
    return clip_weights(weights_K, targets_B).sum()


def clip_shares(loss: Loss, targets_B: Tensor) -> Tensor | None:
    """The weight of each clip in the mean over its batch, which sum to 1; None where they are equal."""
    weights = loss.class_weights if isinstance(loss, CrossEntropy) else None
    if weights is None:
        return None
    weights_K = weights if isinstance(weights, Tensor) else torch.tensor(weights, device=targets_B.device)
    weights_B = clip_weights(weights_K, targets_B)
    return weights_B / weights_B.sum()


def resident_loss(loss: Loss, device: torch.device, dtype: torch.dtype) -> Loss:
    """`loss` with its class weights as a tensor on the device, so that no step copies them there."""
    if isinstance(loss, CrossEntropy) and loss.class_weights is not None:
        weights_K = torch.as_tensor(loss.class_weights, dtype=dtype).to(device)
        return dataclasses.replace(loss, class_weights=weights_K)
    return loss
