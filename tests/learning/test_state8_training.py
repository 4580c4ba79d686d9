"""Training with membrane potentials in eight bits: kernels, all memory modes, meter and refusals."""

import numpy as np
import pytest
import torch
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.errors import NotationError, RuleError
from stdl_events.learning.lean import kernels
from stdl_events.learning.lean.kernels import cpu_state8, reference
from stdl_events.learning.lean.kernels.choice import EIGHT_BITS_ON_CPU, kernel
from stdl_events.learning.learner import Learner
from stdl_events.learning.observer import Observer
from stdl_events.memory.footprint import measure_learner
from stdl_events.network.registries import SURROGATES
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.surrogate import surrogate_gradient

INPUT, BATCH, STEPS = (2, 16, 16), 6, 3
NETWORKS = ["8C3-AP2-16C3-3FC", "8C3-8R-16R(s2)-3FC", "8C3-8SEWR-16SEWR(s2)-3FC", "8S3-8NFR-12FC-3FC"]
DECAY, THRESHOLD, AMOUNT, Q = 0.3, 0.7, 0.9, 1 / 64


def learner(notation: str, **options: object) -> Learner:
    spec = NetworkSpec.parse(notation, input_shape=INPUT)
    settings = {"rule": "sltt", "precision": "int8-state"} | options
    return build_learner(spec, batch_size=BATCH, steps=STEPS, decay=0.5, threshold=0.5, **settings)


def clip() -> tuple[Tensor, Tensor]:
    frames_TBCHW = torch.poisson(torch.full((STEPS, BATCH, *INPUT), 0.5), torch.Generator().manual_seed(0))
    return frames_TBCHW.to(torch.uint8), torch.arange(BATCH) % 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [(1, 1), (7, 1), (3, 3), (5, 24)])
