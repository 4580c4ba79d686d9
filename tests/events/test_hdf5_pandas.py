"""Tables of pandas in HDF5, in the fixed format and in that of tables."""

from pathlib import Path

import event_files
import h5py
import numpy as np
import pytest
from pandas_files import fixed, table

from stdl_events.errors import CorruptRecordingError, RecordingError
from stdl_events.events import open_recording

EVENTS = event_files.make_events(400, 346, 260)
# y before x: where the names do not count, the two are exchanged.
COLUMNS = {"time_ns": EVENTS["t"] * 1000, "y": EVENTS["y"], "x": EVENTS["x"], "polarity": EVENTS["p"]}
COUNTS = np.arange(len(EVENTS))
WRITERS = {"fixed": (fixed, "N."), "table": (table, None)}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("is_one_block", [True, False])
def test_names_of_columns_count(tmp_path: Path, kind: str, is_one_block: bool) -> None:
    write, no_name = WRITERS[kind]
    wide = {name: column.astype("i8") for name, column in COLUMNS.items()}
    blocks = (
        [wide]
        if is_one_block
        else [{name: COLUMNS[name] for name in part} for part in ("yx", ["time_ns"], ["polarity"])]
    )
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key in ("left/events", "right"):
            write(file, key, blocks, (no_name, COUNTS))  # type: ignore[operator]
    with pytest.raises(RecordingError, match=r"events in 2 places .0: left/events, 1: right.;"):
        open_recording(tmp_path / "a.h5")
    recording = open_recording(tmp_path / "a.h5", stream=0)
    assert (recording.read() == EVENTS).all()
    assert (recording.time_unit, recording.time_unit_from) == ("ns", "header")


@pytest.mark.parametrize("kind", WRITERS)
def test_an_index_with_a_name_is_a_column(tmp_path: Path, kind: str) -> None:
    columns = {name: COLUMNS[name].astype("i8") for name in ("x", "y", "polarity")}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        WRITERS[kind][0](file, "df", [columns], ("t", EVENTS["t"]))  # type: ignore[operator]
    assert (open_recording(tmp_path / "a.h5").read() == EVENTS).all()
    assert (open_recording(tmp_path / "a.h5", columns="t,x,y,p").read() == EVENTS).all()


def test_dates_have_their_unit(tmp_path: Path) -> None:
    blocks = [{name: EVENTS[name].astype("i8") for name in "xyp"}, {"t": EVENTS["t"] // 1000}]
    for write, no_name, where, key in (
        (fixed, "N.", "df/block1_values", "value_type"), (table, None, "df/table", "values_block_1_dtype"),
    ):  # fmt: skip
        with h5py.File(tmp_path / "a.h5", "w") as file:
            write(file, "df", blocks, (no_name, COUNTS))  # type: ignore[operator]
            file[where].attrs[key] = np.bytes_("datetime64[ms]")
        recording = open_recording(tmp_path / "a.h5")
        assert (recording.read()["t"] == EVENTS["t"] // 1000 * 1000).all()
        assert recording.time_unit_from == "header"


def test_damaged_names_are_an_error_and_not_executed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        table(file, "df", [dict(COLUMNS)], (None, COUNTS))
        file["df"].attrs["non_index_axes"] = np.bytes_(b"cos\nsystem\n(S'touch ran'\ntR\x00.")
    with pytest.raises(RecordingError):
        open_recording(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        fixed(file, "df", [dict(COLUMNS)], ("N.", COUNTS))
        del file["df/block0_items"]
    with pytest.raises(CorruptRecordingError, match="unreadable HDF5"):
        open_recording(tmp_path / "b.h5")
