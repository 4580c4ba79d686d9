"""Batch norm's numbers of one channel, from sums over its batch; kernels are compiled with them inside.

Statistics that are kept, scale and offset are rounded as torch's. After a change here, touch the kernels' files.
"""

from typing import Any

import numpy as np

from stdl_events.scatter.compiled import inlined


@inlined
def settle(
    shift: Any, total: Any, squares: Any, count: int, channel: int, norm_C: Any, momentum: float, eps: float
) -> Any:
    """Keep a channel's statistics, and update the running ones. Returns its scale and offset.

    Args:
        total: sum of the differences from `shift`; `squares` that of their squares.
    """
    weight_C, bias_C, running_mean_C, running_var_C, mean_C, inverse_std_C = norm_C
    above = total / count
    mean, var = shift + above, max(squares / count - above * above, 0.0)
    running_mean_C[channel] = momentum * mean + (1 - momentum) * running_mean_C[channel]
    running_var_C[channel] = momentum * (var * count / (count - 1)) + (1 - momentum) * running_var_C[channel]
    mean_C[channel], inverse_std_C[channel] = mean, 1 / np.sqrt(var + eps)
    scale = inverse_std_C[channel] * weight_C[channel]
    return scale, bias_C[channel] - mean_C[channel] * scale


@inlined
def slopes(total: Any, products: Any, count: int, channel: int, norm_C: Any) -> Any:
    """Add the gradients of a channel's weight and bias. Returns mean, slope, average gradient and scale.

    Args:
        total: sum of the gradients; `products` that of their products with the numbers' differences from the mean.
    """
    weight_C, mean_C, inverse_std_C, grad_weight_C, grad_bias_C = norm_C
    inverse_std = np.float64(inverse_std_C[channel])
    grad_weight_C[channel] += products * inverse_std
    grad_bias_C[channel] += total
    slope = products * inverse_std * inverse_std / count
    return mean_C[channel], slope, total / count, inverse_std_C[channel] * weight_C[channel]
