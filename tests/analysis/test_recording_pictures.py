"""Pictures of a recording: the survey in one pass and bounded memory, and the content of the files."""

import base64
import html.parser
import io
import re
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stdl_events.analysis.recording_pictures import GIF_FRAMES, draw_recording, frame_ms, frames_to_show, gif_speed
from stdl_events.analysis.recording_survey import FRAME_SIDE, HEAT_SIDE, Survey, survey_recording
from stdl_events.errors import MissingExtraError, RecordingError, UserError
from stdl_events.events import Recording, open_recording, write_recording
from stdl_events.events.stream import empty_events
from stdl_events.frames import FrameSpec, recording_frames
from stdl_events.frames.cut import cut_recording, frame_count

SIZE = (12, 9)
FACTS = {"file": "<b>walk & run</b>.h5", "events": "4,000"}


def record(path: Path, count: int, size: tuple[int, int] = SIZE, duration_us: int = 400_000) -> Recording:
    rng = np.random.default_rng(count)
    events = empty_events(count)
    events["t"] = 7_000_000 + np.sort(rng.integers(0, duration_us, count))
    events["x"], events["y"] = rng.integers(0, size[0], count), rng.integers(0, size[1], count)
    events["p"] = rng.random(count) < 0.3
    write_recording(path, events, size)
    return open_recording(path)


def spec(size: tuple[int, int] = SIZE, **settings: object) -> FrameSpec:
    return FrameSpec.parse({"sensor_size": size, "kind": "stream", "steps": 1, "dt_us": 10_000} | settings)


def bins(steps: int, **settings: object) -> FrameSpec:
    return spec(kind="recording", dt_us=None, steps=steps, **settings)


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return record(tmp_path / "r.h5", 4_000)


def survey(recording: Recording, frames: int = 24) -> Survey:
    return survey_recording(recording, spec(recording.sensor_size), frames=frames, rate_bins=50)


@pytest.mark.parametrize(
    "cut", [spec(), spec(dt_us=None, events_per_frame=300), bins(7, by="count"), bins(7, by="time", remainder="drop")]
)
def test_the_number_of_frames_is_known_before_they_are_made(recording: Recording, cut: FrameSpec) -> None:
    seen = []
    assert frame_count(recording, cut) == len(list(cut_recording(recording, cut, lambda events: seen.append(events))))
    np.testing.assert_array_equal(np.concatenate(seen), recording.read())


def test_rate_heat_and_frames_are_those_of_the_whole_recording(recording: Recording) -> None:
    events, cut = recording.read(), bins(9, by="time")
    found = survey_recording(recording, cut, frames=4, rate_bins=50)
    times_s = (events["t"] - events["t"][0]) / 1e6
    for polarity in (False, True):
        own = events[events["p"] == polarity]
        heat_HW = np.zeros(SIZE[::-1], int)
        for x, y in zip(own["x"], own["y"], strict=True):
            heat_HW[y, x] += 1
        np.testing.assert_array_equal(found.heat_CHW[int(polarity)], heat_HW)
        edges_s = np.minimum(np.arange(51) * found.rate.bin_us / 1e6, times_s[-1] + 1e-6)
        expected, _ = np.histogram(times_s[events["p"] == polarity], edges_s - 1e-9)
        np.testing.assert_allclose(found.rate.rate_hz_CR[int(polarity)] * np.diff(edges_s), expected, rtol=1e-9)
    assert (found.frame_count, found.frame_indices_N.tolist()) == (9, [0, 3, 5, 8])
    np.testing.assert_array_equal(found.frames_NCHW, recording_frames(events, cut)[[0, 3, 5, 8]])


def test_a_recording_of_one_moment_has_one_bin(tmp_path: Path) -> None:
    found = survey(record(tmp_path / "r.h5", 5, duration_us=1))
    assert found.rate.rate_hz_CR.sum(axis=0).tolist() == [5e6]
    assert len(found.frames_NCHW) == found.frame_count == 1


def test_large_sensors_are_shrunk_and_no_event_is_lost(tmp_path: Path) -> None:
    found = survey(record(tmp_path / "r.h5", 3_000, size=(1281, 721)))
    assert (found.heat_downscale, found.frames_downscale) == (2, 5)
    assert max(found.heat_CHW.shape) <= HEAT_SIDE
    assert found.frames_NCHW.shape == (24, 2, 145, 257)
    assert max(found.frames_NCHW.shape[2:]) <= FRAME_SIDE
    assert found.heat_CHW.sum() == 3_000
    whole = np.stack(list(cut_recording(open_recording(tmp_path / "r.h5"), spec((1281, 721)))))[found.frame_indices_N]
    corner = whole[:, :, 720:, 1280:].sum(axis=(2, 3))
    np.testing.assert_array_equal(found.frames_NCHW[:, :, -1, -1], corner)
    assert found.frames_NCHW.sum() == whole.sum()


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    peaks = []
    for count in (150_000, 600_000):
        long = record(tmp_path / f"{count}.h5", count, duration_us=4_000_000)
        assert long.summary.events == count
        tracemalloc.start()
        survey_recording(long, bins(20, by="count"), frames=24, rate_bins=100)
        survey(long)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 450,000 more events are 6 MB.
    assert peaks[1] < peaks[0] + 1_000_000


