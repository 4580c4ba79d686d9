"""AEDAT 3.1, Event Stream and text, against literal loops and files written literally."""

import struct
from pathlib import Path

import event_files
import literal_decoders
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stdl_events.errors import (
    CorruptRecordingError,
    RecordingError,
    TruncatedRecordingError,
    UnknownFormatError,
)
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.events.formats import es


def test_aedat3_decodes_what_was_written(write) -> None:
    events = event_files.make_events(500, 128, 128, t0_us=2**31 - 5000)
    data = event_files.aedat3(events, overflow_from_us=2**31)
    recording = open_recording(write("a.aedat", data))
    assert (recording.read() == events).all()
    assert (recording.format, recording.sensor_size, recording.sensor_size_from) == ("aedat3", (128, 128), "header")


def test_aedat3_of_another_camera_infers_the_size(write) -> None:
    events = event_files.make_events(50, 40, 30)
    recording = open_recording(write("a.aedat", event_files.aedat3(events, source="File")))
    assert (recording.sensor_size, recording.sensor_size_from) == ((40, 30), "inferred")


def test_aedat3_truncated_keeps_the_events_before(write) -> None:
    events = event_files.make_events(100, 128, 128)
    data = event_files.aedat3(events, packet_events=200)
    path = write("a.aedat", data[: -100 - 8 * 3 - 1])
    with pytest.raises(TruncatedRecordingError, match=r"\d+ of 836 bytes of a packet, which starts at byte"):
        open_recording(path).read()
    with pytest.warns(RecordingWarning, match="kept the 96 events before it"):
        assert (open_recording(path, repair=True).read() == events[:96]).all()


def test_aedat3_of_two_cameras_is_refused(write) -> None:
    one = event_files.aedat3(event_files.make_events(10, 9, 9))
    body = one[one.index(b"#!END-HEADER\r\n") + 14 :]
    with pytest.raises(RecordingError, match="events of the sources 1 and 2"):
        open_recording(write("a.aedat", one + body[:2] + b"\x02\x00" + body[4:])).read()


def test_aedat3_compressed_is_refused(write) -> None:
    data = event_files.aedat3(event_files.make_events(10, 9, 9)).replace(b"RAW", b"PNGFrames")
    with pytest.raises(UnknownFormatError, match=r"AEDAT 3\.1 in the format 'PNGFrames'; expected RAW"):
        open_recording(write("a.aedat", data))


@pytest.mark.parametrize("name", ["dvs.es", "poker_trcl0.es"])
def test_real_event_streams_equal_a_literal_decode(recordings_dir: Path, loops, name: str) -> None:
    path = recordings_dir / "formats" / "es" / name
    recording = open_recording(path)
    height = recording.sensor_size[1]
    expected = [(t, x, height - 1 - y, p) for t, x, y, p in literal_decoders.es(path.read_bytes())]
    assert recording.read().tolist() == expected


def test_generic_event_stream_is_refused(recordings_dir: Path) -> None:
    with pytest.raises(UnknownFormatError, match="an Event Stream of generic events; expected DVS or ATIS events"):
        open_recording(recordings_dir / "formats" / "es" / "generic.es")


def test_poker_event_stream_stands_upright_like_its_aedat_twin(recordings_dir: Path) -> None:
    stream = open_recording(recordings_dir / "formats" / "es" / "poker_trcl0.es").read()
    twin = open_recording(recordings_dir / "poker_dvs" / "aedat2" / "cl" / "cl_62.aedat").read()
    assert (twin["t"] - twin["t"][0] == stream["t"]).all()
    # The crop begins at column 0 of the chip's mirrored addresses and at its lowest row.
    assert (127 - twin["x"] == stream["x"]).all()
    assert (twin["y"] - 96 == stream["y"]).all()


@pytest.mark.parametrize("kind", ["dvs", "atis"])
def test_event_streams_decode_what_was_written(write, loops, kind: str) -> None:
    events = event_files.make_events(500, 300, 200, step_us=700)
    data = getattr(event_files, f"es_{kind}")(events, width=304, height=240)
    recording = open_recording(write("a.es", data))
    assert recording.sensor_size == (304, 240)
    assert (recording.read() == events).all()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.sampled_from([0, 1, 2, 3, 251, 252, 253, 254, 255]), max_size=60), is_atis=st.booleans())
