"""A file that is still written as a live source: every cut of its bytes gives the events of the whole file."""

import gzip
import itertools
import json
import os
import signal
import threading

import event_files
import numpy as np
import pytest
from collectors import LosslessCollector
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import CorruptRecordingError, RecordingError, SourceLostError, TruncatedRecordingError
from stdl_events.events import FORMATS, RecordingWarning, open_recording, open_source
from stdl_events.events.sources.beginning import Waiting
from stdl_events.events.sources.follow import open_followed
from stdl_events.live import OnnxSession, Recogniser, run_live

SIZE = (34, 30)
SIDES = {"width": SIZE[0], "height": SIZE[1]}
TEXT_HEADER = "# sensor_size 34x30\n# time_unit us\nt,x,y,p"


def aedat4(events, table=True):
    parts = [(0, *SIZE, np.array_split(events, 9)), (1, 8, 8, [b"\4\0\0\0IMUS"] * 5)]
    return event_files.aedat4(parts, identifiers=["EVTS", "IMUS"], table=table)


WRITTEN = {
    "aedat1": (".aedat", event_files.aedat1),
    "aedat2": (".aedat", event_files.aedat2_davis),
    "aedat3": (".aedat", lambda events: event_files.aedat3(events, packet_events=30)),
    "aedat4": (".aedat4", lambda events: aedat4(events, table=False)),
    "evt2": (".raw", lambda events: event_files.evt2(events, **SIDES)),
    "evt21": (".raw", lambda events: event_files.evt21(events, order=None, **SIDES)),
    "evt3": (".raw", lambda events: event_files.evt3(events, **SIDES)),
    "dat": (".dat", lambda events: event_files.dat(events, width=None)),
    "nmnist": (".bin", event_files.atis_bin),
    "ncaltech": (".bin", event_files.atis_bin),
    "text": (".csv", lambda events: event_files.text(events, separator=",", header=TEXT_HEADER)),
}


def make_events(count=700, seed=3):
    return event_files.make_events(count, *SIZE, seed=seed, t0_us=5000, step_us=900)


class Writer:
    """Appends the next piece of `data` whenever the source waits; then its clock runs until the source gives up."""

    def __init__(self, path, data, seed=0, first=0, at_end=lambda: None):
        cuts = np.sort(np.random.default_rng(seed).integers(first, len(data), 12))
        self.pieces = [piece for piece in np.split(np.frombuffer(data, np.uint8), cuts) if len(piece)]
        self.path, self.now_s, self.at_end = path, 0.0, at_end
        path.write_bytes(b"")

    def sleep(self, seconds):
        if self.pieces:
            with self.path.open("ab") as file:
                file.write(self.pieces.pop(0).tobytes())
        else:
            self.at_end()
            self.now_s += 1

    @property
    def waiting(self):
        return Waiting(idle_s=2.0, clock_s=lambda: self.now_s, sleep_s=self.sleep)


def follow(writer, **options):
    source = open_followed(writer.path, writer.waiting, **options)
    return source, np.concatenate(list(source.chunks()))


def test_the_formats_here_are_those_that_can_be_followed():
    assert set(WRITTEN) == {name for name, format in FORMATS.items() if format.follow is not None}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("seed", range(3))
def test_events_that_are_appended_in_pieces_are_those_of_the_whole_file(tmp_path, name, seed):
    suffix, write = WRITTEN[name]
    data = write(make_events())
    (tmp_path / f"whole{suffix}").write_bytes(data)
    options = {"format": name} if suffix == ".bin" else {}
    # Half of the runs cut the header too.
    writer = Writer(tmp_path / f"now{suffix}", data, seed, first=0 if seed else len(data) // 3)
    source, events = follow(writer, default_sensor_size=(40, 40), **options)
    whole = open_recording(tmp_path / f"whole{suffix}", **options)
    np.testing.assert_array_equal(events, whole.read())
    assert len(events) == 700
    assert source.sensor_size == ((40, 40) if whole.sensor_size_from == "inferred" else whole.sensor_size)


def test_every_cut_of_a_header_waits_for_its_rest(tmp_path):
    for name in ("aedat2", "aedat4", "evt3", "text"):
        suffix, write = WRITTEN[name]
        data = write(make_events(40))
        for cut in range(1, 160, 8):
            writer = Writer(tmp_path / f"now{suffix}", data)
            writer.pieces = [np.frombuffer(part, np.uint8) for part in (data[:cut], data[cut:])]
            assert len(follow(writer)[1]) == 40, (name, cut)


def test_the_table_of_a_closed_aedat4_file_is_not_read_as_packets(tmp_path):
    open_file, closed = aedat4(make_events(), table=False), aedat4(make_events(), table=True)
    path = tmp_path / "r.aedat4"
    data = open_file + closed[len(open_file) :]

    def close():  # the header of a file is written again when it is closed
        with path.open("r+b") as file:
            file.write(closed[:200])

    assert len(follow(Writer(path, data, at_end=close))[1]) == 700
    with pytest.raises(TruncatedRecordingError, match="bytes of an event or packet"):
        follow(Writer(path, data))


def test_predictions_of_a_file_that_a_thread_writes_are_those_of_the_whole_file(tmp_path):
    spec = stream_spec(SIZE, 4, 10_000)
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(spec)))
    data = event_files.evt3(make_events(1500), **SIDES)
    (tmp_path / "whole.raw").write_bytes(data)
    writer = Writer(tmp_path / "now.raw", data, seed=1)

    def write():
        while writer.pieces:
            writer.sleep(0)
            ready.wait(0.002)

    ready, thread = threading.Event(), threading.Thread(target=write)
    later_s = itertools.count(1)
    waiting = Waiting(idle_s=9, poll_s=0.0005, clock_s=lambda: 0.0 if thread.is_alive() else float(next(later_s)))
    followed, replayed = LosslessCollector(), LosslessCollector()
    thread.start()
    source = open_followed(tmp_path / "now.raw", waiting)
    run_live(source, Recogniser(session, source.sensor_size), [followed], overload="complete")
    source = open_source(tmp_path / "whole.raw", speed=None)
    run_live(source, Recogniser(session, source.sensor_size), [replayed], overload="complete")
    found = [[(each.clip, each.t_us, each.probabilities) for each in one.predictions] for one in (followed, replayed)]
    assert len(found[1]) > 10
    assert found[0] == found[1]
    assert followed.summary.events == 1500


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, 4, 10_000)))


