"""Text gives the same events, warnings and errors with the compiled parser and without it."""

import io
import warnings
from pathlib import Path
from typing import Any

import event_files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stdl_events.compiled import Loading
from stdl_events.errors import RecordingError
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.events.formats import text
from stdl_events.events.formats.text_numbers import Columns, LineParser
from stdl_events.events.time_units import TIME_UNITS

pytest.importorskip("numba", reason="numba is not installed: it compiles the parser of text")

from stdl_events.events.formats import text_digits, text_loop

BAD_LINES = (
    b"oops", b"1 2 3", b"1,2,3,4,5", b"1,2,,1", b"1;2;3;1", b"0x1F,2,3,1", b"1,2-3,4,1", b"1.5.2,2,3,1", b"1,2,3,1,",
    b"1e,2,3,1", b"nan,2,3,1", b"1,2,3,9", b"99999999999999999999,1,1,1", b"1,2,3,1\r4,5,6,1", b"\xef\xbb\xbf1,2,3,1",
    b"1,2,3", b"inf,1,1,0", b"1_0,1,1,0", b"\xa05,1,1,0", b'"5","1","1","0"', b"--5,1,1,0", b"7,True,1,0", b"1,1,1,\0",
    b"1e18446744073709551617,1,1,1",
)  # fmt: skip
# Good lines in other spellings than those around them.
ODD_LINES = (
    b"+7,1,1,1",
    b"7.0,1,1,1",
    b"7,1.0,1,1",
    b" 7, 1 ,1,1 ",
    b"007,1,1,1",
    b"7e0,1,1,1",
    b".7e1,1,1,+1",
    b"7.,1,1,1",
)


def written(events: np.ndarray, draw: st.DrawFn) -> bytes:
    """The lines of a table of `events`, in a style that `draw` chooses."""
    separator = draw(st.sampled_from([",", " ", "\t", ";", ", ", "   "]))
    times = draw(st.sampled_from(["{t}", "{s:.6f}", "{s:.9f}", "{s:.12e}"]))
    words = draw(st.sampled_from([("0", "1"), ("-1", "1"), ("1", "2"), ("0.0", "1.0"), ("OFF", "ON"), ("-1", "+1")]))
    pixel = draw(st.sampled_from(["{}", "{}.0", "{:>4}"] if separator != "\t" else ["{}"]))
    lines = [
        separator.join([times.format(t=t, s=t / 1e6), pixel.format(x), pixel.format(y), words[p]]).encode()
        for t, x, y, p in events.tolist()
    ]
    extra = draw(st.lists(st.sampled_from([b"", b"# a comment", b"% a,b c", *BAD_LINES, *ODD_LINES]), max_size=2))
    for line in extra:
        line = line.replace(b",", separator.encode())
        lines.insert(draw(st.integers(0, len(lines))), line)
    head = draw(st.sampled_from([b"", b"t,x,y,p", b"# t, x, y, p", b"%geometry:64,48", b"64 48"]))
    lines = ([head.replace(b",", separator.encode()) if head.startswith(b"t") else head] if head else []) + lines
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    data = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + end.join(lines)
    return data + (end if draw(st.booleans()) else b"")


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    events = event_files.make_events(draw(st.integers(1, 60)), 64, 48, seed=draw(st.integers(0, 99)))
    if draw(st.integers(0, 3)) == 0:
        events["t"][: len(events) // 2] *= -1
    return written(events, draw)


def outcome(path: Path, *, fast: bool, **options: Any) -> list[object]:
    """Events, warnings and error of a file, read whole and in chunks, with the compiled parser or without it."""
    found: list[object] = []
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as said:
        patch.setattr(Loading, "pays", lambda loading, file_bytes: fast)
        warnings.simplefilter("always")
        try:
            recording = open_recording(path, **options)
            found.append(recording.read().tolist())
            found.append([event for chunk in recording.chunks(7) for event in chunk.tolist()])
            found.append((recording.sensor_size, recording.time_unit, recording.time_unit_from))
        except RecordingError as error:
            found.append((type(error), str(error)))
    assert all(issubclass(each.category, RecordingWarning) for each in said), [str(each.message) for each in said]
    return [*found, [str(each.message) for each in said]]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=tables(), block_bytes=st.sampled_from([40, 200, 1 << 22]), repair=st.booleans())
