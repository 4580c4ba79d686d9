"""Every writable format: written by us, read back identically by us and by an independent package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import aedat
import event_files
import literal_decoders
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, MissingExtraError, RecordingError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.formats.prophesee import read_header

FAERY = "faery is not installed: it writes AEDAT 4, EVT 2 and EVT 3"
TARGETS = [
    ("a.h5", None), ("a.npz", None), ("a.txt", None), ("a.csv", "text"),
    ("a.aedat4", None), ("a.raw", "evt2"), ("a.raw", "evt3"),
]  # fmt: skip


def needs_faery(name: str) -> None:
    if name.endswith((".aedat4", ".raw")):
        pytest.importorskip("faery", reason=FAERY)


def read_independently(path: Path, format: str) -> list[tuple[int, int, int, bool]]:
    """Return (t, x, y, p) as read by an independent package."""
    if format == "stdl-hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path) as file:
            fields = [file[f"events/{name}"][:].tolist() for name in "txyp"]
            return [(t, x, y, bool(p)) for t, x, y, p in zip(*fields, strict=True)]
    if format == "npz":
        arrays = np.load(path, allow_pickle=False)
        return list(zip(*(arrays[name].tolist() for name in "txyp"), strict=True))
    if format == "text":
        rows = np.genfromtxt(path, np.int64, delimiter=",", names=True, skip_header=2)
        return [(t, x, y, bool(p)) for t, x, y, p in rows[["t", "x", "y", "p"]].tolist()]
    if format == "aedat4":
        return [event for packet in aedat.Decoder(path) for event in packet["events"].tolist()]
    header = read_header(path)
    words = np.frombuffer(path.read_bytes()[header.data_offset :], "<u4" if format == "evt2" else "<u2").tolist()
    decode = literal_decoders.evt2 if format == "evt2" else literal_decoders.evt3
    return [(t + header.t0_us, x, y, p) for t, x, y, p in decode(words)]


@pytest.mark.parametrize(("name", "format"), TARGETS)
@pytest.mark.parametrize("gap_us", [0, 40_000_000])
def test_written_and_read_back(tmp_path: Path, name: str, format: str | None, gap_us: int) -> None:
    needs_faery(name)
    events = event_files.make_events(3000, 346, 260, t0_us=1_700_000_000_000_000)
    events["t"][1500:] += gap_us
    write_recording(tmp_path / "source.h5", events, (346, 260), {"person": "ann"})
    written = convert(open_recording(tmp_path / "source.h5"), tmp_path / name, format=format)
    assert written == (
        format or {".h5": "stdl-hdf5", ".npz": "npz", ".aedat4": "aedat4", ".txt": "text"}[Path(name).suffix]
    )
    recording = open_recording(tmp_path / name)
    assert (recording.format, recording.sensor_size, recording.sensor_size_from) == (written, (346, 260), "header")
    assert (recording.read() == events).all()
    assert read_independently(tmp_path / name, written) == events.tolist()
    assert sorted(os.listdir(tmp_path)) == sorted([name, "source.h5"])
    if written == "stdl-hdf5":
        assert recording.attributes == {"person": "ann"}


@pytest.mark.parametrize(("name", "format"), TARGETS)
def test_recording_without_events(tmp_path: Path, name: str, format: str | None) -> None:
    needs_faery(name)
    write_recording(tmp_path / "source.h5", np.zeros(0, event_files.EVENT_DTYPE), (34, 34))
    convert(open_recording(tmp_path / "source.h5"), tmp_path / name, format=format)
    recording = open_recording(tmp_path / name)
    assert (len(recording.read()), recording.sensor_size) == (0, (34, 34))


@pytest.mark.parametrize("name", ["walking/walk_2.aedat", "hand_wave/wave_1.aedat4", "formats/evt3/evt3_sample.raw"])
@pytest.mark.parametrize(("target", "format"), TARGETS)
def test_real_recordings(recordings_dir: Path, tmp_path: Path, name: str, target: str, format: str | None) -> None:
    needs_faery(target)
    source = open_recording(recordings_dir / name)
    convert(source, tmp_path / target, format=format)
    copy = open_recording(tmp_path / target)
    assert copy.sensor_size == source.sensor_size
    assert (copy.read() == source.read()).all()


def test_faery_reads_its_own_the_same(tmp_path: Path) -> None:
    faery = pytest.importorskip("faery", reason=FAERY)
    events = event_files.make_events(3000, 346, 260, t0_us=5_000_000)
    write_recording(tmp_path / "source.h5", events, (346, 260))
    for name, format in TARGETS[4:]:
        path = tmp_path / f"{format}{name}"
        convert(open_recording(tmp_path / "source.h5"), path, format=format)
        assert faery.events_stream_from_file(path).to_array().tolist() == events.tolist()


def test_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    events = event_files.make_events(30, 34, 34)
    write_recording(tmp_path / "source.h5", events, (34, 34))
    (tmp_path / "a.npz").write_bytes(b"precious")
    with pytest.raises(
        RecordingError, match="a file that is there already; expected a new name; delete it, or pass --force"
    ):
        convert(open_recording(tmp_path / "source.h5"), tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_bytes() == b"precious"
    convert(open_recording(tmp_path / "source.h5"), tmp_path / "a.npz", replace=True)
    assert (open_recording(tmp_path / "a.npz").read() == events).all()


@pytest.mark.parametrize("name", ["a.h5", "a.npz"])
def test_damaged_source_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    path = tmp_path / "source.h5"
    write_recording(path, event_files.make_events(9000, 34, 34), (34, 34))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)
    with pytest.raises(CorruptRecordingError):
        convert(open_recording(path), tmp_path / name)
    assert os.listdir(tmp_path) == ["source.h5"]


def test_names_that_no_writer_knows(tmp_path: Path) -> None:
    write_recording(tmp_path / "source.h5", event_files.make_events(30, 34, 34), (34, 34))
    recording = open_recording(tmp_path / "source.h5")
    with pytest.raises(RecordingError, match=r"got the name a\.tsv; expected a name that ends in one of \.h5"):
        convert(recording, tmp_path / "a.tsv")
    with pytest.raises(RecordingError, match=r"got the name a\.h5 for the format evt2"):
        convert(recording, tmp_path / "a.h5", format="evt2")


def test_sensor_that_the_format_cannot_store(tmp_path: Path) -> None:
    write_recording(tmp_path / "source.h5", event_files.make_events(30, 3000, 34), (3000, 34))
    with pytest.raises(RecordingError, match="a sensor of 3000x34; expected at most 2048 pixels a side"):
        convert(open_recording(tmp_path / "source.h5"), tmp_path / "a.raw")


def test_times_before_zero_need_a_format_of_ours(tmp_path: Path) -> None:
    pytest.importorskip("faery", reason=FAERY)
    write_recording(tmp_path / "source.h5", event_files.make_events(30, 34, 34, t0_us=-400), (34, 34))
    with pytest.raises(RecordingError, match=r"an event at -\d+ us; expected times from 0"):
        convert(open_recording(tmp_path / "source.h5"), tmp_path / "a.raw")


def test_without_faery_the_error_names_the_extra(tmp_path: Path) -> None:
    write_recording(tmp_path / "source.h5", event_files.make_events(30, 34, 34), (34, 34))
    program = """
