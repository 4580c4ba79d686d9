"""The `show` command: the summary in the terminal, the JSON document, the pictures, and its errors."""

import json

import numpy as np
import pytest

from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events

SIZE = (9, 6)


@pytest.fixture
def recording(tmp_path):
    rng = np.random.default_rng(0)
    events = empty_events(5_000)
    events["t"] = np.sort(rng.integers(0, 300_000, len(events)))
    events["t"] += np.where(events["t"] >= 150_000, 300_000, 0)  # a pause in the middle
    events["t"][[0, -1]] = 0, 599_999
    events["x"], events["y"] = rng.integers(0, SIZE[0], len(events)), rng.integers(0, SIZE[1], len(events))
    events["p"] = rng.integers(0, 2, len(events))
    write_recording(tmp_path / "r.h5", events, SIZE)
    return tmp_path / "r.h5"


def test_the_terminal_shows_facts_and_rate(recording, run_cli):
    code, out, err = run_cli("show", recording)
    assert (code, err) == (0, "")
    assert "9 x 6" in out
    assert "5,000" in out
    assert "0.599999 s" in out
    line = next(line for line in out.splitlines() if "█" in line)
    sparks, _, text = line.partition("  up to ")
    assert text.endswith(" events/s")
    assert len(line[: line.index("  up to")]) == 60
    assert set(sparks[16:44]) == {" "}, "nothing in the pause"
    assert " " not in sparks[:14]
    assert "frames: 30 windows of 20 ms, 2 x 6 x 9; --out FILE draws them" in out


def test_the_document_for_machines(recording, run_cli):
    code, out, _ = run_cli("show", recording, "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["events"], document["width"], document["active_pixels"]) == (5_000, 9, 1.0)
    rate = document["rate"]
    assert len(rate["darker_hz"]) == len(rate["brighter_hz"]) == 60
    events = sum(rate["darker_hz"] + rate["brighter_hz"]) * rate["bin_us"] / 1e6
    assert events == pytest.approx(5_000)
    assert document["frames"]["count"] == 30
    assert document["frames"]["spec"]["dt_us"] == 20_000
    assert document["out"] is None


@pytest.mark.parametrize(
    ("options", "count", "spec"),
    [
        (["--bins", "7"], 7, {"by": "count", "steps": 7}),
        (["--by", "time"], 10, {"by": "time", "steps": 10}),
        (["--remainder", "drop"], 10, {"by": "time", "remainder": "drop"}),
        (["--frame-us", "50000", "--downscale", "2", "--cap", "1"], 12, {"dt_us": 50_000, "downscale": 2, "cap": 1}),
        (["--events-per-frame", "300"], 17, {"events_per_frame": 300}),
    ],
)
def test_frames_are_cut_as_the_frames_command_cuts(recording, run_cli, tmp_path, options, count, spec):
    out = tmp_path / "contact.png"
    code, text, _ = run_cli("show", recording, *options, "--out", out, "--json")
    assert code == 0
    document = json.loads(text)
    assert document["out"] == str(out)
    assert out.stat().st_size > 10_000
    assert document["frames"]["count"] == len(document["frames"]["shown"]) == count
    assert spec.items() <= document["frames"]["spec"].items()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.gif", "30 of 30 windows of 20 ms, 2 x 6 x 9, at 0.5 times its speed"),
        ("a.html", "24 of 30 windows of 20 ms, 2 x 6 x 9"),
    ],
)
def test_pictures_say_what_they_show(recording, run_cli, tmp_path, name, text):
    code, out, _ = run_cli("show", recording, "--out", tmp_path / name)
    assert code == 0
    assert out == f"{tmp_path / name}: {text}\n"
    assert (tmp_path / name).stat().st_size > 1_000


def test_short_recordings_are_cut_in_ten(tmp_path, run_cli):
    events = empty_events(40)
    events["t"] = np.arange(40) * 500
    write_recording(tmp_path / "r.h5", events, SIZE)
    assert "frames: 10 bins of equal time" in run_cli("show", tmp_path / "r.h5")[1]


def test_a_recording_without_events_has_facts_but_no_picture(tmp_path, run_cli):
    write_recording(tmp_path / "r.h5", empty_events(), SIZE)
    code, out, _ = run_cli("show", tmp_path / "r.h5")
    assert code == 0
    assert "events    0" in out
    document = json.loads(run_cli("show", tmp_path / "r.h5", "--json")[1])
    assert (document["events"], document["rate"], document["frames"]) == (0, None, None)
    code, out, err = run_cli("show", tmp_path / "r.h5", "--out", tmp_path / "a.png")
    assert (code, out) == (2, "")
    assert "r.h5: got no events; expected a recording with events" in err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--out", "a.jpg"], "--out a.jpg: got the suffix '.jpg'; expected .gif, .png, .html; choose the kind"),
        (["--bins", "3", "--frame-us", "5"], "frames: got --bins and --frame-us; expected exactly one of --bins"),
        (["--frame-us", "5000", "--cap", "0"], "frame spec: cap: got 0"),
    ],
)
def test_wrong_options_are_one_line(recording, run_cli, options, text):
    code, out, err = run_cli("show", recording, *options)
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1


def test_a_real_recording(recordings_dir, run_cli, tmp_path):
    path = min(recordings_dir.glob("walking/*.aedat"))
    code, out, _ = run_cli("show", path, "--out", tmp_path / "walk.gif")
    assert code == 0
    assert "200 of 901 windows of 20 ms, 2 x 128 x 128, at 1 times its speed" in out
