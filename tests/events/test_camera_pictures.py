"""The picture drawn beside each event frame, the time of that frame, and the content of the drawings."""

import json

import event_files
import numpy as np
import pytest

from stdl_events.analysis.camera_pictures import gray_of_size, nearest_pictures
from stdl_events.analysis.frame_times import FrameTimes
from stdl_events.analysis.recording_panels import _columns
from stdl_events.analysis.recording_survey import survey_recording
from stdl_events.events import Recording, open_recording
from stdl_events.events.other_streams import read_other_streams
from stdl_events.frames import Framer, FrameSpec

SIZE = (12, 9)
TIMES_US = [20_000, 45_000, 95_000, 180_000]
SHADES = [40, 120, 200, 255]
EVENTS = event_files.make_events(400, *SIZE, t0_us=10_000, step_us=1000)


def davis(codes=(0, 0, 0, 0)) -> bytes:
    pictures = []
    for t_us, shade, code in zip(TIMES_US, SHADES, codes, strict=True):
        dtype, shape = {0: ("u1", (9, 12)), 2: ("<u2", (9, 12)), 24: ("u1", (9, 12, 4))}[code]
        pixels = np.full(shape, shade, dtype) * (4 if code == 2 else 1)
        pictures.append(event_files.aedat4_picture([t_us] * 5, code, pixels.astype(dtype)))
    streams = [(0, *SIZE, [EVENTS]), (1, *SIZE, pictures)]
    return event_files.aedat4(streams, identifiers=["EVTS", "FRME"])


@pytest.fixture
def recording(tmp_path) -> Recording:
    (tmp_path / "a.aedat4").write_bytes(davis())
    return open_recording(tmp_path / "a.aedat4")


