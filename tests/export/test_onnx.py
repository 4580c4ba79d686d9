"""The exported file against the network, through onnxruntime."""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import stdl_events.export.onnx as onnx_export
from stdl_events.errors import ModelError, VerificationError
from stdl_events.export.agreement import Agreement
from stdl_events.export.fold import fold_norms
from stdl_events.export.onnx import export_onnx, write_step
from stdl_events.export.sequences import MEAN_COUNTS
from stdl_events.export.verify import STEPS, compare
from stdl_events.live.onnx_file import read_onnx_file
from stdl_events.live.session import OnnxSession
from stdl_events.model_card import METADATA_KEY, DecisionThresholds, ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.registries import NEURONS, NORMS
from stdl_events.network.spec import NeuronSpec

Make = Callable[..., tuple[SpikingNetwork, ModelCard]]


def as_exported(card: ModelCard, path: Path, agreement: Agreement) -> ModelCard:
    """Return the card that the file at `path` has, of a network with `card`."""
    digest = read_onnx_file(path).weights_sha256
    return card.model_copy(update={"weights_sha256": digest, "verification": agreement.verification()})


EACH = range(max(len(NEURONS), len(NORMS)))
PAIRS = [([*NEURONS][i % len(NEURONS)], [*NORMS][i % len(NORMS)]) for i in EACH]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "norm"), PAIRS)
def test_every_neuron_and_norm_is_exported(trained: Make, tmp_path: Path, kind: str, norm: str) -> None:
    network, card = trained("2C3-2R-3FC", neuron=NeuronSpec(kind, decay=0.5), norm=norm)
    agreement = export_onnx(network, card, tmp_path / "model.onnx", steps=20)
    assert agreement.never_compared == 0
    assert agreement.compared > agreement.skipped


@pytest.mark.slow
@pytest.mark.parametrize(
    ("notation", "settings"),
    [
        ("4C3-AP2-6R(s2)-3FC", {}),
        ("4C3-6SEWR-AP2-8FC-3FC", {"neuron": NeuronSpec(kind="plif", decay=0.5, reset="hard")}),
        ("4C3-4R-3FC", {"norm": "ws", "neuron": NeuronSpec(kind="alif", decay=0.5)}),
        ("8S3-AP2-8NFR-DP(0.3)-16NFB(s2)-3FC", {"norm": "ws", "neuron": NeuronSpec(decay=0.5)}),
        (
            "4C3(s2)-DP(0.2)-6C5-AP2-8FC-3FC",
            {"norm": "none", "classifier": "spiking", "neuron": NeuronSpec(decay=0.8, threshold=0.4, reset_amount=0.4)},
        ),
    ],
)
def test_file_computes_what_the_network_computes(
    trained: Make, tmp_path: Path, notation: str, settings: dict[str, object]
) -> None:
    network, card = trained(notation, **settings)
    before = copy.deepcopy(network.state_dict())
    path = tmp_path / "model.onnx"
    agreement = export_onnx(network, card, path)
    assert agreement.steps == STEPS
    assert agreement.never_compared == 0
    assert agreement.compared > 100 * agreement.skipped
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), f"exporting changed {name}"
    session = OnnxSession(path)
    assert session.card == as_exported(card, path, agreement)
    assert [entry.shape[1:] for entry in session.initial_state(1)] == list(network.state_shapes), "no masks"
    # The reference: a literal run in float64 from the same state, in evaluation mode.
    network.double().eval()
    frame = np.random.default_rng(1).poisson(0.5, (1, 2, 12, 12))
    state, own = network.initial_state(1), session.initial_state(1)
    spikes = 0.0
    for _ in range(4):
        with torch.no_grad():
            logits, state = network.step(torch.from_numpy(frame).double(), state)
        got, own = session.step(frame, own)
        spikes += float(sum(entry.abs().sum() for entry in state))
        np.testing.assert_allclose(got, logits.numpy(), atol=1e-4)
    assert spikes > 0, "a silent network would agree with anything"


@dataclass(frozen=True)
class Exported:
    """A network, the card that it was exported with, the file, and how both agree."""

    network: SpikingNetwork
    card: ModelCard
    path: Path
    agreement: Agreement


