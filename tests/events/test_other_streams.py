"""Pictures, IMU samples and triggers of AEDAT 4 files: their values, and errors for damage and crashes."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aedat
import event_files
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, RecordingError
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.events.formats import aedat4_extras
from stdl_events.events.other_streams import read_other_streams

EVENTS = event_files.make_events(200, 12, 9, t0_us=10_000, step_us=500)
# OpenCV's code of a type -> type and channels; the file's order of channels is BGR(A), ours RGB(A).
CODES = {0: ("u1", 1), 2: ("<u2", 1), 16: ("u1", 3), 18: ("<u2", 3), 24: ("u1", 4), 26: ("<u2", 4)}
RGBA = [2, 1, 0, 3]
IMU = [(10_000 + 1000 * row, 20.5, *(row + axis / 4 for axis in range(9))) for row in range(4)]
TRIGGERS = [(10_500, 8), (10_900, 9), (30_500, 8)]


def times_of(number: int) -> list[int]:
    t_us = 10_000 + 20_000 * number
    return [t_us, t_us - 400, t_us + 400, t_us - 100, t_us + 100]


def pixels_of(number: int, code: int = 0) -> np.ndarray:
    dtype, channels = CODES[code]
    random = np.random.default_rng(number)
    shape = (9, 12) if channels == 1 else (9, 12, channels)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def davis(codes: Sequence[int] = (0, 0, 0), compression: str = "lz4", other: str = "TRIG") -> bytes:
    pictures = [
        event_files.aedat4_picture(times_of(number), code, pixels_of(number, code if code in CODES else 0))
        for number, code in enumerate(codes)
    ]
    imu = [event_files.aedat4_rows(b"IMUS", "q" + 10 * "f", rows) for rows in (IMU[:3], IMU[3:])]
    triggers = event_files.aedat4_rows(other.encode(), "qb", TRIGGERS)
    streams = [(0, 12, 9, [EVENTS[:100], EVENTS[100:]]), (1, 12, 9, pictures), (2, 0, 0, imu), (3, 0, 0, [triggers])]
    return event_files.aedat4(streams, compression=compression, identifiers=["EVTS", "FRME", "IMUS", other])


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_values_are_those_that_were_written(write, compression: str) -> None:
    path = write("a.aedat4", davis(tuple(CODES), compression))
    streams = read_other_streams(open_recording(path), None)
    assert streams is not None
    assert streams.unread is None
    assert [(stream, kind, len(rows)) for stream, kind, rows in streams.by_stream()] == [
        (1, "pictures", 6), (2, "imu", 4), (3, "triggers", 3),
    ]  # fmt: skip
    for number, (code, (dtype, channels)) in enumerate(CODES.items()):
        row = streams.pictures[number]
        assert row.tolist() == (1, *times_of(number), 9, 12, channels, 8 * np.dtype(dtype).itemsize, 0, 0)
        stored = pixels_of(number, code)
        expected = stored if channels == 1 else stored[..., RGBA[:channels]]
        assert streams.pixels[number].dtype == np.dtype(dtype)
        assert (streams.pixels[number] == expected).all()
    assert [row[1:] for row in streams.imu.tolist()] == IMU
    assert [row[1:] for row in streams.triggers.tolist()] == TRIGGERS
    assert (open_recording(path).read() == EVENTS).all()


def test_only_the_pixels_that_are_wanted_are_read(write) -> None:
    recording = open_recording(write("a.aedat4", davis((0, 16, 2))))
    for wanted in ((), (2,), (0, 2), (1, 7)):
        streams = read_other_streams(recording, wanted)
        assert sorted(streams.pixels) == [number for number in wanted if number < 3]
        for number, pixels in streams.pixels.items():
            stored = pixels_of(number, (0, 16, 2)[number])
            assert (pixels == (stored if stored.ndim == 2 else stored[..., ::-1])).all()


def test_pictures_of_an_unknown_type_are_left_out_and_warned_about(write) -> None:
    recording = open_recording(write("a.aedat4", davis((5, 0))))
    with pytest.warns(RecordingWarning, match=r"a\.aedat4: .*5"):
        streams = read_other_streams(recording, None)
    assert [row["t"] for row in streams.pictures] == [times_of(1)[0]]
    assert (streams.pixels[0] == pixels_of(1)).all()


@pytest.mark.parametrize("name", ["davis346_lz4_clip", "davis346_lz4_full", "dvxplorer320_lz4"])
def test_real_files_equal_the_aedat_package_in_this_process(recordings_dir: Path, name: str) -> None:
    path = recordings_dir / "formats" / "aedat4" / f"{name}.aedat4"
    packets = list(aedat.Decoder(path))
    streams = read_other_streams(open_recording(path), None)
    pictures = [packet["frame"] for packet in packets if "frame" in packet]
    assert len(streams.pictures) == len(streams.pixels) == len(pictures)
    for number, picture in enumerate(pictures):
        assert (streams.pixels[number] == picture["pixels"]).all()
        assert streams.pictures["t"][number] == picture["t"]
    for kind, rows in (("imus", streams.imu), ("triggers", streams.triggers)):
        assert [row[1:] for row in rows.tolist()] == [
            row for packet in packets if kind in packet for row in packet[kind].tolist()
        ]


def test_files_without_other_packets_start_no_process(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aedat4_extras, "PROGRAM", "no_such_module")
    streams = [(0, 12, 9, [EVENTS]), (1, 12, 9, []), (3, 0, 0, [])]
    path = write("a.aedat4", event_files.aedat4(streams, identifiers=["EVTS", "FRME", "TRIG"]))
    assert read_other_streams(open_recording(path), None) is None
    assert read_other_streams(open_recording(write("a.bin", event_files.atis_bin(EVENTS)))) is None
    with pytest.raises(CorruptRecordingError, match=r"the package aedat ended: .*No module named no_such_module"):
        read_other_streams(open_recording(write("b.aedat4", davis())))


def test_info_lists_the_streams(write, run_cli) -> None:
    path = write("a.aedat4", davis())
    code, out, err = run_cli("info", path, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["events"] == 200
    assert facts["other_streams_unread"] is None
    assert facts["other_streams"] == [
        {
            "stream": 1, "kind": "pictures", "count": 3, "t_first_us": 10_000, "t_last_us": 50_000, "rate_hz": 50.0,
            "width": 12, "height": 9, "channels": 1, "bits": 8,
        },
        {"stream": 2, "kind": "imu", "count": 4, "t_first_us": 10_000, "t_last_us": 13_000, "rate_hz": 1000.0},
        {
            "stream": 3, "kind": "triggers", "count": 3, "t_first_us": 10_500, "t_last_us": 30_500, "rate_hz": 100.0,
            "sources": {"exposure begin": 2, "exposure end": 1},
        },
    ]  # fmt: skip
    code, out, err = run_cli("info", path)
    assert (code, err) == (0, "")
    for text in ("3 of 12 x 9, gray of 8 bits, 50.0/s", "4, 1,000.0/s", "3 (exposure begin 2, exposure end 1)"):
        assert text in out


def damaged_pictures() -> bytes:
    """A file with undamaged events; its first picture's pixels extend far beyond its packet."""
    picture = event_files.aedat4_picture(times_of(0), 0, pixels_of(0))
    at = picture.index((9 * 12).to_bytes(4, "little") + pixels_of(0).tobytes()[:8])
    picture = picture[:at] + (1 << 30).to_bytes(4, "little") + picture[at + 4 :]
    streams = [(0, 12, 9, [EVENTS]), (1, 12, 9, [picture])]
    return event_files.aedat4(streams, identifiers=["EVTS", "FRME"])


