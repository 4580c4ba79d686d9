"""The 5-byte format of N-MNIST and N-Caltech101, against a literal loop."""

from pathlib import Path

import event_files
import numpy as np
import pytest

from stdl_events.errors import TruncatedRecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording


def literal_events(data: bytes) -> list[tuple[int, int, int, bool]]:
    found = []
    for start in range(0, len(data), 5):
        x, y, high, middle, low = data[start : start + 5]
        found.append(((high % 128) * 65536 + middle * 256 + low, x, y, high >= 128))
    return found


@pytest.mark.parametrize(
    ("name", "format", "size_from"),
    [
        ("nmnist/train/3/00108.bin", "nmnist", "format"),
        ("formats/bin/nmnist_tonic.bin", "nmnist", "format"),
        ("formats/bin/ncaltech101_faces_easy_0001.bin", "ncaltech", "inferred"),
    ],
)
def test_real_files_equal_a_literal_decode(recordings_dir: Path, name: str, format: str, size_from: str) -> None:
    path = recordings_dir / name
    recording = open_recording(path)
    events = recording.read()
    assert recording.format == format
    assert recording.sensor_size_from == size_from
    assert events.tolist() == literal_events(path.read_bytes())
    width, height = (34, 34) if format == "nmnist" else (events["x"].max() + 1, events["y"].max() + 1)
    assert recording.sensor_size == (width, height)


def test_every_nmnist_recording_opens_as_nmnist(recordings_dir: Path) -> None:
    files = sorted((recordings_dir / "nmnist" / "train").glob("*/*.bin"))
    assert len(files) == 1000
    assert {open_recording(path).format for path in files} == {"nmnist"}


def test_argument_sets_the_size_of_ncaltech(write) -> None:
    events = event_files.make_events(100, 200, 170)
    recording = open_recording(write("a.bin", event_files.atis_bin(events)), sensor_size=(240, 180))
    assert (recording.format, recording.sensor_size, recording.sensor_size_from) == ("ncaltech", (240, 180), "argument")
    assert (recording.read() == events).all()


def test_format_argument_overrides_the_guess(write) -> None:
    events = event_files.make_events(100, 20, 20)
    path = write("a.bin", event_files.atis_bin(events))
    assert open_recording(path).format == "nmnist"
    recording = open_recording(path, format="ncaltech")
    assert (recording.format, recording.sensor_size) == ("ncaltech", (20, 20))


def test_truncation_names_the_byte(write) -> None:
    events = event_files.make_events(100, 34, 34)
    path = write("cut.bin", event_files.atis_bin(events)[:-2])
    with pytest.raises(TruncatedRecordingError, match=r"got 3 of 5 bytes of a record, which starts at byte 495;"):
        open_recording(path).read()
    with pytest.warns(RecordingWarning, match="kept the 99 events before it"):
        assert (open_recording(path, repair=True).read() == events[:99]).all()


def test_a_file_shorter_than_a_record_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(4))
    with pytest.raises(TruncatedRecordingError, match=r"got 4 of 5 bytes of a record, which starts at byte 0;"):
        open_recording(tmp_path / "a.bin").read()


def test_overflow_rows_are_no_events_and_add_8192_us(write) -> None:
    stored = [
        (10, 20, 1, 100),
        (11, 21, 0, 5000),
        (0, 240, 0, 8191),
        (12, 22, 1, 50),
        (0, 240, 0, 8191),
        (14, 24, 1, 9),
    ]
    data = b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for x, y, p, t in stored)
    recording = open_recording(write("marker.bin", data))
    expected = [(100, 10, 20, True), (5000, 11, 21, False), (8192 + 50, 12, 22, True), (16384 + 9, 14, 24, True)]
    assert recording.read().tolist() == expected
    assert recording.format == "nmnist"


def test_overflows_count_on_in_later_blocks(write) -> None:
    marker, event = bytes([0, 240, 0, 0, 0]), bytes([5, 6, 0, 0, 7])
    before = 1 << 15  # events of a block
    path = write("long.bin", event * 3 + marker * 2 + event * before + marker + event)
    times = open_recording(path).read()["t"]
    assert times.tolist() == [7] * 3 + [2 * 8192 + 7] * before + [3 * 8192 + 7]


def test_clock_of_23_bits_wraps(write) -> None:
    events = event_files.make_events(300, 34, 34, t0_us=2**23 - 3000)
    stored = events.copy()
    stored["t"] %= 2**23
    assert (open_recording(write("a.bin", event_files.atis_bin(stored))).read() == events).all()


def test_other_content_of_that_suffix_is_no_recording(tmp_path: Path) -> None:
    """CIFAR-10's batches are .bin too: a byte of the class and 3072 of pixels, which say nothing of a clock."""
    rows = np.random.default_rng(0).integers(0, 256, (100, 3073), np.uint8)
    rows[:, 0] %= 10
    rows.tofile(tmp_path / "data_batch_1.bin")
    with pytest.raises(UnknownFormatError, match=r"\.bin content, which this is not"):
        open_recording(tmp_path / "data_batch_1.bin")
    small = np.random.default_rng(0).integers(0, 34, (100, 5), np.uint8)
    small.tofile(tmp_path / "small.bin")
    with pytest.raises(UnknownFormatError, match=r"\.bin content, which this is not"):
        open_recording(tmp_path / "small.bin")
    assert open_recording(tmp_path / "small.bin", format="nmnist").format == "nmnist"