def test_both_parsers_agree_on_random_tables(tmp_path: Path, data: bytes, block_bytes: int, repair: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_BLOCK_BYTES", block_bytes)
        assert outcome(path, fast=True, repair=repair) == outcome(path, fast=False, repair=repair)


@pytest.mark.parametrize("unit", TIME_UNITS)
@pytest.mark.parametrize("time", ["{}", "{}.0006257", "-{}"])
def test_both_ways_of_columns_to_events_agree(write, unit: str, time: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_BLOCK_BYTES", 60)  # an odd value sends its block alone the slow way
    odd = ("70000 1 1", "1 -1 0", f"1 {2**40} 0")
    pixels = [f"{index} {index % 7} {index % 2}" if index % 40 else odd[index // 40] for index in range(100)]
    lines = [f"{time.format(2000 * index)} {rest}\n" for index, rest in enumerate(pixels)]
    path = write("a.txt", "".join([*lines, f"{2**53} 1 1 1\n", f"{2**62} 1 1 1\n"]).encode())
    events, chunks, *said = outcome(
        path, fast=True, time_unit=unit, columns="t,x,y,p", sensor_size=(200, 20), repair=True
    )
    assert [events, chunks, *said] == outcome(
        path, fast=False, time_unit=unit, columns="t,x,y,p", sensor_size=(200, 20), repair=True
    )
    assert len(events) > 90


@pytest.mark.parametrize("line", [*BAD_LINES, *ODD_LINES], ids=repr)
@pytest.mark.parametrize("at", [0, 1, 200, 399, 400])
@pytest.mark.parametrize("separator", [b",", b" "])
def test_both_parsers_name_the_same_line(write, line: bytes, at: int, separator: bytes) -> None:
    events = event_files.make_events(400, 64, 48)
    lines = event_files.text(events, separator=",").splitlines(keepends=True)
    lines.insert(at, line + b"\n")
    path = write("a.csv", b"t,x,y,p\n" + b"".join(lines).replace(b",", separator))
    assert outcome(path, fast=True) == outcome(path, fast=False)
    assert outcome(path, fast=True, repair=True) == outcome(path, fast=False, repair=True)


@pytest.mark.parametrize(
    "lines",
    [
        lambda t, x, y, p: f"{t} {x} {y} {int(p)}",
        lambda t, x, y, p: f"{t / 1e6:.6f} {x} {y} {int(p)}",
        lambda t, x, y, p: f"{t / 1e6:.12e}, {x}.0, {y}, {2 * p - 1:+}",
        lambda t, x, y, p: f"   {t / 1e6:12.6f}   {x:4d}   {y:4d}  {int(p)}",
    ],
    ids=["whole", "seconds", "scientific", "aligned"],
)
def test_both_parsers_read_what_was_written(write, lines, loops, monkeypatch: pytest.MonkeyPatch) -> None:
    slow: list[bytes] = []
    parse = LineParser._parse_with_numpy
    monkeypatch.setattr(LineParser, "_parse_with_numpy", lambda parser, data: slow.append(data) or parse(parser, data))
    events = event_files.make_events(5000, 640, 480)
    path = write("a.txt", "".join(lines(*event) + "\n" for event in events.tolist()).encode())
    assert (open_recording(path, sensor_size=(640, 480)).read() == events).all()
    assert (not slow) == (loops == "compiled")


NUMBERS = st.one_of(
    st.integers(-(10**19), 10**19).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=6).map(str),
    st.integers(0, 10**17).map(lambda number: f"{number // 10**9}.{number % 10**9:09}"),
    st.text("0123456789+-.eE ", max_size=8),
)


@settings(max_examples=400)
@given(
    lines=st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=1, max_size=4),
    delimiter=st.sampled_from([",", None]),
    end=st.sampled_from(["\n", "\r\n", "\n\n", " \n", "\r", ""]),
    is_whole=st.lists(st.booleans(), min_size=2, max_size=2),
    parse=st.sampled_from([text_loop.parse_lines, text_digits.parse_lines]),
)
def test_what_the_fast_parsers_take_numpy_reads_the_same(lines, delimiter, end, is_whole, parse) -> None:
    data = end.join((delimiter or " ").join(line) for line in lines).encode() + end.encode()
    found = parse(data, delimiter, is_whole)
    if found is None:
        return
    kinds = np.dtype([(f"f{column}", "i8" if whole else "f8") for column, whole in enumerate(is_whole)])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "loadtxt: input contained no data", UserWarning)
        expected = np.loadtxt(io.BytesIO(data), kinds, comments=None, delimiter=delimiter, ndmin=1)
    for column, name in zip(found, expected.dtype.names, strict=True):
        assert column.dtype == expected[name].dtype
        assert column.tobytes() == expected[name].tobytes()


@pytest.mark.parametrize("parse", [text_loop.parse_lines, text_digits.parse_lines])
def test_a_number_that_the_fast_parsers_take_is_the_nearest_float64(parse) -> None:
    digits = np.random.default_rng(0).integers(2**52, 10**17, 500).tolist()
    texts = [f"{number // 10**9}.{number % 10**9:09}" for number in digits]
    found = {text: parse(f"{text}\n".encode(), None, [False]) for text in texts}
    taken = {text: columns[0][0] for text, columns in found.items() if columns is not None}
    assert taken == {text: float(text) for text in taken}
    assert 0 < len(taken) < len(texts)


def test_a_bad_line_at_the_end_of_many_is_found_in_few_calls(write, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    parse = LineParser.parse

    def counted(parser: LineParser, data: bytes) -> Columns:
        parsed.append(len(data))
        return parse(parser, data)

    monkeypatch.setattr(LineParser, "parse", counted)
    data = event_files.text(event_files.make_events(4000, 64, 48)) + b"1 2 oops\n"
    path = write("a.csv", data)
    with pytest.raises(RecordingError, match=r"line b'1 2 oops\\n', number 4001, at byte \d+; expected 4 numbers"):
        open_recording(path).read()
    assert len(parsed) < 20
    assert sum(parsed) < 4 * len(data)
