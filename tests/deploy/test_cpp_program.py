"""The C++ program of `deploy/cpp`: class for class and logit for logit what Python computes of the same recordings."""

import json
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from cpp_program import (
    HEADER,
    LABELS,
    SIZE,
    agree,
    evt2_words,
    pixel_card,
    python_clips,
    run_program,
    scene,
    write_pixel_model,
    written,
)

from stdl_events.events import open_recording
from stdl_events.events.convert import convert
from stdl_events.events.stream import EventArray
from stdl_events.export.onnx import write_step
from stdl_events.export.variants import write_variant
from stdl_events.frames import FrameSpec
from stdl_events.frames.selection import Selection
from stdl_events.live import OnnxSession
from stdl_events.model_card import DecisionThresholds, StateFormat
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec

pytestmark = pytest.mark.slow


def test_fifty_clips_of_the_shipped_model_agree(cpp_program_path, tmp_path):
    session = OnnxSession("models:walkers")
    path = written(tmp_path / "scene.raw", scene(20_000, size=(48, 48), length_us=60 * 20 * 40_000), (48, 48))
    expected = python_clips(session, path)[:50]
    assert len(expected) == 50
    found = run_program(cpp_program_path, session.path, path)
    assert (found.code, found.errors) == (0, [])
    agree(found.clips[:50], expected, session.card.labels)


def test_fifty_clips_from_files_and_from_the_standard_input_agree(cpp_program_path, tmp_path):
    card = pixel_card(FrameSpec(kind="stream", steps=4, dt_us=5_000, sensor_size=SIZE))
    session = OnnxSession(write_pixel_model(tmp_path / "m.onnx", card))
    events = scene(4_000, length_us=4 * 5_000 * 52)
    paths = [written(tmp_path / f"{name}.raw", events, format=name) for name in ("evt2", "evt3")]
    expected = python_clips(session, paths[0])
    assert len(expected) == 50
    assert {logits.argmax() for *_, logits in expected} == {0, 1, 2, 3}
    found = run_program(cpp_program_path, session.path, *paths)
    piped = run_program(cpp_program_path, session.path, "-", stdin=paths[1].read_bytes())
    assert (found.code, found.errors, piped.code, piped.errors) == (0, [], 0, [])
    for clips in (found.clips[:50], found.clips[50:], piped.clips):
        agree(clips, expected, LABELS)
    for summary in (*found.summaries, *piped.summaries):
        assert (summary["clips"], summary["events"]) == (50, 4_000)


def test_onnxruntime_keeps_nothing_in_the_home_folder(cpp_program_path, tmp_path, monkeypatch):
    card = pixel_card(FrameSpec(kind="stream", steps=4, dt_us=5_000, sensor_size=SIZE))
    model = write_pixel_model(tmp_path / "m.onnx", card)
    path = written(tmp_path / "scene.raw", scene())
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    assert run_program(cpp_program_path, model, path).code == 0
    assert list(home.rglob("*")) == []


def test_fifty_real_digits_agree(cpp_program_path, recordings_dir, tmp_path):
    session = OnnxSession("models:nmnist")
    files = sorted((recordings_dir / "nmnist" / "train").glob("*/*.bin"))[::7][:50]
    paths = [tmp_path / f"{n}.raw" for n in range(len(files))]
    for file, path in zip(files, paths, strict=True):
        convert(open_recording(file), path, format="evt3")
    found = run_program(cpp_program_path, session.path, *paths)
    assert (found.code, found.errors, len(found.clips)) == (0, [], 50)
    agree(found.clips, [clip for file in files for clip in python_clips(session, file)], session.card.labels)