@pytest.fixture(scope="module")
def exported(trained: Make, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One network's export, for tests that change neither the network nor the file."""
    network, card = trained("4C3-AP4-3FC")
    card = card.model_copy(update={"temperature": 1.5, "decision": DecisionThresholds(decide_at=0.9)})
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    return Exported(network, card, path, export_onnx(network, card, path, steps=20))


def test_file_runs_at_any_batch_and_carries_its_card(exported: Exported) -> None:
    path = exported.path
    model = onnx.load(path)
    assert [value.name for value in model.graph.input] == ["frame", "state_0"]
    assert [value.name for value in model.graph.output] == ["logits", "next_state_0"]
    card = as_exported(exported.card, path, exported.agreement)
    assert {entry.key: entry.value for entry in model.metadata_props} == {METADATA_KEY: card.to_json()}
    assert not any("BatchNormalization" in node.op_type for node in model.graph.node)
    session = OnnxSession(path)
    assert session.card == card
    frames = np.random.default_rng(0).poisson(0.4, (5, 2, 12, 12)).astype(np.float32)
    together, _ = session.step(frames, session.initial_state(5))
    alone = [session.step(frame[None], session.initial_state(1))[0][0] for frame in frames]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-6)


def test_neurons_are_reset_before_the_next_layer_computes(trained: Make, tmp_path: Path) -> None:
    """In onnxruntime, which orders a graph's nodes itself; what it ran is in its profile."""
    write_step(*trained("4C3-6C3-8C3-3FC"), tmp_path / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "ran")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    session.run(None, {value.name: np.zeros([1, *value.shape[1:]], np.float32) for value in session.get_inputs()})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran = [event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time")]
    assert [name for name in ran if name in ("Conv", "Sub")] == ["Conv", "Sub"] * 3


def test_file_says_nothing_of_the_machine_that_made_it(exported: Exported) -> None:
    content = exported.path.read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in content
    assert b".py" not in content
    assert b"pkg.torch" not in content
    assert [entry.key for entry in onnx.load(exported.path).metadata_props] == [METADATA_KEY]


def test_comparison_finds_a_wrong_weight(exported: Exported) -> None:
    network, path = copy.deepcopy(exported.network), exported.path
    done: list[tuple[int, int]] = []
    agreement = compare(network, path, steps=3, progress=lambda *counts: done.append(counts))
    assert agreement.problem() is None
    assert done == [(step, 6) for step in range(1, 7)], "3 steps in batches of 1 and 3"
    with torch.no_grad():
        next(module for module in network.modules() if isinstance(module, nn.Linear)).bias.add_(0.01)
    problem = compare(network, path, steps=20).problem()
    assert problem is not None
    assert problem.startswith("numbers that differ by 0.01")


def test_comparison_finds_a_wrong_reset(trained: Make, exported: Exported) -> None:
    hard, _ = trained("4C3-AP4-3FC", neuron=NeuronSpec(reset="hard"))
    assert compare(hard, exported.path, steps=20).problem() is not None


def test_held_out_clips_are_compared_and_layers_that_never_fire_are_named(trained: Make, tmp_path: Path) -> None:
    network, card = trained("4C3-6C3-AP2-8FC-3FC")
    network.eval()
    linear = next(module for module in network.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        linear.weight.zero_()
    path = tmp_path / "model.onnx"
    clips_NTCHW = np.random.default_rng(2).poisson(0.3, (9, 7, 2, 12, 12)).astype(np.uint8)
    found = export_onnx(network, card, path, clips_NTCHW, held_out_of="sketches", steps=20)
    assert found.problem() is None
    # Each of the 4 sequences is 2 clips of 7 frames and 6 frames of a third; 12 are needed, 9 are there.
    assert (found.steps, found.held_out_clips, found.batch_sizes) == (20, 9, (1, 3))
    assert found.runs == 4 + 4 * 3
    assert found.silent_layers == ("3. 8FC",)
    values = [4 * 12 * 12, 6 * 12 * 12, 8, 3]
    assert [layer.compared + layer.near_threshold + layer.skipped for layer in found.layers] == [
        count * 20 * 4 * 2 for count in values
    ]
    assert [layer.neurons for layer in found.layers] == [*values[:3], 0]
    assert found.layers[0].spikes == spikes_of_first_layer(network, clips_NTCHW)
    stated = OnnxSession(path).card.verification
    assert stated == found.verification("sketches")
    assert (stated.held_out_of, stated.silent_layers) == ("sketches", ("3. 8FC",))


def spikes_of_first_layer(network: SpikingNetwork, clips_NTCHW: np.ndarray) -> int:
    """Count spikes, a clip at a time, over the frames that the comparison sees: simulated ones, then the clips."""
    rng, spikes = np.random.default_rng(0), 0
    drawn = rng.poisson(np.reshape(MEAN_COUNTS, (1, -1, 1, 1, 1)), (20, 4, 2, 12, 12)).astype(np.float32)
    joined = [clips_NTCHW[[(3 * s + n) % 9 for n in range(3)]] for s in range(4)]
    runs = [drawn[:, n] for n in range(4)]
    runs += [clip[: 6 if n == 2 else 7] for clips in joined for n, clip in enumerate(clips)]
    layer = network.layers_in_order()[0]
    for frames_TCHW in runs:
        state = layer.initial_state(1)
        for frame_CHW in frames_TCHW:
            with torch.no_grad():
                out, state = layer.step(torch.from_numpy(frame_CHW).float()[None], state)
            spikes += int(out.sum())
    return spikes


def test_a_file_of_one_batch_size_is_found(exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = onnx.load(exported.path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, path)
    with pytest.raises(ModelError, match="of a batch of 2; expected a batch of any size"):
        compare(exported.network, path, steps=2)


def test_a_file_that_disagrees_is_not_kept(trained: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, card = trained("4C3-AP4-3FC")
    path = tmp_path / "model.onnx"
    path.write_text("the file that was here before")

    def fold_wrongly(network: SpikingNetwork) -> SpikingNetwork:
        folded = fold_norms(network)
        with torch.no_grad():
            for parameter in folded.parameters():
                parameter.mul_(1.01)
        return folded

    monkeypatch.setattr(onnx_export, "fold_norms", fold_wrongly)
    with pytest.raises(VerificationError, match=r"got numbers that differ by .* report this network") as caught:
        export_onnx(network, card, path, steps=20)
    assert caught.value.exit_code == 5
    assert path.read_text() == "the file that was here before"
    assert list(tmp_path.iterdir()) == [path]


def test_card_of_another_network_is_refused(trained: Make, tmp_path: Path) -> None:
    network, _ = trained("4C3-AP4-3FC")
    _, card = trained("6C3-AP4-3FC")
    with pytest.raises(ModelError, match="got one for 6C3-AP4-3FC; expected the card of 4C3-AP4-3FC"):
        export_onnx(network, card, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_folder_must_exist(trained: Make, tmp_path: Path) -> None:
    network, card = trained("4C3-AP4-3FC")
    with pytest.raises(ModelError, match="expected a folder that exists; make the folder first"):
        export_onnx(network, card, tmp_path / "nowhere" / "model.onnx")


def test_the_same_network_and_card_give_the_same_bytes(exported: Exported, tmp_path: Path) -> None:
    export_onnx(exported.network, exported.card, tmp_path / "other.onnx", steps=20)
    assert exported.path.read_bytes() == (tmp_path / "other.onnx").read_bytes()


@pytest.mark.parametrize("norm", ["batch", "ws", "none"])
def test_folding_keeps_the_function(trained: Make, norm: str) -> None:
    network, _ = trained("4C3-AP2-6R(s2)-3FC", norm=norm)
    network.double().eval()
    folded = fold_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    frame = torch.poisson(torch.full((3, 2, 12, 12), 0.5, dtype=torch.float64))
    state, other = network.initial_state(3), folded.initial_state(3)
    with torch.no_grad():
        for _ in range(3):
            logits, state = network.step(frame, state)
            folded_logits, other = folded.step(frame, other)
    torch.testing.assert_close(folded_logits, logits, rtol=1e-10, atol=1e-10)
