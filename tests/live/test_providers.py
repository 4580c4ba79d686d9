"""Steps on another provider than the CPU: checked against it before the first prediction, and refused by name."""

import json

import numpy as np
import onnx_models
import onnxruntime
import pytest
from new_entries import registered
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import MissingExtraError, ModelError, UserError, VerificationError
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.live import OnnxSession
from stdl_events.live.providers import CHECKED_STEPS, PROVIDERS, Provider, check_against_cpu, installed_provider
from stdl_events.training.evaluation.predict import open_session

INSTALLED = onnxruntime.get_available_providers()
MISSING = [name for name, provider in PROVIDERS.items() if provider.execution not in INSTALLED]


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.onnx", make_card(stream_spec()))


@pytest.fixture
def other():
    """A provider of the installed onnxruntime that is not the CPU: it leaves every operator to the CPU."""
    execution = next((name for name in INSTALLED if name != "CPUExecutionProvider"), None)
    if execution is None:
        pytest.skip("the installed onnxruntime has the CPU alone")
    with registered(PROVIDERS, "other", Provider("another one", execution, "onnxruntime")):
        yield "other"


@pytest.mark.parametrize("name", MISSING)
def test_what_is_not_installed_is_one_line_with_its_package(model, name):
    with pytest.raises(MissingExtraError) as caught:
        OnnxSession(model, provider=name)
    text = str(caught.value)
    assert text.startswith(f"--provider {name}: got an onnxruntime with {', '.join(INSTALLED)}; expected ")
    assert f"install {PROVIDERS[name].package} in place of onnxruntime" in text
    assert (caught.value.exit_code, "\n" in text) == (3, False)


def test_an_unknown_name_is_refused_with_the_names(model):
    with pytest.raises(
        ModelError, match="got 'gpu'; expected cpu or scatter or cuda or tensorrt or openvino or coreml"
    ):
        OnnxSession(model, provider="gpu")


def test_another_provider_is_checked_and_computes_the_same(model, other):
    session, cpu = OnnxSession(model, provider=other), OnnxSession(model)
    check = session.provider_check
    assert cpu.provider_check is None
    assert (check.compared, check.differing, check.largest_difference) == (CHECKED_STEPS * (3 + 2), 0, 0.0)
    frame_BCHW = np.random.default_rng(0).integers(0, 9, (1, 2, 6, 8))
    for ours, theirs in zip(
        session.step(frame_BCHW, session.initial_state()), cpu.step(frame_BCHW, cpu.initial_state()), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("change", "differing"), [(1e-6, 0), (0.5, 30)])
def test_a_provider_that_computes_something_else_is_refused(tmp_path, model, monkeypatch, change, differing):
    """Played by a session of the same model with other weights of the readout: all 3 logits of 10 steps differ."""
    monkeypatch.setattr(onnx_models, "BIAS_K", onnx_models.BIAS_K + np.float32(change))
    changed = OnnxSession(write_model(tmp_path / "changed.onnx", make_card(stream_spec())))
    if differing == 0:
        check = check_against_cpu(model, "cuda", changed, OnnxSession(model))
        assert 0 < check.largest_difference < 1e-5
        assert check.to_text().startswith("provider cuda: its first 10 steps differ from the CPU's by at most ")
        return
    with pytest.raises(VerificationError) as caught:
        check_against_cpu(model, "cuda", changed, OnnxSession(model))
    assert str(caught.value) == (
        f"{model} with --provider cuda: got {differing} of 50 values of its first 10 steps that differ from the "
        "CPU's by more than 0.001, the largest by 0.5; expected at least 99.9% of them within it; run it with "
        "--provider cpu"
    )
    assert caught.value.exit_code == 5


def test_steps_start_from_the_state_of_the_cpu(tmp_path, model, monkeypatch):
    """A state that decays otherwise differs by a constant share of the CPU's last state: errors do not add up."""
    monkeypatch.setattr(onnx_models, "LEAK", np.float32(0.25))
    changed = OnnxSession(write_model(tmp_path / "changed.onnx", make_card(stream_spec())))
    with pytest.raises(VerificationError, match=r"got \d+ of 50 values"):
        check_against_cpu(model, "cuda", changed, OnnxSession(model))


def test_names_are_looked_up_among_those_given():
    assert installed_provider("cuda", ["CUDAExecutionProvider"]).package == "onnxruntime-gpu"
    assert installed_provider("openvino", ["OpenVINOExecutionProvider"]).options_for(3)["num_of_threads"] == "3"
    assert installed_provider("cpu", ["CPUExecutionProvider"]).options_for(3) == {}


def test_live_says_how_the_provider_was_checked(model, other, tmp_path, run_cli):
    events = empty_events(500)
    events["t"] = np.arange(500) * 200
    write_recording(tmp_path / "r.h5", events, (8, 6))
    run = ("live", model, "--source", tmp_path / "r.h5", "--speed", "max", "--json-lines")
    code, out, errors = run_cli(*run, "--provider", other)
    assert code == 0, errors
    assert "provider other: its first 10 steps differ from the CPU's by at most 0\n" in errors
    on_cpu = run_cli(*run)[1]
    assert json.loads(out.splitlines()[0])["probabilities"] == json.loads(on_cpu.splitlines()[0])["probabilities"]
    code, _, errors = run_cli("predict", model, tmp_path / "r.h5", "--provider", other)
    assert code == 0, errors
    if "cuda" in MISSING:
        code, _, errors = run_cli(*run, "--provider", "cuda")
        assert (code, errors.count("\n")) == (3, 1)
        assert "install onnxruntime-gpu in place of onnxruntime" in errors


def test_a_run_is_no_exported_model(tmp_path):
    with pytest.raises(UserError, match=r"--provider: got cuda for the folder .*; expected an exported file"):
        open_session(tmp_path, provider="cuda")


def test_bench_says_the_provider_and_evaluate_takes_one(model, other, tmp_path, run_cli):
    run = ("bench", model, "--steps", 1, "--threads", 1)
    code, out, errors = run_cli(*run, "--provider", other)
    assert code == 0, errors
    assert out.splitlines()[0].endswith(", computed by other")
    assert "computed by" not in run_cli(*run)[1].splitlines()[0]
    assert json.loads(run_cli(*run, "--json", "--provider", other)[1])["provider"] == "other"
    events = empty_events(500)
    events["t"] = np.arange(500) * 200
    for label in ("dark", "bright"):
        (tmp_path / "data" / label).mkdir(parents=True)
        write_recording(tmp_path / "data" / label / "r.h5", events, (8, 6))
    capped = write_model(tmp_path / "capped.onnx", make_card(stream_spec(cap=255)))
    evaluated = ("evaluate", capped, "--data", tmp_path / "data", "--json")
    code, out, errors = run_cli(*evaluated, "--provider", other)
    assert code == 0, errors
    assert json.loads(out) == json.loads(run_cli(*evaluated)[1])
    code, _, errors = run_cli("evaluate", tmp_path, "--provider", other)
    assert code == 2
    assert "of a run, which has a list of its recordings, it has no effect" in " ".join(
        errors.replace("│", " ").split()
    )