@pytest.mark.parametrize(
    ("decision", "states"),
    [
        (None, {"recognised"}),
        (DecisionThresholds(unknown_below=0.5, still_below=2_500), {"recognised", "unknown", "still"}),
        (DecisionThresholds(hold=2, decide_at=0.9), {"recognised", "held"}),
        (DecisionThresholds(unknown_below=0.6, hold=3, decide_at=0.5), {"recognised", "unknown", "held"}),
    ],
)
def test_lines_are_those_of_live(cpp_program_path, tmp_path, run_cli, decision, states):
    card = pixel_card(FrameSpec(kind="stream", steps=4, dt_us=10_000, sensor_size=SIZE), decision=decision)
    card = card.model_copy(update={"temperature": 0.2})
    model = write_pixel_model(tmp_path / "m.onnx", card)
    path = written(tmp_path / "scene.raw", scene())
    code, out, _ = run_cli("live", model, "--source", path, "--speed", "max", "--json-lines")
    *live, summary = map(json.loads, filter(None, out.split("\n")))
    found = run_program(cpp_program_path, model, path)
    assert (code, found.code) == (0, 0)
    for name in ("clips", "early_clips", "frames", "incomplete_clips", "events", "late_events", "cropped_events"):
        assert found.summaries[0][name] == summary["summary"][name]
    assert {line["state"] for line in live} == states
    is_early = decision is not None and decision.decide_at is not None
    assert (found.summaries[0]["early_clips"] > 0) == is_early
    assert len(live) == 24 or is_early
    for ours, theirs in zip(found.clips, live, strict=True):
        assert ours.keys() - theirs.keys() == {"recording", "logits"}
        assert theirs.keys() <= ours.keys()
        assert ours["latency_us"] >= 0
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], rel=0, abs=1e-6)
        same = theirs.keys() - {"latency_us", "probabilities"}
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}


SETTINGS = [
    {"kind": "stream", "dt_us": 7_001, "grid": "clock", "cap": 2},
    {"kind": "stream", "events_per_frame": 90},
    {"kind": "stream", "dt_us": 20_000, "downscale": 3, "filters": {"hot_pixels": [[3, 4], [6, 5]]}},
    {"kind": "stream", "dt_us": 20_000, "filters": {"background_us": 4_000}},
    {"kind": "stream", "dt_us": 20_000, "filters": {"refractory_us": 9_000}},
    {
        "kind": "recording",
        "by": "time",
        "filters": {"hot_pixels": [[3, 4]], "background_us": 5_000, "refractory_us": 3_000},
    },
    {"kind": "stream", "dt_us": 20_000, "rotate": 90, "flip": "horizontal", "crop": [1, 2, 7, 8], "downscale": 2},
    {"kind": "stream", "dt_us": 20_000, "rotate": 180, "center_crop": [9, 5], "scale": [4, 3]},
    {"kind": "stream", "dt_us": 20_000, "rotate": 270, "flip": "vertical", "scale": [4, 7], "scale_by": "pick"},
    {"kind": "recording", "by": "count"},
    {"kind": "recording", "by": "count", "remainder": "drop", "cap": 1},
    {"kind": "recording", "by": "time", "crop": [0, 0, 6, 6]},
    {"kind": "recording", "by": "time", "remainder": "drop", "steps": 7},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings)))
def test_frames_are_cut_as_in_training(cpp_program_path, tmp_path, settings):
    spec = FrameSpec.parse({"steps": 3, "sensor_size": SIZE, **settings})
    session = OnnxSession(write_pixel_model(tmp_path / "m.onnx", pixel_card(spec)))
    path = written(tmp_path / "scene.raw", scene(2_003))
    expected = python_clips(session, path)
    found = run_program(cpp_program_path, session.path, path)
    assert (found.code, found.errors) == (0, [])
    assert expected
    agree(found.clips, expected, LABELS)
    assert found.summaries[0]["frames"] % spec.steps == 0 or spec.kind == "stream"
    select = Selection.of(spec)
    for chunk in open_recording(path).chunks():
        select(chunk)
    assert found.summaries[0]["filtered_events"] == select.filtered_events
    assert (select.filtered_events > 50) == bool(spec.filters)


def shuffled(events: EventArray) -> EventArray:
    """Return the events, every other one up to 900 us late, in the order of their arrival."""
    late_us = np.where(np.arange(len(events)) % 2, np.random.default_rng(3).integers(0, 900, len(events)), 0)
    return events[np.argsort(events["t"] + late_us, kind="stable")]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    card = pixel_card(FrameSpec(kind="stream", steps=4, dt_us=10_000, sensor_size=SIZE))
    return write_pixel_model(tmp_path / "m.onnx", card)


