"""Kernels for sparse inputs against torch's dense convolution in float64, and against the bytes that they state."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stdl_events.errors import ShapeError
from stdl_events.scatter import (
    Geometry,
    Nonzeros,
    convolution_bytes,
    convolve,
    forward_break_even,
    from_bits,
    from_values,
    gradient_bytes,
    sample,
    tiled,
    weight_break_even,
    weight_gradient,
)
from stdl_events.scatter.break_even import fixed_break_even

# Inputs, outputs, height, width, kernel, stride, padding.
SHAPES = [
    (5, 9, 11, 13, 3, 1, 1),
    (3, 70, 9, 7, 3, 2, 1),
    (2, 4, 8, 8, 5, 2, 2),
    (6, 3, 7, 5, 1, 1, 0),
    (4, 8, 7, 6, 1, 2, 0),
    (3, 5, 9, 9, 4, 3, 2),
    (2, 3, 4, 4, 2, 1, 3),
    (2, 40, 70, 65, 3, 1, 1),
    (2, 33, 66, 64, 3, 2, 0),
    (1, 1, 1, 1, 1, 1, 0),
]


def drawn(seed: int) -> Iterator[tuple[tuple[int, ...], float, int]]:
    """Random shapes, densities and batch sizes."""
    rng = np.random.default_rng(seed)
    for _ in range(40):
        kernel, stride, padding = rng.integers(1, 6), rng.integers(1, 4), rng.integers(0, 4)
        height, width = rng.integers(max(1, kernel - 2 * padding), 14, 2)
        sizes = (*rng.integers(1, 12, 2), height, width, kernel, stride, padding)
        yield tuple(map(int, sizes)), float(rng.choice([0.0, 0.05, 0.3, 1.0])), int(rng.integers(1, 5))


def case(shape: tuple[int, ...], density: float, batch: int) -> tuple[Geometry, Tensor, Tensor, Tensor]:
    """Geometry, counts up to 3, weights, bias; float64."""
    geometry = Geometry(*shape)
    generator = torch.Generator().manual_seed(3)
    sizes = (batch, geometry.inputs, geometry.height, geometry.width)
    fired = torch.rand(sizes, generator=generator) < density
    x = torch.randint(1, 4, sizes, generator=generator).double() * fired
    weight = torch.randn((geometry.outputs, geometry.inputs, *(geometry.kernel,) * 2), generator=generator)
    return geometry, x, weight.double(), torch.randn(geometry.outputs, generator=generator).double()


def dense(geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Output, a gradient of it, and that of the weights."""
    learned = weight.clone().requires_grad_()
    out = torch.nn.functional.conv2d(x, learned, bias, stride=geometry.stride, padding=geometry.padding)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).double()
    (found,) = torch.autograd.grad(out, [learned], grad)
    return out.detach(), grad, found


def scattered(
    nonzeros: Nonzeros, geometry: Geometry, weight: Tensor, bias: Tensor | None, grad: Tensor, **options: Any
) -> tuple[Tensor, Tensor]:
    """Output and gradient of the weights, in arrays that were poisoned."""
    out, found = torch.full(grad.shape, torch.nan, dtype=grad.dtype), torch.full_like(weight, torch.nan)
    convolve(nonzeros, weight.numpy(), None if bias is None else bias.numpy(), geometry, out.numpy(), **options)
    weight_gradient(nonzeros, grad.numpy(), geometry, found.numpy(), **options)
    return out, found


