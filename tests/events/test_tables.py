"""Tables as other programs leave them: codes of polarity, units of time, headers and shapes.

The expected events are the ones that the test has written; the code and the unit of each file are those of its writer.
"""

import json
from pathlib import Path

import event_files
import h5py
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError, RecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.events.convert import convert
from stdl_events.events.formats import hdf5_layouts, npy, npz, text
from stdl_events.events.formats.hdf5 import write_recording

EVENTS = event_files.make_events(400, 346, 260)
ON = EVENTS["p"]
CODES = {
    "0 and 1": np.where(ON, 1, 0),
    "floats": np.where(ON, 1.0, 0.0),
    "-1 and 1": np.where(ON, 1, -1).astype("i1"),
    "1 and 2": np.where(ON, 2, 1).astype("u1"),
    "uint8": np.where(ON, 1, 255).astype("u1"),
    "uint16": np.where(ON, 1, 65535).astype("u2"),
    "uint32": np.where(ON, 1, 4294967295).astype("u4"),
    "uint64": np.where(ON, 1, 18446744073709551615).astype("u8"),
    "widened": np.where(ON, 1, 4294967295).astype("i8"),
    "booleans": ON.copy(),
    "words": np.where(ON, "ON", "OFF"),
    "python": np.where(ON, "True", "False"),
    "bytes": np.where(ON, b"true", b"false"),
}


def save(folder: Path, kind: str, columns: dict[str, np.ndarray]) -> Path:
    """Write columns as NPZ, structured NPY, HDF5 columns or CSV."""
    path = folder / f"a.{kind}"
    if kind == "npz":
        np.savez(path, **columns)
    elif kind == "npy":
        table = np.zeros(len(columns["t"]), [(name, column.dtype) for name, column in columns.items()])
        for name, column in columns.items():
            table[name] = column
        np.save(path, table)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            for name, column in columns.items():
                file[f"events/{name}"] = column.astype("S") if column.dtype.kind == "U" else column
    else:
        words = [[value.decode() if isinstance(value, bytes) else str(value) for value in column.tolist()]
                 for column in columns.values()]  # fmt: skip
        path.write_text("\n".join([",".join(columns), *map(",".join, zip(*words, strict=True))]) + "\n")
    return path


def columns_of(events, **other: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(events[name]) for name in "txyp"} | other


@pytest.mark.parametrize(
    ("kind", "code"),
    # Text is parsed as int64.
    [(kind, code) for kind in ("npz", "npy", "h5", "csv") for code in CODES if (kind, code) != ("csv", "uint64")],
)
def test_every_code_of_polarity_gives_the_same_events(tmp_path: Path, kind: str, code: str) -> None:
    path = save(tmp_path, kind, columns_of(EVENTS, p=CODES[code]))
    assert (open_recording(path).read() == EVENTS).all()


@pytest.mark.parametrize("kind", ["npy", "h5"])
@pytest.mark.parametrize("code", ["uint32", "-1 and 1", "1 and 2"])
def test_unnamed_tables_in_every_code(tmp_path: Path, kind: str, code: str) -> None:
    dtype = "u4" if code == "uint32" else "i8"
    table = np.stack([EVENTS["t"], EVENTS["x"], EVENTS["y"], CODES[code]], axis=1).astype(dtype)
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, table)
    else:
        with h5py.File(path, "w") as file:
            file["events"] = table
    assert (open_recording(path).read() == EVENTS).all()


@pytest.mark.parametrize("kind", ["npz", "npy", "h5", "csv"])
@pytest.mark.parametrize(
    ("values", "named"),
    [([0, 1, 7], "0, 1, 7"), ([-1, 0, 1], "-1, 0, 1"), ([0, 255], "0, 255|-1, 0"), ([0, 1, 2], "0, 1, 2")],
)
def test_other_polarities_are_named(tmp_path: Path, kind: str, values: list[int], named: str) -> None:
    path = save(tmp_path, kind, columns_of(EVENTS, p=np.resize(values, 400)))
    with pytest.raises(UnknownFormatError, match=rf"the values ({named}) in the column of polarity; expected 0 and 1"):
        open_recording(path).read()


