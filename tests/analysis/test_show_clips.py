"""`show` of a part, of one clip, and of the clips that a network recognised worst."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stdl_events.analysis.bitmap_font import text_mask
from stdl_events.analysis.canvas import Canvas, png, sum_squares, text_panel
from stdl_events.errors import DatasetError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.geometry import Geometry
from stdl_events.events.part import part_of
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames import FrameSpec
from stdl_events.recordings import Entry, RecordingSet, clips_of
from stdl_events.recordings.predicted_clips import Predictions, frames_of, predictions_of

SIZE, STEPS = (9, 6), 3
LABELS = ("a", "b", "c")
SPEC = FrameSpec(kind="stream", steps=STEPS, dt_us=20_000, sensor_size=SIZE, rotate=90)


def draw(seed: int) -> EventArray:
    rng = np.random.default_rng(seed)
    events = empty_events(3_000)
    events["t"] = 1_000_000 + np.sort(rng.integers(0, 300_000, len(events)))
    events["x"], events["y"] = rng.integers(0, SIZE[0], len(events)), rng.integers(0, SIZE[1], len(events))
    events["p"] = rng.integers(0, 2, len(events))
    return events


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, label in enumerate(LABELS):
        path = tmp_path / "data" / label / "1.h5"
        path.parent.mkdir(parents=True)
        write_recording(path, draw(number), SIZE)
    return tmp_path / "data"


@pytest.fixture
def recordings(root: Path) -> RecordingSet:
    """The second one is turned, the third one a part."""
    turned = {"orientation": Geometry(rotate=180)}
    entries = [
        Entry("a/1.h5", root / "a" / "1.h5", 0),
        Entry("b/1.h5", root / "b" / "1.h5", 1, **turned),
        Entry("c/1.h5:test", root / "c" / "1.h5", 2, span=(0.5, None)),
    ]
    return RecordingSet(LABELS, SIZE, tuple(entries))


@pytest.fixture
def predictions(root: Path, recordings: RecordingSet) -> Path:
    """One clip right but unsure, one right and sure, two wrong."""
    starts = {entry.key: clips_of(entry, SPEC)[1] for entry in recordings.entries}
    rows = [
        ("a/1.h5", 0, "a", "a", [0.4, 0.3, 0.3]),
        ("a/1.h5", 1, "a", "a", [0.9, 0.05, 0.05]),
        ("b/1.h5", 2, "b", "c", [0.1, 0.3, 0.6]),
        ("c/1.h5:test", 0, "c", "a", [0.9, 0.0, 0.1]),
    ]
    clips = [
        {
            "key": key, "t_start_us": int(starts[key][index]), "label": label, "predicted": predicted,
            "probabilities": values,
        }
        for key, index, label, predicted, values in rows
    ]  # fmt: skip
    path = root.parent / "p.json"
    path.write_text(json.dumps(predictions_of(clips, recordings, SPEC, root)))
    return path


def test_the_worst_come_first(predictions: Path) -> None:
    worst = Predictions.read(predictions).worst()
    assert [(clip.key, clip.label, clip.predicted) for clip in worst] == [
        ("c/1.h5:test", "c", "a"), ("b/1.h5", "b", "c"), ("a/1.h5", "a", "a"), ("a/1.h5", "a", "a"),
    ]  # fmt: skip
    assert [clip.probabilities[0] for clip in worst[2:]] == [0.4, 0.9]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "neither"}, "the class 'neither'; expected"),
        ({"predicted": "neither"}, "the class 'neither'; expected"),
        ({"probabilities": [1.0]}, "got .*1 probabilities; expected"),
        ({"key": "nowhere.h5"}, "the recording 'nowhere.h5'; expected"),
    ],
)
def test_predictions_that_contradict_themselves(predictions: Path, change: dict[str, object], message: str) -> None:
    document = json.loads(predictions.read_text())
    document["clips"][0] |= change
    predictions.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=message):
        Predictions.read(predictions)


def test_clips_are_those_that_were_evaluated(predictions: Path, root: Path, recordings: RecordingSet) -> None:
    """Turned recordings and parts of recordings too, in a folder that has moved."""
    moved = root.rename(root.parent / "moved")
    read = Predictions.read(predictions)
    found = list(frames_of(read.worst(), read.entries(moved), read.frames))
    original = {entry.key: entry for entry in recordings.entries}
    for clip, predicted in zip(found, read.worst(), strict=True):
        entry = original[predicted.key]
        moved_entry = Entry(
            entry.key, moved / entry.path.relative_to(root), 0, entry.span, orientation=entry.orientation
        )
        frames_NTCHW, t_start_us_N = clips_of(moved_entry, SPEC)
        expected_TCHW = frames_NTCHW[t_start_us_N.tolist().index(predicted.t_start_us)]
        np.testing.assert_array_equal(clip.frames_TCHW, expected_TCHW)
        assert clip.frames_TCHW.shape == (STEPS, 2, 9, 6)


def test_the_command_lists_and_draws_them(run_cli, predictions: Path, root: Path, tmp_path: Path) -> None:
    code, out, err = run_cli("show", root, "--predictions", predictions)
    assert code == 0, err
    first, *lines = out.splitlines()
    assert first == "recognised as another class: 2 of 4 clips; the worst come first"
    assert re.match(r"1\. WRONG: is c \(0\.10\), recognised as a \(0\.90\); c/1\.h5:test from 1\.\d+ s", lines[0])
    assert lines[3].startswith("4. right: is a (0.90), recognised as a (0.90); a/1.h5 from ")
    code, out, err = run_cli("show", root, "--predictions", predictions, "--out", tmp_path / "w.html", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert [clip["rank"] for clip in document["clips"]] == [1, 2, 3, 4]
    page = (tmp_path / "w.html").read_text()
    assert page.count("<img ") == 4
    assert page.index("1. WRONG: is c") < page.index("2. WRONG: is b") < page.index("3. right: is a")
    code, _, err = run_cli("show", root, "--predictions", predictions, "--out", tmp_path / "w.png", "--clip", 2)
    assert code == 0, err
    with Image.open(tmp_path / "w.png") as image:
        assert (image.format, image.size[0]) == ("PNG", 1100)
    code, out, err = run_cli("show", root / "a" / "1.h5", "--predictions", predictions, "--json")
    assert [clip["key"] for clip in json.loads(out)["clips"]] == ["a/1.h5", "a/1.h5"]


def test_what_is_not_there_is_told(run_cli, predictions: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "old.json").write_text('{"labels": [], "clips": []}')
    for file, path, options, text in (
        (
            tmp_path / "other",
            predictions,
            (),
            "got none of the recordings of the predictions; expected a folder with a/1.h5",
        ),
        (root, tmp_path / "none.json", (), "none.json: got No such file or directory; expected a file of predictions"),
        (root, tmp_path / "old.json", (), "old.json: got frames nothing; expected a file of predictions"),
        (root, predictions, ("--clip", 5), "--clip: got 5; expected 1 to 4, a clip of"),
        (root, predictions, ("--out", "a.gif"), "--out a.gif: got the suffix '.gif'; expected .png, .html"),
    ):
        code, _, err = run_cli("show", file, "--predictions", path, *options)
        assert code == 2
        assert text in err
        assert len(err.splitlines()) == 1
    write_recording(root / "a" / "1.h5", draw(0)[:100], SIZE)
    read = Predictions.read(predictions)
    with pytest.raises(DatasetError, match=r"1\.h5: got no clip at \d+ us; expected the recording that was evaluated"):
        list(frames_of(read.worst(), read.entries(root), read.frames))


def test_one_clip(run_cli, root: Path, tmp_path: Path) -> None:
    path = root / "a" / "1.h5"
    spec = FrameSpec(kind="stream", steps=4, dt_us=10_000, sensor_size=SIZE)
    frames_NTCHW, t_start_us_N = clips_of(Entry("1", path, 0), spec)
    ask = ("show", path, "--frame-us", 10_000, "--steps", 4)
    code, out, err = run_cli(*ask, "--clip", 3, "--json")
    assert code == 0, err
    [clip] = json.loads(out)["clips"]
    assert clip == {
        "clip": 3, "t_start_us": t_start_us_N[2], "t_end_us": t_start_us_N[2] + 40_000, "events": frames_NTCHW[2].sum(),
        "predictions": [],
    }  # fmt: skip
    code, out, err = run_cli(*ask, "--clip", 3, "--out", tmp_path / "c.png")
    assert (code, out) == (0, f"{tmp_path / 'c.png'}: 1 clip of 4 frames\n"), err
    code, _, err = run_cli(*ask, "--clip", 99)
    assert code == 2
    assert f"got no clip 99; expected 1 to {len(frames_NTCHW)}; choose one of them" in err
    code, out, err = run_cli("show", path, "--clip", 1, "--bins", 5, "--json")
    assert json.loads(out)["clips"][0]["events"] == 3_000, "bins are one clip of the whole recording"


@pytest.mark.parametrize(("start", "stop"), [("25%", "75%"), (1_100_000, None), (None, 1_200_000), ("50%", 1_250_000)])
def test_a_part(run_cli, root: Path, tmp_path: Path, start: str | int | None, stop: str | int | None) -> None:
    recording = open_recording(root / "a" / "1.h5")
    events = recording.read()
    first, last = int(events["t"][0]), int(events["t"][-1])
    edges = {"25%": first + round(0.25 * (last - first)), "50%": first + round(0.5 * (last - first))}
    edges["75%"] = first + round(0.75 * (last - first))
    t0_us = first if start is None else edges.get(start, start)
    t1_us = last + 1 if stop is None else edges.get(stop, stop)
    expected = events[(events["t"] >= t0_us) & (events["t"] < t1_us)]
    part = part_of(recording, start, stop)
    np.testing.assert_array_equal(part.read(), expected)
    assert (part.summary.events, part.sensor_size) == (len(expected), SIZE)
    options = [*(["--from", start] if start else []), *(["--to", stop] if stop else [])]
    code, out, err = run_cli("show", root / "a" / "1.h5", *options, "--json", "--out", tmp_path / "a.html")
    assert code == 0, err
    document = json.loads(out)
    assert (document["events"], document["t_first_us"]) == (len(expected), expected["t"][0])
    assert sum(document["frames"]["shown"]) > 0
    assert f"{expected['t'][0]:,} to {expected['t'][-1]:,} us" in (tmp_path / "a.html").read_text()


def test_a_picture_says_what_is_wrong_with_the_recording(run_cli, tmp_path: Path) -> None:
    """Skipped events and hot pixels; takes by the clock's reset."""
    events = draw(0)
    events["x"][100], events["y"][100] = 30, 2
    events["x"][1_000:1_900], events["y"][1_000:1_900] = 4, 5
    events["t"][:2_000] += 20_000_000
    np.save(tmp_path / "r.npy", events)
    options = ["--sensor", "9x6", "--time-unit", "us"]
    code, _, err = run_cli("show", tmp_path / "r.npy", *options, "--out", tmp_path / "a.html")
    assert code == 0, err
    rows = dict(re.findall(r"<tr><th>(.*?)</th><td>(.*?)</td></tr>", (tmp_path / "a.html").read_text()))
    assert rows["outside"] == "1 event outside the sensor, skipped"
    assert rows["hot pixels"] == "1: 4:5"
    assert {"take 1", "take 2"} <= rows.keys()
    code, _, err = run_cli(
        "show", tmp_path / "r.npy", *options, "--filter", "hot_pixels=4:5", "--out", tmp_path / "a.html"
    )
    assert re.search(r"hot_pixels=4:5</th><td>drops 9\d\d events", (tmp_path / "a.html").read_text())
    run_cli("show", tmp_path / "r.npy", *options, "--out", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pixels_HWC = np.asarray(image.convert("RGB"))
    line = text_mask("outside: 1 event outside the sensor, skipped")
    dark_HW = (pixels_HWC < 100).all(axis=2)
    places = np.lib.stride_tricks.sliding_window_view(dark_HW[:300], line.shape)[:, 12]
    assert (places == line).all(axis=(1, 2)).any(), "the caption is in the picture"


def test_letters_and_pictures() -> None:
    assert text_mask("I").sum() == 11
    rows = ["".join("#" if dot else "." for dot in row) for row in text_mask("L")[:, :5]]
    assert rows == ["#....", "#....", "#....", "#....", "#....", "#....", "#####", "....."]
    np.testing.assert_array_equal(text_mask("é→"), text_mask("e?"))
    assert all(text_mask(chr(code)).any() for code in range(33, 127))
    assert len({text_mask(chr(code)).tobytes() for code in range(32, 127)}) == 95
    canvas = Canvas(20, 30)
    canvas.paste(3, 4, np.array([[[10, 20, 30]]], np.uint8))
    canvas.text(29, 10, "far beyond the border")
    assert canvas.pixels_HWC[4, 3].tolist() == [10, 20, 30]
    with Image.open(io.BytesIO(png(canvas.pixels_HWC))) as image:
        np.testing.assert_array_equal(np.asarray(image), canvas.pixels_HWC)
    assert text_panel(["word " * 200]).shape[0] > 5 * text_panel(["word"]).shape[0]
    counts_CHW = np.arange(2 * 5 * 7).reshape(2, 5, 7)
    padded = np.pad(counts_CHW, ((0, 0), (0, 1), (0, 2)))
    np.testing.assert_array_equal(sum_squares(counts_CHW, 3), padded.reshape(2, 2, 3, 3, 3).sum(axis=(2, 4)))
