"""EVT 2, EVT 3 and DAT against literal loops over their words."""

from pathlib import Path

import event_files
import literal_decoders
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stdl_events.errors import CorruptRecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.events.formats.evt import make_evt2, make_evt21, open_evt3
from stdl_events.events.formats.evt3 import evt3_decoder
from stdl_events.events.formats.prophesee import read_header


def in_blocks(decode, words: np.ndarray, cuts: list[int]) -> list[tuple[int, int, int, bool]]:
    return [event for part in np.split(words, sorted(cuts)) for event in decode(part).tolist()]


@pytest.mark.parametrize(
    ("name", "format", "size", "span_us"),
    [
        ("formats/evt2/evt2_sample.raw", "evt2", (640, 480), 50_000),
        ("formats/evt3/evt3_sample.raw", "evt3", (1280, 720), 8_801),
    ],
)
def test_real_raw_files_equal_a_literal_decode(recordings_dir: Path, loops, name, format, size, span_us) -> None:
    path = recordings_dir / name
    recording = open_recording(path)
    events = recording.read()
    word_type, literal = (np.uint32, literal_decoders.evt2) if format == "evt2" else (np.uint16, literal_decoders.evt3)
    words = np.frombuffer(path.read_bytes()[read_header(path).data_offset :], word_type)
    assert events.tolist() == literal(words.tolist())
    assert (recording.format, recording.sensor_size, recording.sensor_size_from) == (format, size, "header")
    assert events["t"][-1] - events["t"][0] == span_us


def evt2_word(kind: int, rest: int) -> int:
    return kind << 28 | rest & 0xFFFFFFF


@settings(max_examples=150)
@given(
    words=st.lists(
        st.builds(
            evt2_word,
            st.sampled_from([0, 1, 8, 8, 10, 14, 3]),
            st.one_of(st.integers(0, 200), st.integers(2**28 - 200, 2**28 - 1), st.integers(0, 2**28 - 1)),
        ),
        max_size=40,
    ),
    cuts=st.lists(st.integers(0, 40), max_size=4),
)
def test_evt2_words_in_any_blocks(words: list[int], cuts: list[int]) -> None:
    expected = literal_decoders.evt2(words)
    assert in_blocks(make_evt2(), np.array(words, np.uint32), [min(cut, len(words)) for cut in cuts]) == expected


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(
        st.builds(
            lambda kind, value: kind << 12 | value,
            st.sampled_from([0, 2, 2, 3, 4, 4, 5, 6, 6, 8, 8, 7, 10, 14, 15]),
            st.one_of(st.integers(0, 20), st.integers(0, 4095), st.integers(4075, 4095)),
        ),
        max_size=60,
    ),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_evt3_words_in_any_blocks(loops, words: list[int], cuts: list[int]) -> None:
    expected = literal_decoders.evt3(words)
    assert in_blocks(evt3_decoder(0), np.array(words, np.uint16), [min(cut, len(words)) for cut in cuts]) == expected


def test_high_time_wraps_and_low_time_does_not(loops) -> None:
    words = [
        8 << 12 | 4095,
        6 << 12 | 4000,
        7,
        2 << 12 | 5,
        6 << 12 | 3990,
        2 << 12 | 5,
        8 << 12,
        6 << 12 | 1,
        2 << 12 | 5,
    ]
    last_us = 4095 * 4096
    times = evt3_decoder(0)(np.array(words, np.uint16))["t"].tolist()
    assert times == [last_us + 4000, last_us + 3990, 4096 * 4096 + 1]


def test_raw_files_decode_what_was_written(write) -> None:
    events = event_files.make_events(500, 640, 480, t0_us=2**24 - 5000)
    for name in ("evt2", "evt3"):
        data = getattr(event_files, name)(events)
        recording = open_recording(write(f"{name}.raw", data))
        assert recording.format == name
        assert recording.sensor_size == (640, 480)
        # EVT 3 stores 24 bits of time: the file starts just before they wrap, at the same time modulo the wrap.
        assert (recording.read() == events).all()


@pytest.mark.parametrize("version", [1, 2, None])
def test_dat_decodes_what_was_written(write, version: int | None) -> None:
    events = event_files.make_events(500, 300, 240, t0_us=2**32 - 3000)
    recording = open_recording(write("a.dat", event_files.dat(events, version=version)))
    assert (recording.read() == events).all()
    assert recording.sensor_size_from == ("header" if version else "inferred")