def test_late_events_and_those_outside_the_sensor_are_counted_and_said(cpp_program_path, model, tmp_path):
    events = scene(1_000)
    off = events.copy()[500:520]
    off["x"] = SIZE[0]
    late = events[:7].copy()
    stored = np.concatenate([shuffled(events[:500]), off, events[500:700], late, shuffled(events[700:])])
    paths = [tmp_path / "clean.raw", tmp_path / "rough.raw"]
    for path, some in zip(paths, (events, stored), strict=True):
        path.write_bytes(HEADER + evt2_words(some))
    found = run_program(cpp_program_path, model, *paths)
    clean, rough = found.summaries
    assert (clean["events"], clean["outside_events"], clean["late_events"]) == (1_000, 0, 0)
    assert (rough["events"], rough["outside_events"], rough["late_events"]) == (1_027, 20, 7)
    assert found.errors == [
        f"recognise: warning: {paths[1]}: 20 events outside the sensor and 7 late events are in no frame"
    ]
    half = len(found.clips) // 2
    assert [clip["logits"] for clip in found.clips[:half]] == [clip["logits"] for clip in found.clips[half:]]
    agree(found.clips[:half], python_clips(OnnxSession(model), paths[0]), LABELS)


@pytest.mark.filterwarnings("ignore:.*outside the 300x40 sensor")
def test_words_of_every_kind_are_decoded_as_python_decodes_them(cpp_program_path, tmp_path):
    """Random words of EVT 3: vectors of both widths, repeated and wrapping times, triggers, and unknown kinds."""
    rng = np.random.default_rng(1)
    kinds = rng.choice(
        [0, 2, 3, 4, 5, 6, 7, 8, 10, 14], 6_000, p=[0.15, 0.2, 0.1, 0.15, 0.15, 0.1, 0.03, 0.06, 0.03, 0.03]
    )
    values = rng.integers(0, 4096, len(kinds))
    values[kinds == 0] %= 40
    values[np.isin(kinds, (2, 3))] &= 0x8FF
    values[kinds == 6] = np.sort(values[kinds == 6])
    values[kinds == 8] = np.sort(rng.integers(0, 700, (kinds == 8).sum())) * 9 % 4096
    path = tmp_path / "words.raw"
    path.write_bytes(b"% evt 3.0\n% geometry 300x40\n" + (kinds << 12 | values).astype("<u2").tobytes())
    spec = FrameSpec(kind="recording", steps=8, by="count", sensor_size=(300, 40), downscale=3)
    session = OnnxSession(write_pixel_model(tmp_path / "m.onnx", pixel_card(spec)))
    found = run_program(cpp_program_path, session.path, path)
    expected = python_clips(session, path)
    assert (found.code, found.summaries[0]["events"] > 4_000) == (0, True)
    agree(found.clips, expected, LABELS)


@pytest.mark.parametrize("name", ["evt2", "evt3"])
def test_real_files_of_prophesee_agree(cpp_program_path, recordings_dir, tmp_path, name):
    path = recordings_dir / "formats" / name / f"{name}_sample.raw"
    size = {"evt2": (640, 480), "evt3": (1280, 720)}[name]
    spec = FrameSpec(kind="stream", steps=2, dt_us=2_000, sensor_size=size, downscale=16)
    session = OnnxSession(write_pixel_model(tmp_path / "m.onnx", pixel_card(spec)))
    options = "--sensor", "{}x{}".format(*size), "--threads", 999
    found = run_program(cpp_program_path, session.path, path, *options)
    assert len(found.errors) == 1
    assert " cores, so as many threads are used" in found.errors[0]
    expected = python_clips(session, path)
    assert len(expected) >= 2
    agree(found.clips, expected, LABELS)


def test_a_state_that_goes_on_over_clips(cpp_program_path, tmp_path, run_cli):
    card = pixel_card(FrameSpec(kind="stream", steps=3, dt_us=20_000, sensor_size=SIZE), readout="sliding")
    model = write_pixel_model(tmp_path / "m.onnx", card)
    path = written(tmp_path / "scene.raw", scene())
    _, out, _ = run_cli("live", model, "--source", path, "--speed", "max", "--json-lines")
    live = [line for line in map(json.loads, filter(None, out.split("\n"))) if "summary" not in line]
    found = run_program(cpp_program_path, model, path)
    assert [clip["label"] for clip in found.clips] == [line["label"] for line in live]
    for ours, theirs in zip(found.clips, live, strict=True):
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], rel=0, abs=1e-6)


