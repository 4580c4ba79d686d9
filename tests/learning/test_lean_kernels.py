"""Compiled kernels against the plain ones, and the plain ones against numpy and torch's own pooling."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from stdl_events.learning.lean import kernels
from stdl_events.learning.lean.kernels import cpu, in_rows, reference
from stdl_events.learning.lean.kernels.choice import ON_CUDA, kernel, proven
from stdl_events.network.registries import SURROGATES
from stdl_events.network.surrogate import surrogate_gradient

SIZES = [(1, 1), (7, 1), (2, 4), (3, 3), (7, 7), (8, 8), (5, 24)]
DTYPES = {torch.float32: 1e-6, torch.float64: 1e-12}
DECAY, THRESHOLD, AMOUNT = 0.3, 0.7, 0.9


class Step:
    """The tensors of one step: channels 1 to 3 of 5, so that writes outside the slices can be checked."""

    def __init__(self, size: tuple[int, int], dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(size[0] * 100 + size[1])
        whole = (3, 5, *size)
        self.u_all, self.grad_all = (torch.randn(whole, generator=generator, dtype=dtype) for _ in range(2))
        self.bits_all = torch.full((3, 5, -(-size[0] * size[1] // 8)), 255, dtype=torch.uint8)
        self.current = torch.randn((3, 2, *size), generator=generator, dtype=dtype)
        self.u, self.grad, self.bits = (x[:, 1:3] for x in (self.u_all, self.grad_all, self.bits_all))

    def fire(self, module: object) -> None:
        module.fire_(self.current, self.u, self.bits, DECAY, THRESHOLD, AMOUNT)

    def beside(self) -> list[Tensor]:
        return [x[:, [0, 3, 4]].clone() for x in (self.u_all, self.grad_all, self.bits_all)]


@pytest.mark.parametrize("size", SIZES)
def test_bits_are_those_of_numpy(size):
    spikes = (torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(0)) < 0.4).to(torch.float32)
    packed = torch.from_numpy(np.packbits(spikes.flatten(2).numpy().astype(bool), axis=-1))
    for module in (reference, cpu):
        bits = torch.full(packed.shape, 255, dtype=torch.uint8)
        module.pack_(spikes, bits)
        assert torch.equal(bits, packed)
        assert torch.equal(module.unpack(bits, size[0] * size[1], torch.float64), spikes.flatten(2).double())
        some = module.unpack(bits[1:, 1:], size[0] * size[1], torch.float32)
        assert torch.equal(some, spikes.flatten(2)[1:, 1:])


@pytest.mark.parametrize("size", SIZES)
def test_spikes_of_each_sample_are_counted(size):
    spikes = np.random.default_rng(0).random((3, 5, size[0] * size[1])) < 0.4
    bits = torch.from_numpy(np.packbits(spikes, axis=-1))
    for module in (reference, cpu, kernels):
        assert module.fired(bits).tolist() == spikes.sum((1, 2)).tolist()
        assert module.fired(bits[:, 1:3]).tolist() == spikes[:, 1:3].sum((1, 2)).tolist()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_firing_is_the_equations(size, dtype):
    step = Step(size, dtype)
    m = step.current + DECAY * step.u
    s = (m >= THRESHOLD).to(dtype)
    u = m - AMOUNT * s
    beside = step.beside()
    step.fire(reference)
    assert torch.equal(step.current, s)
    torch.testing.assert_close(step.u, u, rtol=DTYPES[dtype], atol=DTYPES[dtype])
    assert torch.equal(reference.unpack(step.bits, size[0] * size[1], dtype), s.flatten(2))
    assert all(map(torch.equal, step.beside(), beside))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("surrogate", "width"), [(name, width) for name in SURROGATES for width in (0.8, 4.0)])
def test_compiled_steps_are_the_plain_ones(size, dtype, surrogate, width):
    plain, compiled = Step(size, dtype), Step(size, dtype)
    beside = compiled.beside()
    m = plain.current + DECAY * plain.u
    grad = plain.grad * surrogate_gradient(m - THRESHOLD, surrogate, width)
    for step, module in ((plain, reference), (compiled, cpu)):
        step.fire(module)
    arguments = (THRESHOLD, AMOUNT, surrogate, width)
    reference.surrogate_backward_(plain.grad, plain.u, plain.bits, *arguments)
    kernels.surrogate_backward_(compiled.grad, compiled.u, compiled.bits, *arguments)
    tolerance = {"rtol": DTYPES[dtype], "atol": DTYPES[dtype]}
    torch.testing.assert_close(plain.grad, grad, **tolerance)
    assert torch.equal(compiled.current, plain.current)
    assert torch.equal(compiled.bits, plain.bits)
    torch.testing.assert_close(compiled.u, plain.u, **tolerance)
    torch.testing.assert_close(compiled.grad, plain.grad, **tolerance)
    assert all(map(torch.equal, compiled.beside(), beside))


@pytest.mark.parametrize(("size", "window"), [((4, 6), 2), ((9, 3), 3), ((8, 8), 8), ((5, 4), 1)])
def test_windows_are_those_of_average_pooling(size, window):
    spikes = (torch.rand((3, 5, *size), generator=torch.Generator().manual_seed(1)) < 0.5).to(torch.float32)
    averages = torch.nn.functional.avg_pool2d(spikes, window)
    grad = torch.randn((3, 5, *averages.shape[2:]), generator=torch.Generator().manual_seed(2))
    leaf = spikes.clone().requires_grad_()
    torch.nn.functional.avg_pool2d(leaf, window).backward(grad)
    bits = torch.from_numpy(np.packbits(spikes.flatten(2).numpy().astype(bool), axis=-1))
    for module in (reference, cpu, kernels):
        counts = torch.full((3, 5, *averages.shape[2:]), 255, dtype=torch.uint8)
        module.count_(bits[1:], counts[1:], window)
        assert torch.equal(counts[1:] / (window * window), averages[1:])
        assert (counts[0] == 255).all()
        torch.testing.assert_close(module.spread(grad, window), leaf.grad, rtol=1e-6, atol=0)
        some = module.spread(grad[:, 1:3], window)
        torch.testing.assert_close(some, leaf.grad[:, 1:3], rtol=1e-6, atol=0)


def test_operators_run_on_tensors_without_memory():
    step = Step((3, 3), torch.float32)
    with FakeTensorMode() as mode:
        current, u, bits, grad = map(mode.from_tensor, (step.current, step.u, step.bits, step.grad))
        kernels.fire_(current, u, bits, DECAY, THRESHOLD, AMOUNT)
        kernels.surrogate_backward_(grad, u, bits, THRESHOLD, AMOUNT, "triangle", 1.0)
        kernels.pack_(current, bits)
        spikes = kernels.unpack(bits, 9, torch.bfloat16)
        spread = kernels.spread(grad, 2)
    assert spikes.shape == (3, 2, 9)
    assert spikes.dtype == torch.bfloat16
    assert spread.shape == (3, 2, 6, 6)


def test_operators_keep_torchs_contract():
    step, operators = Step((3, 3), torch.float32), torch.ops.stdl_events
    counts = torch.zeros((3, 2, 1, 1), dtype=torch.uint8)
    for operator, arguments in (
        (operators.fire_, (step.current, step.u, step.bits, DECAY, THRESHOLD, AMOUNT)),
        (operators.surrogate_backward_, (step.grad, step.u, step.bits, THRESHOLD, AMOUNT, "triangle", 1.0)),
        (operators.pack_, (step.current, step.bits)),
        (operators.unpack, (step.bits, 9, torch.float64)),
        (operators.count_, (step.bits, counts, 3)),
        (operators.spread, (step.grad, 2)),
    ):
        torch.library.opcheck(operator.default, arguments, test_utils=("test_schema", "test_faketensor"))


def test_float16_runs_in_plain_torch():
    step = Step((3, 3), torch.float16)
    expected = Step((3, 3), torch.float16)
    kernels.fire_(step.current, step.u, step.bits, DECAY, THRESHOLD, AMOUNT)
    expected.fire(reference)
    assert torch.equal(step.u, expected.u)
    assert torch.equal(step.bits, expected.bits)


def test_tensors_are_laid_out_in_rows_where_they_are_not():
    x = torch.rand(2, 3, 4, 5)
    assert in_rows(x) is x
    some = x[1:, 1:]
    assert in_rows(some) is some
    for other in (x.to(memory_format=torch.channels_last), x.transpose(2, 3), x[:, ::2], x[:, :, :, 1:]):
        found = in_rows(other)
        assert found.is_contiguous()
        assert torch.equal(found, other)


def test_threads_share_the_kernels():
    """Two learners may train at once; results do not depend on how many threads work on a tensor."""

    def run(_: int) -> list[Tensor]:
        step = Step((8, 8), torch.float32)
        step.fire(cpu)
        return [step.current, step.u, step.bits]

    expected = run(0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(run, range(40)):
            assert all(map(torch.equal, found, expected))


def test_kernels_that_do_not_agree_are_not_used(recwarn):
    device = torch.device("cpu")
    assert all(proven(cpu, device, dtype) is cpu for dtype in DTYPES)
    assert not recwarn

    def changed(**others: object) -> SimpleNamespace:
        return SimpleNamespace(**{name: getattr(cpu, name) for name in (*ON_CUDA, "FORMULAS")} | others)

    def refuses(*arguments: object) -> None:
        raise RuntimeError("no such device")

    def late(*arguments: object) -> None:
        cpu.fire_(*arguments)
        arguments[1].add_(0.25)

    for wrong, words in (
        (changed(fire_=late), "not those of plain torch"),
        (changed(unpack=lambda bits, pixels, dtype: bits), "RuntimeError: Byte did not match Float"),
        (changed(surrogate_backward_=refuses), "RuntimeError: no such device"),
    ):
        with pytest.warns(UserWarning, match=f"not used on cpu in torch.float32, training is slower: .*{words}"):
            assert proven(wrong, device, torch.float32) is reference


def test_each_device_has_its_kernels():
    assert kernel("fire_", torch.device("cpu"), torch.float64) is cpu.fire_
    assert kernel("fire_", torch.device("cpu"), torch.bfloat16) is cpu.fire_
    assert kernel("fire_", torch.device("cpu"), torch.float16) is reference.fire_
    assert kernel("fire_", torch.device("xpu"), torch.float32) is reference.fire_
    assert kernel("count_", torch.device("cuda"), torch.uint8) is reference.count_
    assert kernel("count_", torch.device("cpu"), torch.uint8) is cpu.count_
    for surrogate in SURROGATES:
        chosen = kernel("surrogate_backward_", torch.device("cpu"), torch.float64, surrogate)
        assert chosen is (cpu if SURROGATES[surrogate] in cpu.FORMULAS else reference).surrogate_backward_


@pytest.fixture(scope="module")
def said_by_a_new_process() -> list[str]:
    """The lines of a process that loads the kernels where their machine code cannot be kept."""
    code = (
        "import numba.core.caching as caching; caching.CacheImpl._locator_classes = [];"
        "import torch; torch.set_num_threads(1);"
        "from stdl_events.learning.lean.kernels import cpu;"
        "print(cpu.unpack(torch.full((1, 1, 1), 160, dtype=torch.uint8), 4, torch.float32).tolist());"
        "print(torch.get_num_threads())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()


def test_kernels_compile_where_nothing_can_be_kept(said_by_a_new_process: list[str]) -> None:
    assert said_by_a_new_process[0] == "[[[1.0, 0.0, 1.0, 0.0]]]"


def test_torch_keeps_its_number_of_threads(said_by_a_new_process: list[str]) -> None:
    """Loading the compiled kernels starts numba's threads, which would set torch's number."""
    assert said_by_a_new_process[1:] == ["1"]
