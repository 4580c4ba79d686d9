"""Frames of turned, cut and scaled pictures: the same from whole recordings, from chunks, offline and live."""

import json
from pathlib import Path

import numpy as np
import pytest
from frame_events import make_events, random_events, run, stream, whole

from stdl_events.errors import FrameSpecError
from stdl_events.events import open_recording, write_recording
from stdl_events.frames import Framer, FrameSpec, recording_frames
from stdl_events.frames.cut import cut_recording, frame_count
from stdl_events.recordings import Entry, clips_of

SIZE = (12, 10)
TURN = {"rotate": 90, "flip": "vertical"}
CUT = {"crop": (1, 2, 8, 9)}
SCALE = {"scale": (4, 3)}


def reference(frames_TCHW: np.ndarray) -> np.ndarray:
    """TURN, CUT and SCALE of frames by numpy."""
    turned = np.flip(np.rot90(frames_TCHW, -1, axes=(2, 3)), axis=2)
    cut = turned[:, :, 2:11, 1:9]
    return cut.reshape(len(cut), 2, 3, 3, 4, 2).sum(axis=(3, 5))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("turned") / "r.h5"
    write_recording(path, random_events(5, 6_000, 200_000, 100, SIZE), SIZE)
    return path


def test_windows_in_chunks_of_any_size(recording: Path) -> None:
    events = open_recording(recording).read()
    plain_TCHW = np.stack([frame.counts_CHW for frame in run(events, stream(size=SIZE, dt_us=5_000))])
    spec = stream(size=SIZE, dt_us=5_000, **TURN, **CUT, **SCALE)
    assert spec.frame_shape_CHW == (2, 3, 4)
    for chunk in (1, 77, 100_000):
        turned = run(events, spec, chunk)
        np.testing.assert_array_equal([frame.counts_CHW for frame in turned], reference(plain_TCHW))
    np.testing.assert_array_equal(list(cut_recording(open_recording(recording), spec)), reference(plain_TCHW))
    framer = Framer(spec)
    frames = framer.push(events) + framer.finish()
    assert framer.cropped_events + sum(frame.counts_CHW.sum() for frame in frames) == len(events)
    assert framer.filtered_events == 0 < framer.cropped_events


def test_bins_by_time(recording: Path) -> None:
    """Bins by time begin with the first event that is kept, so the corners hold one at both ends."""
    events = open_recording(recording).read()
    events["x"][[0, -1]], events["y"][[0, -1]] = 5, 5
    plain = whole(4, SIZE, by="time")
    spec = whole(4, SIZE, by="time", **TURN, **CUT, **SCALE)
    np.testing.assert_array_equal(recording_frames(events, spec), reference(recording_frames(events, plain)))


@pytest.mark.parametrize("cut", [{"events_per_frame": 300}, {"dt_us": 20_000, "grid": "recording"}])
def test_windows_count_and_begin_with_the_events_that_are_kept(recording: Path, cut: dict) -> None:
    """As if the sensor had only the window."""
    events = open_recording(recording).read()
    spec = stream(size=SIZE, crop=(3, 2, 6, 5), **cut)
    inside = (events["x"] >= 3) & (events["x"] < 9) & (events["y"] >= 2) & (events["y"] < 7)
    own = events[inside]
    small = make_events(own["t"], own["x"] - 3, own["y"] - 2, own["p"])
    expected = run(small, stream(size=(6, 5), **cut))
    found = run(events, spec, 1_000)
    np.testing.assert_array_equal([frame.counts_CHW for frame in found], [frame.counts_CHW for frame in expected])
    assert [frame.t_start_us for frame in found] == [frame.t_start_us for frame in expected]
    assert frame_count(open_recording(recording), spec) == len(expected)
    np.testing.assert_array_equal(
        list(cut_recording(open_recording(recording), spec)), [frame.counts_CHW for frame in expected]
    )


def test_the_background_filter_sees_the_sensor_s_own_pixels(recording: Path) -> None:
    """An event at the border of the window may have its support outside; scaled pixels are no neighbours."""
    filters = {"background_us": 900, "hot_pixels": ((11, 9),)}
    spec = stream(size=SIZE, dt_us=5_000, filters=filters, **TURN, **CUT, **SCALE)
    events = open_recording(recording).read()
    plain = run(events, stream(size=SIZE, dt_us=5_000, filters=filters))
    turned = run(events, spec)
    np.testing.assert_array_equal(
        [frame.counts_CHW for frame in turned], reference(np.stack([frame.counts_CHW for frame in plain]))
    )
    with pytest.raises(FrameSpecError, match=r"got the pixel 11:10; expected pixels inside 12x10"):
        stream(size=SIZE, dt_us=1, rotate=90, filters={"hot_pixels": ((11, 10),)})


