"""The CUDA kernels of lean mode against plain torch: equal results, and no write outside their slices.

`test_cuda_kernels` runs this in a process of its own: with TRITON_INTERPRET=1 in Triton's interpreter, else on a GPU;
Triton decides which when it is imported. What is compared bit for bit is made of such numbers that no operation rounds.
"""

import os

import numpy as np
import pytest
import torch
from torch import Tensor

from stdl_events.learning.lean.kernels import cuda
from stdl_events.learning.lean.kernels.choice import proven
from stdl_events.network.registries import SURROGATES
from stdl_events.network.surrogate import surrogate_gradient

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
# One rounding; the interpreter truncates bfloat16 instead of rounding it, and its exponential is not torch's.
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12, torch.bfloat16: 2**-7, torch.float16: 2**-10}
SIZES = [(1, 1), (1, 7), (2, 4), (3, 3), (7, 7), (8, 8), (32, 32)]
COMPILED = [name for name, surrogate in SURROGATES.items() if surrogate in cuda.FORMULAS]
BATCH, CHANNELS, SOME = 2, 4, slice(1, 3)


class Case:
    """Current, potential and bits as channel slices of larger tensors, with copies of the larger ones."""

    def __init__(self, dtype: torch.dtype, size: tuple[int, int], eighths: bool) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (BATCH, CHANNELS, *size)

        def numbers() -> Tensor:
            if eighths:
                return torch.randint(-16, 17, shape, generator=generator).to(dtype) / 8
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

        bits = torch.randint(0, 256, (BATCH, CHANNELS, -(-size[0] * size[1] // 8)), generator=generator)
        self.before = numbers(), numbers(), bits.to(torch.uint8)
        self.after = tuple(larger.to(DEVICE, copy=True) for larger in self.before)
        self.values, self.u, self.bits = (larger[:, SOME] for larger in self.after)
        self.values_before, self.u_before, self.bits_before = (larger[:, SOME] for larger in self.before)

    def results(self) -> tuple[Tensor, Tensor, Tensor]:
        """Values, potential and bits, after a check that the tensors are unchanged outside the slices."""
        for larger, before in zip(self.after, self.before, strict=True):
            beside = larger.to("cpu", copy=True)
            beside[:, SOME] = before[:, SOME]
            assert torch.equal(beside, before)
        return self.values.cpu(), self.u.cpu(), self.bits.cpu()


def packed(s_BCHW: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(s_BCHW.flatten(2).bool().numpy(), axis=-1))


def unpacked(bits_BCQ: Tensor, size: tuple[int, int]) -> Tensor:
    bits = np.unpackbits(bits_BCQ.numpy(), axis=-1, count=size[0] * size[1])
    return torch.from_numpy(bits).unflatten(-1, size)


def assert_close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(found.double(), expected.double(), rtol=tolerance, atol=tolerance / 16)


@pytest.mark.parametrize("most_narrow", [2**31 - 1024, 0], ids=["narrow", "wide"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_step_is_torchs_bit_for_bit_where_nothing_rounds(dtype, size, most_narrow, monkeypatch):
    monkeypatch.setattr(cuda, "_MOST_NARROW", most_narrow)
    case = Case(dtype, size, eighths=True)
    cuda.fire_(case.values, case.u, case.bits, 0.5, 0.5, 0.75)
    m = case.values_before + 0.5 * case.u_before
    s = (m >= 0.5).to(dtype)
    values, u, bits = case.results()
    assert torch.equal(values, s)
    assert torch.equal(u, m - 0.75 * s)
    assert torch.equal(bits, packed(s))
    assert (m == 0.5).any() or m.numel() < 100, "none is at the threshold"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_step_with_any_numbers_is_torchs_but_for_its_roundings(dtype):
    case = Case(dtype, (32, 32), eighths=False)
    cuda.fire_(case.values, case.u, case.bits, 0.9, 0.3, 0.7)
    current, u_before = case.values_before.double(), case.u_before.double()
    m = current + 0.9 * u_before
    values, u, bits = case.results()
    assert torch.equal(packed(values), bits)
    room = TOLERANCE[dtype] * (current.abs() + u_before.abs() + 1)
    undecided = (m - 0.3).abs() <= room
    assert undecided.sum() < m.numel() / 50
    assert torch.equal(values[~undecided], (m >= 0.3).to(dtype)[~undecided])
    # The potential is rounded before the reset and after.
    assert ((u.double() - (m - 0.7 * values.double())).abs() <= 2 * room).all()


@pytest.mark.parametrize("dtype", [torch.float16] if INTERPRETED else [torch.float16, torch.bfloat16], ids=str)
def test_what_torch_rounds_up_to_the_threshold_fires(dtype):
    current, u = torch.full((2, 1, 1, 1, 3), 0.5, dtype=dtype, device=DEVICE)
    assert (torch.add(current, u, alpha=0.9999) >= 1).all()
    cuda.fire_(current, u, torch.empty((1, 1, 1), dtype=torch.uint8, device=DEVICE), 0.9999, 1.0, 1.0)
    assert current.tolist() == [[[[1.0] * 3]]]
    assert u.tolist() == [[[[0.0] * 3]]]


def test_missing_pixels_are_zeros_also_where_no_current_fires():
    case = Case(torch.float32, (3, 3), eighths=True)
    cuda.fire_(case.values, case.u, case.bits, 0.5, -100.0, 0.5)
    assert case.results()[2].flatten(0, 1).unique(dim=0).tolist() == [[0b11111111, 0b10000000]]


@pytest.mark.parametrize("surrogate", COMPILED)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradient_is_that_of_the_surrogate(dtype, size, surrogate):
    case = Case(dtype, size, eighths=False)
    cuda.surrogate_backward_(case.values, case.u, case.bits, 0.3, 0.7, surrogate, 0.8)
    wider = torch.float64 if dtype == torch.float64 else torch.float32
    s = unpacked(case.bits_before, size).to(wider)
    distance = (s * 0.7 + case.u_before.to(wider)) - 0.3
    gradient = surrogate_gradient(distance, surrogate, 0.8) * case.values_before.to(wider)
    values, u, bits = case.results()
    assert_close(values, gradient, dtype)
    if INTERPRETED and dtype == wider and surrogate != "sigmoid":
        assert torch.equal(values, gradient)
    assert torch.equal(u, case.u_before)
    assert torch.equal(bits, case.bits_before)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_are_unpacked_to_numbers(dtype, size):
    case = Case(dtype, size, eighths=True)
    spikes_BCP = cuda.unpack(case.bits, size[0] * size[1], dtype)
    assert spikes_BCP.dtype == dtype
    assert spikes_BCP.is_contiguous()
    assert torch.equal(spikes_BCP.cpu(), unpacked(case.bits_before, size).flatten(2).to(dtype))
    case.results()


@pytest.mark.parametrize("surrogate", COMPILED)
def test_what_is_no_number_does_not_fire_and_is_not_hidden(surrogate):
    current, u = torch.full((2, 1, 1, 1, 3), float("nan"), device=DEVICE)
    bits = torch.empty((1, 1, 1), dtype=torch.uint8, device=DEVICE)
    cuda.fire_(current, u, bits, 0.5, 0.5, 0.5)
    assert (current.sum(), bits.sum(), u.isnan().all()) == (0, 0, True)
    gradient = torch.ones_like(u)
    cuda.surrogate_backward_(gradient, u, bits, 0.5, 0.5, surrogate, 1.0)
    assert torch.equal(gradient.isnan(), surrogate_gradient(u, surrogate, 1.0).isnan())


def test_samples_may_be_farther_apart_than_32_bits_count(tmp_path):
    apart, count = 2**30, 2**31 + 16
    if INTERPRETED:
        # A sparse file: only touched pages take memory.
        buffer = torch.from_file(str(tmp_path / "buffer"), shared=True, size=count, dtype=torch.float16)
    else:
        buffer = torch.empty(count, dtype=torch.float16, device=DEVICE)
    far = buffer.as_strided((3, 1, 4, 4), (apart, 16, 4, 1))
    near = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float16, device=DEVICE)[:, None, None, None].repeat(1, 1, 4, 4)
    bits = torch.empty((3, 1, 2), dtype=torch.uint8, device=DEVICE)
    far.copy_(2 * near)
    cuda.fire_(near.clone(), far, bits, 0.5, 1.0, 1.0)
    assert far[:, 0, 3, 3].tolist() == [0.5, 0.0, 0.5]
    assert bits.flatten().tolist() == [0, 0, 255, 255, 255, 255]
    cuda.surrogate_backward_(far, near, bits, 1.0, 0.0, "triangle", 1.0)
    assert far[:, 0, 3, 3].tolist() == [0.125, 0.0, 0.375]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_they_prove_themselves(dtype):
    assert proven(cuda, torch.device(DEVICE), dtype) is cuda