@pytest.mark.parametrize("way", [{"dt_us": 7_000}, {"events_per_frame": 33}])
@pytest.mark.parametrize("chunk", [1, 50, 1000])
def test_middles_of_stream_frames(recording, way, chunk) -> None:
    spec = FrameSpec(kind="stream", steps=1, sensor_size=SIZE, **way)
    framer = Framer(spec)
    frames = [*framer.push(EVENTS), *framer.finish()]
    times = FrameTimes(recording, spec, np.arange(len(frames)))
    for events in recording.chunks(chunk):
        times.add(events)
    if "dt_us" in way:
        expected = [(frame.t_start_us + frame.t_end_us) // 2 for frame in frames]
    else:
        expected = [EVENTS["t"][min(33 * index + 16, 399)] for index in range(len(frames))]
    assert times.middle_us_N.tolist() == expected


@pytest.mark.parametrize("by", ["time", "count"])
def test_middles_of_a_recordings_bins(recording, by) -> None:
    spec = FrameSpec(kind="recording", steps=7, sensor_size=SIZE, by=by)
    times = FrameTimes(recording, spec, np.array([0, 3, 6]))
    for events in recording.chunks(31):
        times.add(events)
    first, last = int(EVENTS["t"][0]), int(EVENTS["t"][-1])
    each_us = (last - first) // 7
    expected = {
        "time": [first + bin * each_us + each_us // 2 for bin in (0, 3, 6)],
        "count": [EVENTS["t"][bin * (400 // 7) + 400 // 7 // 2] for bin in (0, 3, 6)],
    }
    assert times.middle_us_N.tolist() == expected[by]


@pytest.mark.parametrize("way", [{"dt_us": 5_000}, {"events_per_frame": 20}])
def test_each_frame_gets_the_nearest_picture(recording, way) -> None:
    spec = FrameSpec(kind="stream", steps=1, sensor_size=SIZE, **way)
    survey = survey_recording(recording, spec, frames=15, rate_bins=10)
    pictures = nearest_pictures(recording, read_other_streams(recording), survey.spec, survey.frame_middle_us_N)
    assert len(pictures.gray_or_rgb_N) == len(survey.frame_middle_us_N) == 15
    for middle_us, picture, late_us in zip(
        survey.frame_middle_us_N.tolist(), pictures.gray_or_rgb_N, pictures.late_us_N.tolist(), strict=True
    ):
        nearest = min(range(4), key=lambda number: abs(TIMES_US[number] - middle_us))
        assert abs(late_us) == abs(TIMES_US[nearest] - middle_us)
        assert SHADES[TIMES_US.index(middle_us + late_us)] == picture[0, 0]
        assert picture.shape == (9, 12)


def test_pictures_of_16_bits_and_in_colour_are_drawn_in_8(tmp_path) -> None:
    spec = FrameSpec(kind="stream", steps=1, sensor_size=SIZE, dt_us=40_000, grid="clock")
    for codes in ((2, 2, 2, 2), (24, 24, 24, 24)):
        (tmp_path / "a.aedat4").write_bytes(davis(codes))
        recording = open_recording(tmp_path / "a.aedat4")
        survey = survey_recording(recording, spec, frames=20, rate_bins=10)
        pictures = nearest_pictures(
            recording, read_other_streams(recording), survey.spec, survey.frame_middle_us_N
        ).gray_or_rgb_N
        assert {int(value) for picture in pictures for value in np.unique(picture)} == set(SHADES)
        assert all(picture.shape == (9, 12) if codes[0] == 2 else picture.shape == (9, 12, 3) for picture in pictures)


def test_a_recording_without_pictures_has_none(tmp_path) -> None:
    (tmp_path / "a.bin").write_bytes(event_files.atis_bin(EVENTS))
    recording = open_recording(tmp_path / "a.bin")
    spec = FrameSpec(kind="stream", steps=1, sensor_size=recording.sensor_size, dt_us=40_000)
    survey = survey_recording(recording, spec, frames=5, rate_bins=10)
    assert nearest_pictures(recording, read_other_streams(recording), survey.spec, survey.frame_middle_us_N) is None


def test_gray_pictures_are_sized_by_their_nearest_pixel() -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert gray_of_size(picture, (4, 3)).tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]
    assert gray_of_size(picture, (2, 1)).tolist() == [[0], [3]]
    assert gray_of_size(np.full((2, 2, 3), 100, np.uint8), (1, 1)).tolist() == [[100]]


def test_a_gif_shows_frames_and_pictures_side_by_side(recording, run_cli, tmp_path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    code, out, err = run_cli("show", recording.path, "--frame-us", 5_000, "--out", tmp_path / "a.gif", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    with image_module.open(tmp_path / "a.gif") as gif:
        width, height = gif.size
        assert (width, height) == (2 * 12 * 21, 9 * 21)
        first_us = int(EVENTS["t"][0]) + 2_500
        shown = document["frames"]["shown"]
        shades = []
        for place in range(gif.n_frames):
            gif.seek(place)
            shades.append(np.asarray(gif.convert("RGB"))[:, width // 2 :].reshape(-1, 3))
    assert all((shade == shade[0]).all() and len(set(shade[0].tolist())) == 1 for shade in shades)
    middles_us = [first_us + 5_000 * index for index in shown]
    nearest = [min(range(4), key=lambda number: abs(TIMES_US[number] - t_us)) for t_us in middles_us]
    assert all(abs(int(shade[0, 0]) - SHADES[number]) <= 3 for shade, number in zip(shades, nearest, strict=True))


@pytest.mark.parametrize("name", ["a.png", "a.html"])
def test_sheets_grow_by_the_pictures(recording, run_cli, tmp_path, name) -> None:
    (tmp_path / "events.npy").write_bytes(event_files.npy_structured(EVENTS))
    code, _, err = run_cli("show", recording.path, "--bins", 6, "--out", tmp_path / name)
    assert (code, err) == (0, "")
    code, _, err = run_cli("show", tmp_path / "events.npy", "--bins", 6, "--out", tmp_path / f"without_{name}")
    assert (code, err) == (0, "")
    assert (tmp_path / name).stat().st_size > (tmp_path / f"without_{name}").stat().st_size + 2_000
    if name == "a.html":
        assert "<tr><th>pictures</th><td>4 of 12 x 9, gray of 8 bits, 18.8/s</td></tr>" in (tmp_path / name).read_text()


@pytest.mark.parametrize("geometry", [{"rotate": 90}, {"rotate": 180, "flip": "vertical"}, {"crop": (2, 1, 7, 5)}])
def test_pictures_are_turned_and_cut_like_the_events(tmp_path, geometry) -> None:
    pixels = np.arange(9 * 12, dtype=np.uint8).reshape(9, 12)
    picture = event_files.aedat4_picture([20_000] * 5, 0, pixels)
    streams = [(0, *SIZE, [EVENTS]), (1, *SIZE, [picture])]
    (tmp_path / "a.aedat4").write_bytes(event_files.aedat4(streams, identifiers=["EVTS", "FRME"]))
    recording = open_recording(tmp_path / "a.aedat4")
    spec = FrameSpec(kind="recording", steps=2, by="time", sensor_size=SIZE, **geometry)
    survey = survey_recording(recording, spec, frames=2, rate_bins=5)
    found = nearest_pictures(recording, read_other_streams(recording), survey.spec, survey.frame_middle_us_N)
    expected = np.rot90(pixels, -geometry.get("rotate", 0) // 90)
    expected = expected[::-1] if "flip" in geometry else expected
    expected = expected[1:6, 2:9] if "crop" in geometry else expected
    np.testing.assert_array_equal(found.gray_or_rgb_N[0], expected)


def test_one_clip_has_the_pictures_of_its_frames(recording, run_cli, tmp_path) -> None:
    """Frames of 20 ms from the first event on."""
    image_module = pytest.importorskip("PIL.Image")
    ask = ("show", recording.path, "--clip", 1, "--steps", 4, "--frame-us", 20_000)
    code, _, err = run_cli(*ask, "--out", tmp_path / "a.png")
    assert (code, err) == (0, "")
    with image_module.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    drawn = [int((pixels == shade).all(axis=2).sum()) for shade in SHADES[:3]]
    middles_us = [int(EVENTS["t"][0]) + 10_000 + 20_000 * index for index in range(4)]
    nearest = [min(range(4), key=lambda number: abs(TIMES_US[number] - t_us)) for t_us in middles_us]
    each = max(drawn) // max(map(nearest.count, nearest))
    assert each > 2_500
    for number, pixels_drawn in enumerate(drawn):
        assert abs(pixels_drawn - each * nearest.count(number)) < 100
    code, _, err = run_cli(*ask, "--out", tmp_path / "a.html")
    assert (code, err) == (0, "")
    assert "below each frame the picture nearest in time" in (tmp_path / "a.html").read_text()


def test_frames_are_drawn_at_the_size_at_which_they_are_kept() -> None:
    for width, columns in ((34, 6), (171, 6), (173, 5), (320, 3), (2000, 1)):
        assert _columns((10, 2, width // 2, width)) == columns
