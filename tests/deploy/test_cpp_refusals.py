"""What the C++ program of `deploy/cpp` refuses in one line: wrong and damaged recordings, models and arguments."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from cpp_program import (
    HEADER,
    SIZE,
    evt2_words,
    pixel_card,
    run_program,
    scene,
    write_pixel_model,
    written,
)
from onnx import TensorProto
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import ModelError
from stdl_events.frames import FrameSpec
from stdl_events.live import OnnxSession
from stdl_events.model_card import DecisionThresholds, StateFormat

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    card = pixel_card(FrameSpec(kind="stream", steps=4, dt_us=10_000, sensor_size=SIZE))
    return write_pixel_model(tmp_path / "m.onnx", card)


BACK = scene(4)
BACK["t"] = 2_000_000, 2_000_001, 10, 20
AFAR = scene(2)
AFAR["t"] = 0, 17_000_000_000
TRAINED = "expected 12x10, on which the model was trained"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("cut.raw", HEADER + evt2_words(scene(9))[:-3], "got an end inside a word of EVT; expected whole words;"),
        ("head.raw", b"% evt 2.0\n% geom", "got a header without an end; expected lines that begin with %;"),
        ("none.raw", b"no events", "got no header of EVT; expected EVT 2.0 or 3.0;"),
        ("evt21.raw", HEADER.replace(b"2.0", b"2.1"), "got the encoding 2.1; expected EVT 2.0 or 3.0;"),
        ("big.raw", b"% endianness big\n" + HEADER, "got the byte order big; expected little;"),
        ("size.raw", HEADER.replace(b"12x10", b"34x34"), f"got a sensor of 34x34; {TRAINED}; cut or shrink it"),
        ("turned.raw", HEADER.replace(b"12x10", b"10x12"), f"got a sensor of 10x12; {TRAINED}; turn it"),
        ("small.raw", HEADER.replace(b"12x10", b"12x9"), f"got a sensor of 12x9; {TRAINED}; use a recording of"),
        ("anon.raw", b"% evt 2.0\n% end\n", "got no sensor size in its header; expected one; give it with --sensor"),
        ("back.raw", HEADER + evt2_words(BACK), "got a clock that goes back from t=2000001 to t=10 us; expected one"),
        ("gap.raw", HEADER + evt2_words(AFAR), "got 1699999 windows at once up to t=16999999000 us; expected at most"),
        ("gone\n\x9b.raw", None, "got No such file or directory; expected a recording; correct the path"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".raw") else "",
)  # fmt: skip
def test_recordings_that_are_refused_in_one_line(cpp_program_path, model, tmp_path, name, content, text):
    good = written(tmp_path / "good.raw", scene())
    if content is not None:
        (tmp_path / name).write_bytes(content)
    found = run_program(cpp_program_path, model, tmp_path / name, good)
    assert found.code == 2
    assert len(found.errors) == 1
    assert found.errors[0].startswith(f"recognise: error: {tmp_path / name}: {text}".replace("\n\x9b", "   "))
    assert [summary["recording"] for summary in found.summaries] == [str(good)], "the next recording follows"


STREAM, WIDE = stream_spec(), stream_spec((9, 6))
PICTURE = FrameSpec(kind="picture", steps=2, sensor_size=(8, 6))


def of_pixels(path: Path, frame: FrameSpec = STREAM, **changes) -> Path:
    return write_pixel_model(path, pixel_card(frame, **changes))


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda path: path.write_text("no model"), "m.onnx: got a file that onnxruntime refuses ("),
        (lambda path: None, "m.onnx: got no file that can be read; expected a model;"),
        (lambda path: write_model(path, None), "m.onnx: got no model card in its metadata; expected one; export it"),
        (
            lambda path: of_pixels(path, PICTURE),
            "model card: got frames of kind picture; expected a model that this program knows;",
        ),
        (lambda path: write_model(path, make_card(STREAM), elem=TensorProto.FLOAT16), "m.onnx: got another frame;"),
        (lambda path: write_model(path, make_card(STREAM, state_shapes=((3,),))), "m.onnx: got another state_0;"),
        (lambda path: write_model(path, make_card(STREAM, state_shapes=((2,), (2,)))), "m.onnx: got 2 inputs;"),
        (lambda path: write_model(path, make_card(STREAM, labels=("a", "b"))), "m.onnx: got another logits;"),
        (lambda path: write_model(path, make_card(WIDE), frame_CHW=(2, 6, 8)), "m.onnx: got another frame;"),
        (
            lambda path: of_pixels(path, state_format=StateFormat(dtype="int8", scale=1 / 64), state_shapes=((9,),)),
            "m.onnx: got another state_0; expected int8 of the shape in its model card, in batches of one or free;",
        ),
        (
            lambda path: of_pixels(path, readout="sliding", decision=DecisionThresholds(decide_at=0.9)),
            "model card: got decide_at, and a state that goes on over clips (use --decide-at none);",
        ),
        (
            lambda path: of_pixels(path, stream_spec((60_000, 60_000), scale=(8, 6), filters={"refractory_us": 9})),
            "model card: got a filter of times on more than 2^24 pixels; expected a model that this program knows;",
        ),
        (
            lambda path: of_pixels(path, steps_per_call=4),
            "model card: got whole clips in a call (export it without --whole-clip);",
        ),
    ],
)  # fmt: skip
def test_models_that_are_refused_in_one_line(cpp_program_path, tmp_path, monkeypatch, write, text):
    monkeypatch.chdir(tmp_path)
    write(Path("m.onnx"))
    found = run_program(cpp_program_path, "m.onnx", "-", stdin=b"")
    assert (found.code, found.clips, len(found.errors)) == (2, [], 1)
    assert found.errors[0].startswith(f"recognise: error: {text}")


def test_the_checksum_of_weights_is_not_compared(cpp_program_path, tmp_path):
    path = of_pixels(tmp_path / "m.onnx", weights_sha256="0" * 64)
    with pytest.raises(ModelError, match="it was changed since"):
        OnnxSession(path)
    assert run_program(cpp_program_path, path, "-", stdin=HEADER.replace(b"12x10", b"8x6")).code == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "got 0 paths; expected a model and recordings; write recognise MODEL.onnx"),
        (("m.onnx", "-", "--sensor", "8"), "got --sensor 8; expected --sensor WxH or --threads N; correct it"),
        (("m.onnx", "-", "--threads", "0"), "got --threads 0; expected --sensor WxH or --threads N; correct it"),
        (("m.onnx", "-", "--quick"), "got --quick ; expected --sensor WxH or --threads N; correct it"),
    ],
)
def test_arguments_that_are_refused(cpp_program_path, arguments, text):
    found = run_program(cpp_program_path, *arguments)
    assert (found.code, len(found.errors)) == (2, 1)
    assert found.errors[0].startswith(f"recognise: error: arguments: {text}")


def damaged(content: bytes, seed: int) -> bytes:
    """Return the bytes with some of them changed, cut out, or written twice."""
    rng, mutated = np.random.default_rng(seed), bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        at, length = int(rng.integers(len(mutated))), int(rng.integers(1, 9))
        match rng.integers(4):
            case 0:
                mutated[at] ^= 1 << int(rng.integers(8))
            case 1:
                mutated[at : at + length] = rng.bytes(length)
            case 2:
                del mutated[at : at + length]
            case 3:
                mutated[at:at] = mutated[at : at + length]
    return bytes(mutated)


def test_damaged_recordings_are_read_or_refused(cpp_program_path, tmp_path):
    """Under the sanitizers, which end the program at an access or a number that is wrong."""
    spec = FrameSpec(kind="stream", steps=1, dt_us=10_000_000, sensor_size=SIZE)
    model, paths = of_pixels(tmp_path / "m.onnx", spec), []
    for name in ("evt2", "evt3"):
        content = written(tmp_path / f"{name}.raw", scene(60), format=name).read_bytes()
        for seed in range(60):
            paths.append(tmp_path / f"{name}-{seed}.raw")
            paths[-1].write_bytes(damaged(content, seed) if seed % 2 else damaged(content[:70], seed) + content[70:])
    found = run_program(cpp_program_path, model, *paths)
    refused = [line for line in found.errors if line.startswith("recognise: error: ")]
    assert found.code == 2
    assert all(line.startswith("recognise: ") for line in found.errors)
    assert len(refused) + len(found.summaries) == len(paths)
    assert len(refused) > 20
    assert len(found.summaries) > 20


def test_damaged_cards_are_read_or_refused(cpp_program_path, tmp_path):
    model = onnx.load(of_pixels(tmp_path / "m.onnx"))
    (entry,) = model.metadata_props
    text = entry.value.encode()
    for seed in range(8):
        entry.value = damaged(text, seed).decode(errors="replace")
        onnx.save(model, tmp_path / "m.onnx")
        found = run_program(cpp_program_path, tmp_path / "m.onnx", "-", stdin=HEADER.replace(b"12x10", b"8x6"))
        assert (found.code, len(found.errors)) in ((0, 0), (2, 1))
        assert all(line.startswith("recognise: error: ") for line in found.errors)


def test_a_card_is_read_as_json_says(cpp_program_path, tmp_path):
    """Escapes, characters beyond the first plane, deep lists, and what is no JSON."""
    model = onnx.load(of_pixels(tmp_path / "m.onnx"))
    (entry,) = model.metadata_props
    card = json.loads(entry.value)
    card["labels"] = ['\u00e9"\\/\b', "\U0001d11e", "\t", "d"]
    good, path = json.dumps(card), written(tmp_path / "scene.raw", scene(200, size=(8, 6)), (8, 6))
    assert "\\ud834\\udd1e" in good
    for text, code in (
        (good, 0), (good.replace("\\ud834", ""), 2), (good + "x", 2), (good[:-1], 2), ("[" * 100_000, 2), ("", 2),
        (good.replace('"steps": 4', '"steps": 4.5'), 2), (good.replace('"steps": 4', '"steps": 1e999'), 2),
        (good.replace('"kind"', '"new": 1, "kind"'), 2), (good.replace("null", "nul"), 2),
    ):  # fmt: skip
        entry.value = text
        onnx.save(model, tmp_path / "m.onnx")
        found = run_program(cpp_program_path, tmp_path / "m.onnx", path)
        assert (found.code, len(found.errors)) == ((0, 0) if code == 0 else (2, 1)), text[:200]
        if code == 0:
            assert list(found.clips[0]["logits"]) == card["labels"]
