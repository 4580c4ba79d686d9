"""Tables that name, measure or end in uncommon ways: read as their writers meant them, or refused with a way out."""

import sys
import tarfile
import warnings
from pathlib import Path
from typing import Any

import event_files
import h5py
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, MissingExtraError, RecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.events.convert import convert
from stdl_events.events.formats.hdf5 import write_recording
from stdl_events.events.sources.replay import span_us

EVENTS = event_files.make_events(400, 346, 260)
LINES = [f"{t},{x},{y},{p:d}" for t, x, y, p in EVENTS.tolist()]
X_FIRST = np.stack([EVENTS["x"], EVENTS["y"], EVENTS["t"], np.arange(len(EVENTS)), EVENTS["p"]], axis=1)


def times(*, strays: int = 0, leap_us: int = 0) -> np.ndarray:
    """Times of 3,000 events in 3 s, the last ones half an hour late, or with a leap of the clock in the middle."""
    t_us = np.arange(0, 3_000_000, 1000)
    t_us[len(t_us) - strays :] += 1_800_000_000
    t_us[1500:] += leap_us
    return t_us


def save_times(path: Path, t: np.ndarray) -> Path:
    np.savez(path, t=t, x=np.arange(len(t)) % 32, y=np.arange(len(t)) % 24, p=np.arange(len(t)) % 2)
    return path


def test_stray_events_and_leaps_do_not_change_the_unit(tmp_path: Path) -> None:
    with pytest.warns(RecordingWarning, match="5 stray events") as said:
        summary = open_recording(save_times(tmp_path / "late.npz", times(strays=5))).summary
    assert (summary.events, summary.strays, summary.t_last_us) == (2995, 5, 2_994_000)
    assert len(said) == 1, "the unit is not doubted, since the strays are known"
    leaping = open_recording(save_times(tmp_path / "leaping.npz", times(leap_us=3_600_000_000)))
    with pytest.warns(RecordingWarning, match="a guess: it lasts 3603 s at 1|no event for 3600 s, as after a") as said:
        assert leaping.summary.t_last_us == 3_602_999_000
    assert len(said) == 2
    slow = open_recording(save_times(tmp_path / "slow.npz", times() * 1000))
    with pytest.warns(RecordingWarning, match="read in ns, a guess"):
        assert slow.summary.t_last_us == 2_999_000


def test_columns_in_float16_are_read_without_a_word_of_numpy(tmp_path: Path) -> None:
    """Their limits are beyond float16: numpy warned, and 0.3 s were an infinite number of microseconds."""
    count = np.arange(128)
    columns = {"t": count / 256, "x": count % 16, "y": count % 12, "p": count % 2}
    np.savez(tmp_path / "a.npz", **{name: values.astype("f2") for name, values in columns.items()})
    with pytest.warns(RecordingWarning, match="us apart") as said:
        assert open_recording(tmp_path / "a.npz").summary.t_last_us == 496_094
    assert len(said) == 1


SINCE_1970_MS = 1_780_000_000_000


