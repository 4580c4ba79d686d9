"""Recognition of a file's format, and the errors for files of no format."""

import os
from pathlib import Path

import event_files
import numpy as np
import pytest

from stdl_events.errors import RecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events import open_recording

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"


def test_content_comes_before_the_suffix(write) -> None:
    events = event_files.make_events(20, 34, 34)
    assert open_recording(write("a.bin", event_files.aedat2_dvs128(events))).format == "aedat2"
    assert open_recording(write("b.aedat", event_files.aedat4([(0, 34, 34, [events])]))).format == "aedat4"
    assert open_recording(write("c", event_files.npy_structured(events))).format == "npy"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nothing\.aedat4: got no such file; expected a file of events; check"):
        open_recording(tmp_path / "nothing.aedat4")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="got a folder; expected a file of events; name one of the files in it"):
        open_recording(tmp_path)


def test_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.aedat4")
    with pytest.raises(RecordingError, match="not a regular file"):
        open_recording(tmp_path / "a.aedat4")


@pytest.mark.parametrize("name", ["a.aedat4", "a.bin", "a.npy", "a"])
def test_zero_bytes(write, name: str) -> None:
    with pytest.raises(TruncatedRecordingError, match=r"got an empty file \(0 bytes\)"):
        open_recording(write(name, b""))


@pytest.mark.parametrize("name", ["a.aedat4", "a.raw", "a.bin", "a.txt"])
def test_git_lfs_pointer(write, name: str) -> None:
    with pytest.raises(RecordingError, match=r"a Git LFS pointer, not the recording itself.*git lfs pull"):
        open_recording(write(name, LFS_POINTER))


def test_text_called_aedat4(write) -> None:
    text = "got a file that begins with 'Dear reader, thi'; expected .aedat4 content, which begins with '#!AER-DAT4.0"
    with pytest.raises(UnknownFormatError, match=text):
        open_recording(write("a.aedat4", b"Dear reader, this is text.\n"))


def test_file_that_ends_in_its_first_line(write) -> None:
    with pytest.raises(TruncatedRecordingError, match="ends at byte 5, inside its first line"):
        open_recording(write("a.aedat4", b"#!AER"))


def test_unknown_content_lists_the_formats(write) -> None:
    with pytest.raises(UnknownFormatError, match=r"expected one of aedat2, .*aedat4, .*name its format with --format"):
        open_recording(write("a.xyz", b"whatever this is"))


def test_unknown_format_name(write) -> None:
    text = r"format: got 'aedat9'; expected aedat2 or aedat3 .*did you mean 'aedat4'"
    with pytest.raises(UnknownFormatError, match=text):
        open_recording(write("a.aedat", event_files.JAER_HEADER), format="aedat9")


def test_named_format_still_checks_the_content(write) -> None:
    with pytest.raises(RecordingError, match="in the format aedat2, to be read as aedat4"):
        open_recording(write("a.aedat", event_files.JAER_HEADER), format="aedat4")


def test_stream_of_a_format_without_streams(write) -> None:
    with pytest.raises(RecordingError, match=r"the stream 1 of a file in the format aedat2.*leave --stream"):
        open_recording(write("a.aedat", event_files.JAER_HEADER), stream=1)


@pytest.mark.parametrize("size", [(0, 10), (10, -1), (70000, 10)])
def test_impossible_sensor_size(write, size: tuple[int, int]) -> None:
    with pytest.raises(RecordingError, match="expected width and height from 1 to 65536"):
        open_recording(write("a.aedat", event_files.JAER_HEADER), sensor_size=size)


@pytest.mark.parametrize("name", ["a.dat", "a.bin", "a.raw", "a.es", "a.aedat", "a.unknown"])
@pytest.mark.parametrize("separator", [" ", ",", "\t", ";"])
def test_lines_of_numbers_are_text_under_every_name(write, name: str, separator: str) -> None:
    events = event_files.make_events(100, 34, 30)
    recording = open_recording(write(name, event_files.text(events, separator=separator)))
    assert recording.format == "text"
    assert (recording.read() == events).all()


def test_a_named_column_line_may_come_first(write) -> None:
    events = event_files.make_events(100, 34, 30)
    recording = open_recording(write("a.dat", event_files.text(events, header="t x y p")))
    assert recording.format == "text"


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (np.random.default_rng(0).bytes(8000), "begins with"),
        (b"#!AER-DAT2.1\r\n" + bytes(80), "AEDAT of another version"),
        (b"#ROSBAG V2.0\n" + bytes(80), "a ROS bag"),
        (b"MATLAB 5.0 MAT-file" + bytes(80), "a MATLAB file"),
        (b"RIFF1234AVI " + bytes(80), "a RIFF file"),
    ],
)
def test_dat_of_another_kind_is_refused(write, data: bytes, got: str) -> None:
    with pytest.raises(UnknownFormatError, match=f"got .*{got}"):
        open_recording(write("a.dat", data))


def test_dat_without_a_header_is_still_read(write) -> None:
    events = event_files.make_events(300, 304, 240)
    recording = open_recording(write("a.dat", event_files.dat(events, version=None)))
    assert recording.format == "dat"
    assert (recording.read() == events).all()