def test_event_stream_bytes_of_any_kind(tmp_path_factory, loops, data: list[int], is_atis: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "any.es"
    path.write_bytes(b"Event Stream\x02\x00\x00" + bytes([2 if is_atis else 1]) + b"\xff\xff\xff\xff" + bytes(data))
    whole = es.open_es(path)
    expected = literal_decoders.es(path.read_bytes())
    found = []
    try:
        for block in whole.blocks():
            found += block.events.tolist()
    except TruncatedRecordingError as error:
        assert "of 5 bytes of a record" in str(error)  # noqa: PT017
    assert found == expected


def test_event_stream_blocks_continue_records(write, loops, monkeypatch: pytest.MonkeyPatch) -> None:
    events = event_files.make_events(300, 300, 200, step_us=300)
    path = write("a.es", event_files.es_dvs(events, width=304, height=240))
    for block_bytes in (1, 3, 64):
        monkeypatch.setattr(es, "_BLOCK_BYTES", block_bytes)
        assert (open_recording(path).read() == events).all()


def test_jaer_text_stands_upright_like_its_recording(recordings_dir: Path) -> None:
    folder = recordings_dir / "formats" / "aedat2"
    text = open_recording(folder / "davis240_IMU_translBoxes.jaer.txt")
    recording = open_recording(folder / "davis240_IMU_translBoxes.aedat")
    with pytest.warns(RecordingWarning, match="1 backward time step"):
        rows = text.read()
    assert text.sensor_size == recording.sensor_size == (240, 180)
    # The export loops, and writes its first event again at the end.
    expected = np.concatenate([recording.read(), rows[:1]])
    assert (np.sort(rows, order=["t", "x", "y", "p"]) == np.sort(expected, order=["t", "x", "y", "p"])).all()


@pytest.mark.parametrize("name", ["event.txt", "slider_depth_50k.txt"])
def test_real_text_equals_numpys_own_reading(recordings_dir: Path, name: str) -> None:
    path = recordings_dir / "formats" / "txt" / name
    table = np.loadtxt(path)
    expected = [(round(t * 1e6), int(x), int(y), p == 1) for t, x, y, p in table.tolist()]
    assert open_recording(path).read().tolist() == expected


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"separator": ","},
        {"separator": "\t", "seconds": True},
        {"separator": ", ", "header": "x, y, polarity, timestamp", "order": "xypt"},
        {"separator": ";", "header": "p;t;y;x", "order": "ptyx"},
        {"header": "# made by hand\n% twice", "order": "xytp"},
        {"header": "346 260", "seconds": True},
        {"order": "xypt"},
    ],
    ids=str,
)
def test_text_columns_and_units_are_found(write, options) -> None:
    events = event_files.make_events(500, 346, 260, t0_us=5_000_000)
    recording = open_recording(write("a.csv", event_files.text(events, **options)))
    assert (recording.read() == events).all()
    assert recording.sensor_size == (346, 260)
    assert recording.sensor_size_from == ("header" if options.get("header") == "346 260" else "inferred")


def test_text_in_small_blocks(write, monkeypatch: pytest.MonkeyPatch) -> None:
    from stdl_events.events.formats import text

    events = event_files.make_events(500, 346, 260)
    path = write("a.txt", event_files.text(events).rstrip(b"\n"))
    monkeypatch.setattr(text, "_BLOCK_BYTES", 100)
    assert (open_recording(path).read() == events).all()


def test_bad_line_is_named_and_the_lines_before_are_kept(write) -> None:
    events = event_files.make_events(500, 346, 260)
    lines = event_files.text(events).splitlines(keepends=True)
    lines[400] = b"12 oops 3 1\n"
    path = write("a.txt", b"".join(lines))
    offset = sum(map(len, lines[:400]))
    with pytest.raises(
        CorruptRecordingError, match=rf"the line b'12 oops 3 1\\n', number \d+, at byte {offset}; expected 4 numbers"
    ):
        open_recording(path).read()
    with pytest.warns(RecordingWarning, match="kept the 400 events before it"):
        assert (open_recording(path, repair=True).read() == events[:400]).all()


def test_carriage_return_inside_a_line_is_damage(write) -> None:
    path = write("a.txt", b"1 2 3 1\n4 5 6 0\n7 8 9 1\r10 11 12 0\n")
    with pytest.raises(CorruptRecordingError, match="at byte 16; expected 4 numbers"):
        open_recording(path).read()
    with pytest.warns(RecordingWarning, match="kept the 2 events before it"):
        assert len(open_recording(path, repair=True).read()) == 2


def test_text_with_windows_line_ends(write) -> None:
    events = event_files.make_events(50, 346, 260)
    data = event_files.text(events, header="t,x,y,p", separator=",").replace(b"\n", b"\r\n")
    assert (open_recording(write("a.csv", data)).read() == events).all()


def test_text_cut_off_inside_a_line(write) -> None:
    data = event_files.text(event_files.make_events(500, 346, 260))
    with pytest.raises(TruncatedRecordingError, match="as the last line, which starts at byte"):
        open_recording(write("a.txt", data[:-5])).read()


def test_comments_alone_are_a_valid_recording(write) -> None:
    assert len(open_recording(write("a.csv", b"# nothing yet\nt,x,y,p\n"), sensor_size=(4, 4)).read()) == 0


def test_prose_is_not_a_recording(write) -> None:
    with pytest.raises(RecordingError, match="columns named Dear reader, this is a letter"):
        open_recording(write("a.txt", b"Dear reader, this is a letter.\nIt has lines.\n"))


def test_unnamed_columns_must_be_four(write) -> None:
    with pytest.raises(UnknownFormatError, match="lines of 5 words that no header line names"):
        open_recording(write("a.txt", b"1 2 3 1 9\n2 3 4 0 9\n"))


def test_a_reset_that_aedat_3_states_begins_a_take(write) -> None:
    first = event_files.make_events(200, 128, 128, t0_us=9000)
    second = event_files.make_events(200, 128, 128, t0_us=8000, seed=1)
    header, _, packets = event_files.aedat3(second).partition(b"#!END-HEADER\r\n")
    words = struct.pack("<IiIi", 1 << 1, 0, 1 | 1 << 1, 2**31 - 1)  # the first is not valid
    special = struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 2, 2, 2) + words
    path = write("reset.aedat", event_files.aedat3(first) + special + packets)
    recording = open_recording(path)
    with pytest.warns(RecordingWarning, match=r"the file says that the clock was reset: 2 takes of 200 \+ 200 events"):
        events = recording.read()
    assert (events[:200] == first).all()
    assert (events[200:]["t"] == second["t"] - second["t"][0] + first["t"][-1] + 10**6).all()
    assert (open_recording(path, take=2).read() == second).all()
    assert header.startswith(b"#!AER-DAT3.1")
