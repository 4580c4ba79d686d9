"""`predict`: clip for clip what `live --speed max` says and numpy computes; files that cannot be read are named."""

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from files_of_takes import write_takes
from onnx_models import LABELS, expected_logits, make_card, softmax, stream_spec, write_model

import stdl_events
from stdl_events.cli import predict as command
from stdl_events.cli.predict_output import CsvRows, JsonLines, Tally
from stdl_events.errors import ModelError, UserError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.stream import EventArray, RecordingWarning, empty_events
from stdl_events.frames import FrameSpec, recording_frames
from stdl_events.live.predict import Reading, RecordingPrediction, predict_recordings
from stdl_events.model_card import DecisionThresholds
from stdl_events.recordings import Entry, clips_of
from stdl_events.recordings.given_files import GivenFiles

SIZE, STEPS, DT_US = (8, 6), 4, 10_000


def draw(seed: int, count: int = 2_000, first_us: int = 7_000_000, length_us: int = 800_000) -> EventArray:
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = first_us + np.sort(rng.integers(0, length_us, count))
    events["x"], events["y"] = rng.integers(0, SIZE[0], count), rng.integers(0, SIZE[1], count)
    events["p"] = np.sin(events["t"] / 60_000 + seed) > 0
    return events


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US, grid="recording")))


