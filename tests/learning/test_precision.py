"""Mixed precision: which tensors are bfloat16, and that the gradients keep their direction."""

import warnings
from collections.abc import Sequence

import pytest
import torch
from pairs import pairs
from torch.utils._python_dispatch import TorchDispatchMode

from stdl_events.build import build_learner, plan_learner
from stdl_events.errors import RuleError
from stdl_events.learning import precision as precisions
from stdl_events.learning.learner import Learner
from stdl_events.learning.observer import Observer
from stdl_events.network.spec import NetworkSpec

INPUT, BATCH, STEPS = (2, 16, 16), 16, 4
BF16 = ["bf16-convolutions", "bf16-states"]
NETWORKS = ["8C3-AP2-16C3-3FC", "8C3-8R-16R(s2)-3FC", "8C3-8SEWR-16SEWR(s2)-3FC", "8C3-AP2-12FC-3FC"]


def learner(notation: str, **options: object) -> Learner:
    spec = NetworkSpec.parse(notation, input_shape=INPUT)
    return build_learner(spec, batch_size=BATCH, steps=STEPS, decay=0.5, threshold=0.5, **options)


def clip() -> tuple[torch.Tensor, torch.Tensor]:
    frames_TBCHW = torch.poisson(torch.full((STEPS, BATCH, *INPUT), 0.5), torch.Generator().manual_seed(0))
    return frames_TBCHW.to(torch.uint8), torch.arange(BATCH) % 3


def gradients(trained: Learner) -> torch.Tensor:
    return torch.cat([weight.grad.flatten() for weight in trained.network.parameters()])


@pytest.mark.parametrize(("notation", "memory", "precision"), pairs(NETWORKS, ["plain", "lean", "kept"], BF16))
def test_weights_and_gradients_stay_in_float32_and_states_flow_in_bfloat16(precision, notation, memory):
    trained = learner(notation, rule="sltt", memory=memory, precision=precision)
    seen = set()

    class Dtypes(Observer):
        def after_step(self, block: int, state: Sequence[torch.Tensor]) -> None:
            seen.update(entry.dtype for entry in state)

    metrics = trained.train_step(*clip(), observer=Dtypes())
    assert seen == {torch.bfloat16}
    assert torch.isfinite(metrics["loss"])
    assert {weight.dtype for weight in trained.network.parameters()} == {torch.float32}
    assert {weight.grad.dtype for weight in trained.network.parameters()} == {torch.float32}
    floating = [buffer for buffer in trained.network.buffers() if buffer.is_floating_point()]
    assert {buffer.dtype for buffer in floating} == {torch.float32}


@pytest.mark.parametrize(
    ("rule", "memory", "precision"), pairs(["bptt", "sltt", "stdl", "ell", "tbptt"], ["plain", "lean"], BF16)
)
def test_gradients_point_where_those_of_float32_do(precision, rule, memory):
    exact, rounded = (learner(NETWORKS[0], rule=rule, memory=memory, precision=p) for p in ("fp32", precision))
    for trained in (exact, rounded):
        trained.backward(*clip())
    ours, theirs = gradients(rounded), gradients(exact)
    assert not torch.equal(ours, theirs)
    # Spikes near the threshold differ, and so do later layers; an error would change the gradient's direction.
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.9
    assert 0.8 < ours.norm() / theirs.norm() < 1.25


@pytest.mark.parametrize(
    ("precision", "memory", "share"),
    [
        ("bf16-convolutions", "plain", 0.6),
        ("bf16-convolutions", "lean", 0.6),
        ("bf16-states", "plain", 0.8),
        ("bf16-states", "lean", 0.8),
    ],
)
def test_plans_are_made_for_the_precision(precision, memory, share):
    notation = "16C3-16C3-16C3-16C3-3FC"
    exact, rounded = (
        learner(notation, rule="stdl", rho=1.2, memory=memory, precision=p).plan for p in ("fp32", precision)
    )
    assert rounded.setting.precision == precision
    assert rounded.total_bytes < share * exact.total_bytes
    for block in rounded.blocks:
        assert block.predicted_bytes == pytest.approx(block.metered_bytes, rel=0.05)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rule": "ottt-a"}, "precision bf16: got rule ottt-a, which keeps traces"),
        ({"rule": "sltt", "dtype": torch.float64}, "precision bf16: got weights of torch.float64"),
    ],
)
def test_what_has_no_mixed_precision_is_told(options, text):
    with pytest.raises(RuleError) as caught:
        learner(NETWORKS[0], precision="bf16", **options)
    assert text in str(caught.value)
    with pytest.raises(RuleError, match="precision: got 'fp8'; expected fp32 or bf16 or"):
        learner(NETWORKS[0], precision="fp8")


def test_convolutions_run_in_float32_where_the_processor_has_no_others(monkeypatch):
    spec = NetworkSpec.parse(NETWORKS[0], input_shape=INPUT)

    def settled(**options: object) -> str:
        return plan_learner(spec, "sltt", batch_size=2, steps=1, **options)[0].precision

    precisions._say_that_convolutions_are_in_float32.cache_clear()
    monkeypatch.setattr(precisions, "cpu_convolves_in_bf16", lambda: False)
    with pytest.warns(UserWarning, match="has no bfloat16 convolutions, so they run in float32"):
        assert settled(precision="bf16") == "bf16-states"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settled(precision="bf16") == "bf16-states", "said once"
        assert settled(precision="bf16", device="cuda") == "bf16-convolutions"
        assert [settled(precision=name) for name in BF16] == BF16
        monkeypatch.setattr(precisions, "cpu_convolves_in_bf16", lambda: True)
        assert settled(precision="bf16") == "bf16-convolutions"


@pytest.mark.parametrize(
    ("library", "capabilities", "expected"),
    [
        (True, {"avx512_f": True, "avx512_bf16": True}, True),
        (True, {"neon": True, "bf16": True}, True),
        (True, {"avx512_f": True}, False),
        (False, {"avx512_bf16": True}, False),
    ],
    ids=["AVX512-BF16", "ARM", "emulated", "library without"],
)
def test_a_processor_needs_the_instructions_and_a_library_that_uses_them(monkeypatch, library, capabilities, expected):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: library)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: library)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert precisions.cpu_convolves_in_bf16.__wrapped__() is expected


@pytest.mark.parametrize("memory", ["plain", "lean", "kept"])
def test_no_convolution_of_bf16_states_is_in_bfloat16(memory):
    class Convolutions(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "convolution" in func.__name__:
                seen.update(x.dtype for x in args if isinstance(x, torch.Tensor))
            return func(*args, **(kwargs or {}))

    seen: set[torch.dtype] = set()
    trained = learner("4C3-4R-6SEWR(s2)-AP2-8FC-3FC", rule="sltt", memory=memory, precision="bf16-states")
    with Convolutions():
        trained.backward(*clip())
    assert seen == {torch.float32}


def test_lean_gradients_of_bf16_states_are_those_of_autograd():
    lean, plain = (learner(NETWORKS[1], rule="sltt", memory=m, precision="bf16-states") for m in ("lean", "plain"))
    for trained in (lean, plain):
        trained.backward(*clip())
    assert torch.nn.functional.cosine_similarity(gradients(lean), gradients(plain), dim=0) > 0.99