def test_real_dat_files_equal_a_literal_decode(recordings_dir: Path) -> None:
    path = recordings_dir / "formats" / "dat_v2" / "ncars_tonic.dat"
    data = path.read_bytes()[read_header(path).data_offset + 2 :]
    assert open_recording(path).read().tolist() == literal_decoders.dat(data, 2)
    path = recordings_dir / "poker_dvs" / "dat_v1" / "he" / "he_20_td.dat"
    path = path if path.exists() else next((recordings_dir / "poker_dvs" / "dat_v1" / "he").iterdir())
    assert open_recording(path).read().tolist() == literal_decoders.dat(path.read_bytes(), 1)


def test_poker_twins_agree_event_for_event(recordings_dir: Path) -> None:
    """The DAT files hold the AEDAT files' raw addresses, cropped, and times from 0: the same events, flipped."""
    aedat_files = sorted((recordings_dir / "poker_dvs" / "aedat2").glob("*/*.aedat"))
    assert len(aedat_files) == 100
    for path in aedat_files:
        twin_path = recordings_dir / "poker_dvs" / "dat_v1" / path.parent.name / f"{path.stem}_td.dat"
        events, twin = open_recording(path).read(), open_recording(twin_path).read()
        assert (events["t"] - events["t"][0] == twin["t"]).all()
        assert (127 - events["x"] == twin["x"]).all()
        assert (127 - events["y"] == twin["y"]).all()
        assert (events["p"] == twin["p"]).all()


def test_words_cut_off_name_the_byte(write) -> None:
    data = event_files.evt2(event_files.make_events(10, 64, 64))
    with pytest.raises(
        TruncatedRecordingError, match=f"2 of 4 bytes of a record, which starts at byte {len(data) - 4}"
    ):
        open_recording(write("a.raw", data[:-2])).read()


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"% evt 4.0\n", r"a RAW file of EVT 4.0; expected EVT 2.0, 2.1 or 3.0"),
        (b"% Date 2018-01-01 00:00:00\n", "a RAW file of EVT without a version"),
    ],
)
def test_other_raw_files_are_named(write, header: bytes, text: str) -> None:
    with pytest.raises(UnknownFormatError, match=text):
        open_recording(write("a.raw", header + bytes(8)))


def test_raw_file_without_version_opens_by_name(write) -> None:
    events = event_files.make_events(10, 64, 64)
    data = event_files.evt2(events).replace(b"% evt 2.0\n", b"% Date 2018\n")
    assert (open_recording(write("a.raw", data), format="evt2").read() == events).all()


def test_named_encoding_must_not_contradict_the_header(write) -> None:
    path = write("a.raw", event_files.evt2(event_files.make_events(10, 64, 64)))
    with pytest.raises(UnknownFormatError, match=r"the encoding EVT 2\.0; expected EVT 3\.0"):
        open_recording(path, format="evt3")


def test_big_endian_is_refused(write) -> None:
    with pytest.raises(CorruptRecordingError, match="the byte order 'big'"):
        open_recording(write("a.raw", b"% endianness big\n% evt 3.0\n" + bytes(8)))


def test_dat_of_triggers_is_refused(write) -> None:
    data = event_files.dat(event_files.make_events(3, 9, 9)).replace(b"\x0c\x08", b"\x0e\x08")
    with pytest.raises(UnknownFormatError, match="events of type 14; expected change events"):
        open_recording(write("a.dat", data))


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        (b"% geometry 320x240\n", (320, 240)),
        (b"% format EVT3;height=720;width=1280\n", (1280, 720)),
        (b"% plugin_name hal_plugin_imx636_evk4\n", (1280, 720)),
        (b"% plugin_name hal_plugin_gen31_evk2\n", (640, 480)),
        (b"% plugin_name something\n", None),
    ],
)
def test_sensor_size_of_raw_headers(write, lines: bytes, size) -> None:
    path = write("a.raw", b"% evt 3.0\n" + lines + bytes(8))
    assert read_header(path).sensor_size(path) == size