def test_words_that_are_no_polarity_are_named(tmp_path: Path) -> None:
    path = save(tmp_path, "npz", columns_of(EVENTS, p=np.resize(["ON", "maybe"], 400)))
    with pytest.raises(UnknownFormatError, match="the values ON, maybe in the column of polarity"):
        open_recording(path).read()


def test_ones_before_the_first_two_are_darker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy, "BLOCK_EVENTS", 100)
    monkeypatch.setattr(npz, "BLOCK_EVENTS", 100)
    events = EVENTS.copy()
    events["p"][:250] = False
    path = save(tmp_path, "npz", columns_of(events, p=np.where(events["p"], 2, 1)))
    assert (open_recording(path).read() == events).all()
    recording = open_recording(path)
    assert recording.summary.on_events == np.count_nonzero(events["p"])
    assert (np.concatenate(list(recording.chunks(70))) == events).all()


def test_a_bad_polarity_in_a_later_block_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy, "BLOCK_EVENTS", 100)
    monkeypatch.setattr(npz, "BLOCK_EVENTS", 100)
    polarity = ON.astype("u1")
    polarity[333] = 9
    path = save(tmp_path, "npz", columns_of(EVENTS, p=polarity))
    with pytest.raises(CorruptRecordingError, match="the values 0, 1, 9 in the column of polarity"):
        open_recording(path).read()
    with pytest.warns(RecordingWarning, match="kept the 300 events before it"):
        assert (open_recording(path, repair=True).read() == EVENTS[:300]).all()


SECONDS = 3.0
SLOW = event_files.make_events(3000, 240, 180, step_us=2)
SLOW["t"] = np.linspace(0, SECONDS * 1e6, 3000).astype(int)
UNITS = {
    "ns": (SLOW["t"] * 1000, 0),
    "floating ns": (SLOW["t"] * 1000.0, 0),
    "ms": (SLOW["t"] / 1000, 1),
    "s": (SLOW["t"] / 1e6, 1),
    "us": (SLOW["t"], 0),
    "floating us": (SLOW["t"] * 1.0, 0),
    "ns since 1970": (SLOW["t"] * 1000 + 1_700_000_000_000_000_000, 0),
    "s since 1970": (SLOW["t"] / 1e6 + 1_700_000_000, 1),
}


@pytest.mark.parametrize("kind", ["npz", "npy", "h5", "csv"])
@pytest.mark.parametrize("unit", ["ns", "floating ns", "ms", "s", "us", "floating us", "ns since 1970", "s since 1970"])
def test_units_are_guessed_and_said(tmp_path: Path, kind: str, unit: str) -> None:
    stored, tolerance_us = UNITS[unit]
    recording = open_recording(save(tmp_path, kind, columns_of(SLOW, t=stored)))
    is_odd = unit in ("ns", "floating ns", "ms")
    if is_odd:
        with pytest.warns(RecordingWarning, match=rf"read in {unit[-2:]}, a guess: in u?s it would last 3000 s at 1"):
            t = recording.read()["t"]
    else:
        t = recording.read()["t"]
    t = t - (1_700_000_000_000_000 if "1970" in unit else 0)
    assert np.abs(t - SLOW["t"]).max() <= tolerance_us
    name = unit.split()[-1] if "1970" not in unit else unit.split()[0]
    assert (recording.time_unit, recording.time_unit_from) == (name, "guessed" if is_odd else "format")


@pytest.mark.parametrize("kind", ["npz", "npy", "h5", "csv"])
@pytest.mark.parametrize(
    ("unit", "us_per_unit"), [("us", 1), ("ms", 1000), ("ns", 0.001), ("s", 1_000_000), ("100us", 100)]
)
def test_a_stated_unit_is_used_without_a_warning(tmp_path: Path, kind: str, unit: str, us_per_unit: float) -> None:
    stored = EVENTS["t"]
    path = save(tmp_path, kind, columns_of(EVENTS, t=stored))
    recording = open_recording(path, time_unit=unit)
    expected = stored // 1000 if unit == "ns" else stored * int(us_per_unit)
    assert (recording.read()["t"] == expected).all()
    assert (recording.time_unit, recording.time_unit_from) == (unit, "option")
    fractions = open_recording(save(tmp_path, kind, columns_of(EVENTS, t=stored / us_per_unit)), time_unit=unit)
    assert np.abs(fractions.read()["t"] - stored).max() <= 1


