"""Events of AEDAT 4 against the `aedat` package, an independent decoder, on files that pass our checks."""

import struct
from pathlib import Path

import aedat
import event_files
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, RecordingError, TruncatedRecordingError
from stdl_events.events import RecordingWarning, open_recording

REAL_FILES = [
    "formats/aedat4/davis346_lz4_clip.aedat4",
    "formats/aedat4/davis346_lz4_full.aedat4",
    "formats/aedat4/dvprocessing_sample.aedat4",
    "formats/aedat4/dvxplorer320_lz4.aedat4",
    "hand_wave/wave_1.aedat4",
    "hand_wave/wave_2.aedat4",
    "hand_wave/wave_3.aedat4",
]


@pytest.mark.parametrize("name", REAL_FILES)
def test_real_files_equal_the_aedat_package(recordings_dir: Path, name: str) -> None:
    path = recordings_dir / name
    decoder = aedat.Decoder(path)
    parts = [packet["events"] for packet in decoder if "events" in packet]
    declared = next(stream for stream in decoder.id_to_stream().values() if stream["type"] == "events")
    recording = open_recording(path)
    events = recording.read()
    assert recording.sensor_size == (declared["width"], declared["height"])
    assert recording.sensor_size_from == "header"
    for ours, theirs in zip("txyp", ("t", "x", "y", "on"), strict=True):
        assert (events[ours] == np.concatenate([part[theirs] for part in parts])).all()
    assert (np.concatenate(list(recording.chunks(1000))) == events).all()


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("table", [True, False], ids=["closed", "never closed"])
def test_every_compression_decodes_what_was_written(write, compression: str, table: bool) -> None:
    events = event_files.make_events(500, 60, 50, t0_us=1_700_000_000_000_000)
    parts = [events[:200], events[200:200], events[200:]]
    path = write("a.aedat4", event_files.aedat4([(0, 60, 50, parts)], compression=compression, table=table))
    assert (open_recording(path).read() == events).all()


def test_any_byte_but_zero_is_on_and_a_packet_may_hold_one_event(write) -> None:
    events = event_files.make_events(4, 60, 50)
    wide = events.astype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
    wide["p"] = [0, 1, 2, 255]
    path = write("a.aedat4", event_files.aedat4([(0, 60, 50, [wide[:3], wide[3:]])], compression="none"))
    read = open_recording(path).read()
    assert read["p"].view(np.uint8).tolist() == [0, 1, 1, 1]
    assert (read[["t", "x", "y"]] == events[["t", "x", "y"]]).all()


def test_other_streams_are_skipped(write) -> None:
    events = event_files.make_events(50, 60, 50)
    streams = [(0, 9, 9, [events[:5]] * 3), (1, 60, 50, [events])]
    path = write("a.aedat4", event_files.aedat4(streams, identifiers=["IMUS", "EVTS"]))
    recording = open_recording(path)
    assert (recording.read() == events).all()
    assert recording.sensor_size == (60, 50)


def test_several_event_streams_ask_for_a_choice(write) -> None:
    left, right = event_files.make_events(50, 60, 50, seed=1), event_files.make_events(40, 30, 20, seed=2)
    path = write("a.aedat4", event_files.aedat4([(0, 60, 50, [left]), (4, 30, 20, [right])]))
    with pytest.raises(RecordingError, match=r"2 streams with events.*choose one of \[0, 4\] with --stream"):
        open_recording(path)
    assert (open_recording(path, stream=0).read() == left).all()
    assert (open_recording(path, stream=4).read() == right).all()
    with pytest.raises(RecordingError, match=r"the stream 7; expected one of its event streams \[0, 4\]"):
        open_recording(path, stream=7)


def test_declared_stream_without_packets_needs_no_choice(write) -> None:
    events = event_files.make_events(50, 30, 20)
    path = write("a.aedat4", event_files.aedat4([(0, 60, 50, []), (4, 30, 20, [events])]))
    assert (open_recording(path).read() == events).all()


def test_no_stream_of_events_is_an_error(write) -> None:
    path = write("a.aedat4", event_files.aedat4([(0, 60, 50, [])], identifiers=["FRME"]))
    with pytest.raises(RecordingError, match="no stream of events"):
        open_recording(path)


