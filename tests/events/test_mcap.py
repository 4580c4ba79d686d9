"""MCAP against files that are written literally; files of the package mcap are in tests/live/test_mcap_recording.py."""

import struct

import event_files
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording

EVENTS = event_files.make_events(90, 30, 20)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_events_in_and_outside_of_chunks_are_read(write, compression: str) -> None:
    path = write("a.mcap", event_files.mcap(EVENTS, height=20, compression=compression))
    recording = open_recording(path)
    assert (recording.format, recording.sensor_size) == ("mcap", (30, 20))
    assert np.array_equal(recording.read(), EVENTS)


def test_other_topics_alone_are_refused(write) -> None:
    path = write("a.mcap", event_files.mcap(EVENTS, schema="sensor_msgs/Image"))
    with pytest.raises(
        UnknownFormatError, match=r"without events of ours \(topics: /other\.Picture, /sensor_msgs/Image\)"
    ):
        open_recording(path)


def test_a_file_without_an_end_is_whole_and_a_cut_one_is_not(write) -> None:
    data = event_files.mcap(EVENTS)
    end = data.rfind(struct.pack("<BQ", 15, 4))
    assert np.array_equal(open_recording(write("whole.mcap", data[:end])).read(), EVENTS)
    cut = write("cut.mcap", data[: end - 1])
    with pytest.raises(TruncatedRecordingError, match=r"bytes of a record, which starts at byte \d+"):
        open_recording(cut).read()
    with pytest.warns(RecordingWarning, match="kept the 30 events before it"):
        assert np.array_equal(open_recording(cut, repair=True).read(), EVENTS[:30])


def test_damage_in_a_chunk_is_found_by_its_checksum(write) -> None:
    data = bytearray(event_files.mcap(EVENTS, compression="none"))
    data[data.rfind(b'"width"') - 1] ^= 1
    with pytest.raises(CorruptRecordingError, match="a chunk with a wrong checksum at byte"):
        open_recording(write("a.mcap", bytes(data))).read()