def test_vectors_beyond_every_sensor_do_not_wrap_round(write, loops) -> None:
    words = [8 << 12, 6 << 12 | 1, 7, 2 << 12 | 9, 3 << 12 | 5, *[4 << 12] * 5462, 4 << 12 | 3, 2 << 12 | 8]
    data = b"% evt 3.0\n% geometry 640x480\n" + np.array(words, "<u2").tobytes()
    with pytest.warns(RecordingWarning, match="2 events .* outside the 640x480 sensor: skipped"):
        assert open_recording(write("a.raw", data)).read().tolist() == [(1, 9, 7, False), (1, 8, 7, False)]


@pytest.mark.parametrize("seed", range(2))
def test_long_random_evt3_equals_a_literal_decode(write, loops, seed: int) -> None:
    """Words as a busy sensor sends them, over several blocks of the reader."""
    random = np.random.default_rng(seed)
    kinds = random.choice([0, 2, 3, 4, 4, 5, 6, 8, 10], 200_000, p=[0.2, 0.4, 0.1, 0.05, 0.05, 0.1, 0.08, 0.01, 0.01])
    values = random.integers(0, 4096, len(kinds))
    steps = [0, 0, 1] if seed == 0 else [0, 1, -1, 2047, 2048, 2049]  # half the range is where a wrap begins
    values[kinds == 8] = np.cumsum(random.choice(steps, np.count_nonzero(kinds == 8))) % 4096
    words = (kinds << 12 | values).astype("<u2")
    path = write("a.raw", b"% evt 3.0\n% geometry 2048x2048\n" + words.tobytes())
    expected = [event for event in literal_decoders.evt3(words.tolist()) if event[1] < 2048]
    found = np.concatenate([block.events for block in open_evt3(path).blocks()])
    assert found[found["x"] < 2048].tolist() == expected


def runs_of_pixels(count: int) -> np.ndarray:
    """Events of which many have equal time, row and polarity, from left to right."""
    events = event_files.make_events(count, 640, 480, t0_us=2**34 - 3000)
    for start in range(0, count - 5, 9):
        run = slice(start, start + 5)
        for name in "typ":
            events[name][run] = events[name][start]
        events["x"][run] = min(int(events["x"][start]), 600) + np.array([0, 1, 4, 20, 31])
    return events


@pytest.mark.parametrize("order", ["little", "legacy", None])
def test_evt21_decodes_what_was_written(write, order: str | None) -> None:
    events = runs_of_pixels(2000)
    path = write("a.raw", event_files.evt21(events, order=order))
    recording = open_recording(path)
    assert (recording.format, recording.sensor_size) == ("evt21", (640, 480))
    assert (recording.read() == events).all()


def test_evt21_in_halves_without_a_word_on_it(write) -> None:
    events = runs_of_pixels(2000)
    data = event_files.evt21(events, order="legacy")
    path = write("a.raw", data.replace(b"% format EVT21;endianness=legacy;height=480;width=640\n", b""))
    assert (open_recording(path).read() == events).all()
    said = data.replace(b"% format EVT21;endianness=legacy;height=480;width=640\n", b"% endianness legacy\n")
    assert (open_recording(write("b.raw", said)).read() == events).all()


def test_evt21_words_of_no_order_are_an_error(write) -> None:
    data = b"% evt 2.1\n% end\n" + np.full(20, 5 << 60 | 5 << 28, "<u8").tobytes()
    with pytest.raises(CorruptRecordingError, match="unknown types in both orders"):
        open_recording(write("a.raw", data))
    with pytest.raises(CorruptRecordingError, match="the byte order 'big' at byte 0; expected little or legacy"):
        open_recording(write("b.raw", data.replace(b"% end", b"% endianness big\n% end")))


@settings(max_examples=150)
@given(
    words=st.lists(
        st.builds(
            lambda kind, head, valid: (kind << 28 | head) << 32 | valid,
            st.sampled_from([0, 1, 1, 8, 8, 10, 14, 3, 15]),
            st.one_of(st.integers(0, 200), st.integers(2**28 - 200, 2**28 - 1), st.integers(0, 2**28 - 1)),
            st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)),
        ),
        max_size=40,
    ),
    cuts=st.lists(st.integers(0, 40), max_size=4),
)
def test_evt21_words_in_any_blocks(words: list[int], cuts: list[int]) -> None:
    stored = np.array(words, "<u8").view([("valid", "<u4"), ("head", "<u4")])
    assert in_blocks(make_evt21(), stored, [min(cut, len(words)) for cut in cuts]) == literal_decoders.evt21(words)
