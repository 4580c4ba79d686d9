"""The NIR file against the network, through the interpreter, NIR's own equations, and Norse's importer."""

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import nirtorch
import norse.torch as norse
import numpy as np
import numpy.typing as npt
import pytest
import torch
from new_entries import registered
from norse.torch.functional.reset import reset_subtract

from stdl_events.errors import MissingExtraError, ModelError, VerificationError
from stdl_events.export.nir import export_nir, nir_graph
from stdl_events.export.nir_graph import TIME_STEP
from stdl_events.export.nir_interpreter import NirSession
from stdl_events.export.registry import EXPORTERS, kind_of
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.lif import LIF
from stdl_events.network.norms import Norm
from stdl_events.network.registries import NEURONS, NORMS
from stdl_events.network.spec import NetworkSpec, NeuronSpec
from stdl_events.network.zoo import get_network, list_networks
from stdl_events.training.bundle import save_bundle

Make = Callable[..., tuple[SpikingNetwork, ModelCard]]
CardOf = Callable[[SpikingNetwork], ModelCard]
STEPS = 20
SHAPE = (2, 12, 12)


def run_beside(network: SpikingNetwork, session: NirSession, batch: int = 2) -> tuple[float, float]:
    """Run both, each with its own state; returns the largest difference, and how much the logits change in time."""
    network.eval()
    weight = next(network.parameters())
    state, own = network.initial_state(batch), session.initial_state(batch)
    rng, worst, logits_T = np.random.default_rng(1), 0.0, []
    for _ in range(STEPS):
        frame_BCHW = rng.poisson(0.4, (batch, *network.spec.input_shape)).astype(np.float32)
        with torch.no_grad():
            logits, state = network.step(torch.from_numpy(frame_BCHW).to(weight), state)
        got, own = session.step(frame_BCHW, own)
        pairs = zip((got, *own), (logits, *state), strict=True)
        worst = max(worst, *(float(np.abs(mine - theirs.numpy()).max()) for mine, theirs in pairs))
        logits_T.append(logits.numpy())
    return worst, float(np.ptp(logits_T, axis=0).max())


