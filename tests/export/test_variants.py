"""Other number formats: the same classes, spikes exact on every processor, states in float32."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

from stdl_events.errors import ModelError, UserError, VerificationError
from stdl_events.export import variants
from stdl_events.export.grids import LARGEST_INTEGER, grids_of
from stdl_events.export.onnx import export_onnx
from stdl_events.export.opsets import OPSETS, check_opset
from stdl_events.export.precisions import PRECISIONS
from stdl_events.export.variants import write_variant
from stdl_events.live.onnx_file import read_onnx_file
from stdl_events.live.session import OnnxSession

STEPS = 6
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def float_file(trained: Make, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("float") / "float.onnx"
    export_onnx(*trained("4C3-AP2-6C3-3FC"), path, steps=20)
    return path


@pytest.fixture
def clips_NTCHW() -> np.ndarray:
    return np.random.default_rng(0).poisson(0.4, (12, STEPS, 2, 12, 12)).astype(np.uint8)


def constants(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("precision", PRECISIONS.names)
def test_every_format_keeps_classes_and_state(float_file: Path, tmp_path: Path, clips_NTCHW, precision: str) -> None:
    path = tmp_path / "variant.onnx"
    variant = write_variant(precision, float_file, clips_NTCHW, path)
    assert variant.clips == len(clips_NTCHW)
    assert variant.agreeing >= 0.95 * len(clips_NTCHW)
    assert variant.bytes == path.stat().st_size
    session = OnnxSession(path)
    assert {entry.dtype for entry in session.initial_state()} == {np.dtype(np.float32)}
    assert session.card.provenance["precision"] == variant.precision
    assert variant.precision.split()[0] == precision
    assert session.card.weights_sha256 == read_onnx_file(path).weights_sha256
    assert [entry.key for entry in onnx.load(path).metadata_props] == ["stdl_events.model_card"]
    write_variant(precision, float_file, clips_NTCHW, tmp_path / "other.onnx")
    assert path.read_bytes() == (tmp_path / "other.onnx").read_bytes()


def test_half_precision_rounds_the_weights_alone(float_file: Path, tmp_path: Path, clips_NTCHW) -> None:
    write_variant("float16", float_file, clips_NTCHW, tmp_path / "half.onnx")
    ours, theirs = constants(float_file), constants(tmp_path / "half.onnx")
    halved = {name.removesuffix("_half"): values for name, values in theirs.items() if name.endswith("_half")}
    assert sorted(halved) == sorted(name for name, values in ours.items() if values.size >= 64)
    for name, values in halved.items():
        np.testing.assert_array_equal(values, ours[name].astype(np.float16))
    rounded = onnx.load(float_file)
    for tensor in rounded.graph.initializer:
        if tensor.name in halved:
            tensor.CopyFrom(numpy_helper.from_array(halved[tensor.name].astype(np.float32), tensor.name))
    session = onnxruntime.InferenceSession(rounded.SerializeToString(), providers=["CPUExecutionProvider"])
    other = OnnxSession(tmp_path / "half.onnx")
    state = other.initial_state(12)
    feed = {"frame": clips_NTCHW[:, 0].astype(np.float32)} | {f"state_{n}": entry for n, entry in enumerate(state)}
    np.testing.assert_array_equal(other.step(clips_NTCHW[:, 0], state)[0], session.run(["logits"], feed)[0])


def test_a_weight_that_half_precision_does_not_hold_is_named(float_file: Path, tmp_path: Path, clips_NTCHW) -> None:
    model = onnx.load(float_file)
    tensor = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0, 0, 0] = 7e4
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    variants.write_model(model, OnnxSession(float_file).card, tmp_path / "large.onnx")
    with pytest.raises(ModelError, match="a weight of 7e"):
        write_variant("float16", tmp_path / "large.onnx", clips_NTCHW, tmp_path / "half.onnx")


def test_eight_bits_are_integer_products_of_exact_spikes(trained: Make, tmp_path: Path, clips_NTCHW) -> None:
    """The reference: integers in numpy and torch's float64, layer by layer, from the scales in the file.

    All weights of a channel are alike and most neurons fire, so that products in sixteen bits would saturate if spikes
    were stored as 255. The first layer stays in float32.
    """
    network, card = trained("16C3-16C3-AP2-6C3-3FC", norm="none")
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 4:
                parameter.copy_(parameter.abs().mean((1, 2, 3), keepdim=True).expand_as(parameter))
    export_onnx(network, card, tmp_path / "float.onnx", steps=20)
    write_variant("int8", tmp_path / "float.onnx", clips_NTCHW, tmp_path / "int8.onnx")
    model = onnx.load(tmp_path / "int8.onnx")
    made = Counter(node.op_type for node in model.graph.node)
    assert (made["Conv"], made["AveragePool"]) == (4, 0), "the mean of four spikes is one of them"
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    assert "Cast" not in {makers[node.input[0]] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    values = constants(tmp_path / "int8.onnx")
    assert [name for name, array in values.items() if array.ndim > 1 and array.dtype != np.int8] == [
        "network.layers.0.body.synapse.weight"
    ]
    session = OnnxSession(tmp_path / "int8.onnx")
    frame_NCHW = clips_NTCHW[:, 0]
    _, states = session.step(frame_NCHW, session.initial_state(len(frame_NCHW)))

    with torch.no_grad():
        first_NCHW = network.layers[0].body.synapse(torch.from_numpy(frame_NCHW.astype(np.float32))).numpy()
    spikes_NCHW = first_NCHW >= 1
    np.testing.assert_allclose(states[0], first_NCHW - spikes_NCHW, atol=1e-5)
    input_NCHW = torch.from_numpy(spikes_NCHW.astype(np.float64))
    for layer, part in ((1, 1), (2, 4)):
        integers_NCHW = input_NCHW * part
        assert (integers_NCHW == integers_NCHW.round()).all()
        assert integers_NCHW.max() <= LARGEST_INTEGER
        name = f"network.layers.{layer}.body.synapse.weight"
        scales_O, weight_OCKK = values[f"{name}_scale"], values[f"{name}_quantized"]
        sums_NCHW = torch.nn.functional.conv2d(integers_NCHW, torch.from_numpy(weight_OCKK.astype(float)), padding=1)
        sums_NCHW += torch.tensor(values[f"network.layers.{layer}.body.synapse.bias_quantized"])[:, None, None]
        output = next(node.output[0] for node in model.graph.node if node.op_type == "Conv" and name in node.input[1])
        step, zero = float(values[f"{output}_scale"]), float(values[f"{output}_zero_point"])
        current_NCHW = sums_NCHW.numpy() * (scales_O.astype(float) / part)[:, None, None]
        current_NCHW = (np.clip(np.rint(current_NCHW / step) + zero, 0, 255) - zero) * step
        spikes_NCHW = current_NCHW >= 1
        difference_NCHW = np.abs(states[layer].transpose(0, 3, 1, 2) - (current_NCHW - spikes_NCHW))
        assert difference_NCHW.max() < step * 1.01, layer  # halves are rounded up or down
        assert (difference_NCHW < 1e-4).mean() > 0.99
        input_NCHW = torch.from_numpy(spikes_NCHW.astype(float))
        if layer == 1:
            assert spikes_NCHW.mean() > 0.5
            input_NCHW = torch.nn.functional.avg_pool2d(input_NCHW, 2)


def test_grids_hold_every_value_that_occurs(trained: Make, tmp_path: Path, clips_NTCHW) -> None:
    export_onnx(*trained("4C3-4R-AP2-8R-3FC"), tmp_path / "m.onnx", steps=20)
    model = onnx.load(tmp_path / "m.onnx")
    grids = grids_of(model, int(clips_NTCHW.max()))
    products = {node.input[0] for node in model.graph.node if node.op_type in ("Conv", "Gemm")}
    assert products - {"frame"} <= grids.keys()
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in grids if name != "frame")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    states = {f"state_{n}": entry for n, entry in enumerate(OnnxSession(tmp_path / "m.onnx").initial_state(12))}
    found = session.run(names, {"frame": clips_NTCHW[:, 0].astype(np.float32)} | states)
    for name, array in zip(names, found, strict=True):
        whole = array.astype(np.float64) * grids[name].parts
        np.testing.assert_allclose(whole, np.rint(whole), atol=1e-4)
        assert 0 <= array.min() <= array.max() <= grids[name].largest
    assert max(array.max() for array in found) >= 1


def test_what_has_no_grid_is_not_given_one(float_file: Path) -> None:
    model = onnx.load(float_file)
    results = {node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Gemm", "Sub", "Mul")}
    assert not results & grids_of(model, 255).keys()
    assert not grids_of(model, 255)["frame"].is_exact
    assert "frame" not in grids_of(model, None)


def test_an_input_without_a_grid_leaves_room_for_sums_of_two(trained: Make, tmp_path: Path) -> None:
    """Counts of up to 255 that a linear layer receives."""
    export_onnx(*trained("6FC-3FC"), tmp_path / "float.onnx", steps=20)
    clips_NTCHW = np.random.default_rng(1).integers(0, 256, (6, STEPS, 2, 12, 12)).astype(np.uint8)
    variant = write_variant("int8", tmp_path / "float.onnx", clips_NTCHW, tmp_path / "int8.onnx")
    assert "1 of 2 inputs exact, state" in variant.precision
    nodes = onnx.load(tmp_path / "int8.onnx").graph.node
    stored = next(node for node in nodes if node.op_type == "QuantizeLinear")
    scale = float(constants(tmp_path / "int8.onnx")[stored.input[1]])
    assert scale == pytest.approx(255 / LARGEST_INTEGER, rel=1e-6)


def test_files_that_disagree_are_not_kept(float_file: Path, tmp_path: Path, clips_NTCHW, monkeypatch) -> None:
    monkeypatch.setattr(variants, "LEAST_AGREEMENT", 1.01)
    with pytest.raises(VerificationError, match="another class for 0 of 12 clips"):
        write_variant("int8", float_file, clips_NTCHW, tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize(
    "opset", [opset if opset in (17, 22) else pytest.param(opset, marks=pytest.mark.slow) for opset in OPSETS]
)
def test_every_operator_set_passes_the_same_comparison(trained: Make, tmp_path: Path, opset: int) -> None:
    agreement = export_onnx(*trained("4C3-AP2-3FC"), tmp_path / "m.onnx", opset=opset, steps=20)
    assert agreement.problem() is None
    model = onnx.load(tmp_path / "m.onnx")
    assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
    assert model.ir_version == helper.find_min_ir_version_for(list(model.opset_import))
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize("opset", [16, 23])
def test_other_operator_sets_are_refused(opset: int) -> None:
    with pytest.raises(UserError, match=f"--opset: got {opset}; expected 17 to 22"):
        check_opset(opset)


def test_options_without_effect_are_refused(run_cli, tmp_path: Path) -> None:
    for options, text in (
        (("--auto", "--precision", "int8"), "--auto chooses the format"),
        (("--within", "1"), "without --auto it has no effect"),
        (("--opset", "16"), "--opset: got 16; expected 17 to 22"),
        (("--precision", "int4"), "got 'int4'; expected float32 or float16 or int8"),
    ):
        code, out, err = run_cli("export", tmp_path, "--out", tmp_path / "m.onnx", *options)
        assert (code, out) == (2, "")
        assert text in " ".join(err.replace("│", " ").split())
    code, _, err = run_cli("export", tmp_path, "--out", tmp_path / "m.nir", "--auto")
    assert code == 2
    assert "--auto: got all for a .nir file; expected float32" in err
    code, _, err = run_cli("export", tmp_path, "--out", tmp_path / "m.nir", "--whole-clip")
    assert code == 2
    assert "--whole-clip: got whole clips for a .nir file; expected an .onnx file" in err