@pytest.mark.parametrize("by", ["count", "time"])
def test_clips_of_whole_recordings(recording: Path, by: str) -> None:
    spec = whole(4, SIZE, by=by, **TURN)
    frames_NTCHW, _ = clips_of(Entry("r", recording, 0), spec)
    expected_TCHW = recording_frames(open_recording(recording).read(), whole(4, SIZE, by=by))
    np.testing.assert_array_equal(frames_NTCHW[0], np.flip(np.rot90(expected_TCHW, -1, axes=(2, 3)), axis=2))
    np.testing.assert_array_equal(list(cut_recording(open_recording(recording), spec)), frames_NTCHW[0])


def test_downscale_comes_after_the_scale() -> None:
    spec = stream(size=SIZE, dt_us=1, scale=(8, 5), downscale=2)
    assert spec.frame_shape_CHW == (2, 3, 4)
    assert spec.plain.sensor_size == (8, 5)
    assert spec.plain == stream(size=(8, 5), dt_us=1, downscale=2)


def test_json_carries_the_geometry_and_older_specs_have_none() -> None:
    spec = stream(size=SIZE, dt_us=5, **TURN, **CUT, **SCALE, scale_by="pick")
    mapping = json.loads(spec.model_dump_json())
    assert FrameSpec.parse(mapping) == spec
    for name in ("rotate", "flip", "crop", "center_crop", "scale", "scale_by"):
        del mapping[name]
    assert FrameSpec.parse(mapping) == stream(size=SIZE, dt_us=5)
    assert not FrameSpec.parse(mapping).geometry


def test_windows_off_the_picture_are_refused() -> None:
    with pytest.raises(FrameSpecError, match="got 8x12 pixels from 0,0; expected a window inside the 12x10 pixels"):
        stream(size=SIZE, dt_us=1, crop=(0, 0, 8, 12))
    assert stream(size=SIZE, dt_us=1, crop=(0, 0, 8, 12), rotate=90).frame_shape_CHW == (2, 12, 8)


def test_events_outside_the_sensor_are_told_and_not_moved(recording: Path) -> None:
    events = open_recording(recording).read()
    for spec in (stream(size=(11, 10), dt_us=5_000, rotate=180), whole(size=(11, 10), by="count", crop=(0, 0, 2, 2))):
        with pytest.raises(FrameSpecError, match="got events up to x=11, y=9; expected pixels inside 11x10"):
            recording_frames(events, spec) if spec.kind == "recording" else Framer(spec).push(events)


def test_the_commands_turn(run_cli, recording: Path, tmp_path: Path) -> None:
    options = ["--rotate", 90, "--flip", "vertical", "--crop", "1,2,8x9", "--scale", "4x3"]
    code, _, err = run_cli("frames", recording, "--frame-us", 5_000, *options, "--out", tmp_path / "f.npy")
    assert code == 0, err
    spec = stream(1, SIZE, dt_us=5_000, grid="recording", **TURN, **CUT, **SCALE)
    expected = list(cut_recording(open_recording(recording), spec))
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), expected)
    code, out, err = run_cli("show", recording, "--frame-us", 5_000, *options, "--json")
    assert code == 0, err
    assert FrameSpec.parse(json.loads(out)["frames"]["spec"]) == spec
    for wrong, text in (
        (["--rotate", 45], "rotate: got 45; expected 0, 90, 180 or 270"),
        (["--center-crop", "20x2"], "center_crop: got 20x2 pixels from"),
        (["--scale", "24x20"], "scale: got 24x20; expected at most 12x10"),
    ):
        code, _, err = run_cli("frames", recording, "--frame-us", 5_000, *wrong, "--out", tmp_path / "f.npy")
        assert code == 2
        assert text in err
        assert len(err.splitlines()) == 1


def test_an_inferred_size_is_said(run_cli, recording: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", open_recording(recording).read())
    ask = ("frames", tmp_path / "r.npy", "--frame-us", 5_000, "--out", tmp_path / "f.npy")
    for options, warned in ((["--rotate", 90], True), (["--rotate", 90, "--sensor", "12x10"], False), ([], False)):
        code, _, err = run_cli(*ask, *options)
        assert code == 0, err
        assert (
            "the sensor size 12x10 is inferred from the events, and the geometry" in " ".join(err.split())
        ) is warned


def test_convert_writes_the_turned_events(run_cli, recording: Path, tmp_path: Path) -> None:
    """Frames of the converted file are those of the turned recording."""
    options = ["--rotate", 90, "--flip", "vertical", "--crop", "1,2,8x9", "--scale", "4x3"]
    code, _, err = run_cli("convert", recording, tmp_path / "t.h5", *options)
    assert code == 0, err
    converted = open_recording(tmp_path / "t.h5")
    assert converted.sensor_size == (4, 3)
    spec = whole(4, SIZE, by="count", **TURN, **CUT, **SCALE)
    expected = list(cut_recording(open_recording(recording), spec))
    np.testing.assert_array_equal(recording_frames(converted.read(), spec.plain), expected)
