"""Kernels of batch norm with the neurons behind it: against numpy in float64, and against the plain ones."""

from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from stdl_events.learning.lean import kernels
from stdl_events.learning.lean.kernels import cpu_norm, cpu_state8, fuses_norm, reference
from stdl_events.learning.lean.kernels.choice import EIGHT_BITS_ON_CPU, kernel
from stdl_events.network.registries import SURROGATES

MOMENTUM, EPS, DECAY, THRESHOLD, AMOUNT, STEP = 0.2, 1e-5, 0.5, 0.75, 0.875, 1 / 64
ROOM = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2}
SIZES = [(1, 1), (3, 3), (5, 24)]
KEPT = torch.int8


class Step:
    """The tensors of one step: channels 1 to 3 of 5, so that writes outside the slices can be checked.

    Args:
        layout: "rows", "last" for channels last, "whole" for these with nothing between the pixels.
    """

    def __init__(
        self, size: tuple[int, int], dtype: torch.dtype, state: torch.dtype | None = None, layout: str = "rows"
    ) -> None:
        generator = torch.Generator().manual_seed(size[0])
        wide = torch.promote_types(dtype, torch.float32)
        self.y, self.grad_all, u = (torch.randn((4, 5, *size), generator=generator).to(dtype) for _ in range(3))
        if layout != "rows":
            self.y, self.grad_all, u = (
                x.contiguous(memory_format=torch.channels_last) for x in (self.y, self.grad_all, u)
            )
        self.y = self.y[:, 1:3]
        self.u_all = u if state is None else (u.float() / STEP).clamp(-128, 127).to(KEPT)
        self.bits_all = torch.full((4, 5, -(-size[0] * size[1] // 8)), 255, dtype=torch.uint8)
        self.u, self.grad, self.bits = (x[:, 1:3] for x in (self.u_all, self.grad_all, self.bits_all))
        if layout == "whole":
            self.y, self.u, self.grad = (
                x.contiguous(memory_format=torch.channels_last) for x in (self.y, self.u, self.grad)
            )
        self.weight, self.bias, self.mean, self.var = torch.tensor(
            [[1.5, -0.5], [0.5, 0.25], [0.1, 0.2], [0.9, 2.0]], dtype=wide
        )
        self.batch, self.grads = torch.zeros(2, 2, dtype=wide), torch.full((2, 2), 3.0, dtype=wide)
        self.numbers = (DECAY, THRESHOLD, AMOUNT) if state is None else (DECAY, THRESHOLD, AMOUNT, STEP)
        self.kind = "" if state is None else "eight_bits_"

    def fire(self, module: ModuleType, spikes: Tensor) -> None:
        norm = [self.weight, self.bias, self.mean, self.var, *self.batch]
        run = getattr(module, "fire_normed_" if module is kernels else f"fire_{self.kind}normed_")
        run(spikes, self.y, self.u, self.bits, norm, MOMENTUM, EPS, self.numbers)

    def backward(self, module: ModuleType, surrogate: str) -> None:
        norm = [self.weight, *self.batch, *self.grads]
        name = "surrogate_backward_normed_" if module is kernels else f"surrogate_backward_{self.kind}normed_"
        run = getattr(module, name)
        run(self.grad, self.y, self.u, self.bits, norm, self.numbers[1:], surrogate, 0.8)

    def beside(self) -> list[Tensor]:
        return [x[:, [0, 3, 4]].clone() for x in (self.u_all, self.grad_all, self.bits_all)]

    def results(self) -> dict[str, Tensor]:
        names = ("u", "grad", "bits", "mean", "var", "batch", "grads")
        return {name: getattr(self, name) for name in names}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("dtype", "state"), [*((dtype, None) for dtype in ROOM), *((dtype, KEPT) for dtype in EIGHT_BITS_ON_CPU)]
)
@pytest.mark.parametrize("layout", ["rows", "last", "whole"])
def test_compiled_steps_are_the_plain_ones(size, dtype, state, layout):
    compiled_module = cpu_norm if state is None else cpu_state8
    compiled, plain = (Step(size, dtype, state, layout) for _ in range(2))
    beside = compiled.beside()
    spikes = plain.y.clone()
    plain.fire(reference, spikes)
    found = torch.empty_like(spikes)
    compiled.fire(compiled_module, found)
    assert torch.equal(found, spikes)
    for step, module in ((plain, reference), (compiled, compiled_module)):
        step.backward(module, "triangle")
    for name, wanted in plain.results().items():
        room = 1 if name == "u" and state is not None else ROOM[dtype]
        torch.testing.assert_close(compiled.results()[name], wanted, rtol=ROOM[dtype], atol=room, msg=name)
    assert all(map(torch.equal, compiled.beside(), beside))


@pytest.mark.parametrize("surrogate", [name for name in SURROGATES if SURROGATES[name] in cpu_norm.FORMULAS])
def test_a_step_is_its_equations_in_numpy(surrogate):
    step = Step((5, 24), torch.float64)
    y, u, grad = step.y.numpy(), step.u.numpy().copy(), step.grad.numpy().copy()
    mean, var, count = y.mean((0, 2, 3)), y.var((0, 2, 3)), y[:, 0].size
    running = [(1 - MOMENTUM) * each.numpy() for each in (step.mean, step.var)]
    into_C = np.s_[:, None, None]
    normed = (y - mean[into_C]) / np.sqrt(var + EPS)[into_C]
    m = normed * step.weight.numpy()[into_C] + step.bias.numpy()[into_C] + DECAY * u
    spikes = torch.empty_like(step.y)
    step.fire(kernels, spikes)
    assert np.array_equal(spikes.numpy(), m >= THRESHOLD)
    assert np.allclose(step.u.numpy(), m - AMOUNT * (m >= THRESHOLD), rtol=0, atol=1e-12)
    assert np.allclose(step.batch.numpy(), [mean, 1 / np.sqrt(var + EPS)], rtol=1e-12)
    assert np.allclose(step.mean.numpy(), running[0] + MOMENTUM * mean, rtol=1e-12)
    assert np.allclose(step.var.numpy(), running[1] + MOMENTUM * var * count / (count - 1), rtol=1e-12)
    from_spikes = SURROGATES[surrogate].gradient_(torch.from_numpy(m - THRESHOLD), 0.8).numpy() * grad
    of_weight, of_bias = (from_spikes * normed).sum((0, 2, 3)), from_spikes.sum((0, 2, 3))
    scale = step.weight.numpy() / np.sqrt(var + EPS)
    of_y = (from_spikes - (of_bias[into_C] + normed * of_weight[into_C]) / count) * scale[into_C]
    step.backward(kernels, surrogate)
    assert np.allclose(step.grad.numpy(), of_y, rtol=0, atol=1e-11)
    assert np.allclose(step.grads.numpy(), 3 + np.array([of_weight, of_bias]), rtol=1e-10)


@pytest.mark.parametrize("mean", [0.0, 1e7])
def test_a_large_mean_costs_no_digits(mean):
    step = Step((5, 24), torch.float64)
    step.y = step.y.clone().add_(mean)
    exact = step.y.numpy().astype(np.longdouble).var((0, 2, 3))
    step.fire(cpu_norm, torch.empty_like(step.y))
    assert np.allclose(1 / step.batch[1].numpy() ** 2 - EPS, exact.astype(float), rtol=1e-11)


@pytest.mark.parametrize("state", [None, KEPT])
def test_spikes_may_overwrite_the_input_of_the_norm_or_be_left_out(state):
    apart, in_place, packed, plain = (Step((5, 24), torch.float32, state) for _ in range(4))
    spikes = torch.empty_like(apart.y)
    apart.fire(kernels, spikes)
    in_place.fire(kernels, in_place.y)
    assert torch.equal(in_place.y, spikes)
    packed.fire(kernels, torch.empty(0))
    plain.fire(reference, torch.empty(0))
    assert torch.equal(plain.bits, apart.bits)
    for name, wanted in apart.results().items():
        assert torch.equal(in_place.results()[name], wanted), name
        assert torch.equal(packed.results()[name], wanted), name


@pytest.mark.parametrize("state", [None, KEPT])
def test_operators_keep_torchs_contract(state):
    step, operators = Step((3, 3), torch.float32, state), torch.ops.stdl_events
    firing = [torch.empty_like(step.y), step.y, step.u, step.bits]
    norm = [step.weight, step.bias, step.mean, step.var, *step.batch]
    back = [step.grad, step.y, step.u, step.bits, [step.weight, *step.batch, *step.grads], step.numbers[1:]]
    for name, arguments in (
        (f"fire_{step.kind}normed_", (*firing, norm, MOMENTUM, EPS, step.numbers)),
        (f"surrogate_backward_{step.kind}normed_", (*back, "triangle", 1.0)),
    ):
        operator = getattr(operators, name).default
        torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))


def test_other_devices_dtypes_and_surrogates_are_plain():
    cpu = torch.device("cpu")
    assert fuses_norm(cpu, torch.bfloat16)
    assert not fuses_norm(cpu, torch.float16)
    assert not fuses_norm(torch.device("cuda"), torch.float32)
    for surrogate in SURROGATES:
        for compiled, name in (
            (cpu_norm, "surrogate_backward_normed_"),
            (cpu_state8, "surrogate_backward_eight_bits_"),
        ):
            chosen = kernel(name, cpu, torch.float32, surrogate)
            module = compiled if SURROGATES[surrogate] in compiled.FORMULAS else reference
            assert chosen is getattr(module, name)