import sys
sys.modules["faery"] = None
from stdl_events.cli import main
main()
"""
    child = subprocess.run(
        [sys.executable, "-c", program, "convert", "source.h5", "a.aedat4"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == MissingExtraError.exit_code == 3
    assert "expected faery; pip install 'stdl-events[formats]'" in child.stderr
    assert os.listdir(tmp_path) == ["source.h5"]


def test_command_tells_what_it_wrote(write, run_cli, tmp_path: Path) -> None:
    events = event_files.make_events(400, 34, 34)
    path = write("a.bin", event_files.atis_bin(events))
    code, out, err = run_cli("convert", path, tmp_path / "b.npz", "--json")
    assert (code, err) == (0, "")
    size = (tmp_path / "b.npz").stat().st_size
    assert json.loads(out) == {"path": str(tmp_path / "b.npz"), "format": "npz", "events": 400, "bytes": size}
    code, out, err = run_cli("convert", path, tmp_path / "b.npz")
    assert (code, out) == (2, "")
    code, out, err = run_cli("convert", path, tmp_path / "b.npz", "--force")
    assert code == 0
    assert "400 events as npz" in out


def test_text_keeps_what_its_numbers_do_not_say(tmp_path: Path, run_cli) -> None:
    """A size beyond its events, times before 0, and a unit that would be guessed otherwise."""
    events = event_files.make_events(2000, 20, 20, step_us=3)
    events["t"] -= 5000
    write_recording(tmp_path / "a.h5", events, (346, 260))
    assert run_cli("convert", tmp_path / "a.h5", tmp_path / "a.csv")[0] == 0
    recording = open_recording(tmp_path / "a.csv")
    assert (recording.read() == events).all()
    assert (recording.sensor_size, recording.time_unit, recording.time_unit_from) == ((346, 260), "us", "header")
    assert (tmp_path / "a.csv").read_text().splitlines()[2] == "t,x,y,p"