@pytest.mark.parametrize(
    ("t", "unit", "span_us", "said"),
    [
        (SINCE_1970_MS + times() // 1000, "ms", 2_999_000, "a wall clock they begin at 2026-05-28T20:26:40"),
        (SINCE_1970_MS * 1000 + times(), "us", 2_999_000, None),
        (SINCE_1970_MS * 1000 + times() + 0.5, "us", 2_999_000, "as a wall clock"),
        (SINCE_1970_MS * 10**6 + times() * 1000, "ns", 2_999_000, None),
        (SINCE_1970_MS + times() * 1000, "ns", 2_999_000, "in us it would last"),  # since the machine started
        (SINCE_1970_MS + times(), "us", 2_999_000, None),
    ],
)
def test_a_wall_clock_names_its_own_unit(
    tmp_path: Path, t: np.ndarray, unit: str, span_us: int, said: str | None
) -> None:
    path = save_times(tmp_path / "a.npz", t)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        recording = open_recording(path)
        summary = recording.summary
    assert (recording.time_unit, summary.t_last_us - summary.t_first_us) == (unit, span_us)
    assert [said in str(each.message) for each in warned] == [True] if said else not warned


@pytest.mark.parametrize("kind", ["csv", "npz", "npy", "hdf5"])
@pytest.mark.parametrize(("names", "per_s"), [("stamp.sec stamp.nanosec", 10**9), ("t_sec t_usec", 10**6)])
def test_seconds_and_their_parts_are_one_time(tmp_path: Path, kind: str, names: str, per_s: int) -> None:
    """As ROS writes times; the seconds alone were taken for the time where their name was t_sec."""
    whole_s, part_us = np.divmod(EVENTS["t"] + 1_700_000_000_500_000, 10**6)
    columns = dict(
        zip(
            [*names.split(), "x", "y", "p"],
            [whole_s, part_us * (per_s // 10**6), *map(EVENTS.__getitem__, "xyp")],
            strict=True,
        )
    )
    path = tmp_path / f"a.{kind}"
    table = np.rec.fromarrays(list(columns.values()), names=list(columns))
    if kind == "csv":
        path.write_text("\n".join([",".join(columns), *(",".join(map(str, map(int, row))) for row in table)]))
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            file.create_dataset("events", data=table)
    else:
        np.save(path, table) if kind == "npy" else np.savez(path, **columns)
    recording = open_recording(path)
    assert np.array_equal(recording.read()["t"] - 1_700_000_000_500_000, EVENTS["t"])
    assert recording.time_unit_from == "header"


def test_times_in_two_units_are_no_parts_of_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("t_s,t_us,x,y,p\n1,1000000,1,1,1\n2,2000000,1,1,1\n")
    with pytest.raises(CorruptRecordingError, match="chosen with --columns such as -,t,x,y,p"):
        open_recording(path).read()
    assert open_recording(path, columns="-,t,x,y,p").read()["t"].tolist() == [1_000_000, 2_000_000]


def test_times_of_too_few_bits_are_said(tmp_path: Path) -> None:
    """Seconds since 1970 in float32 are 128 s apart; those of an hour's recording 0.2 ms."""
    since_1970 = save_times(tmp_path / "a.npz", (times() / 1e6 + 1.7e9).astype("f4"))
    with pytest.warns(RecordingWarning) as said:
        assert open_recording(since_1970).summary.events == 3000
    assert any("all events have one time" in str(each.message) for each in said)
    hour = save_times(tmp_path / "b.npz", (times() / 1e6 + 3600).astype("f4"))
    with pytest.warns(RecordingWarning, match=r"its times are 244\.141 us apart"):
        assert open_recording(hour).summary.events == 3000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_recording(save_times(tmp_path / "c.npz", (times() / 1e6).astype("f4"))).summary.events == 3000


@pytest.mark.parametrize("dtype", ["u4", "i4"])
def test_counters_of_32_bits_wrap(tmp_path: Path, dtype: str) -> None:
    """In nanoseconds every 4.3 s; here the last wrap is within a block and the first between two."""
    t_ns = (np.arange(100_000) * 100_000 + 2**32 - 32_768 * 100_000).astype(np.uint64)
    path = save_times(tmp_path / "a.npz", (t_ns % 2**32).astype("u4").view(dtype))
    summary = open_recording(path, time_unit="ns").summary
    assert (summary.t_last_us - summary.t_first_us, len(summary.takes)) == (9_999_900, 1)


@pytest.mark.parametrize("empty", ["  ", ",,,", " , ,, "])
def test_empty_rows_of_a_spreadsheet_are_no_events(tmp_path: Path, empty: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["t,x,y,p", *LINES[:200], empty, *LINES[200:], empty, ""]))
    assert np.array_equal(open_recording(path).read(), EVENTS)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("t,x,y,p\r1,2,3,1\r", "lines that end with a carriage return alone; .* save it with line ends"),
        ("t;x;y;p\n1,234;2;3;1\n", "'1,234;2;3;1', with commas in numbers; .* without marks of thousands"),
        ("<!doctype html>\n<html>Sign in</html>\n", "a web page, .*; download the recording itself"),
        ("t,x,y,p\n2024-01-01T00:00:00,2,3,1\n", "expected 4 numbers, .*; write its times"),
        ("when,x,y,p\n1,2,3,1\n", r"t not found\); rename the columns, or say what they hold with --columns"),
        ("\n".join(f"{p:d},{x},{y},{t}" for t, x, y, p in EVENTS.tolist()), "say what the columns hold with --columns"),
    ],
)
def test_text_that_is_refused_says_what_would_be_read(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    with pytest.raises(UnknownFormatError, match=error):
        open_recording(path)


@pytest.mark.parametrize("names", ["timestamp,x_coord,y-coordinate,polarity", "t (us),X-POS,y_addr,pol"])
def test_usual_names_of_columns(tmp_path: Path, names: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([names, *LINES]))
    assert np.array_equal(open_recording(path).read(), EVENTS)


@pytest.mark.parametrize("table", [X_FIRST, X_FIRST.T, np.asfortranarray(X_FIRST)], ids=["rows", "columns", "fortran"])
def test_named_columns_of_a_wider_table(tmp_path: Path, table: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", table)
    np.savez(tmp_path / "a.npz", recorded=table, subject=7)
    for name in ("a.npy", "a.npz"):
        assert np.array_equal(open_recording(tmp_path / name, columns="x,y,t,-,p").read(), EVENTS), name
    with pytest.raises(UnknownFormatError, match="or name all columns with --columns"):
        open_recording(tmp_path / "a.npy")


def state_size(folder: Path, stated: dict[str, Any]) -> list[Path]:
    """Write `EVENTS` to an HDF5 file and an NPZ file that state a size."""
    with h5py.File(folder / "a.h5", "w") as file:
        for field in "txyp":
            file[f"events/{field}"] = EVENTS[field]
        file.attrs.update(stated)
    np.savez(folder / "a.npz", **{field: EVENTS[field] for field in "txyp"}, **stated)
    return [folder / "a.h5", folder / "a.npz"]


@pytest.mark.parametrize(
    "size", [np.bytes_("640x480"), "640×480 px", "(640, 480, 2)", [b"640", b"480"], [640.0, 480.0]]
)
@pytest.mark.parametrize("name", ["geometry", "sensorSize", "resolution"])
def test_a_stated_size_may_be_text(tmp_path: Path, name: str, size: object) -> None:
    for path in state_size(tmp_path, {name: size}):
        recording = open_recording(path)
        assert (recording.sensor_size, recording.sensor_size_from) == ((640, 480), "header")


@pytest.mark.parametrize("names", ["width height", "Sensor_Width sensor_height", "sizeX sizeY"])
def test_a_stated_size_may_be_its_two_sides(tmp_path: Path, names: str) -> None:
    for value in (int, str):
        for path in state_size(tmp_path, dict(zip(names.split(), map(value, (640, 480)), strict=True))):
            assert open_recording(path).sensor_size == (640, 480)


@pytest.mark.parametrize("size", [[0, 0], [-1, 5], [640.5, 8], [640], [np.nan, 1], [1e9, 3], "unknown", ""])
def test_an_impossible_size_is_not_used_and_said(tmp_path: Path, size: object) -> None:
    for path in state_size(tmp_path, {"sensor_size": size}):
        for given, expected in ((None, (346, 260)), ((640, 480), (640, 480))):
            with pytest.warns(RecordingWarning, match="its sensor_size.*: not used, since a width and a height"):
                recording = open_recording(path, sensor_size=given)
            assert (recording.sensor_size, recording.summary.events) == (expected, len(EVENTS))


def test_a_size_of_none_is_not_used_and_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{field: EVENTS[field] for field in "txyp"}, sensor_size=None)  # type: ignore[arg-type]
    with pytest.warns(RecordingWarning, match="its sensor_size: not used"):
        assert open_recording(tmp_path / "a.npz").sensor_size == (346, 260)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for field in "txyp":
            file[f"events/{field}"] = EVENTS[field]
        file["sensor_size"] = h5py.Empty("f")
    assert open_recording(tmp_path / "a.h5").sensor_size == (346, 260)


@pytest.mark.parametrize(
    "comment",
    ["# 640x480", "# sizeX 640\n# sizeY 480", "// sensorSize 640*480", "# sensor_width=640, sensor_height=480",
     "% dimensions: 640 × 480", "# resolution: 480 640"],
)  # fmt: skip
def test_comments_state_a_size_in_many_ways(tmp_path: Path, comment: str) -> None:
    (tmp_path / "a.csv").write_text("\n".join([comment, "t,x,y,p", *LINES]))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert open_recording(tmp_path / "a.csv").sensor_size == (640, 480)
    assert ["read as height, width" in str(each.message) for each in said] == [True] * comment.endswith("480 640")


def test_a_group_states_the_unit_of_its_times(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for field in "txyp":
            file[f"cam/events/{field}"] = EVENTS[field]
        file.attrs["time_unit"] = "ns"
        file["cam"].attrs["time_unit"] = "milliseconds"
    recording = open_recording(tmp_path / "a.h5")
    assert (recording.time_unit, recording.time_unit_from) == ("ms", "header")


@pytest.mark.parametrize("repair", [False, True])
def test_repair_is_no_advice_where_it_would_keep_nothing(tmp_path: Path, repair: bool) -> None:
    np.savez(tmp_path / "a.npz", t=EVENTS["t"], x=EVENTS["x"], y=EVENTS["y"], p=EVENTS["p"][:-1])
    with pytest.raises(CorruptRecordingError, match="different lengths") as caught:
        open_recording(tmp_path / "a.npz", repair=repair)
    assert "--repair" not in str(caught.value)


def test_hdf5_is_not_written_under_the_name_of_another_format(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"got the suffix \.aedat4; expected \.h5 or \.hdf5"):
        write_recording(tmp_path / "a.aedat4", EVENTS, (346, 260))
    assert not list(tmp_path.iterdir())


def test_an_exchanged_sensor_size_is_guessed_at(tmp_path: Path) -> None:
    columns = {field: EVENTS[field] for field in "txyp"}
    np.savez(tmp_path / "a.npz", **columns, sensor_size=(260, 346))
    with pytest.warns(RecordingWarning, match="; all are inside 346x260: its width and height may be exchanged"):
        assert 0 < open_recording(tmp_path / "a.npz").summary.events < 400
    np.savez(tmp_path / "b.npz", **columns, sensor_size=(16, 16))
    with pytest.raises(CorruptRecordingError, match="16x16 sensor; correct the sensor's size in the file, or use"):
        assert open_recording(tmp_path / "b.npz").summary
    np.savez(tmp_path / "c.npz", **columns)
    with pytest.raises(CorruptRecordingError, match=r"16x16 sensor; check the sensor's size \(--sensor\), or use"):
        assert open_recording(tmp_path / "c.npz", sensor_size=(16, 16)).summary


def test_codes_of_polarity_are_named_as_stored(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=EVENTS["t"], x=EVENTS["x"], y=EVENTS["y"], p=EVENTS["p"] * np.uint8(255))
    with pytest.raises(UnknownFormatError, match="got the values 0, 255 in the column of polarity"):
        open_recording(tmp_path / "a.npz").read()


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_an_archive_is_to_be_unpacked(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["t,x,y,p", *LINES]))
    path = tmp_path / f"a{suffix}"
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w") as archive:
        archive.add(tmp_path / "a.csv", "a.csv")
    with pytest.raises(UnknownFormatError, match=r"got a tar archive; .*; unpack it"):
        open_recording(path)


def test_a_start_behind_the_end_says_where_the_end_is(tmp_path: Path) -> None:
    recording = open_recording(save_times(tmp_path / "a.npz", times()))
    with pytest.raises(RecordingError, match=r"from 9000000 to \d+ us, .*; expected a part of 0 to 2999000 us"):
        span_us(recording, 9_000_000, None)


def test_the_first_stream_of_a_format_with_one(tmp_path: Path) -> None:
    path = save_times(tmp_path / "a.npz", times())
    assert open_recording(path, stream=0).summary.events == 3000
    with pytest.raises(
        RecordingError, match="the stream 1 of a file in the format npz; expected a format with several"
    ):
        open_recording(path, stream=1)


def test_a_chosen_format_that_the_content_contradicts(tmp_path: Path) -> None:
    """As EVT 3.0 this AEDAT 3.1 was a recording without events."""
    path = tmp_path / "a.raw"
    path.write_bytes(event_files.aedat3(event_files.make_events(50, 128, 128)))
    with pytest.raises(RecordingError, match=r"in the format aedat3, to be read as evt3; .*; leave --format"):
        open_recording(path, format="evt3")
    assert open_recording(path, format="aedat3").summary.events == 50


def test_a_missing_writer_names_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faery", None)
    recording = open_recording(save_times(tmp_path / "a.npz", times()))
    with pytest.raises(MissingExtraError) as caught:
        convert(recording, tmp_path / "b.aedat4")
    assert caught.value.subject == str(tmp_path / "b.aedat4")


@pytest.mark.parametrize("kind", ["M8[us]", ">M8[ns]", "m8[ms]", "M8[D]", "M8[25us]"])
def test_times_may_be_dates_and_durations(tmp_path: Path, kind: str) -> None:
    unit = np.datetime_data(kind)[0]
    t = EVENTS["t"].astype("M8[us]" if "M" in kind else "m8[us]").astype(kind)
    np.savez(tmp_path / "a.npz", t=t, x=EVENTS["x"], y=EVENTS["y"], p=EVENTS["p"])
    np.save(tmp_path / "a.npy", np.rec.fromarrays([t, EVENTS["x"], EVENTS["y"], EVENTS["p"]], names="t,x,y,p"))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = t.astype(h5py.opaque_dtype(t.dtype))
        for field in "xyp":
            file[field] = EVENTS[field]
    for path in map(tmp_path.joinpath, ("a.npz", "a.npy", "a.h5")):
        if kind in ("M8[D]", "M8[25us]"):
            with pytest.raises(RecordingError, match="save times in us, such as"):
                open_recording(path).read()
            continue
        recording = open_recording(path)
        assert (recording.read()["t"] == t.astype(t.dtype.str[:3] + "[us]").astype("i8")).all()
        assert (recording.time_unit, recording.time_unit_from) == (unit, "header")


IMPOSSIBLE = {
    "M8[us]": "NaT",
    "f8": np.nan,
    "f4": np.inf,
    "<f8": -1e300,
    "u8": 2**64 - 1,
    "i8": -(2**63),
    "<i8": 2**62,
}


@pytest.mark.filterwarnings("ignore:.*the order of events is lost")
@pytest.mark.parametrize("unit", ["us", "ms", "s"])
@pytest.mark.parametrize("dtype", IMPOSSIBLE)
@pytest.mark.parametrize("at", [0, 7, -1])
def test_few_impossible_times_are_left_out_and_counted(tmp_path: Path, dtype: str, at: int, unit: str) -> None:
    """One NaN, or one time of 2^62 and more, refused the whole file; one of 2^62 - 1 was counted and left out."""
    events = EVENTS
    t = events["t"].astype(dtype)
    t[at] = IMPOSSIBLE[dtype]
    np.savez(tmp_path / "a.npz", t=t, x=events["x"], y=events["y"], p=events["p"])
    options = {} if dtype.startswith("M") else {"time_unit": unit}
    recording = open_recording(tmp_path / "a.npz", sensor_size=(346, 260), **options)
    with pytest.warns(RecordingWarning, match="1 stray event without a possible time"):
        found = recording.read()
    assert (recording.summary.events, recording.summary.strays) == (len(events) - 1, 1)
    assert (np.concatenate(list(recording.chunks(33))) == found).all()
    t_good = np.delete(t, at)
    np.savez(tmp_path / "b.npz", t=t_good, **{name: np.delete(events[name], at) for name in "xyp"})
    good = open_recording(tmp_path / "b.npz", sensor_size=(346, 260), **options)
    assert (good.read() == found).all()
    with pytest.raises(CorruptRecordingError, match=r"at .*, .*expected times of fewer than 2\^62 us.*--strict"):
        open_recording(tmp_path / "a.npz", sensor_size=(346, 260), strict=True, **options).read()


@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
def test_an_impossible_time_decides_no_unit(tmp_path: Path) -> None:
    t = EVENTS["t"].astype("f8") / 1e6
    for at in (0, 5, -1):
        t_odd = t.copy()
        t_odd[at] = np.inf
        np.savez(tmp_path / "a.npz", t=t_odd, x=EVENTS["x"], y=EVENTS["y"], p=EVENTS["p"])
        recording = open_recording(tmp_path / "a.npz")
        assert len(recording.read()) == len(EVENTS) - 1
        assert (recording.time_unit, recording.time_unit_from) == ("s", "format")


def test_many_impossible_times_are_damage(tmp_path: Path) -> None:
    t = EVENTS["t"].astype("f8")
    t[3::4] = np.nan
    np.savez(tmp_path / "a.npz", t=t, x=EVENTS["x"], y=EVENTS["y"], p=EVENTS["p"])
    with pytest.raises(
        CorruptRecordingError, match=r"event 3 at no time, or one too large, .*more at no possible time"
    ):
        open_recording(tmp_path / "a.npz", time_unit="us").read()
    with pytest.warns(RecordingWarning, match="stray events without a possible time"):
        events = open_recording(tmp_path / "a.npz", time_unit="us", repair=True).read()
    assert (events["t"] == np.delete(EVENTS["t"], np.s_[3::4])).all()


def test_columns_in_columns_are_no_damage(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(4, [("a", [("t", "i8"), ("x", "i8")]), ("y", "i8"), ("p", "i8")]))
    with pytest.raises(UnknownFormatError, match="the column 'a', of columns of its own"):
        open_recording(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", ["i8", "f8"])
@pytest.mark.parametrize("padding", [3, 70_000])
def test_rows_of_zeros_behind_events_are_no_events(tmp_path: Path, dtype: str, padding: int) -> None:
    """Arrays that are longer than what was written into them: the zeros were a take, or sorted to the front."""
    table = np.stack([EVENTS[field].astype(dtype) for field in "txyp"], axis=1)
    whole = np.concatenate([table, np.zeros((padding, 4), dtype)])
    np.save(tmp_path / "a.npy", whole)
    np.savez(tmp_path / "a.npz", **dict(zip("txyp", whole.T, strict=True)))
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        with pytest.warns(RecordingWarning, match=f"{padding} rows of zeros behind events, .*left out") as said:
            events = open_recording(path, time_unit="us").read()
        assert len(said) == 1
        assert (events == EVENTS).all()


def test_an_event_of_zeros_at_the_beginning_is_one(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0, 0, 0, 0], [0, 0, 0, 0], [5, 1, 2, 1]]))
    assert open_recording(tmp_path / "a.npy", columns="t,x,y,p").read()["t"].tolist() == [0, 0, 5]
    np.save(tmp_path / "b.npy", np.zeros((3, 4), int))
    assert len(open_recording(tmp_path / "b.npy", columns="t,x,y,p").read()) == 3