def test_a_gif_moves_as_the_recording_does(recording: Recording, tmp_path: Path) -> None:
    found = survey(recording, GIF_FRAMES)
    draw_recording(tmp_path / "clip.gif", found, FACTS)
    with Image.open(tmp_path / "clip.gif") as image:
        assert (image.n_frames, image.info["loop"], image.info["duration"]) == (40, 0, 40)
        factor = image.size[0] // SIZE[0]
        assert image.size == (SIZE[0] * factor, SIZE[1] * factor)
        for index in (0, 17):
            image.seek(index)
            colours_HWC = np.asarray(image.convert("RGB"))[::factor, ::factor].astype(int)
            off_HW, on_HW = found.frames_NCHW[index]
            assert ((colours_HWC == 255).all(axis=2) == ((off_HW == 0) & (on_HW == 0))).all(), "white is no event"
            only_on, only_off = (on_HW > 0) & (off_HW == 0), (off_HW > 0) & (on_HW == 0)
            assert only_on.any()
            assert (colours_HWC[only_on, 0] > colours_HWC[only_on, 2]).all(), "brighter is red"
            assert (colours_HWC[only_off, 0] < colours_HWC[only_off, 2]).all(), "darker is blue"
    # 0.4 s in 40 frames of 40 ms
    assert (frame_ms(found), round(gif_speed(found), 2)) == (40, 0.25)


def test_a_sheet_is_a_png(recording: Recording, tmp_path: Path) -> None:
    draw_recording(tmp_path / "contact.png", survey(recording), FACTS)
    with Image.open(tmp_path / "contact.png") as image:
        assert (image.format, image.size[0]) == ("PNG", 1100)
        pixels_HWC = np.asarray(image.convert("RGB"))
    assert len(np.unique(pixels_HWC.reshape(-1, 3), axis=0)) > 100


class Tags(html.parser.HTMLParser):
    """Collects every tag with its attributes, and every text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_report_is_one_file_without_scripts_or_network(recording: Recording, tmp_path: Path) -> None:
    draw_recording(tmp_path / "report.html", survey(recording), FACTS)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    names = [name for name, _ in tags.found]
    assert not {"script", "link", "iframe", "object", "b"} & set(names)
    assert FACTS["file"] in tags.texts, "names are text, not markup"
    sources = [str(attributes["src"]) for name, attributes in tags.found if name == "img"]
    assert len(sources) == 3
    for source in sources:
        with Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))) as image:
            assert image.size[0] == 1100
    assert all(attributes["alt"] for name, attributes in tags.found if name == "img")
    without_pictures = re.sub(r'src="data:[^"]*"', "", page)
    assert not re.search(r"https?:|src=|url\(|@import|\son\w+=", without_pictures)
    assert "default-src 'none'" in page


def test_other_suffixes_are_refused() -> None:
    with pytest.raises(RecordingError, match=r"--out a\.jpg: got the suffix '\.jpg'; expected \.gif, \.png, \.html"):
        frames_to_show(Path("a.jpg"))
    assert frames_to_show(Path("A.GIF")) == GIF_FRAMES


def test_only_a_gif_needs_a_package_and_names_its_extra(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("PIL", "matplotlib"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"show --out: got no package Pillow; expected the extra `train`"):
        draw_recording(tmp_path / "a.gif", survey(recording), FACTS)
    assert not (tmp_path / "a.gif").exists()
    for name in ("a.png", "a.html"):
        draw_recording(tmp_path / name, survey(recording), FACTS)
        assert (tmp_path / name).stat().st_size > 5_000


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.html"])
def test_nothing_is_left_where_nothing_can_be_written(recording: Recording, tmp_path: Path, name: str) -> None:
    with pytest.raises(
        UserError, match=r"got No such file or directory; expected a folder that exists; make the folder first"
    ):
        draw_recording(tmp_path / "none" / name, survey(recording), FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["r.h5"]


def test_nothing_to_see_is_an_error(tmp_path: Path) -> None:
    write_recording(tmp_path / "r.h5", empty_events(), SIZE)
    with pytest.raises(RecordingError, match=r"r\.h5: got no events; expected a recording with events"):
        survey(open_recording(tmp_path / "r.h5"))
