"""Recordings to clips: cut like a live source of the same events, complete, and in memory as bytes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_recordings import SIZE, draw_events

from stdl_events.errors import DatasetError, FrameSpecError
from stdl_events.events.stream import empty_events
from stdl_events.frames import FrameSpec, recording_frames
from stdl_events.recordings import Entry, RecordingSet, clips_of, load_clips

Write = Callable[..., Path]
STREAM = FrameSpec(kind="stream", steps=4, dt_us=5_000, sensor_size=SIZE, cap=255)
ON_CLOCK = STREAM.model_copy(update={"grid": "clock"})


def test_clips_lie_on_the_grid_and_are_complete(write: Write) -> None:
    events = draw_events(3, count=900, t0_us=12_000, t1_us=112_000)
    frames_NTCHW, t_start_us_N = clips_of(Entry("a", write("a.h5", events), 0), ON_CLOCK)
    # From 12 ms to 112 ms, the complete clips of 20 ms run from 20 ms to 100 ms.
    assert t_start_us_N.tolist() == [20_000, 40_000, 60_000, 80_000]
    expected = np.zeros((4, 4, 2, SIZE[1], SIZE[0]), np.uint16)
    for event in events[(events["t"] >= 20_000) & (events["t"] < 100_000)]:
        window = (event["t"] - 20_000) // 5_000
        expected[window // 4, window % 4, int(event["p"]), event["y"], event["x"]] += 1
    np.testing.assert_array_equal(frames_NTCHW, expected)


@pytest.mark.parametrize("span", [(30_000, 92_000), ("27%", 92_000), (0.27, 92_000)])
@pytest.mark.parametrize(
    "more", [{}, {"filters": {"hot_pixels": ((0, 0),)}}, {"center_crop": (4, 4)}, {"grid": "clock"}]
)
def test_a_part_of_a_recording_holds_its_clips_only(write: Write, span: Any, more: dict[str, Any]) -> None:
    """They are those of the whole recording, whose grid begins with its own first event after the filters."""
    events = draw_events(4, count=900, t0_us=3_000, t1_us=103_000)
    events["x"][0] = events["y"][0] = 0
    path, spec = write("a.h5", events), FrameSpec.parse(STREAM.model_dump() | more)
    whole_NTCHW, starts_us = clips_of(Entry("a", path, 0), spec)
    assert len(starts_us) >= 4
    kept_us = events["t"][(events["x"] > 0) | (events["y"] > 0)] if "filters" in more else events["t"]
    if "center_crop" in more:
        kept_us = events["t"][(events["x"] >= 2) & (events["x"] < 6) & (events["y"] >= 1) & (events["y"] < 5)]
    assert starts_us[0] == (0 if spec.grid == "clock" else kept_us[0])
    inside = (starts_us >= 30_000) & (starts_us + 20_000 <= 92_000)
    part_NTCHW, part_starts_us = clips_of(Entry("a", path, 0, span=span), spec)
    assert part_starts_us.tolist() == starts_us[inside].tolist() != []
    np.testing.assert_array_equal(part_NTCHW, whole_NTCHW[inside])


def test_the_grid_of_a_labelled_part_begins_with_it(write: Write) -> None:
    """And parts of it stay on its grid."""
    events = draw_events(4, count=900, t0_us=3_000, t1_us=103_000)
    path = write("a.h5", events)
    labelled = Entry("a", path, 0, span=(31_000, 90_000), begin=31_000)
    inside_us = events["t"][events["t"] >= 31_000]
    assert clips_of(labelled, STREAM)[1].tolist() == [inside_us[0] + after_us for after_us in (0, 20_000, 40_000)]
    later = replace(labelled, span=(40_000, 103_000))
    assert clips_of(later, STREAM)[1].tolist() == [inside_us[0] + 20_000, inside_us[0] + 40_000]


def test_a_whole_recording_is_one_clip(write: Write) -> None:
    events = draw_events(5)
    spec = FrameSpec(kind="recording", steps=7, by="count", sensor_size=SIZE)
    frames_NTCHW, t_start_us_N = clips_of(Entry("a", write("a.h5", events), 0), spec)
    np.testing.assert_array_equal(frames_NTCHW, recording_frames(events, spec)[None])
    assert t_start_us_N.tolist() == [events["t"][0]]


@pytest.mark.parametrize("kind", ["stream", "recording"])
def test_a_recording_without_events_has_no_clip(write: Write, kind: str) -> None:
    more = {"dt_us": 5_000} if kind == "stream" else {"by": "time"}
    spec = FrameSpec.parse({"kind": kind, "steps": 4, "sensor_size": SIZE, **more})
    frames_NTCHW, t_start_us_N = clips_of(Entry("a", write("a.h5", empty_events()), 0), spec)
    assert frames_NTCHW.shape == (0, 4, 2, SIZE[1], SIZE[0])
    assert len(t_start_us_N) == 0


def test_a_quiet_part_has_no_clip(write: Write) -> None:
    path = write("a.h5", np.concatenate([draw_events(1, t1_us=10_000), draw_events(2, t0_us=90_000)]))
    spec = FrameSpec(kind="recording", steps=4, by="time", sensor_size=SIZE)
    frames_NTCHW, _ = clips_of(Entry("a", path, 0, span=(20_000, 80_000)), spec)
    assert len(frames_NTCHW) == 0


def test_another_sensor_is_refused(write: Write) -> None:
    spec = STREAM.model_copy(update={"sensor_size": (16, 16)})
    with pytest.raises(FrameSpecError, match="a: got a sensor of 8x6; expected 16x16, as the frames are made for"):
        clips_of(Entry("a", write("a.h5"), 0), spec)


def test_all_clips_of_a_set(write: Write) -> None:
    late = draw_events(8, count=400, t0_us=10_000, t1_us=71_000)
    entries = [Entry("a", write("a.h5"), 1), Entry("b", write("b.h5", late), 0)]
    entries.append(Entry("short", write("short.h5", draw_events(9, t0_us=21_000, t1_us=25_000)), 1))
    recordings = RecordingSet(("zero", "one"), SIZE, tuple(entries))
    seen: list[tuple[int, int]] = []
    clips = load_clips(recordings, ON_CLOCK, lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert clips.frames_NTCHW.dtype == np.uint8
    assert clips.targets_N.tolist() == [1] * 5 + [0] * 2
    assert clips.entry_index_N.tolist() == [0] * 5 + [1] * 2
    assert clips.t_start_us_N.tolist() == [0, 20_000, 40_000, 60_000, 80_000, 20_000, 40_000]
    assert clips.incomplete == 3, "two ends of b, and the short one"
    assert len(clips) == 7
    np.testing.assert_array_equal(clips.frames_NTCHW[5:], clips_of(entries[1], ON_CLOCK)[0])
    # With each recording: 61 ms hold three clips of 20 ms, and nothing is cut off in front.
    own = load_clips(recordings, STREAM)
    assert own.t_start_us_N.tolist() == [0, 20_000, 40_000, 60_000, 80_000, 10_000, 30_000, 50_000]
    assert own.incomplete == 2, "the end of b, and the short one"


def test_counts_saturate_at_the_cap(write: Write) -> None:
    events = empty_events(402)
    events["t"][1:-1] = 5_000
    events["t"][-1] = 19_999
    recordings = RecordingSet(("one",), SIZE, (Entry("a", write("a.h5", events), 0),))
    assert load_clips(recordings, STREAM).frames_NTCHW[0, :, 0, 0, 0].tolist() == [1, 255, 0, 1]


@pytest.mark.parametrize("cap", [None, 256])
def test_counts_above_a_byte_are_refused(cap: int | None) -> None:
    recordings = RecordingSet(("one",), SIZE, ())
    expected = f"frame spec: cap: got {cap}; expected at most 255, so that a count fits one byte; set cap=255"
    with pytest.raises(FrameSpecError, match=expected):
        load_clips(recordings, STREAM.model_copy(update={"cap": cap}))


def test_no_clip_at_all_is_an_error(write: Write) -> None:
    recordings = RecordingSet(("one",), SIZE, (Entry("a", write("a.h5"), 0),))
    with pytest.raises(
        DatasetError,
        match=r"got 1 without one complete clip, [0-9.]+ ms at most; expected at least one of 50 frames, [0-9]+ ms; ",
    ):
        load_clips(recordings, STREAM.model_copy(update={"steps": 50}))


def test_held_out_part_is_cut_as_a_replay_from_there(recordings_dir: Path) -> None:
    """The clips of the last 30 % are the whole recording's clips from there on."""
    spec = FrameSpec(kind="stream", steps=10, dt_us=20_000, sensor_size=(128, 128), downscale=4, cap=255)
    path = sorted((recordings_dir / "objects").glob("*.aedat"))[0]
    whole = Entry("a", path, 0)
    held_out = replace(whole, span=("70%", None))
    all_NTCHW, all_us = clips_of(whole, spec)
    held_out_NTCHW, held_out_us = clips_of(held_out, spec)
    assert 20 < len(held_out_us) < len(all_us)
    shared = len(held_out_us) - (held_out_us[0] not in all_us)
    np.testing.assert_array_equal(held_out_us[-shared:], all_us[-shared:])
    np.testing.assert_array_equal(held_out_NTCHW[1:], all_NTCHW[-len(held_out_us) + 1 :])
