"""The kernels in plain torch: slow, for any device and dtype; the reference of the compiled ones.

The package documents shapes and arguments.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from stdl_events.learning.lean.kernels.layout import BITS, laid_out, lies_channels_last
from stdl_events.network.neurons.eight_bits import LEAST, MOST
from stdl_events.network.surrogate import surrogate_gradient_


def fire_(
    current_BCHW: Tensor, u_BCHW: Tensor, bits_BCQ: Tensor, decay: float, threshold: float, amount: float
) -> None:
    m_BCHW = torch.add(current_BCHW, u_BCHW, alpha=decay)  # STDL eq. (1)
    torch.ge(m_BCHW, threshold, out=current_BCHW)  # STDL eq. (2)
    torch.sub(m_BCHW, current_BCHW, alpha=amount, out=u_BCHW)  # STDL eq. (3)
    pack_(current_BCHW, bits_BCQ)


def surrogate_backward_(
    grad_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    threshold: float,
    amount: float,
    surrogate: str,
    width: float,
) -> None:
    taken = unpack(bits_BCQ, grad_BCHW[0, 0].numel(), u_BCHW.dtype).view(grad_BCHW.shape).mul_(amount)
    grad_BCHW.mul_(surrogate_gradient_(taken.add_(u_BCHW).sub_(threshold), surrogate, width))


def fire_eight_bits_(
    current_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    decay: float,
    threshold: float,
    amount: float,
    step: float,
) -> None:
    dtype = torch.promote_types(current_BCHW.dtype, torch.float32)
    m_BCHW = current_BCHW.to(dtype) + kept_BCHW.to(dtype).mul_(decay * step)
    torch.ge(m_BCHW, threshold, out=current_BCHW)
    u_BCHW = m_BCHW.sub_(current_BCHW.to(dtype) * amount)
    kept_BCHW.copy_(u_BCHW.mul_(1 / step).round_().clamp_(LEAST, MOST))
    pack_(current_BCHW, bits_BCQ)


def surrogate_backward_eight_bits_(
    grad_BCHW: Tensor,
    kept_BCHW: Tensor,
    bits_BCQ: Tensor,
    threshold: float,
    amount: float,
    step: float,
    surrogate: str,
    width: float,
) -> None:
    dtype = torch.promote_types(grad_BCHW.dtype, torch.float32)
    wide_BCHW, u_BCHW = grad_BCHW.to(dtype), kept_BCHW.to(dtype).mul_(step)
    surrogate_backward_(wide_BCHW, u_BCHW, bits_BCQ, threshold, amount, surrogate, width)
    grad_BCHW.copy_(wide_BCHW)


def fire_normed_(
    spikes_BCHW: Tensor,
    y_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    momentum: float,
    eps: float,
    neurons: list[float],
) -> None:
    weight_C, bias_C, running_mean_C, running_var_C, mean_C, inverse_std_C = norm_C
    normed_BCHW, mean, inverse_std = torch.native_batch_norm(
        y_BCHW, weight_C, bias_C, running_mean_C, running_var_C, True, momentum, eps
    )
    spikes_BCHW = spikes_BCHW.copy_(normed_BCHW) if len(spikes_BCHW) else normed_BCHW
    mean_C.copy_(mean)
    inverse_std_C.copy_(inverse_std)
    fire: Callable[..., None] = fire_eight_bits_ if u_BCHW.dtype == torch.int8 else fire_
    fire(spikes_BCHW, u_BCHW, bits_BCQ, *neurons)


def surrogate_backward_normed_(
    grad_BCHW: Tensor,
    y_BCHW: Tensor,
    u_BCHW: Tensor,
    bits_BCQ: Tensor,
    norm_C: list[Tensor],
    neurons: list[float],
    surrogate: str,
    width: float,
) -> None:
    weight_C, mean_C, inverse_std_C, grad_weight_C, grad_bias_C = norm_C
    is_kept = u_BCHW.dtype == torch.int8
    backward: Callable[..., None] = surrogate_backward_eight_bits_ if is_kept else surrogate_backward_
    backward(grad_BCHW, u_BCHW, bits_BCQ, *neurons, surrogate, width)
    found_BCHW, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
        grad_BCHW, y_BCHW, weight_C, None, None, mean_C, inverse_std_C, True, 0.0, [True, True, True]
    )
    grad_BCHW.copy_(found_BCHW)
    grad_weight_C.add_(grad_weight)
    grad_bias_C.add_(grad_bias)


fire_eight_bits_normed_ = fire_normed_
surrogate_backward_eight_bits_normed_ = surrogate_backward_normed_


def pack_(spikes_BCHW: Tensor, bits_BCQ: Tensor) -> None:
    missing = -spikes_BCHW[0, 0].numel() % BITS
    fired = torch.nn.functional.pad(spikes_BCHW.flatten(2) != 0, (0, missing)).unflatten(-1, (-1, BITS))
    bits_BCQ.copy_((fired.to(torch.uint8) << _shifts(fired.device)).sum(-1, dtype=torch.uint8))


def unpack(bits_BCQ: Tensor, pixels: int, dtype: torch.dtype, channels_last: bool = False) -> Tensor:
    spikes_BCP = ((bits_BCQ.unsqueeze(-1) >> _shifts(bits_BCQ.device)) & 1).flatten(-2)[..., :pixels]
    return spikes_BCP.transpose(1, 2).contiguous().transpose(1, 2).to(dtype) if channels_last else spikes_BCP.to(dtype)


def fired(bits_BCQ: Tensor) -> Tensor:
    # Sums of neighbouring bits in place, first of pairs, then of four, then of the whole byte.
    sums = (bits_BCQ & 0x55) + ((bits_BCQ >> 1) & 0x55)
    sums = (sums & 0x33) + ((sums >> 2) & 0x33)
    return ((sums & 0x0F) + (sums >> 4)).sum((1, 2))


def count_(bits_BCQ: Tensor, counts_BCHW: Tensor, window: int) -> None:
    height, width = (size * window for size in counts_BCHW.shape[2:])
    spikes_BCHW = unpack(bits_BCQ, height * width, torch.uint8).unflatten(2, (height, width))
    tiles = spikes_BCHW.unflatten(3, (-1, window)).unflatten(2, (-1, window))
    counts_BCHW.copy_(tiles.sum((3, 5)))


def spread(grad_BCHW: Tensor, window: int) -> Tensor:
    tiles = (grad_BCHW / (window * window))[:, :, :, None, :, None].expand(-1, -1, -1, window, -1, window)
    return laid_out(tiles.flatten(4).flatten(2, 3), channels_last=lies_channels_last(grad_BCHW))


def _shifts(device: torch.device) -> Tensor:
    return torch.arange(BITS - 1, -1, -1, dtype=torch.uint8, device=device)
