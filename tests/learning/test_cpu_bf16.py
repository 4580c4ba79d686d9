"""The CPU kernels on bfloat16: conversions of all bit patterns, steps against float32, numpy and the plain kernels."""

import math
from typing import Any

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from stdl_events.learning.lean.kernels import cpu, cpu_bf16, reference
from stdl_events.learning.lean.kernels.choice import kernel
from stdl_events.network.registries import SURROGATES

BF16 = torch.bfloat16
PATTERNS = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(BF16)
SIZES = [(1, 1), (3, 3), (8, 8), (5, 24)]
# Exact in bfloat16, which is what torch's plain operations round their constants to.
DECAY, THRESHOLD, AMOUNT = 0.5, 0.75, 0.875


@numba.njit
def converted(half_P: Any, wide_P: Any, back_P: Any) -> None:
    for p in range(len(half_P)):
        wide_P[p] = cpu_bf16.load(half_P, p)
        cpu_bf16.store(back_P, p, wide_P[p])


@numba.njit
def narrowed(wide_P: Any, half_P: Any) -> None:
    for p in range(len(wide_P)):
        cpu_bf16.store(half_P, p, wide_P[p])


def as_bf16(half_P: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(half_P.view(np.int16)).view(BF16)


def test_every_bfloat16_is_widened_as_in_torch_and_back():
    half_P = cpu_bf16.as_array(PATTERNS)
    wide_P, back_P = np.empty(2**16, np.float32), np.empty(2**16, np.uint16)
    converted(half_P, wide_P, back_P)
    assert torch.equal(torch.from_numpy(wide_P).view(torch.int32), PATTERNS.float().view(torch.int32))
    is_number = ~np.isnan(wide_P)
    assert np.array_equal(back_P[is_number], half_P[is_number])
    assert as_bf16(back_P)[torch.from_numpy(~is_number)].isnan().all()


def test_every_number_between_two_bfloat16_is_rounded_as_in_torch():
    upper = np.arange(2**16, dtype=np.uint32) << 16
    # Below, at and above the middle between two neighbours, and next to them.
    for lower in (0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        wide_P, half_P = (upper | lower).view(np.float32), np.empty(2**16, np.uint16)
        narrowed(wide_P, half_P)
        expected = torch.from_numpy(wide_P).to(BF16)
        torch.testing.assert_close(as_bf16(half_P), expected, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(as_bf16(half_P).signbit(), expected.signbit()) or np.isnan(wide_P).any()


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(BF16)


class Step:
    """The tensors of one step: channels 1 to 3 of 5, so that writes outside the slices can be checked."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.current, self.u_all, self.grad_all = (random(3, 5, *size, seed=seed) for seed in range(3))
        self.current = self.current[:, 1:3].clone()
        self.bits_all = torch.full((3, 5, -(-size[0] * size[1] // 8)), 255, dtype=torch.uint8)
        self.u, self.grad, self.bits = (x[:, 1:3] for x in (self.u_all, self.grad_all, self.bits_all))

    def beside(self) -> list[Tensor]:
        return [x[:, [0, 3, 4]].clone() for x in (self.u_all, self.grad_all, self.bits_all)]


@pytest.mark.parametrize("size", SIZES)
def test_firing_is_that_of_the_plain_kernels_bit_for_bit(size):
    plain, compiled = Step(size), Step(size)
    beside = compiled.beside()
    reference.fire_(plain.current, plain.u, plain.bits, DECAY, THRESHOLD, AMOUNT)
    cpu.fire_(compiled.current, compiled.u, compiled.bits, DECAY, THRESHOLD, AMOUNT)
    for name in ("current", "u", "bits"):
        assert torch.equal(getattr(compiled, name), getattr(plain, name)), name
    assert all(map(torch.equal, compiled.beside(), beside))


def test_constants_are_not_rounded_to_bfloat16():
    step, decay, threshold, amount = Step((40, 40)), 0.3, 0.7, 0.9
    # Sums of two bfloat16 products are exact in float64 up to its last bits; then both roundings of the kernel.
    m = (step.current.double() + decay * step.u.double()).float().to(BF16).float()
    s = m >= threshold
    u = (m - amount * s).to(BF16)
    cpu.fire_(step.current, step.u, step.bits, decay, threshold, amount)
    assert torch.equal(step.current, s.to(BF16))
    assert (step.u != u).float().mean() < 1e-3, "where rounding twice from float64 differs from rounding once"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("surrogate", [name for name in SURROGATES if SURROGATES[name] in cpu.FORMULAS])
def test_the_surrogate_is_that_of_float32_rounded_once(size, surrogate):
    step = Step(size)
    beside = step.beside()
    cpu.fire_(step.current, step.u, step.bits, DECAY, THRESHOLD, AMOUNT)
    exact_grad = step.grad.float()
    reference.surrogate_backward_(exact_grad, step.u.float(), step.bits, THRESHOLD, AMOUNT, surrogate, 0.8)
    cpu.surrogate_backward_(step.grad, step.u, step.bits, THRESHOLD, AMOUNT, surrogate, 0.8)
    torch.testing.assert_close(step.grad.float(), exact_grad, rtol=2**-8, atol=1e-6)
    beside[0] = step.u_all[:, [0, 3, 4]]
    assert all(map(torch.equal, step.beside(), beside))


@pytest.mark.parametrize("size", SIZES)
def test_bits_are_those_of_numpy_and_of_both_zeros(size):
    spikes = (random(2, 3, *size) > 0.4).to(BF16)
    spikes[..., 0] = -0.0
    packed = torch.from_numpy(np.packbits(spikes.float().flatten(2).numpy().astype(bool), axis=-1))
    bits = torch.full(packed.shape, 255, dtype=torch.uint8)
    cpu.pack_(spikes, bits)
    assert torch.equal(bits, packed)
    unpacked = cpu.unpack(bits[:, 1:], math.prod(size), BF16)
    assert unpacked.dtype == BF16
    assert torch.equal(unpacked, spikes.flatten(2)[:, 1:].abs())


@pytest.mark.parametrize(("size", "window"), [((4, 6), 2), ((9, 3), 3), ((8, 8), 8)])
def test_windows_are_those_of_the_plain_kernels_bit_for_bit(size, window):
    shape = (3, 5, size[0] // window, size[1] // window)
    grad = random(*shape, seed=1)
    assert torch.equal(cpu.spread(grad[:, 1:3], window), reference.spread(grad[:, 1:3], window))


@pytest.mark.parametrize("name", ["fire_", "surrogate_backward_", "pack_", "unpack", "spread"])
def test_bfloat16_is_compiled(name):
    surrogate = "triangle" if name == "surrogate_backward_" else None
    assert kernel(name, torch.device("cpu"), BF16, surrogate) is getattr(cpu, name)
