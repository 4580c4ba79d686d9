"""A neuron registered as one object is trained, metered, exported and named in the help; an unknown one is refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from new_entries import ADAPTIVE_EXPONENTIAL, ARCTAN, registered

from stdl_events.build import build_learner
from stdl_events.errors import NotationError
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.learning.lean.kernels import reference
from stdl_events.learning.lean.kernels.choice import kernel
from stdl_events.live.session import OnnxSession
from stdl_events.network.registries import NEURONS, NORMS, SURROGATES
from stdl_events.network.spec import NetworkSpec, NeuronSpec
from stdl_events.training.overrides import apply_overrides

RunCli = Callable[..., tuple[int, str, str]]
RECIPE = """
from stdl_events.recipes import load_recipe


def recipe():
    return load_recipe("folder").derive(
        name="exponential",
        data={"split": {"rule": "order", "train": 2, "test": 2}},
        frames={"steps": 2, "dt_us": 10_000, "downscale": 1},
        network={"notation": "4C3-4R", "neuron": {"kind": "exponential", "surrogate": "arctan"}},
        epochs=1,
        batch_size=2,
        device="cpu",
    )
"""


@pytest.fixture
def exponential() -> Iterator[str]:
    with registered(NEURONS, "exponential", ADAPTIVE_EXPONENTIAL), registered(SURROGATES, "arctan", ARCTAN):
        yield "exponential"


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two classes of two recordings on 8 by 8 pixels, each on its own half."""
    generator = torch.Generator().manual_seed(0)
    for label in range(2):
        for number in range(2):
            events = empty_events(200)
            events["t"] = range(0, 40_000, 200)
            events["x"] = 4 * label + torch.randint(0, 4, (200,), generator=generator).numpy()
            events["y"] = torch.randint(0, 8, (200,), generator=generator).numpy()
            path = tmp_path / "recordings" / f"class{label}" / f"{number}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_recording(path, events, (8, 8))
    return tmp_path / "recordings"


@pytest.mark.slow
def test_it_is_trained_and_exported(
    exponential: str, recordings: Path, tmp_path: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.py").write_text(RECIPE, encoding="utf-8")
    code, _, errors = run_cli("train", "recipe.py", "--data", recordings, "--out", "run")
    assert code == 0, errors
    code, out, errors = run_cli("export", "run", "--out", "model.onnx", "--json", "--hold", "2", "--check-steps", 20)
    assert code == 0, errors
    assert json.loads(out)["never_compared"] == 0
    session = OnnxSession(Path("model.onnx"))
    assert session.card.network["neuron"]["kind"] == exponential
    assert session.card.decision is not None
    assert session.card.decision.hold == 2
    # u and w of one layer and of a residual block's two
    assert [entry.shape for entry in session.initial_state(1)] == [(1, 4, 8, 8)] * 6


def test_it_is_metered_and_named_in_the_help(exponential: str, run_cli: RunCli) -> None:
    network = ("--network", "4C3-4R", "--input", "2x8x8", "--classes", 3, "--batch", 4, "--steps", 2, "--json")
    code, out, errors = run_cli("memory", *network, "--rule", "sltt", "--neuron", exponential)
    assert code == 0, errors
    document = json.loads(out)
    assert document["neuron"] == exponential
    assert document["breakdown"]["membrane"] == 6 * 4 * 4 * 8 * 8 * 4, "two states of float32 for each of three layers"
    code, out, _ = run_cli("memory", "--help")
    assert code == 0
    assert exponential in out


def test_a_new_surrogate_runs_on_the_plain_kernel(exponential: str) -> None:
    del exponential
    cpu = torch.device("cpu")
    assert kernel("surrogate_backward_", cpu, torch.float32, "arctan") is reference.surrogate_backward_
    with registered(SURROGATES, "renamed", SURROGATES["sigmoid"]):
        chosen = kernel("surrogate_backward_", cpu, torch.float32, "renamed")
        assert chosen is kernel("surrogate_backward_", cpu, torch.float32, "sigmoid")
        assert chosen is not reference.surrogate_backward_


@pytest.mark.parametrize(
    ("registry", "setting"), [(NEURONS, "neuron.kind"), (SURROGATES, "neuron.surrogate"), (NORMS, "norm")]
)
def test_unknown_names_are_refused_everywhere(registry, setting: str, config_of_a_recipe, run_cli: RunCli) -> None:
    expected = f"got 'unknown'; expected {' or '.join(registry)}"
    network = NetworkSpec.parse("4C3-3FC", input_shape=(2, 8, 8))
    name = {"neuron.kind": "neuron", "neuron.surrogate": "surrogate", "norm": "norm"}[setting]
    refusals: list[Callable[[], object]] = [
        lambda: build_learner(network, batch_size=2, steps=2, **{name: "unknown"}),
        lambda: NetworkSpec.from_dict(changed(network.to_dict(), setting)),
        lambda: registry["unknown"],
    ]
    for refused in refusals:
        with pytest.raises(NotationError, match=expected):
            refused()
    with pytest.raises(ValueError, match=f"got 'unknown'; expected {' or '.join(registry)}"):
        apply_overrides(config_of_a_recipe, [f"network.{setting}=unknown"])


def test_the_command_refuses_an_unknown_neuron(run_cli: RunCli) -> None:
    code, _, errors = run_cli(
        "memory", "--network", "4C3", "--input", "2x8x8", "--classes", 3, "--neuron", "exponential"
    )
    assert code == 2
    assert f"neuron: got 'exponential'; expected {' or '.join(NEURONS)}" in " ".join(errors.split())


def test_a_kernel_refuses_an_unknown_surrogate() -> None:
    with pytest.raises(NotationError, match="surrogate: got 'unknown'"):
        kernel("surrogate_backward_", torch.device("cpu"), torch.float64, "unknown")
    with pytest.raises(NotationError, match="surrogate: got 'unknown'"):
        NeuronSpec(surrogate="unknown")


@pytest.fixture
def config_of_a_recipe():
    from stdl_events.recipes import load_recipe

    return load_recipe("folder")


def changed(document: dict, setting: str) -> dict:
    """Return a network's document with one unknown setting."""
    section, _, leaf = setting.rpartition(".")
    return document | ({section: document[section] | {leaf: "unknown"}} if section else {leaf: "unknown"})