def test_a_followed_file_ends_after_the_idle_time(tmp_path, model, run_cli):
    (tmp_path / "r.raw").write_bytes(event_files.evt3(make_events(), **SIDES))
    code, out, err = run_cli("live", model, "--source", tmp_path / "r.raw", "--follow-idle", "20ms", "--json-lines")
    whole = run_cli("live", model, "--source", tmp_path / "r.raw", "--speed", "max", "--json-lines")[1]
    assert (code, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["summary"]["interrupted"] is False
    labels = [[json.loads(line).get("probabilities") for line in each.splitlines()] for each in (out, whole)]
    assert labels[0] == labels[1]
    assert len(labels[0]) > 5


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("has_begun", [True, False])
def test_signals_end_a_followed_file_with_the_summary(tmp_path, model, run_cli, end, has_begun):
    (tmp_path / "r.raw").write_bytes(event_files.evt3(make_events(), **SIDES) if has_begun else b"% evt 3.0\n")
    default, pause = signal.getsignal(signal.SIGTERM), threading.Event()

    def interrupt():
        while signal.getsignal(signal.SIGTERM) == default:  # installed before the source is opened
            pause.wait(0.002)
        while has_begun and not any(thread.name == "stdl-events source" for thread in threading.enumerate()):
            pause.wait(0.002)
        os.kill(os.getpid(), end)

    threading.Thread(target=interrupt).start()
    code, out, _ = run_cli("live", model, "--source", tmp_path / "r.raw", "--follow", "--json-lines")
    summary = json.loads(out.splitlines()[-1])["summary"]
    assert (code, summary["interrupted"]) == (0, True)
    assert has_begun or summary["events"] == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda path: path.write_bytes(b"% evt 3.0\n"), "got 10 of [0-9]+ bytes"),
        (lambda path: path.unlink(), "got no such file any more"),
        (lambda path: (path.with_suffix(".new").write_bytes(b"x"), path.with_suffix(".new").replace(path)),
         "got another file of the same name"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_the_same_any_more_is_a_lost_source(tmp_path, change, text):
    path = tmp_path / "r.raw"
    writer = Writer(path, event_files.evt3(make_events(), **SIDES))
    writer.at_end = lambda: change(path)
    with pytest.raises(SourceLostError, match=text) as lost:
        follow(writer)
    assert lost.value.exit_code == 4


@pytest.mark.parametrize(
    ("name", "data", "options", "text"),
    [
        ("r.npy", event_files.npy_structured(make_events()), {}, "in the format npy, to which events are not appended"),
        ("r.npz", event_files.npz_arrays(make_events()), {}, "in the format npz, to which events are not appended"),
        (
            "r.csv.gz",
            gzip.compress(b"1 2 3 4\n", mtime=0),
            {},
            "a compressed file, of which nothing can be read before",
        ),
        ("r.bin", b"\1\1\0\0\1", {}, "say --format nmnist or --format ncaltech"),
        ("r.csv", b"t,x,y,p\n1,2,3,1\n", {}, "say them with --time-unit us"),
        ("r.csv", b"1,2,3,1\n" * 9, {"time_unit": "us"}, "say them with --columns t,x,y,p"),
        ("r.csv", b"t_us,x,y,p\n1,2,3,1\n", {}, "does not store the sensor size; expected a size; pass --sensor"),
        ("none.raw", None, {}, "no such file"),
    ],
)
def test_what_cannot_be_followed_is_said_at_once(tmp_path, name, data, options, text):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(RecordingError, match=text):
        open_followed(tmp_path / name, Waiting(sleep_s=never), **options)


def never(seconds):
    raise AssertionError("it does not wait")


def test_hdf5_is_not_followed(tmp_path):
    whole = event_files.hdf5_columns(make_events(), tmp_path)
    (tmp_path / "r.h5").write_bytes(whole[: len(whole) // 2])  # as a pipe has it at first
    with pytest.raises(RecordingError, match=r"in the format (stdl-)?hdf5, to which events are not appended"):
        open_followed(tmp_path / "r.h5", Waiting(sleep_s=never))


def test_a_file_that_ends_inside_an_event_is_damage_unless_repaired(tmp_path):
    data = event_files.evt3(make_events(), **SIDES)[:-1]
    with pytest.raises(TruncatedRecordingError, match="1 bytes of an event"):
        follow(Writer(tmp_path / "r.raw", data))
    with pytest.warns(RecordingWarning, match="kept the part before"):
        assert len(follow(Writer(tmp_path / "r.raw", data), repair=True)[1]) == 699


def test_late_events_are_sorted_and_a_reset_is_not(tmp_path):
    events = make_events()
    events["t"][300:302] = events["t"][301:299:-1]
    events["t"][400] = events["t"][399] - 800
    events["t"][500:] -= 2_000_000
    events["t"] += 2_000_000
    lines = event_files.text(events, separator=",", header=TEXT_HEADER)
    found = follow(Writer(tmp_path / "r.csv", lines))[1]
    expected = np.concatenate([np.sort(events[:500], order="t", kind="stable"), events[500:]])
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(CorruptRecordingError, match="which is older than the one before it"):
        follow(Writer(tmp_path / "r.csv", lines), strict=True)


def test_events_outside_the_sensor_are_counted_and_said(tmp_path):
    events = make_events()
    events["x"][::9] = 200
    data = event_files.evt3(events, **SIDES)
    with pytest.warns(RecordingWarning, match="78 events outside the 34x30 sensor: skipped"):
        assert len(follow(Writer(tmp_path / "r.raw", data))[1]) == 622
    with pytest.raises(CorruptRecordingError, match="events outside the sensor"):
        follow(Writer(tmp_path / "r.raw", data), strict=True)
    events["x"] = 200
    with pytest.raises(CorruptRecordingError, match="expected most of them on the sensor"):
        follow(Writer(tmp_path / "r.raw", event_files.evt3(events, **SIDES)))


@pytest.mark.parametrize("odd_us", [2**62 + 1, -(2**62) - 1])
def test_impossible_times_are_left_out_and_counted_as_those_of_a_whole_file(tmp_path, odd_us):
    """A growing file ended with an error at the first one, and a live run with it."""
    events = make_events()
    lines = event_files.text(events, separator=",", header=TEXT_HEADER).splitlines(keepends=True)
    odd = b"%d,3,4,1\n" % odd_us
    data = b"".join([*lines[:100], odd, *lines[100:400], odd, *lines[400:]])
    said = "2 stray events without a possible time"
    with pytest.warns(RecordingWarning, match=said):
        found = follow(Writer(tmp_path / "r.csv", data))[1]
    np.testing.assert_array_equal(found, events)
    with pytest.warns(RecordingWarning, match=said):
        np.testing.assert_array_equal(open_recording(tmp_path / "r.csv").read(), events)
    with pytest.raises(CorruptRecordingError, match=r"a time of 2\^62 us or more"):
        follow(Writer(tmp_path / "r.csv", data), strict=True)
    many = b"".join([*lines[:100], odd * 200, *lines[100:]])
    with pytest.raises(CorruptRecordingError, match=r"200 stray events .* expected few of them"):
        follow(Writer(tmp_path / "r.csv", many))
    with pytest.warns(RecordingWarning, match="200 stray events"):
        np.testing.assert_array_equal(follow(Writer(tmp_path / "r.csv", many), repair=True)[1], events)


def test_polarity_that_is_understood_too_late_is_an_error(tmp_path):
    lines = b"t_us,x,y,p\n" + b"".join(b"%d,1,1,%d\n" % (t, 1 + (t > 40)) for t in range(80))
    writer = Writer(tmp_path / "r.csv", lines)
    writer.pieces = np.split(np.frombuffer(lines, np.uint8), [200])
    with pytest.raises(CorruptRecordingError, match="the polarity 2, after lines with 1 alone"):
        follow(writer, sensor_size=SIZE)


KEYWORDS = {"--from": "start", "--speed": "speed", "--take": "take"}


def test_options_of_a_whole_file_are_refused(tmp_path, model, run_cli):
    (tmp_path / "r.raw").write_bytes(b"% evt 3.0\n")
    for option in (["--from", "5%"], ["--speed", "2"], ["--take", "1"]):
        code, _, err = run_cli("live", model, "--source", tmp_path / "r.raw", "--follow", *option)
        assert code == 2
        assert f"got {option[0]} ({KEYWORDS[option[0]]}=), which follow does not have" in err
    code, _, err = run_cli("live", model, "--source", f"follow:{tmp_path / 'r.raw'}", "--from", "5%")
    assert (code, "got --from (start=), which follow does not have" in err) == (2, True)
    code, _, err = run_cli("live", model, "--source", tmp_path / "r.raw", "--follow-idle", "soon")
    assert (code, "expected a time such as 10s or 500ms" in err) == (2, True)
