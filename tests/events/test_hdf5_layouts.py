"""HDF5 files of other software."""

import subprocess
import sys
import warnings
from pathlib import Path

import event_files
import h5py
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, MissingExtraError, RecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording


def write_columns(path: Path, events, group: str = "events", **options) -> None:
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(f"{group}/{name}", data=events[name], **options)


@pytest.mark.parametrize("group", ["events", "", "davis/left"])
def test_columns_in_any_group(tmp_path: Path, group: str) -> None:
    events = event_files.make_events(500, 346, 260)
    write_columns(tmp_path / "a.h5", events, group, compression="gzip")
    recording = open_recording(tmp_path / "a.h5")
    assert (recording.format, recording.sensor_size_from) == ("hdf5", "inferred")
    assert (recording.read() == events).all()


def test_columns_with_other_names_in_seconds(tmp_path: Path) -> None:
    events = event_files.make_events(500, 346, 260)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["width"], file.attrs["height"] = 640, 480
        file["events/ts"] = events["t"] / 1e6
        file["events/xs"], file["events/ys"] = events["x"].astype("i2"), events["y"].astype("i2")
        file["events/ps"] = np.where(events["p"], 1, -1)
    recording = open_recording(tmp_path / "a.h5")
    assert (recording.sensor_size, recording.sensor_size_from) == ((640, 480), "header")
    assert (recording.read() == events).all()


def test_dsec_adds_its_offset(tmp_path: Path) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed: DSEC needs its Blosc")
    events = event_files.make_events(500, 640, 480)
    with h5py.File(tmp_path / "events.h5", "w") as file:
        for name, dtype in (("t", "u4"), ("x", "u2"), ("y", "u2"), ("p", "u1")):
            file.create_dataset(f"events/{name}", data=events[name].astype(dtype), **hdf5plugin.Blosc(cname="zstd"))
        file["ms_to_idx"] = np.zeros(9, "u8")
        file["t_offset"] = np.int64(49_599_300_523)
    found = open_recording(tmp_path / "events.h5").read()
    assert (found["t"] == events["t"] + 49_599_300_523).all()
    assert (found[["x", "y", "p"]] == events[["x", "y", "p"]]).all()


def test_metavision_records_without_ecf(tmp_path: Path) -> None:
    events = event_files.make_events(500, 640, 480)
    stored = np.zeros(500, [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    for name in "txyp":
        stored[name] = events[name]
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.attrs["geometry"] = "640x480"
        file["CD/events"] = stored
        file["CD/indexes"] = np.zeros(3, [("id", "u8"), ("ts", "i8")])
        file["EXT_TRIGGER/events"] = np.zeros(3, [("p", "<i2"), ("t", "<i8"), ("id", "<i2")])
    recording = open_recording(tmp_path / "a.hdf5")
    assert recording.sensor_size == (640, 480)
    assert (recording.read() == events).all()


def test_mvsec_table(tmp_path: Path) -> None:
    events = event_files.make_events(500, 346, 260, t0_us=1_506_117_900_000_000)
    table = np.stack([events["x"], events["y"], events["t"] / 1e6, np.where(events["p"], 1, -1)], axis=1)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["davis/left/events"] = table.astype(np.float64)
        file["davis/left/image_raw"] = np.zeros((2, 4, 4), "u1")
    assert (open_recording(tmp_path / "a.hdf5").read() == events).all()


def test_real_file(recordings_dir: Path) -> None:
    path = recordings_dir / "formats" / "hdf5" / "event.hdf5"
    with h5py.File(path) as file:
        rows = zip(*(file[f"raw_events/{name}"][:].tolist() for name in "txyp"), strict=True)
        expected = [(round(t * 1e6), x, y, p) for t, x, y, p in rows]
    assert open_recording(path).read().tolist() == expected


def test_two_places_are_an_error(tmp_path: Path) -> None:
    events = event_files.make_events(50, 34, 34)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["left/events"], file["right/events"] = events, events
    with pytest.raises(
        RecordingError, match=r"events in 2 places \(0: left/events, 1: right/events\); .* pass it as --stream N"
    ):
        open_recording(tmp_path / "a.h5")


def test_no_events_lists_what_is_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["labels"] = np.zeros((2, 3, 3)), np.zeros(2)
    with pytest.raises(UnknownFormatError, match="an HDF5 file with images, labels in it"):
        open_recording(tmp_path / "a.h5")


def test_ecf_is_named_when_its_codec_is_missing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((16,))
        creation.set_filter(0x8ECF, h5py.h5z.FLAG_OPTIONAL, ())
        kind = h5py.h5t.py_create(np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]))
        group = file.create_group("CD")
        h5py.h5d.create(group.id, b"events", kind, h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,)), creation)
    if h5py.h5z.filter_avail(0x8ECF):
        pytest.skip("the ECF codec is installed")
    with pytest.raises(
        MissingExtraError, match="Prophesee's ECF codec, which is not installed; expected the HDF5 plugin"
    ):
        open_recording(tmp_path / "a.hdf5")


def test_blosc_without_its_package_names_the_extra(tmp_path: Path) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed: nothing to write Blosc with")
    write_columns(tmp_path / "a.h5", event_files.make_events(50, 34, 34), **hdf5plugin.Blosc())
    program = f"""
import sys
sys.modules["hdf5plugin"] = None
from stdl_events.errors import MissingExtraError
from stdl_events.events import RecordingWarning, open_recording
try:
    open_recording({str(tmp_path / "a.h5")!r})
except MissingExtraError as error:
    print(error)
"""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "the HDF5 filter 32001, which is not installed" in child.stdout
    assert "pip install 'stdl-events[formats]'" in child.stdout


@pytest.mark.parametrize("place", ["t_offset", "left/t_offset", "left/events/t_offset", "@left/events", "@left", "@/"])
def test_an_offset_is_added_wherever_a_writer_puts_it(tmp_path: Path, place: str) -> None:
    """An attribute, or a dataset in the group of the events, was ignored without a word."""
    events = event_files.make_events(500, 64, 48)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "txyp":
            file[f"left/events/{name}"] = events[name].astype("i8")
        if place.startswith("@"):
            file[place[1:]].attrs["t_offset"] = np.int64(5_000)
        else:
            file[place] = np.int64(5_000)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = open_recording(tmp_path / "a.h5").read()
    assert (found["t"] == events["t"] + 5_000).all()
    texts = [str(each.message) for each in said]
    assert [("5000 us, an attribute of" in text) for text in texts] == [True] * place.startswith("@")


def test_offsets_that_differ_are_said(tmp_path: Path) -> None:
    events = event_files.make_events(500, 64, 48)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = events[name].astype("i8")
        file["t_offset"] = np.int64(7)
        file["events"].attrs["t_offset"] = 9.0
        file.attrs["t_offset"] = 7
    with pytest.warns(RecordingWarning, match=r"t_offset 7 us, the dataset t_offset, is added .*9 us, .* not used"):
        assert (open_recording(tmp_path / "a.h5").read()["t"] == events["t"] + 7).all()
    for odd in (b"x", [1, 2], 1e300):
        with h5py.File(tmp_path / "a.h5", "a") as file:
            del file["t_offset"]
            file["t_offset"] = odd
        with pytest.raises(CorruptRecordingError, match=r"the t_offset .*expected a number of microseconds"):
            open_recording(tmp_path / "a.h5")
