"""The modules of the page of deploy/web, in Node: events, frames, decisions and refusals are those of the package."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_lines import parameters
from hostile_models import CORPUS
from onnx_models import make_card, stream_spec, write_model
from web_site import WEB, build

from stdl_events.errors import ModelError
from stdl_events.events import open_recording
from stdl_events.events.stream import empty_events
from stdl_events.frames import Framer, FrameSpec, recording_frames
from stdl_events.live.decision import Decider
from stdl_events.live.onnx_file import read_onnx_file, weights_sha256
from stdl_events.model_card import METADATA_KEY, DecisionThresholds, ModelCard, StateFormat

COLUMNS = {"t": "<f8", "x": "<u2", "y": "<u2", "p": "u1"}
PROGRAM = Path(__file__).parent / "web_cases.js"


@pytest.fixture(scope="module")
def run(pytestconfig, tmp_path_factory):
    """Return the function that runs a task on cases."""
    site = build(pytestconfig.cache.mkdir("stdl-events-web"), tmp_path_factory.mktemp("site"))
    (site / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    shutil.copy(PROGRAM, site)

    def of(task, cases):
        given = json.dumps({"task": task, "cases": cases})
        ended = subprocess.run(
            ["node", site / PROGRAM.name, site], input=given, capture_output=True, text=True, check=False, timeout=120
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return of


def file_case(name, content, **more):
    return {"name": name, "base64": base64.b64encode(content).decode()} | more


def evt3_words(rng, count):
    """Return words of all kinds in any order, the high time counting up over its wrap; late and unset ones too."""
    kinds = rng.choice(
        [0, 2, 3, 4, 5, 6, 8, 7, 10, 14], count, p=[0.1, 0.3, 0.1, 0.1, 0.1, 0.15, 0.08, 0.02, 0.03, 0.02]
    )
    values = rng.integers(0, 4096, count)
    values[kinds == 0] &= 0x3FF
    values[(kinds == 2) | (kinds == 3)] &= 0xBFF
    high = kinds == 8
    values[high] = (4090 + np.cumsum(rng.integers(0, 2, high.sum()))) & 0xFFF
    return (kinds << 12 | values).astype("<u2").tobytes()


def evt2_words(rng, count):
    kinds = rng.choice([0, 1, 8, 10], count, p=[0.4, 0.4, 0.1, 0.1])
    words = rng.integers(0, 1 << 28, count) & 0x0FDFFBFF
    high = kinds == 8
    words[high] = ((1 << 28) - 5 + np.cumsum(rng.integers(0, 2, high.sum()))) & 0xFFFFFFF
    return (kinds << 28 | words).astype("<u4").tobytes()


def nmnist_records(rng, count):
    """Return records of which some are overflows, and whose times wrap."""
    t = ((1 << 23) - 2_000 + np.cumsum(rng.integers(0, 20, count))) & 0x7FFFFF
    records = np.empty((count, 5), np.uint8)
    records[:, 0], records[:, 1] = rng.integers(0, 34, count), rng.integers(0, 34, count)
    records[rng.random(count) < 0.02, 1] = 240
    records[:, 2] = rng.integers(0, 2, count) << 7 | t >> 16
    records[:, 3], records[:, 4] = t >> 8 & 0xFF, t & 0xFF
    return records.tobytes()


def headed(version, size, t0=""):
    return f"% evt {version}\n% geometry {size[0]}x{size[1]}\n{t0}% end\n".encode()


def test_events_of_all_formats_are_those_of_the_readers(run, tmp_path):
    rng = np.random.default_rng(0)
    size, small = (1024, 1024), (1000, 900)
    files = {
        **{f"{n}.raw": headed("3.0", size) + evt3_words(rng, 3_000) for n in range(4)},
        **{f"small_{n}.raw": headed("3.0", small, "% t0 1700000000000000\n") + evt3_words(rng, 800) for n in range(2)},
        **{f"evt2_{n}.raw": headed("2.0", size) + evt2_words(rng, 2_000) for n in range(3)},
        **{f"{n}.bin": nmnist_records(rng, 1_500) for n in range(3)},
    }
    found = run("recording", [file_case(name, content, size=[34, 34]) for name, content in files.items()])
    for (name, content), ours in zip(files.items(), found, strict=True):
        (tmp_path / name).write_bytes(content)
        with pytest.warns() if ours["notes"] else nullcontext():
            recording = open_recording(tmp_path / name)
            expected = recording.read()
        assert len(expected) > 500, name
        assert ours["size"] == list(recording.sensor_size)
        for column, values in zip("txyp", ours["events"], strict=True):
            assert np.array_equal(values, expected[column]), (name, column)
        assert bool(recording.summary.outside) == any("outside" in note for note in ours["notes"])
        assert bool(recording.summary.backward_steps) == any("backward" in note for note in ours["notes"])


@pytest.mark.parametrize("name", ["evt3/evt3_sample.raw", "evt2/evt2_sample.raw", "bin/nmnist_tonic.bin"])
def test_events_of_real_files_are_those_of_the_readers(run, recordings_dir, name):
    path = recordings_dir / "formats" / name
    size = open_recording(path).sensor_size
    (found,) = run("digest", [file_case(path.name, path.read_bytes(), size=size)])
    expected = open_recording(path).read()
    digests = [hashlib.sha256(expected[column].astype(kind).tobytes()).hexdigest() for column, kind in COLUMNS.items()]
    assert (found["count"], found["digests"]) == (len(expected), digests)


SHAPES = (
    {"kind": "stream", "dt_us": 7_000}, {"kind": "stream", "dt_us": 900, "grid": "clock"},
    {"kind": "stream", "events_per_frame": 37}, {"kind": "recording", "by": "count"},
    {"kind": "recording", "by": "time", "remainder": "drop"}, {"kind": "recording", "by": "count", "remainder": "drop"},
    {"kind": "recording", "by": "time"},
)  # fmt: skip
CHANGES = {
    "rotate": (0, 90, 180, 270), "flip": ("none", "horizontal", "vertical"), "downscale": (1, 2, 3),
    "cap": (None, 1, 3),
    "crop": (None, (2, 1, 7, 6)), "center_crop": (None, (8, 5)), "scale": (None, (4, 3), (6, 5)),
    "scale_by": ("area", "pick"),
    "filters": (
        {}, {"background_us": 2_000}, {"refractory_us": 3_000},
        {"hot_pixels": [(3, 4), (0, 0)], "background_us": 9_000, "refractory_us": 500},
    ),
}  # fmt: skip


def random_specs(count):
    rng = np.random.default_rng(1)
    while count:
        changes = {name: choices[rng.integers(len(choices))] for name, choices in CHANGES.items()}
        try:
            yield FrameSpec(
                steps=int(rng.integers(1, 6)), sensor_size=(14, 11), **SHAPES[count % len(SHAPES)], **changes
            )
        except ValueError:
            continue
        count -= 1


def events_of(seed, count=600):
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = 1_234_567 + np.sort(rng.integers(0, 60_000, count)) + 40_000 * (np.arange(count) > 500)
    events["x"], events["y"] = rng.integers(0, 14, count), rng.integers(0, 11, count)
    events["p"] = rng.random(count) < 0.6
    return events


def expected_frames(events, spec):
    if spec.kind == "stream":
        framer = Framer(spec)
        return [(f.index, f.t_start_us, f.t_end_us, f.counts_CHW) for f in (*framer.push(events), *framer.finish())]
    return [(index, None, None, counts_CHW) for index, counts_CHW in enumerate(recording_frames(events, spec))]


def test_frames_of_all_specs_are_those_of_the_framer(run):
    specs, cases = list(random_specs(70)), []
    for number, spec in enumerate(specs):
        card = json.loads(make_card(spec).to_json())
        events = events_of(number)
        cases.append({"card": card, "events": [events[name].astype(int).tolist() for name in "txyp"]})
    for number, (spec, frames) in enumerate(zip(specs, run("frames", cases), strict=True)):
        expected = expected_frames(events_of(number), spec)
        assert len(frames) == len(expected) > 0, spec
        for (index, start, end, counts), (index_, start_, end_, counts_CHW) in zip(frames, expected, strict=True):
            assert index == index_
            assert start_ is None or (start, end) == (start_, end_)
            assert np.array_equal(np.reshape(counts, counts_CHW.shape), counts_CHW), spec


def test_decisions_are_those_of_the_decider(run):
    rng = np.random.default_rng(2)
    labels, steps, cases = ["a", "b", "c"], 3, []
    for _ in range(40):
        thresholds = DecisionThresholds(
            unknown_below=rng.choice([0.0, 0.5, 0.75]), still_below=rng.choice([0.0, 500.0]),
            hold=int(rng.integers(1, 4)), decide_at=rng.choice([None, 0.8, 0.6]),
        )  # fmt: skip
        clips = [
            [
                {"probabilities": rng.dirichlet([1, 1, 1]).tolist(), "rate": rng.integers(1, 1_500) + 0.25}
                for _ in range(steps)
            ]
            for _ in range(8)
        ]
        cases.append({"thresholds": thresholds.model_dump(), "labels": labels, "steps": steps, "clips": clips})
    seen = set()
    for case, decisions in zip(cases, run("decisions", cases), strict=True):
        decider = Decider(DecisionThresholds(**case["thresholds"]))
        for number, (clip, decision) in enumerate(zip(case["clips"], decisions, strict=True)):
            for step, frame in enumerate(clip):
                decider.begins(number, step)
                decider.push(dict(zip(labels, frame["probabilities"], strict=True)), steps, frame["rate"])
            assert decision == asdict(decider.decided)
            seen.add((decision["state"], decision["frames"] < steps))
    assert {("recognised", True), ("held", False), ("unknown", False), ("still", False)} <= seen


# Onnxruntime in the browser refuses or runs these.
NOT_LOOKED_AT = re.compile("got the tensor|of constants alone|bad UTF-8")


def reason(path) -> str:
    """Return why the package refuses a model before it runs; empty if it does not."""
    try:
        ModelCard.from_json(read_onnx_file(path).metadata.get(METADATA_KEY, ""))
    except ModelError as error:
        return str(error)
    return ""


def test_hostile_models_are_refused_before_they_run(run, tmp_path):
    good = onnx.load(write_model(tmp_path / "m.onnx", make_card(stream_spec())))
    cases, reasons = [], []
    for bytes_of, _ in CORPUS.values():
        copy = onnx.ModelProto()
        copy.CopyFrom(good)
        content = bytes_of(copy)
        (tmp_path / "m.onnx").write_bytes(content)
        cases.append(file_case("m.onnx", content))
        reasons.append(reason(tmp_path / "m.onnx"))
    for name, found, expected in zip(CORPUS, run("model", cases), reasons, strict=True):
        problem = found.get("problem", "")
        assert "\n" not in problem
        assert len(problem) < 500
        assert expected or not problem, name
        assert problem or not expected or NOT_LOOKED_AT.search(expected), name


def test_other_precisions_are_refused(run, tmp_path):
    """Eight-bit layers give other numbers in the browser than in native onnxruntime."""
    model = onnx.load(write_model(tmp_path / "m.onnx", make_card(stream_spec())))
    model.graph.node.add(op_type="DequantizeLinear", input=["frame", "leak"], output=["unused"])
    half = write_model(tmp_path / "h.onnx", make_card(stream_spec()), elem=onnx.TensorProto.FLOAT16).read_bytes()
    found = run("model", [file_case("m.onnx", model.SerializeToString()), file_case("h.onnx", half)])
    assert ["layers in eight bits" in found[0]["problem"], "weights in float16" in found[1]["problem"]] == [True, True]


def test_the_checksum_of_weights_is_that_of_the_package(run, tmp_path):
    content = write_model(tmp_path / "m.onnx", make_card(stream_spec())).read_bytes()
    (found,) = run("model", [file_case("m.onnx", content)])
    assert found == {"checksum": weights_sha256(content), "stated": None}


def test_every_entry_of_a_card_is_known(run):
    decision, frame = DecisionThresholds(decide_at=0.5), stream_spec()
    card = make_card(frame, decision=decision, weights_sha256="0" * 64).model_dump(mode="json")
    assert set(card) == set(ModelCard.model_fields)
    assert set(card["frame"]) == set(FrameSpec.model_fields)
    assert run("frames", [{"card": card, "events": [[], [], [], []]}]) == [[]]
    (found,) = run("frames", [{"card": card | {"shutter": 1}, "events": [[], [], [], []]}])
    assert 'the entry "shutter"' in found["problem"]
    (found,) = run("frames", [{"card": card | {"steps_per_call": 4}, "events": [[], [], [], []]}])
    assert "got a file of whole clips; expected one frame in a call; export it without --whole-clip" in found["problem"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kind": "picture"}, "a model of static pictures; expected a model of events"),
        ({"shutter": 3}, 'the entry "shutter"'),
        ({"filters": {"blur": 1}}, 'the entry "blur"'),
        ({"crop": [10, 0, 9, 9]}, "the window 10,0,9,9"),
        ({"scale": [99, 99]}, "the scale 99x99"),
        ({"dt_us": None}, "no cut into windows"),
        ({"rotate": 45}, "rotate: got 45"),
    ],
)
def test_what_the_page_does_not_know_is_refused(run, changes, word):
    card = json.loads(make_card(stream_spec()).to_json())
    card["frame"] |= changes
    (found,) = run("frames", [{"card": card, "events": [[], [], [], []]}])
    assert word in found["problem"]


def test_a_state_of_another_type_is_refused(run):
    card = make_card(stream_spec(), state_format=StateFormat(dtype="int8", scale=1 / 64)).model_dump(mode="json")
    card["state_format"]["dtype"] = "int4"
    (found,) = run("frames", [{"card": card, "events": [[], [], [], []]}])
    assert "state_format: got dtype: " in found["problem"] or 'state_format: dtype: got "int4"' in found["problem"]


def test_what_the_readme_says_to_type_is_what_the_tests_do():
    section = (WEB.parent / "README.md").read_text(encoding="utf-8").split("## In a browser")[1].split("\n## ")[0]
    assert re.findall(r"^(npm ci|npm run \w+)$", section, re.MULTILINE) == ["npm ci", "npm run build"]
    assert json.loads((WEB / "package.json").read_text(encoding="utf-8"))["scripts"] == {"build": "node build.js"}
    typed = re.findall(r"`(stdl-events (?:convert|models) [^`]+)`", section)
    assert len([parameters(line) for line in typed]) == 2


def test_nothing_names_a_host():
    """Not the lock file, so that npm takes its usual registry; not the page, which loads nothing from elsewhere."""
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, entry in lock["packages"].items() if name and "integrity" not in entry] == []
    for path in (WEB / "package-lock.json", *(path for path in (WEB / "page").rglob("*") if path.is_file())):
        assert re.findall(r"https?://|\bwss?://", path.read_text(encoding="utf-8")) == [], path