@pytest.mark.parametrize("command", [("info", "--json"), ("show", "--json"), ("show", "--out", "a.png")])
def test_damaged_pictures_are_one_line_and_leave_the_events(write, run_cli, tmp_path, monkeypatch, command) -> None:
    monkeypatch.chdir(tmp_path)
    path = write("a.aedat4", damaged_pictures())
    code, out, err = run_cli(command[0], path, *command[1:])
    assert (code, out) == (2, "")
    assert err.startswith(f"stdl-events: error: {path}: got pictures, IMU samples or triggers that do not decode (")
    assert err.endswith("or use its events alone with --repair (repair=True)\n")
    assert err.count("\n") == 1
    code, out, err = run_cli(command[0], path, *command[1:], "--repair")
    assert code == 0
    assert err.startswith(f"stdl-events: warning: {path}: pictures, IMU samples or triggers that do not decode (")
    assert err.count("\n") == 1
    if "--json" in command:
        facts = json.loads(out)
        assert (facts["events"], facts["other_streams"]) == (200, [])
        assert facts["other_streams_unread"].startswith("pictures, IMU samples or triggers that do not decode (")
    assert (open_recording(path).read() == EVENTS).all()


@pytest.mark.parametrize(
    ("program", "timeout_s", "text"),
    [
        ("import os; os.abort()", 60.0, "the package aedat ended with SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 60.0, "the package aedat ended with SIGSEGV"),
        ("import time; time.sleep(600)", 1.0, "the package aedat took more than 1 s"),
        ("import sys; sys.exit('no disk')", 60.0, "the package aedat ended: no disk"),
        ("raise SystemExit(0)", 60.0, "the package aedat ended: without a message"),
    ],
)
def test_whatever_the_process_dies_of_is_an_error(
    write, tmp_path, monkeypatch, program: str, timeout_s: float, text: str
) -> None:
    (tmp_path / "dying.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(aedat4_extras, "PROGRAM", "dying")
    with pytest.raises(CorruptRecordingError, match=text):
        aedat4_extras.read_streams(write("a.aedat4", davis()), timeout_s=timeout_s)


def test_pixels_of_more_than_the_limit_are_refused(write, tmp_path, monkeypatch) -> None:
    (tmp_path / "small.py").write_text(
        "from stdl_events.events.formats import aedat4_child\naedat4_child.MAX_FILE_BYTES = 1000\naedat4_child.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(aedat4_extras, "PROGRAM", "small")
    path = write("a.aedat4", davis(12 * (0,)))
    with pytest.raises(RecordingError, match=r"pixels of more than 1 GiB.*ask for some of them \(pixels=\)"):
        aedat4_extras.read_streams(path)


@pytest.mark.parametrize(("data", "warned"), [(davis(), 2), (event_files.aedat4([(0, 12, 9, [EVENTS])]), 1)])
def test_a_file_that_ends_too_early_is_repaired_once(write, run_cli, data: bytes, warned: int) -> None:
    path = write("a.aedat4", data[:-90])
    code, out, err = run_cli("info", path, "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    code, out, err = run_cli("info", path, "--json", "--repair")
    assert (code, err.count("\n")) == (0, warned)
    assert (json.loads(out)["other_streams_unread"] is None) == (warned == 1)


def test_streams_of_other_types_leave_the_events_alone(write, run_cli) -> None:
    path = write("a.aedat4", davis(other="BBOX"))
    code, out, err = run_cli("info", path, "--json")
    assert code == 0
    assert err == (
        f"stdl-events: warning: {path}: a stream of the type 'BBOX', with which the package aedat reads none: the "
        "pictures, IMU samples and triggers are left out\n"
    )
    facts = json.loads(out)
    assert (facts["events"], facts["other_streams"]) == (200, [])
    assert "BBOX" in facts["other_streams_unread"]


@pytest.mark.parametrize("seed", range(3))
def test_random_damage_is_read_or_refused(write, seed: int) -> None:
    """Damage in a packet of pictures; the child process ends in several ways, this one never."""
    random = np.random.default_rng(seed)
    picture = bytearray(event_files.aedat4_picture(times_of(0), 0, pixels_of(0)))
    for _ in range(3):
        at = int(random.integers(4, 100))
        picture[at] = random.integers(0, 256)
    streams = [(0, 12, 9, [EVENTS]), (1, 12, 9, [bytes(picture)])]
    path = write("a.aedat4", event_files.aedat4(streams, identifiers=["EVTS", "FRME"]))
    with suppress(CorruptRecordingError):
        read_other_streams(open_recording(path), None)
    assert (open_recording(path).read() == EVENTS).all()
