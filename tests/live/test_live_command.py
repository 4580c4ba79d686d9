"""The `live` command: its output, its ends, and its errors."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx_models import LABELS, expected_logits, make_card, softmax, stream_spec, write_model

from stdl_events.cli.live_end import _signals_as_interrupt
from stdl_events.cli.options.live_options import model_and_source
from stdl_events.errors import UserError
from stdl_events.events import open_recording, span_us, write_recording
from stdl_events.events.stream import empty_events
from stdl_events.frames import Framer, FrameSpec, clips
from stdl_events.live.onnx_file import weights_sha256

SIZE, STEPS, DT_US = (8, 6), 4, 10_000


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US)))


@pytest.fixture
def recording(tmp_path):
    rng = np.random.default_rng(0)
    events = empty_events(4_000)
    events["t"] = 7_000_000 + np.sort(rng.integers(0, 800_000, len(events)))
    events["x"], events["y"] = rng.integers(0, SIZE[0], len(events)), rng.integers(0, SIZE[1], len(events))
    events["p"] = np.sin(events["t"] / 60_000) > 0
    write_recording(tmp_path / "r.h5", events, SIZE)
    return tmp_path / "r.h5"


def offline(path, start=None, stop=None) -> list[tuple[int, int, list[float]]]:
    """Return (clip, end, probabilities) of the complete clips of a part of a recording."""
    spec = stream_spec(SIZE, STEPS, DT_US)
    recording = open_recording(path)
    t0_us, t1_us = span_us(recording, start, stop)
    events = recording.read()
    events = events[(events["t"] >= t0_us) & (events["t"] < t1_us)]
    framer = Framer(spec)
    found = clips(framer.push(events) + framer.finish(), spec)
    return [(c.index, c.t_end_us, softmax(expected_logits(c.frames_TCHW).mean(axis=0)).tolist()) for c in found]


@pytest.mark.parametrize(
    ("part", "start", "stop"), [([], None, None), (["--from", "30%", "--to", "85%"], "30%", "85%")]
)
def test_json_lines_at_full_speed_are_the_offline_clips(model, recording, run_cli, part, start, stop):
    code, out, err = run_cli("live", model, "--source", recording, "--speed", "max", "--json-lines", *part)
    *predictions, last = (json.loads(line) for line in out.splitlines())
    assert (code, err) == (0, "")
    expected = offline(recording, start, stop)
    assert len(expected) > 5
    assert [(p["clip"], p["t_us"]) for p in predictions] == [(clip, t_us) for clip, t_us, _ in expected]
    for prediction, (_, _, probabilities_K) in zip(predictions, expected, strict=True):
        np.testing.assert_allclose([prediction["probabilities"][label] for label in LABELS], probabilities_K, rtol=1e-4)
        assert prediction["label"] == LABELS[int(np.argmax(probabilities_K))]
        assert prediction["final"] is True
        assert prediction["latency_us"] >= 0
    assert set(last) == {"summary"}
    assert last["summary"]["clips"] == len(expected)
    assert last["summary"]["dropped_frames"] == 0
    assert set(last["summary"]["latency_us"]) == {"p50", "p95", "p99", "max"}


def test_every_frame_and_microseconds(model, recording, run_cli):
    arguments = ("--source", recording, "--speed", "max", "--json-lines", "--every", "frame", "--to", "7200000")
    code, out, _ = run_cli("live", model, *arguments)
    predictions = [json.loads(line) for line in out.splitlines()[:-1]]
    assert code == 0
    assert [p["t_us"] for p in predictions] == list(range(7_010_000, 7_200_001, 10_000))


def test_lines_for_people(model, recording, run_cli):
    code, out, err = run_cli("live", model, "--source", recording, "--speed", "max")
    assert code == 0
    _, t_us, probabilities_K = offline(recording)[0]
    best = int(np.argmax(probabilities_K))
    assert out.splitlines()[0].startswith(f"{t_us / 1e6:.3f} s  {LABELS[best]} {probabilities_K[best]:.2f}  ")
    assert len(out.splitlines()) == len(offline(recording))
    assert err.splitlines()[3].startswith("source ended after ")
    assert "dropped frames 0, late events 0, incomplete clips" in err


def test_other_windows_than_the_models(model, tmp_path, recording, run_cli):
    spec = FrameSpec(kind="recording", steps=STEPS, sensor_size=SIZE, by="count")
    model = write_model(tmp_path / "recording.onnx", make_card(spec))
    code, out, err = run_cli("live", model, "--source", recording, "--speed", "max")
    assert (code, out) == (2, "")
    assert "got frames that are bins of a whole recording (by count)" in err
    arguments = ("--source", recording, "--speed", "max", "--json-lines", "--frame-us", DT_US)
    assert run_cli("live", model, *arguments)[1].count('"clip"') == len(offline(recording))


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_with_the_summary(model, recording, end):
    command = [sys.executable, "-c", "from stdl_events.cli import main; main()", "live", str(model)]
    command += [str(recording), "--speed", "0.05", "--every", "frame", "--json-lines"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()  # it runs
        process.send_signal(end)
        out, err = process.communicate(timeout=60)
    assert json.loads(first)["step"] == 0
    assert json.loads(out.splitlines()[-1])["summary"]["interrupted"] is True
    assert (process.returncode, err) == (0, "")


def test_a_source_whose_size_nothing_tells_is_taken_as_the_models(model, recording, tmp_path, run_cli):
    events = open_recording(recording).read()
    np.save(tmp_path / "r.npy", events[events["x"] < 5])
    code, _, err = run_cli("live", model, "--source", tmp_path / "r.npy", "--speed", "max")
    assert code == 0, err
    events["x"][50] = 20
    np.save(tmp_path / "r.npy", events)
    code, _, err = run_cli("live", model, "--source", tmp_path / "r.npy", "--speed", "max")
    assert code == 0, err
    assert "1 event (0.00025 of all) outside the 8x6 sensor: skipped" in err
    events["x"] += 20
    np.save(tmp_path / "r.npy", events)
    code, _, err = run_cli("live", model, "--source", tmp_path / "r.npy", "--speed", "max")
    assert code == 2
    assert "got a source of 41x6 pixels; expected 8x6, on which the model was trained; cut it with --center-crop" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--speed", "fast"], "--speed: got 'fast'; expected a number, or max; correct it"),
        (["--speed", "0"], "got the speed 0.0; expected a number above 0, or max"),
        (["--from", "half"], "--from: got 'half'; expected a share such as 70%, or whole microseconds"),
        (["--from", "170%"], "got the position '170%'; expected 0% to 100%"),
        (["--from", "80%", "--to", "20%"], "got a part from 80% to 20%; expected a start before the stop"),
        (["--frame-us", "-5"], "frame spec: dt_us: got -5; expected greater than or equal to 1"),
    ],
)
def test_wrong_options_are_one_line(model, recording, run_cli, arguments, text):
    code, out, err = run_cli("live", model, "--source", recording, *arguments)
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1


def test_options_of_other_sources_are_one_line_and_overload_is_of_all(model, recording, run_cli):
    code, out, err = run_cli("live", model, "--source", recording, "--reconnect", "5")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "got --reconnect (reconnect_s=), which file does not have" in err
    for overload in ("fresh", "complete"):
        code, out, _ = run_cli("live", model, "--source", recording, "--speed", "max", "--overload", overload)
        assert (code, bool(out)) == (0, True)


def test_missing_files_and_other_sensors_are_one_line(model, recording, tmp_path, run_cli):
    code, _, err = run_cli("live", tmp_path / "none.onnx", "--source", recording)
    assert code == 2
    assert "none.onnx: got no such file" in err
    code, _, err = run_cli("live", model, "--source", tmp_path / "none.h5")
    assert code == 2
    assert "none.h5" in err
    other = write_model(tmp_path / "o.onnx", make_card(stream_spec((16, 12), STEPS, DT_US)))
    code, _, err = run_cli("live", other, "--source", recording)
    assert code == 2
    assert "got a source of 8x6 pixels; expected 16x12, on which the model was trained; use a source" in err
    assert len(err.splitlines()) == 1


def test_the_start_and_the_summary_say_which_model_runs(model, recording, run_cli):
    card = make_card(stream_spec(SIZE, STEPS, DT_US))
    weights = weights_sha256(model.read_bytes())
    write_model(model, card.model_copy(update={"weights_sha256": weights}))
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    for signature, words in (("none", "not signed"), ("not checked", "signature not checked")):
        code, _, err = run_cli("live", model, "--source", recording, "--speed", "max")
        assert code == 0
        assert err.splitlines()[:3] == [f"model m.onnx, {words}", f"file sha256:{sha256}", f"weights sha256:{weights}"]
        assert max(map(len, err.splitlines()[:3])) <= 80
        code, out, err = run_cli("live", model, "--source", recording, "--speed", "max", "--json-lines")
        assert (code, err) == (0, "")
        assert json.loads(out.splitlines()[-1])["summary"]["model"] == {
            "name": "m.onnx", "sha256": sha256, "weights_sha256": weights, "signature": signature,
        }  # fmt: skip
        (model.parent / "m.onnx.sig").write_bytes(bytes(64))


def converted(run_cli, model, source, *options) -> tuple[list[tuple[int, str]], dict, str]:
    """Return ((clip, label) of every prediction, the summary, stderr)."""
    code, out, err = run_cli("live", model, "--source", source, "--speed", "max", "--json-lines", *options)
    assert code == 0, err
    *predictions, last = (json.loads(line) for line in out.splitlines())
    return [(p["clip"], p["probabilities"]) for p in predictions], last["summary"], err


def test_a_larger_source_is_cut_or_shrunk_to_the_models(model, recording, tmp_path, run_cli):
    expected, _, _ = converted(run_cli, model, recording)
    assert len(expected) > 5
    events = open_recording(recording).read()
    around = events.copy()
    around["x"] += 5
    around["y"] += 7
    stray = events.copy()
    stray["x"], stray["y"] = 1, 1
    both = np.sort(np.concatenate([around, stray[::3]]), order="t", kind="stable")
    write_recording(tmp_path / "wide.h5", both, (18, 20))
    code, _, err = run_cli("live", model, "--source", tmp_path / "wide.h5")
    assert code == 2
    assert (
        "got a source of 18x20 pixels; expected 8x6, on which the model was trained; cut it with --center-crop" in err
    )
    for options in (["--crop", "5,7,8x6"], ["--center-crop", "8x6"]):
        found, summary, _ = converted(run_cli, model, tmp_path / "wide.h5", *options)
        assert found == expected
        assert (summary["events"], summary["cropped_events"]) == (len(both), len(stray[::3]))
    large = events.copy()
    large["x"], large["y"] = 2 * events["x"] + events["p"], 3 * events["y"]
    write_recording(tmp_path / "large.h5", large, (16, 18))
    assert converted(run_cli, model, tmp_path / "large.h5", "--scale", "8x6")[0] == expected
    np.save(tmp_path / "large.npy", large)
    found, _, err = converted(run_cli, model, tmp_path / "large.npy", "--scale", "8x6", "--sensor", "16x18")
    assert (found, err) == (expected, "")
    assert "is inferred from the events" in " ".join(
        converted(run_cli, model, tmp_path / "large.npy", "--scale", "8x6")[2].split()
    )


def test_a_camera_on_its_side_is_turned(model, recording, tmp_path, run_cli):
    """The model counts events per polarity, so its window decides: a corner that only the right turn leaves in."""
    model = write_model(tmp_path / "corner.onnx", make_card(stream_spec(SIZE, STEPS, DT_US, crop=(0, 0, 4, 2))))
    expected, _, _ = converted(run_cli, model, recording)
    events = open_recording(recording).read()
    turned = events.copy()
    turned["x"], turned["y"] = events["y"], SIZE[0] - 1 - events["x"]
    write_recording(tmp_path / "side.h5", turned, SIZE[::-1])
    code, _, err = run_cli("live", model, "--source", tmp_path / "side.h5")
    assert code == 2
    assert "turn it with --rotate 90 or --rotate 270" in err
    assert converted(run_cli, model, tmp_path / "side.h5", "--rotate", "90")[0] == expected
    assert converted(run_cli, model, tmp_path / "side.h5", "--rotate", "270")[0] != expected
    np.save(tmp_path / "side.npy", turned)
    assert converted(run_cli, model, tmp_path / "side.npy", "--rotate", "90")[0] == expected


def test_hot_pixels_of_the_deployed_camera_are_its_own(model, recording, tmp_path, run_cli):
    expected, _, _ = converted(run_cli, model, recording)
    events = open_recording(recording).read()
    noisy = np.repeat(events, 2)
    noisy["x"][::2], noisy["y"][::2] = 8, 3
    write_recording(tmp_path / "noisy.h5", noisy, (9, 6))
    options = ["--crop", "0,0,8x6", "--filter", "hot_pixels=8:3"]
    found, summary, _ = converted(run_cli, model, tmp_path / "noisy.h5", *options)
    assert found == expected
    assert (summary["filtered_events"], summary["cropped_events"]) == (len(events), 0)


def test_a_looped_file_goes_on_until_it_is_stopped_and_counts_its_rounds(model, recording, tmp_path, run_cli):
    (tmp_path / "enough.py").write_text(
        "from stdl_events.live import StopRun\n\n\n"
        "def enough(prediction):\n"
        "    if prediction.t_us > 7_000_000 + 2_500_000:\n"
        "        raise StopRun\n",
        encoding="utf-8",
    )
    code, out, err = run_cli(
        "live", model, "--source", recording, "--speed", "max", "--loop", "--json-lines",
        "--sink", f"{tmp_path / 'enough.py'}:enough",
    )  # fmt: skip
    *predictions, last = (json.loads(line) for line in out.splitlines())
    assert (code, err) == (0, "")
    ends = [p["t_us"] for p in predictions]
    assert ends == list(range(ends[0], ends[-1] + 1, STEPS * DT_US)), "no clip is missing where the file begins again"
    assert last["summary"]["source"]["rounds"] >= 3
    code, _, err = run_cli("live", model, "--source", recording, "--follow", "--loop")
    assert (code, "got --loop (loop=), which follow does not have" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (["m", "s"], {}, None),
        (["m"], {"source": "s"}, None),
        (["s"], {"model": Path("m")}, None),
        ([], {"model": Path("m"), "source": "s"}, None),
        (["m"], {}, "got no source"),
        ([], {"source": "s"}, "got no model"),
        ([], {}, "got no model and no source"),
        (["m", "s", "x"], {}, "got one too many: x"),
    ],
)
def test_the_model_and_the_source_are_arguments_or_options(arguments, options, error):
    if error is None:
        assert model_and_source(arguments, **{"model": None, "source": None} | options) == (Path("m"), "s")
    else:
        with pytest.raises(UserError, match=error):
            model_and_source(arguments, **{"model": None, "source": None} | options)


def test_an_ignored_hangup_stays_ignored():
    """As `nohup` sets it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _signals_as_interrupt():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_IGN, signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_before_a_command_has_begun_shows_no_traceback(monkeypatch, run_cli):
    def interrupt(stages):
        raise KeyboardInterrupt

    monkeypatch.setattr("stdl_events.cli._app_of", interrupt)
    assert run_cli("live", "m", "s") == (130, "", "")


@pytest.mark.parametrize("option", ["--budget-ms", "--max-rate", "--check"])
def test_infinite_numbers_are_refused(option, run_cli):
    code, _, err = run_cli("live", "m", "s", option, "inf")
    assert (code, err) == (
        2, f"stdl-events: error: {option}: got inf; expected a finite number; correct it, or leave it out\n"
    )  # fmt: skip