def narrow(name: str) -> NetworkSpec:
    """A network of the zoo with a few channels, for small frames."""
    full = get_network(name, input_shape=(2, 64, 64), classes=3)
    notation = re.sub(r"\d+(?=[A-Z])", lambda width: str(max(8, int(width[0]) // 64)), full.notation)
    notation = re.sub(r"\d+FC$", "3FC", notation)
    return NetworkSpec.parse(
        notation, input_shape=(2, 16, 16), norm=full.norm, neuron=NeuronSpec(decay=0.5, threshold=0.2)
    )


def shaken(network: SpikingNetwork) -> SpikingNetwork:
    """Change weights, statistics and gains, none of which is then at its initial value."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.add_(0.2 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype).clamp(-2, 2))
    return network


@pytest.mark.parametrize("name", list_networks())
def test_every_network_of_the_zoo_computes_the_same_in_float64(name: str, card_of: CardOf) -> None:
    network = shaken(SpikingNetwork.build(narrow(name), seed=3, dtype=torch.float64))
    worst, change = run_beside(network, NirSession(Path("m.nir"), nir_graph(network, card_of(network))), batch=1)
    assert worst < 1e-9
    assert change > 0, "a silent network would agree with anything"


@pytest.mark.parametrize(
    ("notation", "settings"),
    [
        ("4C3-AP2-6R(s2)-6R-3FC", {"norm": "ws", "neuron": NeuronSpec(decay=0.5, reset="hard")}),
        ("6C3-6SEWR-AP2-8FC-3FC", {"neuron": NeuronSpec("plif", decay=0.4, threshold=0.2), "classifier": "spiking"}),
        ("2SEWR-DP(0.2)-3FC", {"norm": "ws", "neuron": NeuronSpec(decay=0.8, threshold=0.4, reset_amount=0.3)}),
    ],
)
def test_file_computes_what_the_network_computes(
    trained: Make, tmp_path: Path, notation: str, settings: dict[str, object]
) -> None:
    """The last network adds frames to spikes of another gain, for which nodes that scale are needed."""
    network, card = trained(notation, **settings)
    agreement = export_nir(network, card, tmp_path / "model.nir", steps=25)
    assert agreement.never_compared == 0
    assert agreement.compared > 100 * agreement.skipped
    session = NirSession(tmp_path / "model.nir")
    assert session.card == card
    worst, change = run_beside(network, session)
    assert worst < 1e-4
    assert change > 0
    kinds = {type(node).__name__ for node in nir.read(tmp_path / "model.nir").nodes.values()}
    assert ("Scale" in kinds) == notation.startswith("2SEWR")
    assert kinds <= {"Input", "Output", "Conv2d", "Affine", "Flatten", "AvgPool2d", "LIF", "Scale"}


def test_neurons_follow_the_equation_of_nir(trained: Make, tmp_path: Path) -> None:
    """dv/dt = (v_leak - v + r I) / tau by forward Euler, then a reset to v_reset, each value its own, written out."""
    network, card = trained("2C1-3FC", neuron=NeuronSpec(decay=0.75, threshold=0.4, reset="hard"), norm="none")
    graph = nir_graph(network, card)
    node = graph.nodes["layer0_neurons"]
    assert node.metadata["v_per_u"] == 0.25
    rng = np.random.default_rng(0)
    for name in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
        setattr(node, name, getattr(node, name) + rng.uniform(0, 0.05, node.tau.shape).astype(np.float32))
    nir.write(tmp_path / "m.nir", graph)
    session = NirSession(tmp_path / "m.nir")
    conv = graph.nodes["layer0_conv"]
    v, state, fired = np.zeros(node.tau.shape), session.initial_state(1), 0
    for _ in range(STEPS):
        frame = rng.poisson(0.4, (2, 12, 12))
        _, state = session.step(frame[None], state)
        current = np.einsum("oi,ihw->ohw", conv.weight[:, :, 0, 0], frame) + conv.bias[:, None, None]
        v = v + TIME_STEP * (node.v_leak - v + node.r * current) / node.tau
        fired += int((v >= node.v_threshold).sum())
        v = np.where(v >= node.v_threshold, node.v_reset, v)
        np.testing.assert_allclose(state[0][0] * 0.25, v, atol=1e-5)
    assert fired > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # norse calls a function that nirtorch calls old
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_norse_runs_the_file(trained: Make, tmp_path: Path, reset: str) -> None:
    """Norse's importer takes networks without branches and poolings; its LIF resets to zero until told otherwise."""
    network, card = trained(
        "4C3(s2)-6C3(s2)-6FC-3FC", classifier="spiking", neuron=NeuronSpec(decay=0.5, threshold=0.1, reset=reset)
    )
    nir.write(tmp_path / "m.nir", nir_graph(network, card))
    theirs = norse.from_nir(nir.read(tmp_path / "m.nir"), dt=TIME_STEP)
    as_it_is, ours = spikes_of(theirs, network), spikes_of(None, network)
    assert 0 < ours.mean() < 1
    if reset == "soft":
        reset_by_subtraction(theirs)
    np.testing.assert_array_equal(spikes_of(theirs, network), ours)
    assert np.array_equal(as_it_is, ours) == (reset == "hard")


@pytest.mark.parametrize(("notation", "norm"), [("4C3-AP2-4R-6R(s2)-3FC", "batch"), ("4S3-4NFR-8NFB(s2)-3FC", "ws")])
def test_nirtorch_runs_graphs_with_branches(trained: Make, tmp_path: Path, notation: str, norm: str) -> None:
    """With the cells of Norse for LIF. Nirtorch 2.6 itself loses the bias of linear layers."""
    network, card = trained(notation, neuron=NeuronSpec(decay=0.5, threshold=0.5), norm=norm)
    nir.write(tmp_path / "m.nir", nir_graph(network, card))
    theirs = nirtorch.nir_to_torch(nir.read(tmp_path / "m.nir"), {nir.LIF: norse_cell, nir.Affine: linear})
    ours = spikes_of(None, network)
    assert np.ptp(ours, axis=0).max() > 0
    np.testing.assert_allclose(spikes_of(theirs, network), ours, atol=1e-4)


def norse_cell(node: nir.LIF) -> torch.nn.Module:
    parameters = norse.LIFBoxParameters(
        tau_mem_inv=torch.from_numpy(1 / node.tau), v_th=torch.from_numpy(node.v_threshold), reset_method=reset_subtract
    )
    return norse.LIFBoxCell(parameters, dt=TIME_STEP)


def linear(node: nir.Affine) -> torch.nn.Linear:
    module = torch.nn.Linear(node.weight.shape[1], node.weight.shape[0])
    module.load_state_dict({"weight": torch.from_numpy(node.weight), "bias": torch.from_numpy(node.bias)})
    return module


def reset_by_subtraction(model: torch.nn.Module) -> None:
    for cell in model.modules():
        if isinstance(cell, norse.LIFBoxCell):
            cell.p = cell.p._replace(reset_method=reset_subtract)


def spikes_of(model: torch.nn.Module | None, network: SpikingNetwork) -> npt.NDArray[np.float32]:
    """The output of each step for one sequence, of `model` or of `network`; an importer's model has no batch."""
    network.eval()
    state: Any = network.initial_state(1) if model is None else None
    generator, out = torch.Generator().manual_seed(2), []
    for _ in range(STEPS):
        frame_CHW = torch.poisson(torch.full(network.spec.input_shape, 0.4), generator)
        with torch.no_grad():
            result, state = network.step(frame_CHW[None], state) if model is None else model(frame_CHW, state)
        out.append(result.flatten().numpy())
    return np.stack(out)


def test_metadata_hold_what_nir_cannot(trained: Make, tmp_path: Path) -> None:
    spec = NeuronSpec("plif", decay=0.5, threshold=0.8, reset_amount=0.2, surrogate="sigmoid", surrogate_width=4.0)
    network, card = trained("4C3-AP2-3FC", neuron=spec)
    nir.write(tmp_path / "m.nir", nir_graph(network, card))
    graph = nir.read(tmp_path / "m.nir")
    decay = torch.sigmoid(network.layers[0].body.cell.p.logit).item()
    assert decay != pytest.approx(0.5, abs=1e-3), "it was trained"
    node = graph.nodes["layer0_neurons"]
    assert (node.metadata["kind"], node.metadata["reset"]) == ("plif", "soft")
    assert (node.metadata["surrogate"], node.metadata["surrogate_width"]) == ("sigmoid", 4.0)
    assert node.metadata["reset_amount"] == pytest.approx(0.2 / decay * (1 - decay))
    np.testing.assert_allclose(node.v_threshold, 0.8 * (1 - decay), rtol=1e-6)
    np.testing.assert_allclose(graph.metadata["dt"] / node.tau, 1 - decay, rtol=1e-6)
    assert set(node.r.flat) == {1.0}
    assert set(node.v_leak.flat) == set(node.v_reset.flat) == {0.0}


def test_the_same_network_gives_the_same_bytes(trained: Make, tmp_path: Path) -> None:
    network, card = trained("4C3-AP4-3FC")
    for name in ("one.nir", "other.nir"):
        nir.write(tmp_path / name, nir_graph(network, card))
    assert (tmp_path / "one.nir").read_bytes() == (tmp_path / "other.nir").read_bytes()


def test_what_nir_has_no_word_for_is_refused(trained: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, card = trained("4C3-3FC", neuron=NeuronSpec("alif"))
    with pytest.raises(ModelError, match=r"got the neuron alif \(layer0_neurons\); expected .* fixed threshold"):
        export_nir(network, card, tmp_path / "m.nir", steps=25)
    with registered(NORMS, "group", Norm("groups", behind=lambda channels, *_: torch.nn.GroupNorm(2, channels))):
        network, card = trained("4C3-3FC", norm="group")
        with pytest.raises(ModelError, match=r"got a norm that is not folded into its convolution \(layer0_conv\)"):
            export_nir(network, card, tmp_path / "m.nir", steps=25)
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(MissingExtraError, match="stdl-events\\[nir\\]"):
        export_nir(*trained("4C3-3FC"), tmp_path / "m.nir")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_disagrees_is_not_kept(trained: Make, tmp_path: Path) -> None:
    """A neuron that says that it is LIF, and is not."""
    wrong = dataclasses.replace(LIF, charge=lambda x, state, p: x + p.decay * state.u + 0.01)
    with registered(NEURONS, "wrong", wrong):
        network, card = trained("4C3-3FC", neuron=NeuronSpec("wrong"))
        (tmp_path / "m.nir").write_text("older")
        with pytest.raises(VerificationError, match="got numbers that differ by") as caught:
            export_nir(network, card, tmp_path / "m.nir", steps=25)
    assert caught.value.exit_code == 5
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("m.nir", "older")]


def test_files_that_are_none_of_ours_are_refused(trained: Make, tmp_path: Path) -> None:
    path = tmp_path / "m.nir"
    path.write_bytes(b"no HDF5")
    with pytest.raises(ModelError, match="got a file that does not read"):
        NirSession(path)
    network, card = trained("4C3-3FC")
    graph = nir_graph(network, card)
    graph.nodes["layer0_neurons"] = nir.I(graph.nodes["layer0_neurons"].r)
    with pytest.raises(ModelError, match=r"got nodes of the type I; expected a \.nir file that stdl-events wrote"):
        NirSession(path, graph)
    graph.metadata = {}
    with pytest.raises(ModelError, match="got no model card in its metadata"):
        NirSession(path, graph)


def test_the_suffix_decides_what_is_written(trained: Make, tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    assert {kind_of(Path(f"m.{name}")) for name in EXPORTERS} == {"onnx", "nir"}
    network, card = trained("4C3-AP4-3FC")
    save_bundle(tmp_path / "bundle", network, card)
    code, out, errors = run_cli(
        "export", tmp_path / "bundle", "--out", tmp_path / "m.nir", "--check-steps", 25, "--json"
    )
    assert code == 0, errors
    assert json.loads(out)["never_compared"] == 0
    assert NirSession(tmp_path / "m.nir").card == card
    for arguments, text in (
        (("--out", tmp_path / "m.txt"), "got 'txt'; expected onnx or nir"),
        (("--out", tmp_path / "m2.nir", "--precision", "int8"), "got int8 for a .nir file; expected float32"),
    ):
        code, _, errors = run_cli("export", tmp_path / "bundle", *arguments)
        assert (code, errors.count("\n")) == (2, 1)
        assert text in errors
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "m.nir", "m.nir.proof.json", "m.nir.proof.md"}
