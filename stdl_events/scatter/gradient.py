"""The weights' gradient for sparse inputs: each non-zero adds rows of the output's gradient, one for each tap.

The output's gradient is copied tile by tile, some lines or samples at a time, with the tile's channels contiguous and a
border of zeros, so that a tap's rows are those of the non-zeros, moved by a constant. With a stride s, the non-zeros
are listed by their place modulo s, since each tap meets one such place only.

B batch, C channels, H height, W width, O output channels, k kernel.
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import prange

from stdl_events.scatter.compiled import compiled, inlined, run
from stdl_events.scatter.events import BITS, Array, Empty, Nonzeros, Sizes, bytes_of, find_pixels, packing_bytes, shift
from stdl_events.scatter.geometry import Geometry
from stdl_events.scatter.rows import VECTOR_BYTES, add_rows

# Of the gradient's copy that a worker reads again and again; half of a second cache.
_CHUNK_BYTES = 256 * 2**10
_WIDEST_VECTORS = 8


@dataclasses.dataclass(frozen=True)
class _Layout:
    """The copy of the output's gradient: `lines` by `columns` pixels per sample, in bands of lines."""

    lines: int
    columns: int
    border: int
    band: int
    samples: int
    tile: int

    @classmethod
    def of(cls, g: Geometry, batch: int, number_bytes: int) -> "_Layout":
        border = (g.kernel - 1) // g.stride
        lines = (g.height - 1 + g.padding) // g.stride + 1
        columns = (g.width - 1 + g.padding) // g.stride + 1 + border
        lanes = VECTOR_BYTES // number_bytes
        tile = min(_WIDEST_VECTORS * lanes, -(-g.outputs // lanes) * lanes)
        band = max(1, min(lines, _CHUNK_BYTES // (columns * tile * number_bytes) - border))
        samples = 1
        if band == lines:
            samples = max(1, min(batch, _CHUNK_BYTES // ((lines + border) * columns * tile * number_bytes)))
        return cls(lines, columns, border, band, samples, tile)

    @property
    def bands(self) -> int:
        return -(-self.lines // self.band)

    @property
    def sample_size(self) -> int:
        """Numbers of a sample's copy of one band."""
        return (self.band + self.border) * self.columns * self.tile


def weight_gradient(
    nonzeros: Nonzeros,
    grad_BOHW: Array,
    geometry: Geometry,
    out_OCkk: Array,
    *,
    threads: int = 1,
    empty: Empty = np.empty,
) -> None:
    """Write the gradient of a convolution's weights to `out_OCkk`, from that of its output.

    The result does not depend on the number of threads.

    Args:
        grad_BOHW: contiguous, float32 or float64, as is `out_OCkk`.
        empty: allocates the temporary arrays.
    """
    batch, dtype, g = len(grad_BOHW), grad_BOHW.dtype, geometry
    at, groups, workers = _division(g, batch, dtype, threads)
    sizes = _sizes(g, batch, nonzeros.total, dtype, threads, has_values=nonzeros.values_BCP is not None)
    made = {name: empty(*size) for name, size in sizes.items()}
    found, sums, copies, runs = (made[name].reshape(workers, -1) for name in ("found", "sums", "copies", "runs"))
    keys, values, ends, firsts = (made[name] for name in ("keys", "values", "ends", "firsts"))
    firsts[:] = nonzeros.ones_BC.reshape(-1)
    shift(firsts)
    run(
        _list, threads, nonzeros.bits_BCQ.reshape(-1), nonzeros.numbers, firsts, g.width, g.height * g.width, g.stride,
        g.padding, at.columns, at.band, at.bands, at.tile, workers, found, ends, keys, values,
    )  # fmt: skip
    run(
        _accumulate, threads, ends, keys, values, grad_BOHW.reshape(-1), out_OCkk.reshape(-1),
        dtype.type(nonzeros.scale), batch, g.inputs, g.outputs, g.kernel, g.stride, g.out_height, g.out_width,
        at.columns, at.border, at.band, at.bands, at.samples, at.tile, groups, workers, sums, copies, runs,
    )  # fmt: skip


def gradient_bytes(
    geometry: Geometry, batch: int, total: int, dtype: npt.DTypeLike, *, has_values: bool, threads: int = 1
) -> int:
    """Bytes of all temporary arrays of `weight_gradient` and of its non-zeros, `total` of them."""
    g = geometry
    packed = packing_bytes(batch, g.inputs, g.height * g.width, has_values=has_values)
    return packed + bytes_of(_sizes(g, batch, total, dtype, threads, has_values=has_values))


def _division(g: Geometry, batch: int, dtype: npt.DTypeLike, threads: int) -> tuple[_Layout, int, int]:
    """The layout; the groups of input channels, so that there is work for all threads; and the workers."""
    at = _Layout.of(g, batch, np.dtype(dtype).itemsize)
    tiles = -(-g.outputs // at.tile)
    groups = min(g.inputs, -(-threads // tiles))
    return at, groups, min(threads, tiles * groups)


def _sizes(g: Geometry, batch: int, total: int, dtype: npt.DTypeLike, threads: int, *, has_values: bool) -> Sizes:
    at, groups, workers = _division(g, batch, dtype, threads)
    return {
        "firsts": (batch * g.inputs, np.int64),
        "ends": (batch * g.inputs * at.bands * g.stride * g.stride + 1, np.int32),
        "keys": (total, np.int32),
        "values": (total if has_values else 0, dtype),
        "found": (workers * (g.height * g.width + BITS), np.int32),
        "sums": (workers * -(-g.inputs // groups) * g.taps * at.tile, dtype),
        "copies": (workers * at.samples * at.sample_size, dtype),
        "runs": (workers * 3 * at.samples, np.int64),
    }


@compiled
def _list(
    bits: Any, source: Any, firsts: Any, width: int, pixels: int, stride: int, padding: int, columns: int, band: int,
    bands: int, tile: int, workers: int, found: Any, ends: Any, keys: Any, values: Any,
) -> None:  # fmt: skip
    """List each channel's non-zeros by band, then by place modulo the stride, then by pixel."""
    count, places = (pixels + 7) // 8, stride * stride
    ends[0] = 0
    for worker in prange(workers):
        pixel_at = found[worker]
        for row in range(worker, len(firsts), workers):
            number, to, index = find_pixels(bits, row * count, count, pixel_at), firsts[row], 0
            for part in range(bands):
                begin = index
                while index < number and (pixel_at[index] // width + padding) // stride < (part + 1) * band:
                    index += 1
                for place in range(places):
                    for event in range(begin, index):
                        pixel = pixel_at[event]
                        y, x = pixel // width + padding, pixel % width + padding
                        if places == 1 or y % stride * stride + x % stride == place:
                            keys[to] = ((y // stride - part * band) * columns + x // stride) * tile
                            if len(values) > 0:
                                values[to] = source[row * pixels + pixel]
                            to += 1
                    ends[(row * bands + part) * places + place + 1] = to


@compiled
def _accumulate(
    ends: Any, keys: Any, values: Any, grad: Any, out: Any, scale: Any, batch: int, inputs: int, outputs: int,
    kernel: int, stride: int, out_height: int, out_width: int, columns: int, border: int, band: int, bands: int,
    samples: int, tile: int, groups: int, workers: int, sums: Any, copies: Any, runs: Any,
) -> None:  # fmt: skip
    taps, tiles, each = kernel * kernel, (outputs + tile - 1) // tile, (inputs + groups - 1) // groups
    for worker in prange(workers):
        total, copy, run = sums[worker], copies[worker], runs[worker]
        for task in range(worker, tiles * groups, workers):
            first, channel = task // groups * tile, task % groups * each
            real, last = min(tile, outputs - first), min(channel + each, inputs)
            total[:] = 0
            for sample in range(0, batch, samples):
                some = min(samples, batch - sample)
                for part in range(bands):
                    for index in range(some):
                        _copy(
                            grad, ((sample + index) * outputs + first) * out_height * out_width, out_height, out_width,
                            part * band, columns, border, band, real, tile, copy, index,
                        )  # fmt: skip
                    _add(
                        ends, keys, values, sample, some, part, channel, last, inputs, kernel, stride, columns, border,
                        band, bands, tile, total, copy, run,
                    )  # fmt: skip
            for input in range(channel, last):
                for tap in range(taps):
                    for output in range(real):
                        found = total[((input - channel) * taps + tap) * tile + output] * scale
                        out[((first + output) * inputs + input) * taps + tap] = found


@inlined
def _copy(
    grad: Any, at: int, out_height: int, out_width: int, top: int, columns: int, border: int, band: int, real: int,
    tile: int, copy: Any, index: int,
) -> None:  # fmt: skip
    """Copy the lines of a band and the `border` above it, channels contiguous; what is outside is zero."""
    some = min(out_width, columns - border)
    for line in range(band + border):
        y = top + line - border
        to = (index * (band + border) + line) * columns * tile
        line_XC = copy[to : to + columns * tile]
        line_XC[:] = 0
        if y < 0 or y >= out_height:
            continue
        for channel in range(real):
            grad_W = grad[at + (channel * out_height + y) * out_width : at + (channel * out_height + y + 1) * out_width]
            for x in range(some):
                line_XC[(x + border) * tile + channel] = grad_W[x]


@inlined
def _add(
    ends: Any, keys: Any, values: Any, sample: int, some: int, part: int, channel: int, last: int, inputs: int,
    kernel: int, stride: int, columns: int, border: int, band: int, bands: int, tile: int, total: Any, copy: Any,
    run: Any,
) -> None:  # fmt: skip
    places, taps = stride * stride, kernel * kernel
    for input in range(channel, last):
        for line in range(kernel):
            for column in range(kernel):
                place = line % stride * stride + column % stride
                move = ((border - line // stride) * columns + border - column // stride) * tile
                for index in range(some):
                    at = (((sample + index) * inputs + input) * bands + part) * places + place
                    run[3 * index] = ends[at]
                    run[3 * index + 1] = ends[at + 1]
                    run[3 * index + 2] = index * (band + border) * columns * tile + move
                at_sum = ((input - channel) * taps + line * kernel + column) * tile
                add_rows(total, at_sum, tile, copy, keys, values, run, some)
