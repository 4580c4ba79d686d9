"""Windows far too short are told before any recording is cut into them."""

import warnings
from pathlib import Path

import pytest

from stdl_events.errors import RecipeError
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.recordings import RecordingSet, read_folder
from stdl_events.recordings.clips import load_readable_clips
from stdl_events.recordings.cutting import cut_clips
from stdl_events.training import room_for_clips
from stdl_events.training.room_for_clips import RoomForClips


@pytest.fixture
def recordings(folder_of_recordings: Path) -> RecordingSet:
    return read_folder(folder_of_recordings / "test")


def spec(dt_us: int) -> FrameSpec:
    return FrameSpec(kind="stream", sensor_size=(16, 16), steps=4, dt_us=dt_us, cap=255)


def test_clips_that_have_no_room_are_refused_before_they_are_cut(recordings: RecordingSet) -> None:
    # Two clips of 4 x 2 x 16 x 16 bytes each, and a copy of both.
    room = RoomForClips(cut_clips, left_bytes=2 * 2 * 2048 * len(recordings))
    _, clips, _ = load_readable_clips(recordings, spec(20_000), cut=room)
    plain = load_readable_clips(recordings, spec(20_000))[1]
    assert (len(clips), clips.incomplete) == (len(plain), plain.incomplete)
    with pytest.raises(
        RecipeError, match=r"frames: got 39\d+ clips of 0\.004 ms in the first 1 recording, .* that this"
    ):
        load_readable_clips(recordings, spec(1), cut=RoomForClips(cut_clips, left_bytes=10_000_000))


def test_many_windows_without_events_are_said_once(recordings: RecordingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_for_clips, "_MANY_WINDOWS", 1_000)
    with pytest.warns(RecordingWarning, match=r"1599 windows of 100 µs for \d+ events; check frames\.dt_us") as said:
        load_readable_clips(recordings, spec(100), cut=RoomForClips(cut_clips))
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_readable_clips(recordings, spec(20_000), cut=RoomForClips(cut_clips))
