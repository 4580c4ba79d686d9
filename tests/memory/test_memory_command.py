"""The command `stdl-events memory`: its JSON document, its text and its errors."""

import json

import pytest
import torch
from typer.testing import CliRunner

from stdl_events.cli import app
from stdl_events.errors import MissingExtraError, NotationError, PlanError, RuleError, UserError
from stdl_events.learning import precision
from stdl_events.learning.blueprint import Blueprint
from stdl_events.memory import report as memory_report
from stdl_events.memory.footprint import measure_learner
from stdl_events.memory.report import measure_on_cuda
from stdl_events.network.spec import NetworkSpec

NOTATION = "8C3-16C3-AP2-16C3"
NETWORK = ["--network", NOTATION, "--input", "2x16x16", "--classes", "10"]
SMALL = [*NETWORK, "--batch", "8", "--steps", "3"]


def make_blueprint(rule: str, memory: str, batch: int = 8) -> Blueprint:
    spec = NetworkSpec.parse(f"{NOTATION}-10FC", input_shape=(2, 16, 16))
    return Blueprint.of(spec, rule, batch_size=batch, steps=3, memory=memory)


def run(*options: str) -> str:
    result = CliRunner().invoke(app, ["memory", *options])
    assert result.exit_code == 0, result.stderr or result.exception
    return result.stdout


def refused(*options: str) -> Exception:
    result = CliRunner().invoke(app, ["memory", *options])
    assert result.exception is not None
    assert "\n" not in str(result.exception)
    return result.exception


def test_one_json_document_has_the_peak_and_what_it_is_made_of():
    document = json.loads(run(*SMALL, "--rule", "sltt", "--plain", "--json"))
    assert document["peak_bytes"] == measure_learner(make_blueprint("sltt", "plain"), None)[0].peak_bytes
    assert list(document["breakdown"]) == ["weights", "gradients", "optimizer", "membrane", "saved", "input", "other"]
    assert document["breakdown"].pop("input") == 3 * 8 * 2 * 16 * 16
    assert sum(document["breakdown"].values()) == document["peak_bytes"]
    assert document["peak_over_floor"] == document["peak_bytes"] / document["floor_bytes"] > 1
    settings = ("rule", "network", "input_shape", "batch", "steps", "mode", "neuron", "optimizer", "precision", "cuda")
    expected = ["sltt", f"{NOTATION}-10FC", [2, 16, 16], 8, 3, "plain", "lif", "sgd", "fp32", None]
    assert [document[name] for name in settings] == expected
    assert [block["subnetwork"] for block in document["blocks"]] == [f"{NOTATION}-10FC"]
    assert document["moment"]["words"].endswith(f", step {document['moment']['first_step']}")


def test_people_read_a_table_and_where_the_peak_is():
    text = run(*SMALL, "--rule", "stdl", "--least-blocks", "2", "--optimizer", "adamw", "--neuron", "alif")
    for line in ("one training step: stdl, lean, batch 8, 3 steps", "membrane", "peak in the ", "floor ", "block 2: "):
        assert line in text


def test_rules_without_lean_mode_say_so():
    assert json.loads(run(*SMALL, "--rule", "bptt", "--json"))["mode"] == "plain"


def test_options_of_rules_plans_and_neurons_reach_the_meter():
    intervals = [json.loads(run(*SMALL, "--rule", "tbptt", "--option", f"k={k}", "--json")) for k in (1, 3)]
    assert intervals[0]["peak_bytes"] < intervals[1]["peak_bytes"]
    plain = json.loads(run(*SMALL, "--plain", "--least-blocks", "2", "--json"))
    assert len(plain["blocks"]) >= 2
    adaptive = json.loads(run(*SMALL, "--rule", "sltt", "--neuron", "alif", "--json"))
    simple = json.loads(run(*SMALL, "--rule", "sltt", "--json"))
    assert adaptive["breakdown"]["membrane"] == 2 * simple["breakdown"]["membrane"]


def test_a_budget_is_kept():
    whole = json.loads(run(*SMALL, "--plain", "--rule", "sltt", "--json"))["peak_bytes"]
    budget = whole - 10_000
    document = json.loads(run(*SMALL, "--plain", "--budget", str(budget), "--json"))
    assert document["peak_bytes"] <= budget
    assert len(document["blocks"]) > 1


