"""AEDAT 2.0 against a literal loop over its records, and against jAER's own text export."""

import itertools
import struct
from collections import Counter
from pathlib import Path

import event_files
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.events.formats.clock import UnwrappedClock


def literal_events(data: bytes, chip: str) -> list[tuple[int, int, int, bool]]:
    """(t, x, y, p) in the file's order, read one record at a time."""
    offset = 0
    while data[offset : offset + 1] == b"#":
        offset = data.index(b"\n", offset) + 1
    found = []
    for address, t in struct.iter_unpack(">II", data[offset:]):
        if chip == "DVS128":
            if not address & 1 << 15:
                found.append((t, 127 - (address >> 1) % 128, 127 - (address >> 8) % 128, address % 2 == 0))
        elif address < 1 << 31 and not address & 1 << 10:
            x, y = (address >> 12) % 1024, (address >> 22) % 512
            found.append((t, 239 - x, 179 - y, bool(address >> 11 & 1)))
    return found


@pytest.mark.parametrize(
    ("name", "chip", "backward_steps"),
    [
        ("formats/aedat2/dvs128_fhaust.aedat", "DVS128", 1),
        ("formats/aedat2/stereo_pair_JustR.aedat", "DVS128", 28),
        ("formats/aedat2/davis240_IMU_translBoxes.aedat", "DAVIS240", 0),
        ("poker_dvs/aedat2_inverted/xclub02i.aedat", "DVS128", 0),
        ("walking/walk_2.aedat", "DVS128", 0),
    ],
)
def test_real_files_equal_a_literal_decode(recordings_dir: Path, name: str, chip: str, backward_steps: int) -> None:
    path = recordings_dir / name
    expected = literal_events(path.read_bytes(), chip)
    in_file_order = [event[0] for event in expected]
    assert sum(b < a for a, b in itertools.pairwise(in_file_order)) == backward_steps
    recording = open_recording(path)
    if backward_steps:
        with pytest.warns(RecordingWarning, match=f"{backward_steps} backward time steps?.*sorted"):
            events = recording.read()
    else:
        events = recording.read()
    assert events.tolist() == sorted(expected, key=lambda event: event[0])  # Python's sort is stable
    assert recording.summary.backward_steps == backward_steps
    assert np.concatenate(list(recording.chunks(997))).tolist() == events.tolist()


def test_davis_file_agrees_with_jaers_text_export(recordings_dir: Path) -> None:
    folder = recordings_dir / "formats" / "aedat2"
    events = open_recording(folder / "davis240_IMU_translBoxes.aedat").read()
    rows = np.loadtxt(folder / "davis240_IMU_translBoxes.jaer.txt", dtype=np.int64, comments="#")
    jaer = Counter((t, x, 179 - y, p == 1) for t, x, y, p in rows.tolist())
    ours = Counter(events.tolist())
    assert len(events) == 162_771
    assert not ours - jaer
    # The export loops, and writes its first event again at the end.
    assert list((jaer - ours).items()) == [((294976755, 83, 143, False), 1)]


@pytest.mark.parametrize("chip", [True, False])
def test_both_chips_decode_what_was_written(write, chip: bool) -> None:
    events = event_files.make_events(300, 128, 128)
    recording = open_recording(write("a.aedat", event_files.aedat2_dvs128(events, chip=chip)))
    assert (recording.read() == events).all()
    assert (recording.sensor_size, recording.sensor_size_from) == ((128, 128), "header" if chip else "format")
    events = event_files.make_events(300, 240, 180)
    recording = open_recording(write("b.aedat", event_files.aedat2_davis(events, chip=chip)))
    assert (recording.read() == events).all()
    assert (recording.sensor_size, recording.sensor_size_from) == ((240, 180), "header" if chip else "format")


def test_larger_davis_is_mirrored_by_its_own_size(write) -> None:
    events = event_files.make_events(300, 346, 260)
    recording = open_recording(write("a.aedat", event_files.aedat2_davis(events, width=346, height=260)))
    assert (recording.read() == events).all()
    assert recording.sensor_size == (346, 260)


def test_unknown_chip_is_named(write) -> None:
    path = write("a.aedat", event_files.JAER_HEADER + b"# AEChip: org.example.Cochlea64\r\n" + bytes(16))
    with pytest.raises(UnknownFormatError, match=r"chip org\.example\.Cochlea64; expected DVS128, DAVIS240"):
        open_recording(path)


