"""NPY and NPZ files of the common layouts."""

import io
from pathlib import Path

import event_files
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording


def saved(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_real_tables_equal_numpys_own_reading(recordings_dir: Path) -> None:
    files = sorted((recordings_dir / "formats" / "npy_pedro").glob("*/*.npy"))
    assert len(files) == 3
    for path in files:
        events = open_recording(path).read()
        table = np.load(path, allow_pickle=False)
        assert events.tolist() == [(t, x, y, p == 1) for t, x, y, p in table.tolist()]


@pytest.mark.parametrize("order", ["txyp", "xytp", "xypt"])
@pytest.mark.parametrize("fortran", [False, True])
def test_column_order_is_found_by_value(write, order: str, fortran: bool) -> None:
    events = event_files.make_events(400, 346, 260)
    path = write("a.npy", event_files.npy_table(events, order=order, fortran=fortran))
    assert (open_recording(path).read() == events).all()


def test_structured_array_with_other_names_and_types(write) -> None:
    events = event_files.make_events(400, 346, 260)
    other = np.zeros(400, [("timestamp", "<u8"), ("x", "<i4"), ("y", "<i4"), ("polarity", "<i2")])
    other["timestamp"], other["x"], other["y"] = events["t"], events["x"], events["y"]
    other["polarity"] = np.where(events["p"], 1, -1)
    assert (open_recording(write("a.npy", saved(other))).read() == events).all()


@pytest.mark.parametrize(
    ("times", "unit"),
    [(np.array([0.5e-6 * 4, 0.25, 1.000001]), "s"), (np.array([2, 250000, 1000001]), "us"),
     (np.array([2.0, 250000.0, 1000001.0]), "us as floats")],
)  # fmt: skip
def test_units_of_time(write, times, unit: str) -> None:
    del unit
    other = np.zeros(3, [("t", times.dtype), ("x", "u2"), ("y", "u2"), ("p", "?")])
    other["t"] = times
    assert open_recording(write("a.npy", saved(other))).read()["t"].tolist() == [2, 250000, 1000001]


def test_nanoseconds_are_recognised(write) -> None:
    other = np.zeros(2, event_files.EVENT_DTYPE)
    other["t"] = [1_700_000_000_123_456_789, 1_700_000_000_123_999_999]
    assert open_recording(write("a.npy", saved(other))).read()["t"].tolist() == [1700000000123456, 1700000000123999]


@pytest.mark.parametrize("compressed", [True, False])
def test_npz_arrays(write, compressed: bool) -> None:
    events = event_files.make_events(400, 346, 260)
    path = write("a.npz", event_files.npz_arrays(events, compressed=compressed))
    assert (open_recording(path).read() == events).all()
    assert (np.concatenate(list(open_recording(path).chunks(7))) == events).all()


def test_npz_with_one_structured_array(tmp_path: Path) -> None:
    events = event_files.make_events(40, 346, 260)
    np.savez_compressed(tmp_path / "a.npz", events=events)
    assert (open_recording(tmp_path / "a.npz").read() == events).all()


def test_arrays_are_never_unpickled(write) -> None:
    objects = np.array([{"t": 1}], dtype=object)
    with pytest.raises(UnknownFormatError, match="pickled Python objects, which are not read"):
        open_recording(write("a.npy", saved(objects)))


def test_missing_columns_are_named(write) -> None:
    other = np.zeros(3, [("t", "<i8"), ("x", "<u2"), ("weight", "<f4")])
    with pytest.raises(UnknownFormatError, match=r"columns named t, x, weight; expected .*\(y, p not found\)"):
        open_recording(write("a.npy", saved(other))).read()


def test_table_without_polarity_is_refused(write) -> None:
    with pytest.raises(UnknownFormatError, match=r"an unnamed table of shape \[10, 4\]"):
        open_recording(write("a.npy", saved(np.full((10, 4), 7)))).read()
    odd = np.tile([5.0, 3.0, 2.0, 1.0], (10, 1))
    odd[4, 1] = np.nan
    with pytest.raises(
        UnknownFormatError, match=r"shape \[10, 4\] with 1 value NaN or infinite; .* leave out the rows"
    ):
        open_recording(write("b.npy", saved(odd))).read()


@pytest.mark.parametrize(("column", "value"), [("x", -1), ("y", 70000), ("x", 65536)])
def test_impossible_pixels_are_outside_every_sensor(write, column: str, value: int) -> None:
    other = np.zeros(3, [("t", "<i8"), ("x", "<i4"), ("y", "<i4"), ("p", "?")])
    other[column][1] = value
    path = write("a.npy", saved(other))
    with pytest.warns(
        RecordingWarning, match=rf"1 event \(0.33 of all\) outside every sensor: .* event 1 at .*{value}"
    ):
        assert len(open_recording(path).read()) == 2
    with pytest.raises(CorruptRecordingError, match=rf"got event 1 at .*{value}, .* expected pixels from 0 to 65535"):
        open_recording(path, strict=True).read()


def test_a_coordinate_that_is_no_number_is_damage(write) -> None:
    other = np.zeros(3, [("t", "<i8"), ("x", "<f4"), ("y", "<f4"), ("p", "?")])
    other["y"][1] = np.nan
    with pytest.raises(CorruptRecordingError, match="a value of y that is not finite"):
        open_recording(write("a.npy", saved(other))).read()


def test_truncated_array_keeps_its_good_part(write) -> None:
    events = event_files.make_events(400, 346, 260)
    path = write("cut.npy", event_files.npy_structured(events)[:-14])
    with pytest.raises(TruncatedRecordingError, match=r"12 of 13 bytes of event 398 of 400"):
        open_recording(path).read()
    with pytest.warns(RecordingWarning, match="kept the 398 events before it"):
        assert (open_recording(path, repair=True).read() == events[:398]).all()


def test_damaged_archive_is_our_error(write) -> None:
    data = event_files.npz_arrays(event_files.make_events(400, 346, 260))
    with pytest.raises(CorruptRecordingError, match="an archive that does not unpack"):
        open_recording(write("cut.npz", data[:-30]))


def test_empty_array_is_a_valid_recording(write) -> None:
    recording = open_recording(write("a.npy", saved(np.zeros(0, event_files.EVENT_DTYPE))), sensor_size=(34, 34))
    assert len(recording.read()) == 0
    assert recording.sensor_size == (34, 34)