def test_no_packets_is_a_valid_recording_without_events(write) -> None:
    recording = open_recording(write("a.aedat4", event_files.aedat4([(0, 60, 50, [])])))
    assert len(recording.read()) == 0
    assert recording.sensor_size == (60, 50)


def test_truncation_names_the_packet_and_repair_keeps_whole_packets(write, recordings_dir: Path) -> None:
    data = (recordings_dir / "hand_wave" / "wave_1.aedat4").read_bytes()
    path = write("cut.aedat4", data[:100_001])
    with pytest.raises(TruncatedRecordingError, match=r"cut\.aedat4: got 152 of 444 bytes of a packet.*byte 99849"):
        open_recording(path).read()
    with pytest.warns(RecordingWarning, match="kept the 8814 events before it"):
        kept = open_recording(path, repair=True).read()
    whole = open_recording(recordings_dir / "hand_wave" / "wave_1.aedat4").read()
    assert (kept == whole[: len(kept)]).all()


def test_truncation_between_two_packets_is_noticed(write) -> None:
    events = event_files.make_events(500, 60, 50)
    data = event_files.aedat4([(0, 60, 50, [events[:200], events[200:]])])
    size = struct.unpack_from("<I", data, 14)[0]
    first_packet_bytes = struct.unpack_from("<iI", data, 18 + size)[1]
    path = write("cut.aedat4", data[: 18 + size + 8 + first_packet_bytes])
    with pytest.raises(TruncatedRecordingError, match="nothing of the"):
        open_recording(path).read()


def test_a_packet_that_claims_to_unpack_to_everything_is_refused(write) -> None:
    events = event_files.make_events(5, 60, 50)
    bomb = event_files._compress(bytes(80 << 20), "zstd")
    data = event_files.aedat4([(0, 60, 50, [events])], compression="zstd", table=False)
    path = write("a.aedat4", data + struct.pack("<iI", 0, len(bomb)) + bomb)
    with pytest.raises(CorruptRecordingError, match=r"zstd data that does not unpack .more than 67108864 bytes"):
        open_recording(path).read()


def test_entities_in_the_header_are_refused(write) -> None:
    data = event_files.aedat4([(0, 60, 50, [])]).replace(b'<dv version="2.0">', b"<!DOCTYPE x []><d>")
    with pytest.raises(CorruptRecordingError, match="a document type or entity"):
        open_recording(write("a.aedat4", data))


@pytest.mark.parametrize("value", ["", "0", None])
@pytest.mark.filterwarnings("error")
def test_size_that_is_not_declared_is_given_or_inferred(write, value: str | None) -> None:
    events = event_files.make_events(200, 32, 24)
    data = event_files.aedat4([(0, 77, 99, [events])], compression="none")
    for key, size in (("sizeX", b"77"), ("sizeY", b"99")):
        line = b'<attr key="%s" type="int">%s</attr>' % (key.encode(), size)
        other = b"" if value is None else line.replace(size, value.encode())
        data = data.replace(line, other.ljust(len(line)))
    path = write("a.aedat4", data)
    for given, size, origin in ((None, (32, 24), "inferred"), ((40, 30), (40, 30), "argument")):
        recording = open_recording(path, sensor_size=given)
        assert (recording.sensor_size, recording.sensor_size_from) == (size, origin)
        assert (recording.read() == events).all()


@pytest.mark.parametrize(
    ("size", "said"), [("-1", "sizeX and sizeY"), ("?", "sizeX and sizeY"), ("65536", "65536x65536")]
)
def test_a_declared_size_that_is_none_gives_way_to_the_given_one(write, size: str, said: str) -> None:
    events = event_files.make_events(200, 32, 24)
    data = event_files.aedat4([(0, 11111, 11111, [events])], compression="none")
    path = write("a.aedat4", data.replace(b"11111", size.encode().ljust(5)))
    with pytest.warns(RecordingWarning, match=f"its .*{said}.* not used"):
        recording = open_recording(path, sensor_size=(40, 30))
    assert (recording.sensor_size, recording.summary.events) == ((40, 30), 200)
