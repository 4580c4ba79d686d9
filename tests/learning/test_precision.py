"""Mixed precision: which tensors are bfloat16, and that the gradients keep their direction."""

from collections.abc import Sequence

import pytest
import torch

from stdl_events.build import build_learner
from stdl_events.errors import RuleError
from stdl_events.learning.learner import Learner
from stdl_events.learning.observer import Observer
from stdl_events.network.spec import NetworkSpec

INPUT, BATCH, STEPS = (2, 16, 16), 16, 4
NETWORKS = ["8C3-AP2-16C3-3FC", "8C3-8R-16R(s2)-3FC", "8C3-8SEWR-16SEWR(s2)-3FC", "8C3-AP2-12FC-3FC"]


def learner(notation: str, **options: object) -> Learner:
    spec = NetworkSpec.parse(notation, input_shape=INPUT)
    return build_learner(spec, batch_size=BATCH, steps=STEPS, decay=0.5, threshold=0.5, **options)


def clip() -> tuple[torch.Tensor, torch.Tensor]:
    frames_TBCHW = torch.poisson(torch.full((STEPS, BATCH, *INPUT), 0.5), torch.Generator().manual_seed(0))
    return frames_TBCHW.to(torch.uint8), torch.arange(BATCH) % 3


def gradients(trained: Learner) -> torch.Tensor:
    return torch.cat([weight.grad.flatten() for weight in trained.network.parameters()])


@pytest.mark.parametrize("memory", ["plain", "lean", "kept"])
@pytest.mark.parametrize("notation", NETWORKS)
def test_weights_and_gradients_stay_in_float32_and_states_flow_in_bfloat16(notation, memory):
    trained = learner(notation, rule="sltt", memory=memory, precision="bf16")
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


@pytest.mark.parametrize("rule", ["bptt", "sltt", "stdl", "ell", "tbptt"])
@pytest.mark.parametrize("memory", ["plain", "lean"])
def test_gradients_point_where_those_of_float32_do(rule, memory):
    exact, rounded = (learner(NETWORKS[0], rule=rule, memory=memory, precision=p) for p in ("fp32", "bf16"))
    for trained in (exact, rounded):
        trained.backward(*clip())
    ours, theirs = gradients(rounded), gradients(exact)
    assert not torch.equal(ours, theirs)
    # Spikes near the threshold differ, and so do later layers; an error would change the gradient's direction.
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.9
    assert 0.8 < ours.norm() / theirs.norm() < 1.25


@pytest.mark.parametrize("memory", ["plain", "lean"])
def test_plans_are_made_for_the_precision(memory):
    notation = "16C3-16C3-16C3-16C3-3FC"
    exact, rounded = (
        learner(notation, rule="stdl", rho=1.2, memory=memory, precision=p).plan for p in ("fp32", "bf16")
    )
    assert rounded.total_bytes < 0.6 * exact.total_bytes
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
    with pytest.raises(RuleError, match="precision: got 'fp8'; expected fp32 or bf16"):
        learner(NETWORKS[0], precision="fp8")
