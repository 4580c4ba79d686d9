"""The `frames` command: its array, and its errors."""

import json

import numpy as np
import pytest

from stdl_events.events import open_recording, write_recording
from stdl_events.events.stream import empty_events
from stdl_events.frames import Framer, FrameSpec, recording_frames

SIZE = (9, 6)


@pytest.fixture
def recording(tmp_path):
    rng = np.random.default_rng(0)
    events = empty_events(5_000)
    events["t"] = 1_000_000 + np.sort(rng.integers(0, 200_000, len(events)))
    events["t"][3_000:] += 150_000  # a pause, so that some windows are empty
    events["x"], events["y"] = rng.integers(0, SIZE[0], len(events)), rng.integers(0, SIZE[1], len(events))
    events["p"] = rng.integers(0, 2, len(events))
    write_recording(tmp_path / "r.h5", events, SIZE)
    return tmp_path / "r.h5"


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--bins", "7"], {"by": "count"}),
        (["--bins", "7", "--by", "time"], {"by": "time"}),
        (["--bins", "7", "--by", "time", "--remainder", "drop"], {"by": "time", "remainder": "drop"}),
        (["--bins", "7", "--downscale", "2"], {"by": "count", "downscale": 2}),
    ],
)
def test_bins(recording, tmp_path, run_cli, options, settings):
    code, out, _ = run_cli("frames", recording, *options, "--out", tmp_path / "f.npy", "--json")
    assert code == 0
    spec = FrameSpec(kind="recording", steps=7, sensor_size=SIZE, **settings)
    frames_TCHW = np.load(tmp_path / "f.npy", allow_pickle=False)
    assert frames_TCHW.dtype == np.uint16
    np.testing.assert_array_equal(frames_TCHW, recording_frames(open_recording(recording).read(), spec))
    document = {"out": str(tmp_path / "f.npy"), "shape": list(frames_TCHW.shape), "dtype": "uint16", "events": 5000}
    assert json.loads(out) == document


@pytest.mark.parametrize(
    ("options", "cut"),
    [(["--frame-us", "20000"], {"dt_us": 20_000}), (["--events-per-frame", "300"], {"events_per_frame": 300})],
)
def test_windows(recording, tmp_path, run_cli, options, cut):
    code, out, _ = run_cli("frames", recording, *options, "--out", tmp_path / "f.npy")
    assert code == 0
    framer = Framer(FrameSpec(kind="stream", steps=1, sensor_size=SIZE, **cut))
    frames = framer.push(open_recording(recording).read()) + framer.finish()
    frames_TCHW = np.load(tmp_path / "f.npy", allow_pickle=False)
    np.testing.assert_array_equal(frames_TCHW, np.stack([frame.counts_CHW for frame in frames]))
    assert frames_TCHW.sum() == 5000
    assert f"{len(frames)} x 2 x 6 x 9 uint16 from 5,000 events" in " ".join(out.split())


def test_a_recording_without_events(tmp_path, run_cli):
    write_recording(tmp_path / "r.h5", empty_events(), SIZE)
    for options, shape in ((["--bins", "3"], (3, 2, 6, 9)), (["--frame-us", "1000"], (0, 2, 6, 9))):
        assert run_cli("frames", tmp_path / "r.h5", *options, "--out", tmp_path / "f.npy")[0] == 0
        assert np.load(tmp_path / "f.npy").shape == shape


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "frames: got no way to cut; expected exactly one of --bins, --frame-us, --events-per-frame"),
        (["--bins", "3", "--frame-us", "5"], "frames: got --bins and --frame-us; expected exactly one of"),
        (["--bins", "0"], "frame spec: steps: got 0; expected greater than or equal to 1"),
        (["--bins", "3", "--by", "luck"], "frame spec: by: got 'luck'; expected 'count' or 'time'"),
        (["--frame-us", "5000", "--by", "time"], "kind stream: got by; expected only settings of kind stream"),
        (["--frame-us", "5000", "--downscale", "0"], "frame spec: downscale: got 0"),
    ],
)
def test_wrong_options_are_one_line(recording, tmp_path, run_cli, options, text):
    code, out, err = run_cli("frames", recording, *options, "--out", tmp_path / "f.npy")
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "f.npy").exists()


def test_nothing_is_left_behind_where_nothing_can_be_written(recording, tmp_path, run_cli):
    code, _, err = run_cli("frames", recording, "--frame-us", "9000", "--out", tmp_path / "none" / "f.npy")
    assert code == 2
    assert "f.npy: got No such file or directory; expected a folder that exists; make the folder first" in err


def test_an_error_on_the_way_keeps_the_file_that_was_there(recording, tmp_path, run_cli):
    events = open_recording(recording).read()
    events["t"][4_000:] += 10**12
    write_recording(tmp_path / "leap.h5", events, SIZE)
    (tmp_path / "f.npy").write_bytes(b"before")
    code, _, err = run_cli("frames", tmp_path / "leap.h5", "--frame-us", "1000", "--out", tmp_path / "f.npy")
    assert code == 2
    assert "windows of 1000 us: got 1,000,000," in err
    assert (tmp_path / "f.npy").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.npy", "leap.h5", "r.h5"]


@pytest.mark.parametrize("options", [("--bins", 4, "--by", "time"), ("--frame-us", 9_000)])
def test_frames_of_a_part_are_those_of_its_events(recording, tmp_path, run_cli, options) -> None:
    events = open_recording(recording).read()
    events["t"] += 9_000
    t0_us, t1_us = int(events["t"][len(events) // 4]), int(events["t"][len(events) // 2])
    # The grid of the whole, which begins with its first event, has a line where the part begins.
    events["t"][0] -= (events["t"][0] - t0_us) % 9_000
    kept = events[(events["t"] >= t0_us) & (events["t"] < t1_us)]
    write_recording(tmp_path / "whole.h5", events, SIZE)
    write_recording(tmp_path / "part.h5", kept, SIZE)
    arrays = []
    for path, part in ((tmp_path / "whole.h5", ("--from", t0_us, "--to", t1_us)), (tmp_path / "part.h5", ())):
        code, out, err = run_cli("frames", path, *options, *part, "--out", tmp_path / "f.npy", "--json")
        assert code == 0, err
        assert json.loads(out)["events"] == len(kept)
        arrays.append(np.load(tmp_path / "f.npy"))
    assert arrays[0].sum() == len(kept)
    np.testing.assert_array_equal(*arrays)


def test_the_recording_is_never_overwritten(recording, tmp_path, run_cli):
    before = recording.read_bytes()
    (tmp_path / "link.npy").symlink_to(recording)
    for out in (recording, tmp_path / "link.npy"):
        code, _, err = run_cli("frames", recording, "--bins", "7", "--out", out)
        assert (code, recording.read_bytes() == before) == (2, True)
        assert "got the file that is read" in err