def test_the_fastest_mode_that_fits_is_metered():
    roomy = json.loads(run(*SMALL, "--auto", "--budget", "1GB", "--json"))
    tight = json.loads(run(*SMALL, "--auto", "--budget", str(roomy["peak_bytes"] - 1), "--json"))
    assert (roomy["mode"], tight["mode"]) == ("lean", "lean")
    assert tight["peak_bytes"] < roomy["peak_bytes"]
    everything, kept = (len(found["blocks"][0]["kept"]) for found in (roomy, tight))
    assert everything > kept > 0
    text = run(*SMALL, "--auto", "--budget", str(roomy["peak_bytes"] - 1))
    assert f"outputs kept of {kept} layers" in text
    assert json.loads(run(*SMALL, "--auto", "--rule", "sltt", "--json"))["mode"] == "kept"
    assert json.loads(run(*SMALL, "--auto", "--rule", "bptt", "--json"))["mode"] == "plain"


def test_fit_finds_the_largest_batch():
    document = json.loads(run(*NETWORK, "--steps", "3", "--rule", "sltt", "--fit", "2MB", "--json"))
    (row,) = document["largest"]
    assert document["limit_bytes"] == 2_000_000
    assert document["step"] is None

    def metered(batch: int) -> int:
        return measure_learner(make_blueprint("sltt", "lean", batch), None)[0].peak_bytes

    assert metered(row["batch"]) == row["peak_bytes"] <= 2_000_000
    assert metered(row["too_large_batch"]) == row["too_large_peak_bytes"] > 2_000_000
    text = run(*NETWORK, "--steps", "3", "--rule", "sltt", "--fit", "2MB")
    assert "the largest batch within 2.00 MB: sltt, lean" in text
    assert f" {row['batch']} " in text


def test_fit_finds_the_plan_for_a_batch_or_says_what_fits_instead():
    whole = json.loads(run(*SMALL, "--plain", "--rule", "sltt", "--json"))["peak_bytes"]
    limit = str(whole - 10_000)
    step = json.loads(run(*SMALL, "--plain", "--fit", limit, "--json"))["step"]
    assert step["peak_bytes"] <= whole - 10_000
    assert len(step["blocks"]) > 1
    assert "batch 8 fits into" in run(*SMALL, "--plain", "--fit", limit)
    for rule in ("stdl", "bptt"):
        text = run(*SMALL, "--plain", "--rule", rule, "--fit", "300kB")
        assert "batch 8 does not fit into 300.00 kB" in text
        assert f"the largest batch within 300.00 kB: {rule}, plain" in text


def test_bf16_halves_what_flows():
    exact, rounded = (json.loads(run(*SMALL, "--precision", each, "--json")) for each in ("fp32", "bf16-convolutions"))
    assert (exact["precision"], rounded["precision"]) == ("fp32", "bf16-convolutions")
    for part in ("weights", "gradients", "optimizer"):
        assert rounded["breakdown"][part] == exact["breakdown"][part]
    assert rounded["breakdown"]["membrane"] * 2 == exact["breakdown"]["membrane"]
    assert rounded["floor_bytes"] < rounded["peak_bytes"] < exact["peak_bytes"]


def test_bf16_states_count_the_float32_parts_of_convolutions():
    exact, mixed, rounded = (
        json.loads(run(*SMALL, "--rule", "sltt", "--precision", each, "--json"))
        for each in ("fp32", "bf16-states", "bf16-convolutions")
    )
    assert mixed["precision"] == "bf16-states"
    assert mixed["breakdown"]["weights"] == exact["breakdown"]["weights"]
    assert mixed["breakdown"]["membrane"] * 2 == exact["breakdown"]["membrane"]
    assert rounded["peak_bytes"] < mixed["peak_bytes"] < exact["peak_bytes"]