def test_address_outside_the_chip_is_skipped_and_counted(write) -> None:
    events = event_files.make_events(20, 240, 180)
    bad = struct.pack(">II", 1000 << 12, int(events["t"][9]))
    start = len(event_files.aedat2_davis(events[:10], other_words=False))
    data = event_files.aedat2_davis(events, other_words=False)
    path = write("a.aedat", data[:start] + bad + data[start:])
    recording = open_recording(path)
    with pytest.warns(RecordingWarning, match=r"1 event .* outside the 240x180 sensor: skipped; first event 10 at x="):
        assert (recording.read() == events).all()
    assert (recording.summary.events, recording.summary.outside) == (20, 1)
    assert (np.concatenate(list(recording.chunks(3))) == events).all()
    with pytest.raises(CorruptRecordingError, match=r"event 10 at x=\d+, y=179.*240x180 sensor; leave --strict"):
        open_recording(path, strict=True).read()


def test_first_record_that_begins_like_a_header_line_is_data(write) -> None:
    # Address 0x2300_0000 begins with "#"; a line feed follows in its time.
    records = struct.pack(">II", 0x23000000, 10) + struct.pack(">II", 0x23000000, 20)
    chip = b"# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n"
    events = open_recording(write("a.aedat", event_files.JAER_HEADER + chip + records)).read()
    assert events.tolist() == [(10, 239, 179 - 140, False), (20, 239, 179 - 140, False)]


def test_header_only_is_a_valid_recording_without_events(write) -> None:
    recording = open_recording(write("a.aedat", event_files.JAER_HEADER))
    assert len(recording.read()) == 0
    assert list(recording.chunks()) == []
    assert recording.sensor_size == (128, 128)


def test_clock_wraps_are_undone(write) -> None:
    events = event_files.make_events(200, 128, 128, t0_us=2**32 - 2000)
    assert events["t"][-1] > 2**32
    recording = open_recording(write("a.aedat", event_files.aedat2_dvs128(events)))
    assert (recording.read() == events).all()
    assert recording.summary.backward_steps == 0


def test_clock_unwraps_the_same_in_any_blocks() -> None:
    wrapped = np.array([2**32 - 9, 3, 2**32 - 2, 7, 5, 2**31 + 8, 2**32 - 1, 0, 1], np.uint32)
    # Record 2 is late, from before the wrap; the step from 7 to 5 is disorder; the last two wrap again.
    expected = [2**32 - 9, 2**32 + 3, 2**32 - 2, 2**32 + 7, 2**32 + 5]
    expected += [2**32 + 2**31 + 8 - 2**32, 2**32 - 1, 2**32, 2**32 + 1]
    for cut in range(len(wrapped) + 1):
        clock = UnwrappedClock()
        parts = [clock.unwrap(wrapped[:cut]), clock.unwrap(wrapped[cut:])]
        assert np.concatenate(parts).tolist() == expected


def test_pause_before_any_wrap_stays_a_pause() -> None:
    assert UnwrappedClock().unwrap(np.array([5, 2**32 - 5], np.uint32)).tolist() == [5, 2**32 - 5]


def test_strict_makes_a_backward_step_an_error(recordings_dir: Path) -> None:
    path = recordings_dir / "formats" / "aedat2" / "dvs128_fhaust.aedat"
    with pytest.raises(CorruptRecordingError, match=r"event \d+ at \d+ us, which is older.*leave --strict") as caught:
        open_recording(path, strict=True).read()
    times = [event[0] for event in literal_events(path.read_bytes(), "DVS128")]
    first = next(index for index in range(1, len(times)) if times[index] < times[index - 1])
    assert caught.value.got.startswith(f"event {first} at {times[first]} us")


@pytest.mark.parametrize("name", ["a.aedat", "a.dat", "a.bin", "a.txt"])
def test_aedat_1_is_read_under_every_name(write, name: str) -> None:
    events = event_files.make_events(300, 128, 128)
    recording = open_recording(write(name, event_files.aedat1(events)))
    assert (recording.read() == events).all()
    assert (recording.format, recording.sensor_size, recording.sensor_size_from) == ("aedat1", (128, 128), "format")


def test_aedat_1_of_a_davis_is_refused(write) -> None:
    chip = b"#!AER-DAT1.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n"
    with pytest.raises(UnknownFormatError, match=r"got AEDAT 1.0, .*of a DAVIS; expected a DVS128"):
        open_recording(write("a.aedat", chip + bytes(60)))


def test_a_reset_after_half_the_clocks_range_is_no_wrap() -> None:
    times = [2_600_000_000, 2_600_000_100, 5, 6]
    assert UnwrappedClock().unwrap(np.array(times, np.uint32)).tolist() == times
    assert UnwrappedClock(12).unwrap(np.array([3000, 5], np.uint32)).tolist() == [3000, 4101]
