"""The sizes of a convolution, and of the tiles in which the kernels work on its output channels."""

import dataclasses

from stdl_events.errors import ShapeError

# Rows of a tile of the weights, together, stay in a core's second cache.
TILE_BYTES = 320 * 2**10
# Narrower tiles are not worth the offsets that are read for each.
LEAST_WIDTH_BYTES = 128


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Sizes of a 2-d convolution with a square kernel, without groups and without dilation.

    Args:
        inputs: input channels.
        outputs: output channels.
        height, width: of the input, in pixels.
        kernel, stride, padding: in pixels, equal along both axes.

    Raises:
        ShapeError: a size is impossible, or the kernel is larger than the padded input.
    """

    inputs: int
    outputs: int
    height: int
    width: int
    kernel: int
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        sizes = (self.inputs, self.outputs, self.height, self.width, self.kernel, self.stride)
        smallest = min(self.height, self.width) + 2 * self.padding
        if min(sizes) < 1 or self.padding < 0 or smallest < self.kernel:
            raise ShapeError(
                "convolution",
                got=f"{self}",
                expected="positive sizes, and a kernel within the padded input",
                todo="change the kernel, the padding or the input",
            )

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def taps(self) -> int:
        """Weights of a channel pair."""
        return self.kernel * self.kernel

    def tile(self, number_bytes: int) -> int:
        """Output channels of a tile, a multiple of a vector's numbers; the last tile may be partly unused."""
        lanes = 32 // number_bytes
        room = TILE_BYTES // (self.inputs * self.taps * number_bytes)
        widest = max(LEAST_WIDTH_BYTES // number_bytes, room // (2 * lanes) * 2 * lanes)
        whole = -(-self.outputs // lanes) * lanes
        if widest >= whole:
            return whole
        tiles = -(-whole // widest)
        return -(-whole // (tiles * lanes)) * lanes