def test_a_trace_is_drawn_beside_the_rule_it_is_compared_with(tmp_path):
    path = tmp_path / "trace.png"
    run(*SMALL, "--rule", "sltt", "--trace", str(path))
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG")
    run(*SMALL, "--rule", "sltt", "--trace", str(path), "--against", "ell")
    assert path.read_bytes() != first
    assert [found.name for found in tmp_path.iterdir()] == ["trace.png"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--precision", "fp8"], RuleError, "precision: got 'fp8'; expected fp32 or bf16"),
        (["--against", "sltt"], UserError, "--against: got no --trace"),
        (["--fit", "1GB", "--budget", "1GB"], UserError, "--fit: got --budget as well"),
        (["--trace", "x.png", "--against", "nothing"], RuleError, "learning rule: got 'nothing'"),
        (["--rule", "sltt-k", "--option", "k=9"], RuleError, "got 9 steps that learn, of 3"),
        (["--fit", "1GB", "--rho", "0.8", "--trace", "x.png"], UserError, "--fit: got --rho and --trace as well"),
        (["--fit", "1GB", "--real"], UserError, "--fit: got --real as well"),
        (["--auto", "--plain"], UserError, "--auto: got --plain as well; expected --auto alone"),
        (["--fit", "much"], PlanError, "amount of memory: got 'much'"),
        (["--trace", "no/such/folder.png"], UserError, "got a folder that does not exist"),
        (["--rule", "sltt", "--budget", "1GB"], RuleError, "plan options: got budget with rule sltt"),
        (["--rule", "nothing"], RuleError, "learning rule: got 'nothing'"),
        (["--rule", "sltt", "--option", "k=2"], RuleError, "rule sltt: got the option k"),
        (["--option", "k"], UserError, "--option: got 'k'; expected NAME=VALUE"),
        (["--input", "2x16"], UserError, "--input: got '2x16'"),
        (["--network", "8Z3"], NotationError, "8Z3"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, error, words):
    found = refused(*SMALL, *options)
    assert isinstance(found, error)
    assert words in str(found)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_is_an_error_of_its_own():
    found = refused(*SMALL, "--device", "cuda")
    assert isinstance(found, MissingExtraError)
    assert found.exit_code == 3
    assert str(found) == (
        "device 'cuda': got no CUDA device that this torch can use; expected a CUDA device and a CUDA build of torch; "
        "leave --device out: the meter itself needs no GPU"
    )


def test_what_a_gpu_says_is_printed_beside_the_meter(monkeypatch):
    """The host replaces the GPU: the step is real, the allocator's numbers are not."""
    calls = []
    monkeypatch.setattr(memory_report, "CUDA", torch.device("cpu"))
    allocator = {
        "is_available": lambda: True,
        "synchronize": lambda: calls.append("wait"),
        "reset_peak_memory_stats": lambda: calls.append("reset"),
        "get_device_name": lambda: "a GPU",
        "max_memory_allocated": lambda: 2_000_000,
        "memory_stats": lambda: {"requested_bytes.all.peak": 1_900_000},
        "max_memory_reserved": lambda: 4_000_000,
    }
    for name, answer in allocator.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    document = json.loads(run(*SMALL, "--rule", "sltt", "--device", "cuda", "--json"))
    peak = document["peak_bytes"]
    assert document["cuda"] == {
        "device": "a GPU",
        "allocated_bytes": 2_000_000,
        "requested_bytes": 1_900_000,
        "reserved_bytes": 4_000_000,
        "metered_bytes": peak,
        "workspace_bytes": 1_900_000 - peak,
        "metered_over_allocated": peak / 2_000_000,
    }
    assert calls == ["wait", "reset", "wait"], "the first step, in which the optimiser gets its states, does not count"
    assert "on a GPU: 2.00 MB allocated, of which " in run(*SMALL, "--rule", "sltt", "--device", "cuda")
    monkeypatch.setattr(precision, "cpu_convolves_in_bf16", lambda: False)
    document = json.loads(run(*SMALL, "--rule", "sltt", "--device", "cuda", "--precision", "bf16", "--json"))
    assert document["precision"] == "bf16-convolutions", "the device's formats, whatever the host has"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_nothing_is_missing_from_the_meter():
    blueprint = make_blueprint("sltt", "plain", batch=256)
    metered = measure_learner(blueprint, None)[0].peak_bytes
    found = measure_on_cuda(blueprint, None, metered)
    assert found.reserved_bytes >= found.allocated_bytes >= found.requested_bytes >= 0.99 * metered