def test_the_whole_column_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block has whole numbers alone, as in microseconds; the times are seconds."""
    monkeypatch.setattr(npy, "BLOCK_EVENTS", 100)
    monkeypatch.setattr(npz, "BLOCK_EVENTS", 100)
    events = SLOW.copy()
    events["t"][:200] = np.repeat([0, 1_000_000], 100)
    events["t"][200:] = np.linspace(1_000_001, 3_000_000, 2800).astype(int)
    path = save(tmp_path, "npz", columns_of(events, t=events["t"] / 1e6))
    assert (open_recording(path).read()["t"] == events["t"]).all()
    recording = open_recording(path)
    assert (np.concatenate(list(recording.chunks(77)))["t"] == events["t"]).all()
    assert recording.time_unit == "s"


@pytest.mark.parametrize(
    ("span", "count", "match"),
    [(8000, 3000, "it lasts 0.008 s at 375,000"), (3_000_000_000, 300_000, "it lasts 3000 s at 100 ")],
)
def test_odd_microseconds_are_kept_and_said(tmp_path: Path, span: int, count: int, match: str) -> None:
    events = event_files.make_events(count, 20, 20)
    recording = open_recording(save(tmp_path, "npz", columns_of(events, t=np.linspace(0, span, count).astype("i8"))))
    with pytest.warns(RecordingWarning, match=match):
        assert recording.t_last_us == span
    assert recording.time_unit_from == "guessed"


@pytest.mark.parametrize(
    ("name", "us_per_unit"),
    [("timestamp_us", 1), ("t_ns", 0.001), ("time (ms)", 1000), ("Timestamp [s]", 1_000_000), ("t_us", 1)],
)
@pytest.mark.parametrize("kind", ["npz", "npy", "h5", "csv"])
def test_a_name_states_the_unit(tmp_path: Path, kind: str, name: str, us_per_unit: float) -> None:
    stored = np.rint(SLOW["t"] / us_per_unit).astype("i8")
    columns = {name: stored} | {key: np.ascontiguousarray(SLOW[key]) for key in "xyp"}
    if kind == "csv":
        columns["t"] = stored
        path = tmp_path / "a.csv"
        rows = zip(*(column.astype("i8").tolist() for column in list(columns.values())[:4]), strict=True)
        path.write_text(f"{name}, x [px], y [px], polarity\n" + "".join(f"{t}, {x}, {y}, {p}\n" for t, x, y, p in rows))
    elif kind == "npy":
        table = np.zeros(3000, [(key, column.dtype) for key, column in columns.items()])
        for key, column in columns.items():
            table[key] = column
        path = tmp_path / "a.npy"
        np.save(path, table)
    else:
        path = save(tmp_path, kind, columns)
    recording = open_recording(path)
    assert np.abs(recording.read()["t"] - SLOW["t"]).max() <= us_per_unit / 2
    assert recording.time_unit_from == "header"
    with pytest.warns(RecordingWarning, match=f"its header says {recording.time_unit}; its times are read in 100us"):
        assert open_recording(path, time_unit="100us").time_unit == "100us"


def test_our_npz_states_its_unit(tmp_path: Path) -> None:
    short = event_files.make_events(3000, 20, 20, step_us=3)
    write_recording(tmp_path / "a.h5", short, (20, 20))
    convert(open_recording(tmp_path / "a.h5"), tmp_path / "a.npz")
    recording = open_recording(tmp_path / "a.npz")
    assert (recording.read() == short).all()
    assert (recording.time_unit, recording.time_unit_from) == ("us", "header")


def test_hdf5_attributes_state_the_unit(tmp_path: Path) -> None:
    path = save(tmp_path, "h5", columns_of(SLOW, t=SLOW["t"] * 1000))
    with h5py.File(path, "a") as file:
        file["events/t"].attrs["units"] = "nanoseconds"
    recording = open_recording(path)
    assert (recording.read() == SLOW).all()
    assert (recording.time_unit, recording.time_unit_from) == ("ns", "header")


def test_other_formats_keep_their_microseconds(write) -> None:
    path = write("a.aedat", event_files.aedat2_dvs128(event_files.make_events(9, 128, 128)))
    with pytest.warns(RecordingWarning, match="its format counts microseconds, so the time unit ms is not used"):
        assert open_recording(path, time_unit="ms").time_unit == "us"
    with pytest.raises(RecordingError, match="time unit: got 'minutes'; expected us or ms or ns"):
        open_recording(path, time_unit="minutes")


@pytest.mark.parametrize("command", ["info", "show"])
def test_commands_take_the_unit(tmp_path: Path, run_cli, command: str) -> None:
    path = save(tmp_path, "npz", columns_of(SLOW, t=SLOW["t"] // 1000))
    code, out, err = run_cli(command, path, "--time-unit", "ms", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["duration_us"], facts["time_unit"], facts["time_unit_from"]) == (3_000_000, "ms", "option")


def test_frames_and_convert_take_the_unit(tmp_path: Path, run_cli) -> None:
    path = save(tmp_path, "npz", columns_of(SLOW, t=SLOW["t"] // 1000))
    code, out, _ = run_cli(
        "frames", path, "--time-unit", "ms", "--frame-us", "300000", "--out", tmp_path / "f.npy", "--json"
    )
    assert (code, json.loads(out)["shape"][0]) == (0, 11)
    assert run_cli("convert", path, tmp_path / "b.h5", "--time-unit", "ms")[0] == 0
    assert open_recording(tmp_path / "b.h5").t_last_us == 3_000_000


LINES = event_files.text(EVENTS, separator=",").decode()


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + LINES.encode(),
        b"\xef\xbb\xbft,x,y,p\r\n" + LINES.replace("\n", "\r\n").encode(),
        b'"t","x","y","p"\n' + LINES.encode(),
        b"# t, x, y, p\n" + LINES.encode(),
        b",t,x,y,p\n" + "".join(f"{row},{line}\n" for row, line in enumerate(LINES.splitlines())).encode(),
        b"t,x,y,p\n" + "".join(f"{row},{line}\n" for row, line in enumerate(LINES.splitlines())).encode(),
        "".join(f"{row},{line}\n" for row, line in enumerate(LINES.splitlines())).encode(),
        "".join(",".join(f'"{word}"' for word in line.split(",")) + "\n" for line in LINES.splitlines()).encode(),
        LINES.replace(",1\n", ",ON\n").replace(",0\n", ",OFF\n").encode(),
    ],
    ids=[
        "bom",
        "bom and header",
        "quoted names",
        "names in a comment",
        "pandas",
        "row names",
        "index",
        "quoted",
        "words",
    ],
)
def test_text_of_other_programs(write, data: bytes) -> None:
    assert (open_recording(write("a.csv", data)).read() == EVENTS).all()


@pytest.mark.parametrize(
    "header",
    ["%geometry:1280,720", "% geometry 1280x720", "# sensor_resolution: 1280 x 720", "# Sensor size = 1280, 720",
     "# width: 1280\n# height: 720", "\ufeff%geometry:1280,720\nt,x,y,p"],
)  # fmt: skip
def test_text_headers_give_the_size(write, header: str) -> None:
    recording = open_recording(write("a.csv", f"{header}\n{LINES}".encode()))
    assert (recording.sensor_size, recording.sensor_size_from) == ((1280, 720), "header")
    assert (recording.read() == EVENTS).all()


def test_words_in_small_blocks(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_BLOCK_BYTES", 100)
    data = LINES.replace(",1\n", ",true\n").replace(",0\n", ",false\n").encode()
    assert (open_recording(write("a.csv", data)).read() == EVENTS).all()


TABLE = np.stack([EVENTS[name] for name in "txyp"], axis=1).astype("i8")
STRUCTURED = np.zeros(400, [("t", "i8"), ("x", "u2"), ("y", "u2"), ("p", "u1")])
for _name in "txyp":
    STRUCTURED[_name] = EVENTS[_name]
SHAPES = {
    "[N]": STRUCTURED,
    "[N, 1]": STRUCTURED[:, None],
    "[1, N]": STRUCTURED[None],
    "[N, 1, 1]": STRUCTURED[:, None, None],
    "[N, 4]": TABLE,
    "[N, 4] in Fortran order": np.asfortranarray(TABLE),
    "[4, N]": np.ascontiguousarray(TABLE.T),
    "[4, N] in Fortran order": np.asfortranarray(TABLE.T),
    "[1, N, 4]": TABLE[None],
    "floats [4, N]": TABLE.T.astype(float),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["npy", "npz", "compressed", "labelled", "h5"])
def test_one_array_of_any_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, kind: str) -> None:
    monkeypatch.setattr(npy, "BLOCK_EVENTS", 150)
    monkeypatch.setattr(npz, "BLOCK_EVENTS", 150)
    array, path = SHAPES[shape], tmp_path / f"a.{kind if kind in ('npy', 'h5') else 'npz'}"
    if kind == "npy":
        np.save(path, array)
    elif kind == "npz":
        np.savez(path, events=array)
    elif kind == "compressed":
        np.savez_compressed(path, arr_0=array)
    elif kind == "labelled":
        np.savez(path, data=array, label=np.array(3), names=np.array(["walk"], dtype=object))
    elif array.ndim == 3:
        return
    else:
        with h5py.File(path, "w") as file:
            file["events"] = array
    assert (open_recording(path).read() == EVENTS).all()


@pytest.mark.parametrize("shape", [(400, 1), (1, 400), (400,)])
@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_column_vectors(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    columns = {name: column.reshape(shape) for name, column in columns_of(EVENTS).items()}
    assert (open_recording(save(tmp_path, kind, columns)).read() == EVENTS).all()


@pytest.mark.parametrize(
    "size",
    [{"sensor_size": np.array(value)} for value in ((400, 300), (400, 300, 2), (400.0, 300.0))]
    + [{"sensor_size": np.array((400, 300), "i4")}, {"sensor_size": np.array([[400], [300]], "u2")},
       {"width": np.array(400), "height": np.array(300.0)}],
)  # fmt: skip
def test_npz_sizes(tmp_path: Path, size: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "a.npz", **columns_of(EVENTS), **size)
    recording = open_recording(tmp_path / "a.npz")
    assert (recording.sensor_size, recording.sensor_size_from) == ((400, 300), "header")
    assert (recording.read() == EVENTS).all()


@pytest.mark.parametrize("names", ["t", "all"])
def test_pickles_are_refused_in_one_line(tmp_path: Path, run_cli, names: str) -> None:
    columns = columns_of(EVENTS)
    objects = {"t": columns["t"].astype(object)} if names == "t" else {"events": np.array([1, {}], dtype=object)}
    np.savez(tmp_path / "a.npz", **((columns | objects) if names == "t" else objects))
    code, _, err = run_cli("info", tmp_path / "a.npz")
    assert code == 2
    assert err.count("\n") == 1
    assert "got pickled Python objects, which are not read since they can run code; expected arrays of numbers" in err


@pytest.mark.parametrize("array", [np.array(5), np.zeros((4, 4, 2)), np.zeros((9, 5)), np.zeros(7)], ids=str)
def test_other_shapes_are_named(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(
        UnknownFormatError, match=r"of shape \[.*\]; expected a structured array of N events, or a table"
    ):
        open_recording(tmp_path / "a.npy")


def test_fractions_of_pixels_are_said(tmp_path: Path) -> None:
    path = save(tmp_path, "npz", columns_of(EVENTS, x=EVENTS["x"] + 0.25))
    with pytest.warns(RecordingWarning, match="400 values of x and y with fractions: rounded down"):
        assert (open_recording(path).read() == EVENTS).all()


@pytest.fixture
def two_cameras(tmp_path: Path) -> Path:
    left, right = EVENTS, event_files.make_events(70, 100, 90, seed=3)
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for side, events in (("left", left), ("right", right)):
            for name in "txyp":
                file[f"prophesee/{side}/{name}"] = events[name]
        file["prophesee/left/calib/resolution"] = np.array([1280, 720])
        file["prophesee/right/calib/resolution"] = np.array([640, 480])
    return tmp_path / "two.h5"


def test_streams_of_hdf5_are_chosen_by_number(two_cameras: Path, run_cli) -> None:
    left, right = open_recording(two_cameras, stream=0), open_recording(two_cameras, stream=1)
    assert (left.read() == EVENTS).all()
    assert (right.read() == event_files.make_events(70, 100, 90, seed=3)).all()
    assert (left.sensor_size, right.sensor_size) == ((1280, 720), (640, 480))
    code, out, err = run_cli("info", two_cameras, "--stream", "1", "--json")
    assert (code, err, json.loads(out)["events"]) == (0, "", 70)
    with pytest.raises(RecordingError, match="the stream 2; expected one of 0: prophesee/left, 1: prophesee/right"):
        open_recording(two_cameras, stream=2)


@pytest.mark.parametrize(("stored", "is_said"), [([640, 480], False), ([480, 640], True)])
@pytest.mark.parametrize("at", ["/", "events"])
def test_sensor_resolution_of_hdf5(tmp_path: Path, stored: list[int], is_said: bool, at: str) -> None:
    path = save(tmp_path, "h5", columns_of(EVENTS))
    with h5py.File(path, "a") as file:
        file[at].attrs["sensor_resolution"] = stored
    if is_said:
        with pytest.warns(RecordingWarning, match="its sensor_resolution 480, 640 is read as height, width"):
            recording = open_recording(path)
    else:
        recording = open_recording(path)
    assert recording.sensor_size == (640, 480)


def with_events_off(kind: str, random: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of `EVENTS` of which some have coordinates that no sensor or not this one has; the mask of the others."""
    x, y = EVENTS["x"].astype("f8" if kind == "floats" else "i8"), EVENTS["y"].astype("i8")
    bad = random.random(len(EVENTS)) < 0.2
    x[bad] = random.choice([-1, -300, 70_000, 1 << 40, 400], np.count_nonzero(bad))
    swaps = bad & (random.random(len(EVENTS)) < 0.5)
    x[swaps], y[swaps] = 5, random.choice([-1, 65_536, 300], np.count_nonzero(swaps))
    return columns_of(EVENTS, x=x, y=y), ~bad