@pytest.mark.parametrize(("shape", "density", "batch"), [(shape, 0.2, 3) for shape in SHAPES] + list(drawn(0)))
def test_forward_and_the_weights_gradient_are_those_of_the_dense_convolution(shape, density, batch):
    geometry, x, weight, bias = case(shape, density, batch)
    out, grad, learned = dense(geometry, x, weight, bias)
    spikes_out, _, spikes_learned = dense(geometry, 0.75 * (x != 0).double(), weight, None)
    values = x.flatten(2).numpy()
    for nonzeros in (from_values(values), from_values(values.astype(np.uint8)), from_values(values / 4, scale=4.0)):
        assert nonzeros.total == np.count_nonzero(values)
        found = scattered(nonzeros, geometry, weight, bias, grad)
        torch.testing.assert_close(found, (out, learned), rtol=1e-12, atol=1e-12)
    bits = np.packbits(values != 0, axis=2)
    found = scattered(from_bits(bits, scale=0.75), geometry, weight, None, grad)
    torch.testing.assert_close(found, (spikes_out, spikes_learned), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_results_do_not_depend_on_threads_and_float32_is_as_exact_as_torch(shape):
    geometry, x, weight, bias = case(shape, 0.2, 3)
    out, grad, learned = dense(geometry, x, weight, bias)
    x, weight, bias, grad = (tensor.float() for tensor in (x, weight, bias, grad))
    one, three = (
        scattered(from_values(x.flatten(2).numpy(), threads=threads), geometry, weight, bias, grad, threads=threads)
        for threads in (1, 3)
    )
    for first, second, wanted in zip(one, three, (out, learned), strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first.double(), wanted, rtol=1e-3, atol=1e-3)
    again, tiles = torch.full_like(one[0], torch.nan), tiled(weight.numpy(), geometry)
    convolve(from_values(x.flatten(2).numpy()), weight.numpy(), bias.numpy(), geometry, again.numpy(), tiles=tiles)
    assert torch.equal(again, one[0]), "weights that were copied before"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_temporary_arrays_take_the_bytes_that_are_stated(shape, threads):
    geometry, x, weight, bias = case(shape, 0.2, 3)
    _, grad, _ = dense(geometry, x, weight, bias)
    taken: list[int] = []

    def empty(count: int, dtype: Any) -> Any:
        array = np.empty(count, dtype)
        taken.append(array.nbytes)
        return array

    nonzeros = from_values(x.flatten(2).numpy(), empty=empty)
    packing = sum(taken)
    options = {"has_values": True, "threads": threads}
    convolve(nonzeros, weight.numpy(), None, geometry, grad.numpy().copy(), empty=empty, threads=threads)
    assert sum(taken) == convolution_bytes(geometry, 3, nonzeros.total, "float64", **options)
    del taken[:]
    weight_gradient(nonzeros, grad.numpy(), geometry, weight.numpy().copy(), empty=empty, threads=threads)
    assert packing + sum(taken) == gradient_bytes(geometry, 3, nonzeros.total, "float64", **options)


def test_a_sample_of_an_array_estimates_its_density():
    values = (np.random.default_rng(0).random(100_000) < 0.1).astype(np.float32)
    found, of = sample(values)
    assert of == 100_000 // 2048 * 256
    assert abs(found / of - 0.1) < 0.01
    assert sample(values[:100]) == (np.count_nonzero(values[:100]), 100)


def test_the_break_even_depends_on_shapes_and_is_low_where_fixed_costs_are_high():
    large, small = Geometry(64, 128, 64, 64, 3, padding=1), Geometry(2, 4, 8, 8, 3, padding=1)
    assert 0 < forward_break_even(large, 4) <= weight_break_even(large, 4) <= 1
    assert forward_break_even(small, 4) == weight_break_even(small, 4) == 0
    with fixed_break_even(0.5):
        assert forward_break_even(small, 4) == weight_break_even(small, 4) == 0.5


@pytest.mark.parametrize("sizes", [(0, 1, 4, 4, 3), (1, 1, 4, 4, 3, 0), (1, 1, 2, 2, 3), (1, 1, 4, 4, 3, 1, -1)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ShapeError, match="convolution"):
        Geometry(*sizes)


def test_the_door_of_the_kernels_is_numpys(tmp_path):
    """The kernels run where torch cannot be imported."""
    import subprocess

    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')\n", encoding="utf-8")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\nimport numpy as np\nfrom stdl_events.scatter import *\n"
        "g = Geometry(1, 1, 3, 3, 3, padding=1)\nx = np.zeros((1, 1, 9)); x[0, 0, 4] = 2\n"
        "out = np.empty((1, 1, 3, 3))\n"
        "convolve(from_values(x), np.arange(9.0).reshape(1, 1, 3, 3), None, g, out)\n"
        "assert (out.ravel() == 2 * np.arange(9.0)[::-1]).all()"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