def test_kernels_are_a_transcription_bit_for_bit(size, dtype):
    generator = torch.Generator().manual_seed(size[0])
    current = 2 * torch.randn((3, 2, *size), generator=generator, dtype=dtype)
    wide = torch.promote_types(dtype, torch.float32)
    kept = torch.randint(-128, 128, (3, 5, *size), generator=generator).to(torch.int8)
    grad = torch.randn((3, 2, *size), generator=generator, dtype=dtype)
    number = current.to(wide).numpy().dtype.type
    m = current.to(wide).numpy() + number(DECAY * Q) * kept[:, 1:3].numpy().astype(number)
    s = (m >= number(THRESHOLD)).astype(number)
    expected = np.clip(np.rint((m - number(AMOUNT) * s) * number(1 / Q)), -128, 127).astype(np.int8)
    potential = torch.from_numpy(expected).to(wide) * Q + AMOUNT * torch.from_numpy(s)
    slopes = {name: surrogate_gradient(potential - THRESHOLD, name, 0.8) for name in SURROGATES}
    compiled = [cpu_state8] if dtype in EIGHT_BITS_ON_CPU else []
    for module in (reference, *compiled, kernels):
        spikes, all_kept, bits = current.clone(), kept.clone(), torch.zeros((3, 2, -(-size[0] * size[1] // 8))).byte()
        module.fire_eight_bits_(spikes, all_kept[:, 1:3], bits, DECAY, THRESHOLD, AMOUNT, Q)
        assert np.array_equal(spikes.to(wide).numpy(), s)
        assert np.array_equal(all_kept[:, 1:3].numpy(), expected)
        assert torch.equal(all_kept[:, [0, 3, 4]], kept[:, [0, 3, 4]]), "other channels are not touched"
        assert torch.equal(kernels.unpack(bits, size[0] * size[1], dtype), spikes.flatten(2))
        for name, slope in slopes.items():
            found = grad.clone()
            module.surrogate_backward_eight_bits_(found, all_kept[:, 1:3], bits, THRESHOLD, AMOUNT, Q, name, 0.8)
            # Torch's own sigmoid differs in the last place with the number of values.
            room = 4 * torch.finfo(dtype).eps
            torch.testing.assert_close(found, (grad.to(wide) * slope).to(dtype), rtol=room, atol=room)


@pytest.mark.parametrize("name", [name for name in SURROGATES if SURROGATES[name] in cpu_state8.FORMULAS])
@pytest.mark.parametrize("width", [0.3, 1.0, 2.2])
def test_slopes_of_all_potentials_are_those_of_plain_torch(name, width):
    """Every kept integer, without a spike in the first channel and with one in the second."""
    kept = torch.arange(-128, 128, dtype=torch.int8).reshape(1, 1, 16, 16).repeat(1, 2, 1, 1)
    bits = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 2, 1).repeat(1, 1, 32)
    for threshold, amount, step in ((1.0, 1.0, 1 / 64), (0.7, 0.9, 1 / 64), (0.3, 1 / 3, 1 / 128), (3.1, 0.1, 1 / 32)):
        found, plain = torch.ones((2, 1, 2, 16, 16))
        for module, slope in ((cpu_state8, found), (reference, plain)):
            module.surrogate_backward_eight_bits_(slope, kept, bits, threshold, amount, step, name, width)
        assert plain.unique().numel() > 1
        room = 8 * torch.finfo(torch.float32).eps
        torch.testing.assert_close(found, plain, rtol=room, atol=room)
        assert width != 1 or name == "sigmoid" or torch.equal(found, plain), (
            "bit for bit where nothing is rounded twice"
        )


def test_products_and_sums_are_rounded_apart():
    """Currents that bring potentials to the threshold, above or below it by how the product was rounded."""
    kept = torch.arange(-128, 128, dtype=torch.int8).reshape(1, 1, 16, 16)
    factor = torch.tensor(DECAY * Q)
    current = (THRESHOLD - factor.double() * kept).float()
    apart = current + factor * kept.float() >= torch.tensor(THRESHOLD)
    fused = (current.double() + factor.double() * kept).float() >= torch.tensor(THRESHOLD)
    assert not torch.equal(apart, fused)
    spikes = current.clone()
    cpu_state8.fire_eight_bits_(spikes, kept, torch.zeros((1, 1, 32), dtype=torch.uint8), DECAY, THRESHOLD, AMOUNT, Q)
    assert torch.equal(spikes.bool(), apart)


def test_other_devices_and_dtypes_run_in_plain_torch():
    assert kernel("fire_eight_bits_", torch.device("cpu"), torch.float32) is cpu_state8.fire_eight_bits_
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float32), ("xpu", torch.float32)):
        assert kernel("fire_eight_bits_", torch.device(device), dtype) is reference.fire_eight_bits_


def test_operators_keep_torchs_contract():
    operators = torch.ops.stdl_events
    current, grad, kept = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3), torch.zeros((2, 1, 3, 3), dtype=torch.int8)
    bits = torch.zeros((2, 1, 2), dtype=torch.uint8)
    for operator, arguments in (
        (operators.fire_eight_bits_, (current, kept, bits, DECAY, THRESHOLD, AMOUNT, Q)),
        (operators.surrogate_backward_eight_bits_, (grad, kept, bits, THRESHOLD, AMOUNT, Q, "triangle", 1.0)),
    ):
        torch.library.opcheck(operator.default, arguments, test_utils=("test_schema", "test_faketensor"))


class Seen(Observer):
    """The dtypes of states, and the last one of each block."""

    def __init__(self) -> None:
        self.dtypes: set[torch.dtype] = set()
        self.last: dict[int, list[Tensor]] = {}

    def after_step(self, block: int, state: object) -> None:
        self.last[block] = [entry.clone() for entry in state]
        self.dtypes.update(entry.dtype for entry in self.last[block])


def run(trained: Learner) -> tuple[Tensor, Seen]:
    seen = Seen()
    trained.backward(*clip(), observer=seen)
    return torch.cat([weight.grad.flatten() for weight in trained.network.parameters()]), seen


