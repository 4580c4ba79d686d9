"""Frames of real recordings do not depend on the chunks."""

import numpy as np
import pytest

from stdl_events.events import open_recording
from stdl_events.frames import Framer, FrameSpec


@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
@pytest.mark.parametrize("pattern", ["nmnist/train/3/*.bin", "poker_dvs/aedat2/*/*.aedat", "hand_wave/*.aedat4"])
@pytest.mark.parametrize("cut", [{"dt_us": 10_000}, {"events_per_frame": 250}])
def test_chunks_of_any_size_give_the_frames_of_the_whole(recordings_dir, pattern, cut):
    path = min(recordings_dir.glob(pattern))
    recording = open_recording(path)
    spec = FrameSpec(kind="stream", steps=5, sensor_size=recording.sensor_size, downscale=2, **cut)
    whole = Framer(spec)
    expected = whole.push(recording.read()) + whole.finish()
    assert sum(int(frame.counts_CHW.sum(dtype=np.int64)) for frame in expected) == recording.summary.events > 0
    for max_events in (97, 10_000):
        framer, frames = Framer(spec), []
        for events in recording.chunks(max_events):
            frames += framer.push(events)
        frames += framer.finish()
        assert [frame.index for frame in frames] == [frame.index for frame in expected]
        for frame, other in zip(frames, expected, strict=True):
            assert (frame.t_start_us, frame.t_end_us) == (other.t_start_us, other.t_end_us)
            np.testing.assert_array_equal(frame.counts_CHW, other.counts_CHW)
