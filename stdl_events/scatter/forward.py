"""Convolution of sparse inputs: each output pixel adds the weights' rows of the non-zero inputs in its window.

The weights of some output channels, a tile, are copied with the output channels contiguous, so that an input's
contribution is one row. The non-zeros of a line of pixels are listed one after the other, so that a window has one run
of them per line.

B batch, C channels, H height, W width, P pixels (H W), Q = ceil(P / 8) bytes, k kernel.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import prange

from stdl_events.scatter.compiled import compiled, inlined, run
from stdl_events.scatter.events import BITS, Array, Empty, Nonzeros, Sizes, bytes_of, find_pixels, packing_bytes, shift
from stdl_events.scatter.geometry import Geometry
from stdl_events.scatter.rows import add_rows


def convolve(
    nonzeros: Nonzeros,
    weight_OCkk: Array,
    bias_O: Array | None,
    geometry: Geometry,
    out_BOHW: Array,
    *,
    threads: int = 1,
    empty: Empty = np.empty,
    tiles: Array | None = None,
) -> None:
    """Write the convolution of sparse inputs to `out_BOHW`.

    The result does not depend on the number of threads.

    Args:
        weight_OCkk: contiguous, float32 or float64, as is all else.
        out_BOHW: contiguous.
        empty: allocates the temporary arrays.
        tiles: result of `tiled` for these weights, which are then not copied again; for inputs of scale 1.
    """
    batch, dtype, g = len(out_BOHW), weight_OCkk.dtype, geometry
    tile, workers = g.tile(dtype.itemsize), _workers(g, batch, threads)
    sizes = _sizes(g, batch, nonzeros.total, dtype, threads, has_values=nonzeros.values_BCP is not None)
    made = {name: empty(*size) for name, size in sizes.items()}
    starts_BP, found, rows, runs = (
        made[name].reshape(count, -1)
        for name, count in (("starts", batch), ("found", workers), ("rows", workers), ("runs", workers))
    )
    keys, values, table, bias, firsts_B = (made[name] for name in ("keys", "values", "table", "bias", "firsts"))
    np.sum(nonzeros.ones_BC, axis=1, out=firsts_B)
    shift(firsts_B)
    run(
        _list, threads, nonzeros.bits_BCQ.reshape(-1), nonzeros.numbers, firsts_B, g.inputs, g.height, g.width, tile,
        workers, found, starts_BP, keys, values,
    )  # fmt: skip
    assert tiles is None or nonzeros.scale == 1, "the copied weights have no factor"
    for number, first in enumerate(range(0, g.outputs, tile)):
        real = min(tile, g.outputs - first)
        bias[:real] = 0.0 if bias_O is None else bias_O[first : first + real]
        bias[real:] = 0.0
        if tiles is None:
            _copy_tile(weight_OCkk, nonzeros.scale, g, number, table, threads)
        else:
            table = tiles[number]
        run(
            _convolve, threads, starts_BP, keys, values, table, bias, out_BOHW.reshape(-1), batch, g.inputs, g.height,
            g.width, g.kernel, g.stride, g.padding, g.outputs, g.out_height, g.out_width, first, real, tile, workers,
            rows, runs,
        )  # fmt: skip


def tiled(weight_OCkk: Array, geometry: Geometry, *, threads: int = 1) -> Array:
    """The weights as `convolve` reads them, for callers whose weights do not change: [tiles, numbers of a tile]."""
    tile = geometry.tile(weight_OCkk.dtype.itemsize)
    count = -(-geometry.outputs // tile)
    tiles = np.empty((count, geometry.taps * geometry.inputs * tile), weight_OCkk.dtype)
    for number in range(count):
        _copy_tile(weight_OCkk, 1.0, geometry, number, tiles[number], threads)
    return tiles


def _copy_tile(weight_OCkk: Array, scale: float, g: Geometry, number: int, table: Array, threads: int) -> None:
    tile = g.tile(weight_OCkk.dtype.itemsize)
    first = number * tile
    real, factor = min(tile, g.outputs - first), weight_OCkk.dtype.type(scale)
    run(_tile_weights, threads, weight_OCkk.reshape(-1), factor, g.inputs, g.taps, first, real, tile, table)


def convolution_bytes(
    geometry: Geometry, batch: int, total: int, dtype: npt.DTypeLike, *, has_values: bool, threads: int = 1
) -> int:
    """Bytes of all temporary arrays of `convolve` and of its non-zeros, `total` of them."""
    g = geometry
    packed = packing_bytes(batch, g.inputs, g.height * g.width, has_values=has_values)
    return packed + bytes_of(_sizes(g, batch, total, dtype, threads, has_values=has_values))


def _workers(g: Geometry, batch: int, threads: int) -> int:
    return max(1, min(threads, batch * g.out_height))


def _sizes(g: Geometry, batch: int, total: int, dtype: npt.DTypeLike, threads: int, *, has_values: bool) -> Sizes:
    tile, pixels, workers = g.tile(np.dtype(dtype).itemsize), g.height * g.width, _workers(g, batch, threads)
    return {
        "firsts": (batch, np.int64),
        "starts": (batch * (pixels + 2), np.int32),
        "keys": (total, np.int32),
        "values": (total if has_values else 0, dtype),
        "found": (workers * (pixels + BITS), np.int32),
        "table": (g.taps * g.inputs * tile, dtype),
        "bias": (tile, dtype),
        "rows": (workers * g.out_width * tile, dtype),
        "runs": (workers * 3 * g.kernel, np.int64),
    }


@compiled
def _list(
    bits: Any, source: Any, firsts: Any, channels: int, height: int, width: int, tile: int, workers: int, found: Any,
    starts: Any, keys: Any, values: Any,
) -> None:  # fmt: skip
    """List each sample's non-zeros: pixel p has keys[starts[p] : starts[p + 1]], its channels in order."""
    for worker in prange(workers):
        for sample in range(worker, len(firsts), workers):
            _list_sample(
                bits, source, sample, firsts[sample], channels, height, width, tile, found[worker], starts[sample],
                keys, values,
            )  # fmt: skip


