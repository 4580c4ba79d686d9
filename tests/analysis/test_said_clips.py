"""Predictions beside a recording are shown at their times."""

import json

import numpy as np
import pytest

from stdl_events.analysis.said_clips import SaidClip, clips_said, runs_said, said_at
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.live.recogniser import Prediction

SIZE, ZERO_US = (9, 6), 5_000_000


def line(clip, decision, state, step=3):
    return Prediction(
        ZERO_US + 100_000 * clip + 25_000 * (step + 1), "walk", {"walk": 0.75, "run": 0.25}, 5, clip, step, step == 3,
        decision, state, t_start_us=ZERO_US + 100_000 * clip,
    ).to_json()  # fmt: skip


@pytest.fixture
def recording(tmp_path):
    rng = np.random.default_rng(0)
    events = empty_events(4_000)
    events["t"] = ZERO_US + np.sort(rng.integers(0, 400_000, len(events)))
    events["x"], events["y"] = rng.integers(0, SIZE[0], len(events)), rng.integers(0, SIZE[1], len(events))
    events["t"][[0, -1]] = ZERO_US, ZERO_US + 399_999
    write_recording(tmp_path / "r.h5", events, SIZE)
    return tmp_path / "r.h5"


@pytest.fixture
def said(recording):
    lines = [
        line(0, None, "open", step=0), line(0, "walk", "recognised"), line(1, "walk", "held"),
        line(2, None, "unknown"), line(3, "a\x1b[31m", "recognised"), '{"summary": {}}',
    ]  # fmt: skip
    recording.with_name("r.predictions.jsonl").write_text("\n".join(lines) + "\n")
    return recording


def test_clips_have_their_last_word_and_their_times(said):
    clips = clips_said(said, 0, 1 << 60)
    assert [clip.word for clip in clips] == ["walk", "walk", "unknown", "a\x1b[31m"]
    assert clips[1] == SaidClip(ZERO_US + 100_000, ZERO_US + 200_000, "walk", 0.75)
    assert [len(clips_said(said, ZERO_US + a, ZERO_US + b)) for a, b in ((0, 100_000), (100_000, 200_001))] == [1, 2]
    times = np.array([ZERO_US - 1, ZERO_US, ZERO_US + 199_999, ZERO_US + 200_000, ZERO_US + 400_000])
    assert said_at(clips, times) == ["", "walk 0.75", "walk 0.75", "unknown 0.75", ""]
    assert [(run.word, run.t_end_us - ZERO_US, count) for run, count in runs_said(clips)[:2]] == [
        ("walk", 200_000, 2), ("unknown", 300_000, 1)
    ]  # fmt: skip


def test_the_terminal_and_the_document_have_them(recording, said, run_cli):
    code, out, err = run_cli("show", said)
    assert (code, err) == (0, "")
    assert "predictions of 4 clips, seconds from the first event:" in out
    assert "    0.000 to     0.200  walk 0.75, 2 clips\n" in out
    assert "a\\x1b[31m 0.75, 1 clip\n" in out
    document = json.loads(run_cli("show", said, "--json", "--from", "30%")[1])
    assert [clip["word"] for clip in document["predictions"]] == ["walk", "unknown", "a\x1b[31m"]
    said.with_name("r.predictions.jsonl").unlink()
    assert "predictions" not in run_cli("show", said)[1]
    assert json.loads(run_cli("show", said, "--json")[1])["predictions"] == []


def test_one_clip_alone_has_what_was_said_of_it(said, run_cli):
    ask = ("show", said, "--steps", 5, "--clip")
    code, out, err = run_cli(*ask, 3)
    assert (code, err) == (0, "")
    assert "clip 3: 5.200 s to 5.300 s of the recording's clock; said: unknown 0.75\n" in out
    [clip] = json.loads(run_cli(*ask, 1, "--json")[1])["clips"]
    assert [each["word"] for each in clip["predictions"]] == ["walk"]
    assert "\x1b" not in run_cli(*ask, 4)[1]


def test_something_else_beside_is_one_line(recording, run_cli):
    recording.with_name("r.predictions.jsonl").write_text("[1]\n")
    code, out, err = run_cli("show", recording)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "r.predictions.jsonl: got something else than a prediction in line 1; expected the predictions that" in err


@pytest.mark.parametrize("suffix", [".png", ".html", ".gif"])
def test_pictures_change_where_something_was_said(said, tmp_path, run_cli, suffix):
    assert run_cli("show", said, "--out", tmp_path / f"with{suffix}")[0] == 0
    beside = said.with_name("r.predictions.jsonl")
    beside.write_text(beside.read_text().replace("0.75", "0.71"))
    assert run_cli("show", said, "--out", tmp_path / f"other{suffix}")[0] == 0
    beside.unlink()
    assert run_cli("show", said, "--out", tmp_path / f"without{suffix}")[0] == 0
    files = [(tmp_path / f"{name}{suffix}").read_bytes() for name in ("with", "other", "without")]
    assert len(set(files)) == 3
