"""How the kernels' tensors lie in memory: the pixels of a channel in a row, channels behind each other."""

from torch import Tensor

BITS = 8


def in_rows(x_BCHW: Tensor) -> Tensor:
    """`x_BCHW` itself where the kernels can work on it, a copy that they can work on where not."""
    _, channels, height, width = x_BCHW.shape
    expected = (height * width, width, 1)
    sizes = (channels, height, width)
    lies = all(
        size == 1 or found == wanted for size, found, wanted in zip(sizes, x_BCHW.stride()[1:], expected, strict=True)
    )
    return x_BCHW if lies else x_BCHW.contiguous()
