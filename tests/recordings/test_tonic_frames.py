"""Tonic's ToFrame as the framer: its clips equal our own for every kind of spec, with filters, geometry and caps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_recordings import SIZE, draw_events

from stdl_events.errors import FrameSpecError, RecipeError
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.stream import empty_events
from stdl_events.frames import FrameSpec
from stdl_events.recordings import Entry, RecordingSet, load_clips
from stdl_events.recordings.clips import load_readable_clips
from stdl_events.recordings.framers import FRAMERS

pytest.importorskip("tonic")
Write = Callable[..., Path]
KINDS = {
    "by count": {"kind": "recording", "steps": 7, "by": "count", "remainder": "drop"},
    "by time": {"kind": "recording", "steps": 7, "by": "time", "remainder": "drop"},
    "clock": {"kind": "stream", "steps": 3, "dt_us": 7_000},
    "grid": {"kind": "stream", "steps": 3, "dt_us": 7_000, "grid": "recording"},
    "short windows": {"kind": "stream", "steps": 5, "dt_us": 90},
    "events": {"kind": "stream", "steps": 3, "events_per_frame": 13},
}
CHANGES: tuple[dict[str, Any], ...] = (
    {"cap": 255},
    {"cap": 1},
    {"cap": 255, "downscale": 3},
    {"cap": 3, "downscale": 2, "rotate": 90, "crop": "1,0,4x7"},
    {"cap": 255, "filters": FilterSpec(refractory_us=3_000)},
)


@pytest.fixture
def recordings(write: Write) -> RecordingSet:
    late = draw_events(5)
    late["t"] += 10**15
    gap = draw_events(6)
    gap["t"][len(gap) // 2 :] += 300_000
    entries = (
        Entry("a", write("a.h5", draw_events(1)), 0),
        Entry("part", write("b.h5", draw_events(2)), 0, span=(20_000, 60_000)),
        Entry("none", write("none.h5", empty_events()), 1),
        Entry("late", write("late.h5", late), 1),
        Entry("gap", write("gap.h5", gap), 1),
    )
    return RecordingSet(("zero", "one"), SIZE, entries)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_clips_are_ours(recordings: RecordingSet, kind: str, change: dict[str, Any]) -> None:
    spec = FrameSpec.parse(KINDS[kind] | change | {"sensor_size": SIZE})
    ours, theirs = (load_clips(recordings, spec, cut=FRAMERS[name]) for name in ("own", "tonic"))
    assert len(ours) > 3
    for name in ("frames_NTCHW", "targets_N", "entry_index_N", "t_start_us_N"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    assert theirs.incomplete == ours.incomplete
    assert np.asarray(ours.frames_NTCHW).any()


def test_what_tonic_does_not_have_is_refused(recordings: RecordingSet, write: Write) -> None:
    spec = FrameSpec(kind="recording", steps=7, by="count", sensor_size=SIZE, cap=255)
    with pytest.raises(FrameSpecError, match=r"frames\.remainder: got last; expected drop, since Tonic's ToFrame"):
        load_clips(recordings, spec, cut=FRAMERS["tonic"])
    short = draw_events(1)
    short["t"] = 5
    entry = Entry("short", write("short.h5", short), 0)
    by_time = FrameSpec(kind="recording", steps=7, by="time", remainder="drop", sensor_size=SIZE, cap=255)
    _, _, bad = load_readable_clips(recordings.with_entries([entry]), by_time, cut=FRAMERS["tonic"])
    assert "time, in a recording of 0 us" in str(bad[0])
    crowd = empty_events(65_536)
    crowd["t"] = np.arange(len(crowd))
    entry = Entry("crowd", write("crowd.h5", crowd), 0)
    by_count = FrameSpec(kind="recording", steps=1, by="count", remainder="drop", sensor_size=SIZE, cap=255)
    _, _, bad = load_readable_clips(recordings.with_entries([entry]), by_count, cut=FRAMERS["tonic"])
    assert "a pixel with more than 65535 events" in str(bad[0])


def test_an_unknown_framer_is_an_error() -> None:
    with pytest.raises(RecipeError, match="framer: got 'tonik'; expected own or tonic; did you mean 'tonic'"):
        FRAMERS.check("tonik")