@pytest.mark.parametrize("kind", ["npz", "npy", "h5", "csv", "floats"])
@pytest.mark.parametrize("block", [7, 100, 10_000])
@pytest.mark.parametrize("seed", range(3))
def test_events_off_the_sensor_are_skipped_and_counted(
    tmp_path: Path, kind: str, block: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (npy, npz, hdf5_layouts):
        monkeypatch.setattr(module, "BLOCK_EVENTS", block)
    monkeypatch.setattr(text, "_BLOCK_BYTES", 20 * block)
    columns, good = with_events_off(kind, np.random.default_rng(seed))
    path = save(tmp_path, "npz" if kind == "floats" else kind, columns)
    first = int(np.argmin(good))
    where = f"event {first} at x={columns['x'][first]:.15g}, y={columns['y'][first]}"
    recording = open_recording(path, sensor_size=(346, 260))
    skipped = np.count_nonzero(~good)
    with pytest.warns(
        RecordingWarning, match=rf"{skipped} events .* outside the 346x260 sensor: skipped; first {where}"
    ):
        events = recording.read()
    assert (events == EVENTS[good]).all()
    assert (recording.summary.events, recording.summary.outside) == (len(events), skipped)
    assert (np.concatenate(list(recording.chunks(33))) == events).all()
    strict = open_recording(path, sensor_size=(346, 260), strict=True, repair=True)
    with pytest.warns(RecordingWarning, match=rf"{where}, in the block from .*: kept the {first} events before it"):
        assert (strict.read() == EVENTS[:first]).all()


def test_a_table_without_names_may_begin_off_the_sensor(tmp_path: Path) -> None:
    table = np.stack([EVENTS[name] for name in "txyp"], axis=1).astype("i8")
    table[:20, 1] = -1
    np.save(tmp_path / "a.npy", table)
    with pytest.warns(
        RecordingWarning, match=r"20 events \(0.05 of all\) outside every sensor: .* event 0 at x=-1, y=0"
    ):
        assert (open_recording(tmp_path / "a.npy").read() == EVENTS[20:]).all()


def test_a_table_mostly_off_every_sensor_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, "npz", columns_of(EVENTS, x=np.where(np.arange(400) < 300, -5, 5)))
    with pytest.raises(CorruptRecordingError, match=r"and 299 more events outside .* expected pixels from 0 to 65535"):
        open_recording(path).read()