@pytest.mark.parametrize(("last", "first"), [(2**32 - 1, 0), (2**32 - 600_000, 300_000), (10**9, 0), (2**33, 0)])
def test_a_counter_of_32_bits_wraps_in_wider_columns_too(tmp_path: Path, last: int, first: int) -> None:
    """Where the clock leaps back from elsewhere or to elsewhere it was reset."""
    half = np.arange(500) * 1000
    t = np.concatenate([last - half[::-1], first + half])
    path = tmp_path / "a.csv"
    path.write_text("t_us,x,y,p\n" + "".join(f"{each},1,2,1\n" for each in t))
    if 2**32 - 2**26 < last < 2**32:
        expected = np.concatenate([t[:500], t[500:] + 2**32])
        assert (open_recording(path).read()["t"] == expected).all()
        assert len(open_recording(path).takes) == 1
    else:
        with pytest.warns(RecordingWarning, match="the clock leaps back, as after a reset: 2 takes"):
            assert len(open_recording(path).takes) == 2


def test_a_shuffled_file_is_one_take_of_its_own_unit(tmp_path: Path) -> None:
    """It was divided into takes, whose gaps made it last minutes, so that its unit seemed to be nanoseconds."""
    order = np.random.default_rng(0).permutation(3000)
    np.savez(tmp_path / "a.npz", t=times()[order], x=order % 32, y=order % 24, p=order % 2)
    recording = open_recording(tmp_path / "a.npz")
    with pytest.warns(RecordingWarning, match="backward time steps, .*: sorted") as said:
        assert recording.read()["t"].tolist() == times().tolist()
    assert (len(said), recording.time_unit, len(recording.takes)) == (1, "us", 1)


def test_coordinates_that_are_shares_of_the_sensor_are_no_pixels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=EVENTS["t"], x=EVENTS["x"] / 346, y=EVENTS["y"] / 260, p=EVENTS["p"])
    with pytest.raises(UnknownFormatError, match="values of x from 0 to 1; expected pixels; multiply x and y by"):
        open_recording(tmp_path / "a.npz").read()
