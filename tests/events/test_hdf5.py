"""Our HDF5 file: a round trip, and errors for incomplete or foreign files."""

import os
from pathlib import Path

import event_files
import h5py
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, RecordingError, UnknownFormatError
from stdl_events.events import open_recording, write_recording


@pytest.mark.parametrize("chunk_events", [None, 1, 700])
def test_round_trip(tmp_path: Path, chunk_events: int | None) -> None:
    events = event_files.make_events(2000 if chunk_events != 1 else 50, 346, 260, t0_us=-500)
    parts = events
    if chunk_events:
        parts = (events[start : start + chunk_events] for start in range(0, len(events), chunk_events))
    path = tmp_path / "a.h5"
    write_recording(path, parts, (346, 260), {"person": "ann", "speed_m_s": 1.25, "take": 3})
    recording = open_recording(path)
    assert (recording.format, recording.sensor_size, recording.sensor_size_from) == ("stdl-hdf5", (346, 260), "header")
    assert (recording.read() == events).all()
    assert (np.concatenate(list(recording.chunks(99))) == events).all()
    assert recording.attributes == {"person": "ann", "speed_m_s": 1.25, "take": 3}
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.parametrize(("lengths", "stored_together"), [([600], 600), ([600, 1], 1 << 15), ([40_000], 1 << 15)])
def test_a_short_recording_is_not_stored_in_long_chunks(
    tmp_path: Path, lengths: list[int], stored_together: int
) -> None:
    events = event_files.make_events(sum(lengths), 34, 34)
    write_recording(tmp_path / "a.h5", np.split(events, np.cumsum(lengths)[:-1]), (34, 34))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["events/x"].chunks == (stored_together,)
        assert (file["events/x"][:] == events["x"]).all()


def test_empty_recording_round_trip(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.h5", np.zeros(0, event_files.EVENT_DTYPE), (8, 9))
    recording = open_recording(tmp_path / "a.h5")
    assert len(recording.read()) == 0
    assert recording.sensor_size == (8, 9)


def test_other_software_reads_the_layout(tmp_path: Path) -> None:
    events = event_files.make_events(100, 34, 34)
    write_recording(tmp_path / "a.h5", events, (34, 34))
    with h5py.File(tmp_path / "a.h5") as file:
        assert (file["events/t"][:] == events["t"]).all()
        assert (file["events/p"][:] == events["p"]).all()
        assert dict(file.attrs) == {"width": 34, "height": 34, "events": 100, "stdl_events_schema": 1}


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    events = event_files.make_events(100, 34, 34)
    write_recording(path, events, (34, 34))
    before = path.read_bytes()
    with pytest.raises(RecordingError, match=r"got an event at x=33 or y=33; expected pixels of 20x20"):
        write_recording(path, events, (20, 20))
    with pytest.raises(RecordingError, match="got times that step back"):
        write_recording(path, [events[50:], events[:50]], (34, 34))

    def chunks_that_break():
        yield events
        raise KeyError("the producer's own error")

    with pytest.raises(KeyError):
        write_recording(path, chunks_that_break(), (34, 34))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.h5"]


def test_missing_folder_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="expected a folder that exists; make the folder first"):
        write_recording(tmp_path / "absent" / "a.h5", event_files.make_events(1, 2, 2), (2, 2))


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.h5", event_files.make_events(10, 9, 9), (9, 9))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.attrs["stdl_events_schema"] = 2
    with pytest.raises(UnknownFormatError, match="schema version 2; expected at most 1; install a newer stdl-events"):
        open_recording(tmp_path / "a.h5")


def test_flipped_bits_in_the_data_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    events = event_files.make_events(5000, 34, 34)
    write_recording(path, events, (34, 34))
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        stored_at = file["events/t"].id.get_chunk_info(0).byte_offset
    data[stored_at + 100] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptRecordingError, match="an unreadable HDF5 file"):
        open_recording(path).read()