def test_the_table_prints_labels_and_file_names_as_text(tmp_path: Path, run_cli: Any) -> None:
    card = make_card(stream_spec(SIZE, STEPS, DT_US, grid="recording"), labels=("\x1b[2Ja", "b\nc", "\u202ed"))
    model = write_model(tmp_path / "m.onnx", card)
    write_recording(tmp_path / "\x1b[31mr.h5", draw(0), SIZE)
    code, out, err = run_cli("predict", model, tmp_path / "\x1b[31mr.h5", "--clips")
    assert (code, len(out.splitlines())) == (0, 2 + 800 // 40)
    assert all(line.isprintable() for line in [*out.splitlines(), *err.splitlines()])
    assert r"\x1b[31mr.h5" in out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings, one in a folder of its own; a short one, a damaged one, one of another size, and other files."""
    root = tmp_path / "new"
    (root / "more").mkdir(parents=True)
    write_recording(root / "a.h5", draw(0), SIZE)
    write_recording(root / "more" / "b.h5", draw(1), SIZE)
    write_recording(root / "short.h5", draw(2, 10, length_us=9_000), SIZE)
    write_recording(root / "wide.h5", draw(3), (16, 6))
    (root / "bad.h5").write_bytes((root / "a.h5").read_bytes()[:200])
    (root / ".hidden.h5").write_bytes(b"")
    (root / "notes.md").write_text("no events")
    return root


def told(clip: dict[str, Any]) -> tuple[Any, ...]:
    return (
        clip["clip"],
        clip["t_start_us"],
        clip["label"],
        clip["probabilities"],
        clip["decision"],
        clip["decided_after"],
    )


THRESHOLDS = ("--unknown-below", "0.4", "--still-below", "2450", "--hold", "2")
CHANGED = ("--filter", "background_us=20000", "--rotate", "180")
TIME, COUNT = {"dt_us": DT_US}, {"dt_us": None, "events_per_frame": 30}


@pytest.mark.parametrize(
    ("frames", "options"),
    [
        (TIME, THRESHOLDS),
        (TIME, ("--from", "37%", "--to", "90%", *CHANGED)),
        (COUNT, CHANGED),
        (COUNT, ("--from", "37%", *THRESHOLDS)),
        (TIME, ("--decide-at", "0.36")),
    ],
)
def test_each_clip_is_that_of_live_at_full_speed(tmp_path, run_cli, frames, options):
    more = {"grid": "recording"} if frames["dt_us"] else {}
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, **frames, **more)))
    write_recording(tmp_path / "a.h5", draw(0), SIZE)
    _, lines, _ = run_cli(
        "live", model, "--source", tmp_path / "a.h5", "--speed", "max", "--json-lines", "--every", "frame", *options
    )
    code, out, _ = run_cli("predict", model, tmp_path / "a.h5", "--json", *options)
    clips = json.loads(out)["recordings"][0]["clips"]
    live = [json.loads(line) for line in lines.splitlines()[:-1]]
    final = [one for one in live if one["final"]]
    decided = [one for one in live if one["state"] not in ("open", "decided")]
    assert code == 0
    assert len(final) == len(decided) >= 5
    assert [told(clip) for clip in clips] == [told(clip) for clip in final]
    assert [clip["t_end_us"] for clip in clips] == [clip["t_us"] for clip in final]
    assert [(clip["state"], clip["why"]) for clip in clips] == [(one["state"], one["why"]) for one in decided]
    assert (len({clip["state"] for clip in clips}) > 1) == ("--hold" in options)
    assert any(clip["decided_after"] < STEPS for clip in clips) == ("--decide-at" in options)


def test_numbers_are_those_of_the_evaluations_clips(model, folder, run_cli):
    code, out, _ = run_cli("predict", model, folder / "a.h5", "--json")
    document = json.loads(out)
    spec = stream_spec(SIZE, STEPS, DT_US, grid="recording")
    frames_NTCHW, t_start_us_N = clips_of(Entry("a", folder / "a.h5", 0), spec)
    expected_NK = np.array([softmax(expected_logits(clip_TCHW).mean(0)) for clip_TCHW in frames_NTCHW])
    (recording,) = document["recordings"]
    found_NK = [[clip["probabilities"][label] for label in LABELS] for clip in recording["clips"]]
    np.testing.assert_allclose(found_NK, expected_NK, rtol=1e-4)
    assert [clip["t_start_us"] for clip in recording["clips"]] == t_start_us_N.tolist()
    mean_K = expected_NK.mean(0)
    np.testing.assert_allclose([recording["probabilities"][label] for label in LABELS], mean_K, rtol=1e-4)
    assert (code, recording["label"]) == (0, LABELS[int(mean_K.argmax())])
    first_us = int(draw(0)["t"][0])
    assert recording["t_first_us"] == first_us
    assert [clip["start_s"] for clip in recording["clips"][:2]] == [0, 0.04]
    assert recording["clips"][1]["end_s"] == pytest.approx(0.08)
    assert document["summary"] | {"incomplete_clips": 0} == {
        "recordings": 1, "clips": len(expected_NK), "incomplete_clips": 0, "without_clip": 0, "unreadable": 0,
        "interrupted": False,
    }  # fmt: skip


def test_bins_of_whole_recordings_are_one_clip(tmp_path, run_cli):
    spec = FrameSpec(kind="recording", steps=STEPS, sensor_size=SIZE, by="count")
    write_model(tmp_path / "m.onnx", make_card(spec))
    write_recording(tmp_path / "a.h5", draw(0), SIZE)
    code, out, err = run_cli("predict", tmp_path / "m.onnx", tmp_path / "a.h5", "--json")
    (clip,) = json.loads(out)["recordings"][0]["clips"]
    events = open_recording(tmp_path / "a.h5").read()
    expected_K = softmax(expected_logits(recording_frames(events, spec)).mean(0))
    assert (code, err) == (0, "")
    np.testing.assert_allclose([clip["probabilities"][label] for label in LABELS], expected_K, rtol=1e-4)
    assert (clip["t_start_us"], clip["t_end_us"]) == (int(events["t"][0]), int(events["t"][-1]) + 1)


def test_what_cannot_be_read_is_named_and_the_others_follow(model, folder, run_cli):
    rows = folder.parent / "rows.csv"
    code, out, err = run_cli("predict", model, folder, folder / "a.h5", "missing.h5", "--csv", rows, "--clips")
    assert code == 2
    assert "left out: 1 hidden (.hidden.h5), 1 of another kind (notes.md)" in err
    assert "given twice and predicted once: 1 file" in err
    errors = [line for line in err.splitlines() if line.startswith("stdl-events: error: ")]
    assert [name in line for name, line in zip(("bad.h5", "wide.h5", "missing.h5"), errors, strict=True)] == [True] * 3
    assert "--center-crop 8x6" in errors[1]
    assert "3 recordings, 40 clips, 1 clip cut off at the ends, 1 recording without a complete clip, 3 unread" in err
    assert "next: stdl-events live" in err
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[-1] for line in lines if ".h5" in line] == ["20", "unreadable", "20", "0", *["unreadable"] * 2]
    assert sum(" to " in line and line.startswith("  ") for line in lines) == 40

    with rows.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    _, document, _ = run_cli("predict", model, folder, "missing.h5", "--json")
    recordings = json.loads(document)["recordings"]
    clips = [(one["recording"], clip) for one in recordings for clip in one.get("clips", ())]
    of_clips = [row for row in found if row["clip"]]
    assert len(of_clips) == len(clips) == 40
    for row, (name, clip) in zip(of_clips, clips, strict=True):
        assert row["recording"] == name
        assert all(
            row[key] == str(clip[key]) for key in ("clip", "t_start_us", "t_end_us", "start_s", "end_s", "label")
        )
        assert [float(row[f"probability:{label}"]) for label in LABELS] == [*clip["probabilities"].values()]
    assert {row["recording"]: row["error"] for row in found if not row["clip"]} == {
        one["recording"]: one.get("error", "no complete clip") for one in recordings if not one.get("clips")
    }


def test_lines_of_json_end_with_the_summary(model, folder, run_cli):
    code, out, err = run_cli("predict", model, folder / "more", folder / "short.h5", "--json-lines")
    *recordings, last = map(json.loads, out.splitlines())
    assert (code, err) == (0, "")
    assert [(len(one["clips"]), one["label"] is None) for one in recordings] == [(20, False), (0, True)]
    assert last["summary"]["without_clip"] == 1


def test_formats_that_do_not_say_all_are_read_as_by_the_other_commands(model, folder, run_cli):
    events = draw(0)
    text = "\n".join(f"{x} {y} {int(p)} {t / 1000:.3f}" for t, x, y, p in events.tolist())
    (folder / "a.events").write_text(text)
    options = ("--format", "text", "--columns", "x,y,p,t", "--time-unit", "ms")
    _, expected, _ = run_cli("predict", model, folder / "a.h5", "--json")
    code, out, _ = run_cli("predict", model, folder / "a.events", "--json", *options)
    assert code == 0
    assert json.loads(out)["recordings"][0]["clips"] == json.loads(expected)["recordings"][0]["clips"]


def test_takes_are_recordings_of_their_own(model, tmp_path, run_cli):
    first, second = draw(0, first_us=5_000_000), draw(1, first_us=1_000)
    path = write_takes(tmp_path / "takes.npz", [first, second])
    _, out, _ = run_cli("predict", model, path, "--json", "--sensor", "8x6")
    recordings = json.loads(out)["recordings"]
    assert [(one["take"], one["t_first_us"]) for one in recordings] == [(1, first["t"][0]), (2, second["t"][0])]
    for one, events in zip(recordings, (first, second), strict=True):
        write_recording(tmp_path / "alone.h5", events, SIZE)
        _, alone, _ = run_cli("predict", model, tmp_path / "alone.h5", "--json")
        assert one["clips"] == json.loads(alone)["recordings"][0]["clips"]
    _, out, _ = run_cli("predict", model, path, "--json", "--sensor", "8x6", "--take", "2")
    assert [one | {"take": 2} for one in json.loads(out)["recordings"]] == recordings[1:]


def test_still_clips_decide_nothing(tmp_path):
    """The first half is still: the mean is that of the second."""
    half = draw(0, 1_000, first_us=8_000_000, length_us=400_000)
    events = np.concatenate([draw(1, 40, first_us=7_000_000, length_us=1_000_000), half])
    write_recording(tmp_path / "a.h5", events, SIZE)
    write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US, grid="recording")))
    thresholds = DecisionThresholds(still_below=500, unknown_below=0.99)
    (found,) = stdl_events.predict(tmp_path / "m.onnx", tmp_path / "a.h5", decision=thresholds)
    moving = [clip for clip in found.clips if clip.state != "still"]
    assert 5 < len(moving) < len(found.clips)
    mean = np.mean([list(clip.probabilities.values()) for clip in moving], axis=0)
    np.testing.assert_allclose(list(found.probabilities.values()), mean, rtol=1e-12)
    assert found.decision is not None
    assert (found.decision.state, found.decision.label) == ("unknown", None)
    (all_still,) = stdl_events.predict(
        tmp_path / "m.onnx", [tmp_path / "a.h5"], decision=DecisionThresholds(still_below=1e6)
    )
    assert all_still.decision is not None
    assert all_still.decision.state == "still"
    assert all_still.label in LABELS


def test_from_python_an_unreadable_file_is_a_warning_and_a_result(model, folder):
    with pytest.warns(RecordingWarning, match="no predictions: ") as caught:
        results = stdl_events.predict(model, [folder / "a.h5", folder / "bad.h5", str(folder / "more")])
    assert [result.label is None for result in results] == [False, True, False]
    assert results[1].error is not None
    assert [str(one.message) for one in caught] == [f"no predictions: {results[1].error}"]
    with warnings.catch_warnings(), pytest.raises(UserError, match="an exported file has its own weights"):
        stdl_events.predict(model, folder / "a.h5", weights="best")


def test_a_model_of_pictures_is_refused_before_anything_is_read():
    class Session:
        path, card = Path("m.onnx"), make_card(FrameSpec(kind="picture", steps=2, sensor_size=SIZE))

    given = GivenFiles((Path("missing.h5"),), (), ())
    with pytest.raises(ModelError, match="static pictures"):
        next(predict_recordings(Session(), given, Reading()))


def test_an_interruption_keeps_what_was_predicted(model, folder, capsys):
    (whole,) = stdl_events.predict(model, folder / "a.h5")

    def predictions():
        yield whole
        yield RecordingPrediction(folder / "short.h5")
        raise KeyboardInterrupt

    tally, path = Tally(3), folder / "rows.csv"
    with CsvRows.open(path, LABELS) as rows:
        command._write(predictions(), [JsonLines(), rows], tally, quiet=True)
    assert tally.interrupted
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["interrupted"]
    assert len(path.read_text().splitlines()) == 1 + len(whole.clips) + 1
    assert tally.text().endswith("interrupted after 2 of 3 files, 20 clips")


def test_neither_recordings_nor_the_model_are_overwritten(model: Path, folder: Path, run_cli: Any) -> None:
    for place in (folder / "a.h5", folder / "more" / "b.h5", model):
        before = place.read_bytes()
        code, out, err = run_cli("predict", model, folder, "--csv", place)
        assert (code, out, place.read_bytes() == before) == (2, "", True)
        assert "got the file that is read" in err


def test_takes_are_said_to_be_predicted_apart(model: Path, tmp_path: Path, run_cli: Any) -> None:
    write_takes(tmp_path / "r.npz", [draw(0), draw(1, first_us=0)])
    _, _, err = run_cli("predict", model, tmp_path / "r.npz")
    assert "2 takes of 2000 + 2000 events, each used as a recording of its own" in err
    assert "one after another" not in err
