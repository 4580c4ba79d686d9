"""The example program: a recording as a camera, a line for every change."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events

APP = Path(__file__).resolve().parents[2] / "apps" / "live_camera.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, APP, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def recording(tmp_path):
    events = empty_events(1_600)
    events["t"] = np.arange(1_600) * 100
    events["p"] = (events["t"] // 80_000) % 2 == 1
    write_recording(tmp_path / "r.h5", events, (8, 6))
    return tmp_path / "r.h5"


def test_it_says_when_what_it_sees_changes(tmp_path, recording):
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec()))
    ended = run(model, recording, 0.2)
    assert ended.returncode == 0, ended.stderr
    # two clips of 40 ms of each polarity
    said = [line.split(" (")[0] for line in ended.stdout.splitlines()]
    assert said == ["0.04 s: dark", "0.12 s: bright"]
    assert ended.stderr.startswith("source ended after ")


def test_errors_are_one_line(tmp_path, recording):
    ended = run(tmp_path / "none.onnx", recording)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"live_camera: {tmp_path / 'none.onnx'}: got no such file")
    assert len(ended.stderr.splitlines()) == 1
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec()))
    ended = run(model, recording, "fast")
    expected = "live_camera: speed: got 'fast'; expected a number, such as 0.5; correct it\n"
    assert (ended.returncode, ended.stderr) == (2, expected)
    usage = run()
    assert usage.returncode == 1
    assert "python apps/live_camera.py model.onnx recording.aedat4" in usage.stderr
