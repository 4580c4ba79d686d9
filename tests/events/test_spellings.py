"""Tables and files as tools, languages and habits spell them: the same events, or the reason why not."""

import pickle
from pathlib import Path

import event_files
import h5py
import numpy as np
import pytest

from stdl_events.errors import TruncatedRecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording

EVENTS = event_files.make_events(300, 346, 260)
ROWS = EVENTS.tolist()


def lines(row: str, *, decimal: str = ".") -> list[str]:
    """The events by a format of t, s (seconds), x, y, p and the words of `p`."""
    words = {"on": ("off", "on"), "sign": ("-", "+"), "way": ("DOWN", "UP"), "event": ("OFF_EVENT", "ON_EVENT")}
    return [
        row.format(t=t, s=f"{t / 1e6:.6f}".replace(".", decimal), x=x, y=y, p=int(p),
                   **{name: said[p] for name, said in words.items()})
        for t, x, y, p in ROWS
    ]  # fmt: skip


TEXTS = {
    "decimal comma, semicolons": ["t;x;y;p", *lines("{s};{x};{y};{p}", decimal=",")],
    "decimal comma everywhere": ["t;x;y;p", *lines("{s};{x},0;{y},0;{p}", decimal=",")],
    "decimal comma, blanks": lines("{s} {x} {y} {p}", decimal=","),
    "decimal comma, tabs": ["t\tx\ty\tp", *lines("{s}\t{x}\t{y}\t{p}", decimal=",")],
    "mark at the end": ["t,x,y,p", *lines("{t},{x},{y},{p},")],
    "mark at the end, no names": lines("{t},{x},{y},{p},"),
    "bars": ["t|x|y|p", *lines("{t}|{x}|{y}|{p}")],
    "empty column": ["t,,x,y,p", *lines("{t},,{x},{y},{p}")],
    "words in a column": ["camera,timestamp,x,y,polarity", *lines("davis-1,{t},{x},{y},{p}")],
    "comments of C": ["// camera 1", "t,x,y,p", *lines("{t},{x},{y},{p}")],
    "prose above": ["Recorded 2020-05-01 by anna", "t x y p", *lines("{t} {x} {y} {p}")],
    "names of pandas": ["0,1,2,3", *lines("{t},{x},{y},{p}")],
    "missing row": ["t,x,y,p", *lines("{t},{x},{y},{p}")[:99], "NA,NA,NA,NA", *lines("{t},{x},{y},{p}")[99:]],
    "row and col": ["t,row,col,p", *lines("{t},{y},{x},{p}")],
    **{f"polarity {word}": ["t,x,y,p", *lines(f"{{t}},{{x}},{{y}},{{{word}}}")] for word in ("sign", "way", "event")},
}


@pytest.mark.parametrize("spelling", TEXTS)
@pytest.mark.filterwarnings("ignore:.*1 row of NaN, without values")
def test_spellings_of_text(tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([*TEXTS[spelling], ""]))
    assert np.array_equal(open_recording(path).read(), EVENTS)


def test_words_in_a_column_without_a_name_cost_no_event(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines("{t},{x},{y},{p},DVS")))
    assert np.array_equal(open_recording(path, columns="t,x,y,p,-").read(), EVENTS)


def test_names_and_units_in_an_8_bit_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\n".join(["t [µs],x,y,p", *lines("{t},{x},{y},{p}")]).encode("cp1252"))
    assert open_recording(path).time_unit_from == "header"


def test_rows_of_nan_are_counted_and_left_out(tmp_path: Path) -> None:
    table = np.stack([EVENTS[name] for name in "txyp"], axis=1).astype(float)
    np.save(tmp_path / "a.npy", np.insert(table, 7, np.nan, axis=0))
    with pytest.warns(RecordingWarning, match="1 row of NaN, without values: left out"):
        assert np.array_equal(open_recording(tmp_path / "a.npy").read(), EVENTS)