ASKED = "x,y,-,p,t"


def odd_columns() -> dict[str, np.ndarray]:
    """Columns whose names and values say something else than what they hold."""
    columns = columns_of(EVENTS)
    return {"a": columns["x"], "t": columns["y"], "weight": np.full(400, 0.5), "x": columns["p"], "z": columns["t"]}


def save_odd(folder: Path, kind: str) -> Path:
    table = np.stack(list(odd_columns().values()), axis=1).astype("f8")
    path = folder / f"a.{kind.split()[0]}"
    if kind == "txt without names":
        np.savetxt(path, table, fmt="%g")
    elif kind == "npz table":
        np.savez(path, events=table[:, [0, 1, 3, 4]])
    elif kind == "npy table":
        np.save(path, table[:, [0, 1, 3, 4]])
    elif kind == "h5 table":
        with h5py.File(path, "w") as file:
            file["recorded"] = table
    elif kind == "h5 records":
        with h5py.File(path, "w") as file:
            file["recorded"] = np.rec.fromarrays(table.T, names=list(odd_columns()))
    else:
        save(folder, kind, odd_columns())
    return path


TABLES = [
    "npz", "npz table", "npy", "npy table", "csv", "txt without names", "h5", "h5 table", "h5 records",
]  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_columns_as_asked(tmp_path: Path, kind: str) -> None:
    asked = ASKED.replace("-,", "") if kind in ("npz table", "npy table") else ASKED
    if kind == "h5":  # datasets of a group are in the order of their names: a, t, weight, x, z
        assert sorted(odd_columns()) == list(odd_columns())
    path = save_odd(tmp_path, kind)
    recording = open_recording(path, columns=asked)
    assert (recording.read() == EVENTS).all()
    with pytest.raises(UnknownFormatError, match=r"--columns t,x,y,p,-,-; expected a table of 6|HDF5 file with"):
        open_recording(path, columns="t,x,y,p,-,-")


