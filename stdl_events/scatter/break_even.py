"""The density up to which a convolution scatters: a function of shapes alone, so that equal runs take equal paths.

Costs are nanoseconds of one core of an AMD Zen 3 (AVX2), fitted to `tests/benchmarks/bench_scatter.py` and rounded to
the disadvantage of scattering. Both ways use all threads, so their number does not matter.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from contextvars import ContextVar

from stdl_events.scatter.geometry import Geometry

# Below the break-even by so much that a share of the dense time pays for measuring the density.
_MARGIN = 0.85
# Dense convolutions with vectors of 64 bytes are faster than the rows of 32 bytes that are added here.
_WITH_WIDE_VECTORS = 0.35
_VECTOR_NUMBERS = 8


@dataclasses.dataclass(frozen=True)
class _Costs:
    """Nanoseconds.

    Args:
        multiply: a multiply-accumulate of the dense convolution.
        reorder: copying one weight into the dense convolution's layout.
        block: the dense convolution pads its input channels to a multiple of it.
        call, per_input, per_output, per_pixel, per_weight: of scattering, whatever the density.
        per_nonzero: listing a non-zero; of the gradient, for each place modulo the stride.
        add: adding one number of a row.
    """

    multiply: float
    reorder: float
    block: int
    call: float
    per_input: float
    per_output: float
    per_pixel: float
    per_weight: float
    per_nonzero: float
    add: float

    def break_even(self, g: Geometry, batch: int) -> float:
        inputs = batch * g.inputs * g.height * g.width
        pixels = batch * g.out_height * g.out_width
        weights = g.outputs * g.inputs * g.taps
        dense = self.multiply * pixels * weights * _padded(g.inputs, self.block) / g.inputs + self.reorder * weights
        fixed = (
            self.call
            + self.per_input * inputs
            + (self.per_output * g.outputs + self.per_pixel) * pixels
            + self.per_weight * weights
        )
        adds = pixels * g.inputs * g.taps * _padded(g.outputs, _VECTOR_NUMBERS)
        by_density = inputs * self.per_nonzero * g.stride**2 + self.add * adds
        return min(1.0, max(0.0, (_MARGIN * dense - fixed) / by_density)) * _vector_share()


_FORWARD = _Costs(
    multiply=0.0245,
    reorder=2.0,
    block=1,
    call=250_000,
    per_input=3.2,
    per_output=1.2,
    per_pixel=65,
    per_weight=2.8,
    per_nonzero=7,
    add=0.078,
)
_WEIGHTS = _Costs(
    multiply=0.032,
    reorder=2.2,
    block=8,
    call=220_000,
    per_input=3.3,
    per_output=1.2,
    per_pixel=0,
    per_weight=4.8,
    per_nonzero=15,
    add=0.062,
)


def _padded(count: int, block: int) -> int:
    return -(-count // block) * block


_fixed: ContextVar[float | None] = ContextVar("fixed_break_even", default=None)


@contextlib.contextmanager
def fixed_break_even(density: float) -> Iterator[None]:
    """Use one break-even for all shapes, so that small layers scatter too; 0 scatters nothing, 1 all."""
    token = _fixed.set(density)
    try:
        yield
    finally:
        _fixed.reset(token)


def forward_break_even(geometry: Geometry, batch: int) -> float:
    """The share of non-zero inputs up to which `convolve` is faster than the dense convolution; 0 for never."""
    fixed = _fixed.get()
    return fixed if fixed is not None else _FORWARD.break_even(geometry, batch)


def weight_break_even(geometry: Geometry, batch: int) -> float:
    """The same of `weight_gradient`."""
    fixed = _fixed.get()
    return fixed if fixed is not None else _WEIGHTS.break_even(geometry, batch)


@functools.cache
def _vector_share() -> float:
    from llvmlite.binding import get_host_cpu_features

    return _WITH_WIDE_VECTORS if get_host_cpu_features().get("avx512f") else 1.0