def test_hdf5_with_one_table_of_any_name_and_odd_scalars(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.stack([EVENTS[name] for name in "txyp"], axis=1).astype("i8")
        file["t_offset"] = np.array([5])
        file["nothing"] = h5py.Empty("i8")
    assert np.array_equal(open_recording(tmp_path / "a.h5").read()["t"], EVENTS["t"] + 5)


def test_matlab_7_3_is_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        for name in "txyp":
            file[f"TD/{name}"] = EVENTS[name][:, None].astype("f8")
    with (tmp_path / "a.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    recording = open_recording(tmp_path / "a.mat", time_unit="us")
    assert np.array_equal(recording.read(), EVENTS)


def test_a_unit_that_is_not_known_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{name: EVENTS[name] for name in "txyp"}, time_unit="ticks")
    with pytest.warns(RecordingWarning, match="the unit of its times, 'ticks', is none of us, ms"):
        open_recording(tmp_path / "a.npz")


def test_large_times_of_no_likely_date_are_doubted(tmp_path: Path) -> None:
    """Ticks of 100 ns since year 1 look like nanoseconds since 1970, ten times too fast."""
    ticks = EVENTS["t"] * 10 + 638_000_000_000_000_000
    np.savez(tmp_path / "a.npz", t=ticks, **{name: EVENTS[name] for name in "xyp"})
    with pytest.warns(RecordingWarning, match="a guess: as a wall clock they begin at 1990"):
        assert open_recording(tmp_path / "a.npz").summary.events == len(EVENTS)


@pytest.mark.parametrize("chip", ["240", "346", "640"])
def test_a_davis_without_a_name_is_the_smallest_that_fits(tmp_path: Path, chip: str) -> None:
    size = {"240": (240, 180), "346": (346, 260), "640": (640, 480)}[chip]
    events = event_files.make_events(300, *size)
    data = event_files.aedat2_davis(events, width=size[0], height=size[1], chip=False)
    (tmp_path / "a.aedat").write_bytes(data)
    recording = open_recording(tmp_path / "a.aedat")
    assert (recording.sensor_size, len(recording.read())) == (size, 300)


SMALL = event_files.make_events(300, 34, 34)
ENDS_IN_ZEROS = {
    "a.raw": event_files.evt2(EVENTS),
    "a.dat": event_files.dat(SMALL, version=2),
    "a.bin": event_files.atis_bin(SMALL),
    "a.es": event_files.es_dvs(SMALL, width=34, height=34),
    "a.aedat": event_files.aedat2_dvs128(SMALL),
}


@pytest.mark.parametrize("name", ENDS_IN_ZEROS)
@pytest.mark.parametrize("zeros", [400, 2_000_000], ids=["few", "blocks"])
def test_zeros_at_the_end_are_no_events(tmp_path: Path, name: str, zeros: int) -> None:
    """As file systems leave them after a power cut; they were events of pixel 0 at time 0."""
    path = tmp_path / name
    path.write_bytes(ENDS_IN_ZEROS[name] + bytes(zeros))
    with pytest.raises(TruncatedRecordingError, match="bytes of zeros up to the end"):
        open_recording(path).read()
    with pytest.warns(RecordingWarning, match="zeros up to the end"):
        assert len(open_recording(path, repair=True).read()) == 300


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.raw", b"% evt 4.0\n% end\n" + bytes(range(64)), "RAW file of EVT 4.0; .*convert it"),
        ("a.raw", b"% format AER-8b;height=320\n% end\n\1\2", "RAW file of AER-8b; .*convert it"),
        ("a.db3", b"SQLite format 3\0" + bytes(90), "an SQLite database, as ROS 2 bags are"),
        ("a.parquet", b"PAR1" + bytes(90), "a Parquet table"),
        ("a.pkl", pickle.dumps({"t": np.arange(9)}), "a Python pickle"),
        ("a.json", b'[{"t": 1}]', "got JSON"),
        ("a.npy", b"<!DOCTYPE html><html>", "a web page"),
        ("a.zip", b"PK\5\6" + bytes(18), "an empty ZIP archive"),
    ],
)
def test_other_kinds_are_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnknownFormatError, match=said):
        open_recording(tmp_path / name)


def test_a_dat_is_known_by_its_records_too(tmp_path: Path) -> None:
    records = event_files.dat(SMALL, version=2).rpartition(b"\x0c\x08")[2]
    (tmp_path / "a.dat").write_bytes(b"% Version 2\n% Width 34\n% Height 34\n\x0c\x08" + records)
    assert len(open_recording(tmp_path / "a.dat").read()) == 300