@pytest.mark.parametrize("asked", ["t,x,y", "t,x,y,y", "t,x,y,p,p", "t,x,y,q", "", "t x y p", "-,-,-,-"])
def test_wrong_columns_are_an_error(tmp_path: Path, asked: str, run_cli) -> None:
    path = save(tmp_path, "csv", columns_of(EVENTS))
    with pytest.raises(RecordingError, match=r"got '.*'; expected t, x, y and p once each, and - for others"):
        open_recording(path, columns=asked)
    code, _, err = run_cli("info", path, "--columns", asked)
    assert (code, err.count("\n")) == (2, 1)
    assert "--columns" in err


def test_columns_of_what_is_no_table(write) -> None:
    path = write("a.aedat", event_files.aedat2_dvs128(event_files.make_events(9, 128, 128)))
    with pytest.raises(RecordingError, match=r"format aedat2; expected a table, which is hdf5 or npy or npz or text"):
        open_recording(path, columns="t,x,y,p")


@pytest.mark.parametrize("command", ["info", "show", "frames", "convert"])
def test_commands_take_the_columns(tmp_path: Path, run_cli, command: str) -> None:
    path = save_odd(tmp_path, "csv")
    more = {"frames": ["--frame-us", "1000", "--out", tmp_path / "f.npy"], "convert": [tmp_path / "b.h5"]}
    code, out, err = run_cli(command, path, *more.get(command, []), "--columns", ASKED, "--json")
    assert (code, err.strip()) == (0, "")
    assert json.loads(out).get("events", len(EVENTS)) == len(EVENTS)
    if command == "convert":
        assert (open_recording(tmp_path / "b.h5").read() == EVENTS).all()
