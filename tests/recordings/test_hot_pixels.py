"""Hot pixels are said once per dataset, by all commands that cut its recordings, with counts and what removes them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_recordings import SIZE

from stdl_events.events import open_recording, write_recording
from stdl_events.events.hot_pixels import HotPixels, PixelCounts, say_hot_pixels
from stdl_events.events.stream import EventArray, RecordingWarning, empty_events
from stdl_events.frames import FrameSpec
from stdl_events.prepared import prepare
from stdl_events.recipes import load_recipe
from stdl_events.recordings import read_folder
from stdl_events.recordings.clips import load_readable_clips
from stdl_events.recordings.coverage import HELD_OUT, TO_TRAIN
from stdl_events.recordings.framers import FRAMERS
from stdl_events.recordings.splits.split import by_recording
from stdl_events.training.load_recordings import load_sides, load_split
from stdl_events.training.settings import TrainConfig

HOT = (3, 4)
SPEC = FrameSpec(kind="stream", steps=2, dt_us=20_000, sensor_size=SIZE, cap=255)
WHOLE = FrameSpec(kind="recording", steps=2, by="count", sensor_size=SIZE, cap=255)
RunCli = Callable[..., tuple[int, str, str]]


def noisy(seed: int, hot: int = 400) -> EventArray:
    """Events all over the sensor in 100 ms, about 4 a pixel, and `hot` more of one pixel."""
    rng, usual = np.random.default_rng(seed), 4 * SIZE[0] * SIZE[1]
    events = empty_events(usual + hot)
    events["t"] = np.sort(rng.integers(0, 100_000, len(events)))
    order = rng.permutation(len(events))
    events["x"][order[:usual]] = rng.integers(0, SIZE[0], usual)
    events["y"][order[:usual]] = rng.integers(0, SIZE[1], usual)
    events["x"][order[usual:]], events["y"][order[usual:]] = HOT
    return events


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("walk", "wave"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            write_recording(tmp_path / "data" / name / f"{number}.h5", noisy(number + 10 * (name == "walk")), SIZE)
    return tmp_path / "data"


def said_of(folder: Path) -> str:
    """The warning, from the events of all files by numpy alone."""
    events = np.concatenate([open_recording(path).read() for path in sorted(folder.rglob("*.h5"))])
    hot = int(np.count_nonzero((events["x"] == HOT[0]) & (events["y"] == HOT[1])))
    share = f"{hot / len(events):.1%}"
    return f"1 hot pixel with {hot:,} of {len(events):,} events ({share}): leave it out with --filter hot_pixels=3:4"


def in_store(folder: Path, spec: FrameSpec, workers: int = 1) -> None:
    split = by_recording(read_folder(folder), held_out=0.34, seed=0)
    prepare(split, spec, folder.parent / "store", dataset="folder", root=folder, workers=workers)


def to_train(folder: Path, spec: FrameSpec) -> None:
    config: TrainConfig = load_recipe("folder").derive(data={"path": str(folder)})
    split = load_split(config)
    load_sides(config, {TO_TRAIN: split.train, HELD_OUT: split.test}, spec)


@pytest.mark.parametrize("read", [in_store, to_train])
@pytest.mark.parametrize("spec", [SPEC, WHOLE])
def test_hot_pixels_are_said_once_with_their_counts(
    folder: Path, read: Callable[[Path, FrameSpec], None], spec: FrameSpec
) -> None:
    """Noise of a pixel went into frames without a word; only `info --find-hot-pixels` told of it."""
    with pytest.warns(RecordingWarning) as said:
        read(folder, spec)
    assert [str(one.message) for one in said] == [said_of(folder)]
    filtered = spec.model_copy(update={"filters": spec.filters.model_copy(update={"hot_pixels": (HOT,)})})
    (folder.parent / "store").rename(folder.parent / "other") if read is in_store else None
    read(folder, filtered)  # warnings are errors: nothing is said of pixels that are left out


def test_a_store_that_goes_on_says_the_same(folder: Path) -> None:
    for _ in range(2):
        with pytest.warns(RecordingWarning, match=re.escape(said_of(folder))):
            in_store(folder, SPEC)


def test_each_framer_shows_every_event_once(folder: Path) -> None:
    for spec in (SPEC, WHOLE.model_copy(update={"remainder": "drop"})):
        for name in FRAMERS.names:
            counts, recordings = PixelCounts(SIZE), read_folder(folder)
            load_readable_clips(recordings, spec, cut=FRAMERS[name], watch=counts.add)
            assert counts.hot().events == sum(entry.open().summary.events for entry in recordings.entries)


def test_frames_says_them(folder: Path, tmp_path: Path, run_cli: RunCli) -> None:
    path = folder / "walk" / "0.h5"
    code, _, err = run_cli("frames", path, "--out", tmp_path / "f.npy", "--bins", 4)
    assert code == 0
    assert "1 hot pixel with 4" in err
    assert "leave it out with --filter hot_pixels=3:4" in " ".join(err.split())
    code, _, err = run_cli("frames", path, "--out", tmp_path / "f.npy", "--bins", 4, "--filter", "hot_pixels=3:4")
    assert (code, "hot" in err) == (0, False)


@pytest.mark.parametrize(
    ("events", "pixels", "text"),
    [
        (100_000, ((1, 2, 99),), None),
        (100_000, ((1, 2, 60), (3, 4, 60)), "2 hot pixels with 120 of 100,000 events (0.1%): leave them out with"),
        (
            1000,
            tuple((x, 0, 10 + x) for x in range(30)),
            "30 hot pixels with 735 of 1,000 events (73.5%): leave the 24",
        ),
    ],
)
def test_what_is_said_of_them(
    events: int, pixels: tuple[Any, ...], text: str | None, recwarn: pytest.WarningsRecorder
) -> None:
    """Few events change nothing; of many pixels the busiest are named."""
    halves = [HotPixels(events // 2, pixels[:1]), HotPixels(events - events // 2, pixels[1:])]
    say_hot_pixels(halves, [])
    said = [str(one.message) for one in recwarn]
    assert len(said) == (text is not None)
    assert text is None or said[0].startswith(text)


def test_a_recording_of_few_pixels_has_no_hot_ones() -> None:
    counts = PixelCounts(SIZE)
    events = empty_events(500)
    events["x"][::2] = 5
    counts.add(events)
    assert counts.hot() == HotPixels(500)


def test_events_beyond_the_sensor_are_at_no_pixel() -> None:
    counts = PixelCounts((2, 2))
    events = empty_events(3)
    events["y"] = [0, 1, 9]
    counts.add(events)
    assert counts.hot().events == 3