@inlined
def _list_sample(
    bits: Any, source: Any, sample: int, first: int, channels: int, height: int, width: int, tile: int, found: Any,
    starts: Any, keys: Any, values: Any,
) -> None:  # fmt: skip
    pixels = height * width
    count = (pixels + 7) // 8
    starts[:] = 0
    for row in range(sample * channels, (sample + 1) * channels):
        for index in range(find_pixels(bits, row * count, count, found)):
            starts[found[index] + 2] += 1
    starts[1] = first
    for pixel in range(1, pixels + 1):
        starts[pixel + 1] += starts[pixel]
    starts[0] = first
    for channel in range(channels):
        row = sample * channels + channel
        for index in range(find_pixels(bits, row * count, count, found)):
            pixel = found[index]
            place = starts[pixel + 1]
            keys[place] = (pixel % width * channels + channel) * tile
            if len(values) > 0:
                values[place] = source[row * pixels + pixel]
            starts[pixel + 1] = place + 1


@compiled
def _tile_weights(
    weight: Any, scale: Any, inputs: int, taps: int, first: int, real: int, tile: int, table: Any
) -> None:
    """Copy the weights of a tile: table[tap, input, output]."""
    for channel in prange(inputs):
        for tap in range(taps):
            at = (tap * inputs + channel) * tile
            for output in range(real):
                table[at + output] = weight[((first + output) * inputs + channel) * taps + tap] * scale
            for output in range(real, tile):
                table[at + output] = 0


@compiled
def _convolve(
    starts: Any, keys: Any, values: Any, table: Any, bias: Any, out: Any, batch: int, inputs: int, height: int,
    width: int, kernel: int, stride: int, padding: int, outputs: int, out_height: int, out_width: int, first: int,
    real: int, tile: int, workers: int, rows: Any, runs: Any,
) -> None:  # fmt: skip
    out_pixels = out_height * out_width
    for worker in prange(workers):
        row, run = rows[worker], runs[worker]
        for task in range(worker, batch * out_height, workers):
            sample, y = task // out_height, task % out_height
            start = starts[sample]
            top = y * stride - padding
            upper, lower = max(top, 0), min(top + kernel, height)
            for x in range(out_width):
                row[x * tile : (x + 1) * tile] = bias
                left = x * stride - padding
                begin, end = min(max(left, 0), width), max(min(left + kernel, width), 0)
                for line in range(upper, lower):
                    at = 3 * (line - upper)
                    run[at] = start[line * width + begin]
                    run[at + 1] = start[line * width + end]
                    run[at + 2] = ((line - top) * kernel - left) * inputs * tile
                add_rows(row, x * tile, tile, table, keys, values, run, lower - upper)
            at = (sample * outputs + first) * out_pixels + y * out_width
            for channel in range(real):
                line_W = out[at + channel * out_pixels : at + channel * out_pixels + out_width]
                for x in range(out_width):
                    line_W[x] = row[x * tile + channel]