@pytest.mark.parametrize("notation", NETWORKS)
def test_all_memory_modes_train_the_same(notation):
    plain, expected = run(learner(notation, memory="plain", dtype=torch.float64))
    assert plain.abs().max() > 1e-4
    for memory in ("lean", "kept"):
        found, seen = run(learner(notation, memory=memory, dtype=torch.float64))
        torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)
        assert seen.dtypes == expected.dtypes == {torch.int8}
        assert all(map(torch.equal, seen.last[0], expected.last[0]))


def test_training_and_the_network_itself_keep_the_same_numbers():
    trained = learner(NETWORKS[0], norm="none", dtype=torch.float64)
    _, seen = run(trained)
    state = trained.network.initial_state(BATCH)
    for frame_BCHW in clip()[0]:
        _, state = trained.network.step(frame_BCHW.double(), state)
    assert all(map(torch.equal, state, seen.last[0]))
    assert any(entry.any() for entry in state)


def test_rules_through_time_keep_the_same_numbers_as_floating_point():
    online, seen = run(learner(NETWORKS[0], rule="sltt", dtype=torch.float64))
    through, kept = run(learner(NETWORKS[0], rule="bptt", dtype=torch.float64))
    assert kept.dtypes == {torch.float64}
    assert all(torch.equal(ours, 128 * theirs) for ours, theirs in zip(seen.last[0], kept.last[0], strict=True))
    assert not torch.allclose(online, through), "gradients flow through the steps"


@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_the_meter_counts_a_byte_for_each_state(memory):
    # With "auto" the tensors of both lie in rows.
    whole, eighths = (
        measure_learner_of(memory=memory, precision=precision, convolutions="auto")
        for precision in ("fp32", "int8-state")
    )
    values = BATCH * (8 * 16 * 16 + 16 * 8 * 8)
    assert whole - eighths >= 3 * values, "beside the states plain mode saves less for backward"
    if memory == "lean":
        assert whole - eighths == 3 * values


def measure_learner_of(**options: object) -> int:
    from stdl_events.build import plan_learner

    spec = NetworkSpec.parse(NETWORKS[0], input_shape=INPUT)
    return measure_learner(*plan_learner(spec, "sltt", batch_size=BATCH, steps=STEPS, **options))[0].peak_bytes


@pytest.mark.parametrize("memory", ["lean", "plain"])
def test_plans_are_made_for_it(memory):
    notation = "16C3-16C3-16C3-16C3-3FC"
    exact, small = (learner(notation, rule="stdl", rho=1.2, memory=memory, precision=p).plan for p in
                    ("fp32", "int8-state"))  # fmt: skip
    assert small.total_bytes < 0.8 * exact.total_bytes
    for block in small.blocks:
        assert block.predicted_bytes == pytest.approx(block.metered_bytes, rel=0.05)


@pytest.mark.parametrize("memory", ["plain", "lean"])
def test_it_goes_with_bfloat16(memory):
    both, seen = run(learner(NETWORKS[0], memory=memory, precision="int8-state+bf16-states"))
    assert seen.dtypes == {torch.int8}
    alone, _ = run(learner(NETWORKS[0], memory=memory))
    assert torch.nn.functional.cosine_similarity(both, alone, dim=0) > 0.9


def test_a_network_in_eight_bits_is_not_trained_in_another_format_silently():
    spec = learner(NETWORKS[0]).network.spec
    assert spec.neuron.state == "int8"
    with pytest.raises(
        RuleError, match=r"precision bf16-states: got a network with .* in int8; expected precision int8-state or"
    ):
        build_learner(spec, "sltt", batch_size=BATCH, steps=STEPS, precision="bf16-states")


def test_what_cannot_is_told():
    with pytest.raises(RuleError, match=r"precision int8-state: got rule ottt-a, which keeps traces; .*; use fp32"):
        learner(NETWORKS[0], rule="ottt-a")
    with pytest.raises(RuleError, match=r"precision int8-state\+bf16: got weights of torch.float64"):
        learner(NETWORKS[0], precision="int8-state+bf16-states", dtype=torch.float64)
    with pytest.raises(NotationError, match=r"reset hard, which needs more than eight bits; .* or use precision fp32"):
        learner(NETWORKS[0], reset="hard")