def test_a_state_in_eight_bits_is_what_python_keeps(cpp_program_path, tmp_path):
    """A count of each pixel that loses half of itself in every step, as an integer that is stored in eight bits."""
    spec = FrameSpec(kind="stream", steps=4, dt_us=20_000, sensor_size=SIZE)
    card = pixel_card(spec, state_format=StateFormat(dtype="int8", scale=1.0))
    session = OnnxSession(write_pixel_model(tmp_path / "m.onnx", card))
    path = written(tmp_path / "scene.raw", scene())
    expected = python_clips(session, path)
    found = run_program(cpp_program_path, session.path, path)
    assert (found.code, found.errors, len(expected)) == (0, [], 12)
    agree(found.clips, expected, LABELS)


def test_layers_in_eight_bits_are_what_python_computes(cpp_program_path, tmp_path):
    frame = FrameSpec(kind="stream", steps=4, dt_us=20_000, sensor_size=SIZE)
    spec = NetworkSpec.parse("8C3-AP2-8C3-4FC", input_shape=frame.frame_shape_CHW)
    network = SpikingNetwork.build(spec, seed=3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # so that both layers fire
    card = pixel_card(frame, network=spec.to_dict(), state_shapes=network.state_shapes)
    write_step(network, card, tmp_path / "float.onnx")
    clips_NTCHW = np.random.default_rng(0).poisson(0.3, (8, 4, *frame.frame_shape_CHW)).astype(np.uint8)
    write_variant("int8", tmp_path / "float.onnx", clips_NTCHW, tmp_path / "int8.onnx")
    session = OnnxSession(tmp_path / "int8.onnx")
    path = written(tmp_path / "scene.raw", scene())
    expected = python_clips(session, path)
    found = run_program(cpp_program_path, session.path, path)
    assert (found.code, found.errors, len(expected)) == (0, [], 12)
    assert len({tuple(logits) for *_, logits in expected}) > 6
    agree(found.clips, expected, LABELS)


def test_a_window_ends_when_an_event_after_it_is_a_millisecond_old(cpp_program_path, model):
    """The line of the clip comes while the input is still open, after the first event that cannot be late for it."""
    events = scene(3)
    events["t"] = 0, 39_999, 41_000
    with subprocess.Popen([cpp_program_path, model, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        watch = threading.Timer(60, process.kill)
        watch.start()
        process.stdin.write(HEADER + evt2_words(events))
        process.stdin.flush()
        line = json.loads(process.stdout.readline())
        process.stdin.close()
        rest = process.stdout.read().splitlines()
        watch.cancel()
    assert (line["t_start_us"], line["t_us"], process.returncode) == (0, 40_000, 0)
    assert ["summary" in json.loads(each) for each in rest] == [True], "the other clip is not complete"


@pytest.mark.parametrize(
    "settings", [{"crop": [0, 0, 8, 10]}, {"filters": {"hot_pixels": [[9, 9]]}}, {"filters": {"background_us": 1_000}}]
)
def test_events_that_are_in_no_frame_close_no_window(cpp_program_path, tmp_path, settings):
    spec = FrameSpec.parse({"kind": "stream", "steps": 4, "dt_us": 10_000, "sensor_size": SIZE, **settings})
    session = OnnxSession(write_pixel_model(tmp_path / "m.onnx", pixel_card(spec)))
    events = scene(6)
    events["t"] = 0, 10, 20, 29_500, 29_501, 90_000
    events["x"], events["y"] = (3, 4, 3, 4, 3, 9), (3, 3, 3, 3, 3, 9)
    path = written(tmp_path / "scene.raw", events)
    found = run_program(cpp_program_path, session.path, path)
    assert (found.code, found.clips, found.summaries[0]["incomplete_clips"]) == (0, [], 1)
    assert python_clips(session, path) == []
