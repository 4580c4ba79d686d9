"""Recording while recognising: all events, also of dropped windows; a full disk ends the recording alone."""

import io
import json
import resource
import threading

import aedat
import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import RecordingError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.formats.aedat4_append import Aedat4Appender
from stdl_events.events.stream import empty_events
from stdl_events.live import EventSink, OnnxSession, Recogniser, run_live
from stdl_events.live.sinks.recorder import Recorder

SIZE = (8, 6)


def scene(count=3_000):
    rng = np.random.default_rng(0)
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(5_000, 1_000_000, count))
    events["x"], events["y"] = rng.integers(0, 8, count), rng.integers(0, 6, count)
    events["p"] = rng.integers(0, 2, count)
    return events


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, 4, 10_000)))


class Chunks:
    sensor_size = SIZE

    def __init__(self, events, size=50):
        self.parts = [events[start : start + size] for start in range(0, len(events), size)]
        self.ended = threading.Event()

    def chunks(self):
        yield from self.parts
        self.ended.set()


def test_the_recording_is_the_source(model, tmp_path, run_cli):
    events = scene()
    write_recording(tmp_path / "r.h5", events, SIZE)
    arguments = ("live", model, "--source", tmp_path / "r.h5", "--speed", "max", "--json-lines", "--record")
    code, out, err = run_cli(*arguments, tmp_path / "%Y.aedat4", "--crop", "0,0,8x6")
    assert (code, err, json.loads(out.splitlines()[-1])["summary"]["events"]) == (0, "", len(events))
    (path,) = tmp_path.glob("2*.aedat4")
    recording = open_recording(path)
    assert (recording.sensor_size, recording.sensor_size_from) == (SIZE, "header")
    assert np.array_equal(recording.read(), events)
    decoder = aedat.Decoder(str(path))
    assert decoder.id_to_stream() == {0: {"type": "events", "width": 8, "height": 6}}
    other = np.concatenate([packet["events"] for packet in decoder])
    assert all(
        np.array_equal(other[theirs], events[ours]) for theirs, ours in zip(other.dtype.names, "txyp", strict=True)
    )


def test_events_of_dropped_windows_are_recorded(model, tmp_path):
    events = scene()
    source = Chunks(events)

    class Slow(Recogniser):
        def push(self, frame):
            assert source.ended.wait(30)
            return super().push(frame)

    recorder = Recorder(tmp_path / "a.aedat4", SIZE)
    assert isinstance(recorder, EventSink)
    summary = run_live(source, Slow(OnnxSession(model), SIZE), [recorder])
    assert summary.dropped_frames > 50
    assert np.array_equal(open_recording(tmp_path / "a.aedat4").read(), events)


def test_a_full_disk_ends_the_recording_and_not_the_run(model, tmp_path):
    events, messages = scene(6_000), io.StringIO()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(tmp_path / "a.aedat4", SIZE, overload="complete", queue_bytes=1, messages=messages)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        summary = run_live(Chunks(events, 1_000), Recogniser(OnnxSession(model), SIZE), [recorder], overload="complete")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (
        summary.clips == run_live(Chunks(events), Recogniser(OnnxSession(model), SIZE), [], overload="complete").clips
    )
    found = open_recording(tmp_path / "a.aedat4").read()
    assert 0 < len(found) == recorder.events < len(events)
    assert np.array_equal(found, events[: len(found)])
    assert f"file too large: the recording ends here, with {len(found):,} events" in messages.getvalue()
    assert f"{len(events) - len(found):,} of 6,000 events are not in the recording" in messages.getvalue()


def test_a_slow_disk_loses_chunks_and_counts_them(model, tmp_path):
    events, messages = scene(), io.StringIO()
    recorder = Recorder(tmp_path / "a.aedat4", SIZE, queue_bytes=1, messages=messages)
    summary = run_live(Chunks(events), Recogniser(OnnxSession(model), SIZE), [recorder], overload="complete")
    missing = summary.events - len(open_recording(tmp_path / "a.aedat4").read())
    assert missing > 0
    assert f"{missing:,} of 3,000 events are not in the recording" in messages.getvalue()


@pytest.mark.parametrize(
    ("name", "size", "text"),
    [
        ("a.h5", SIZE, "got the suffix .h5; expected .aedat4; record a.aedat4, and turn it into another format"),
        ("there.aedat4", SIZE, "File exists"),
        ("nowhere/a.aedat4", SIZE, "No such file or directory; expected a folder that exists"),
        ("a.aedat4", (40_000, 3), "got a sensor of 40000x3; expected at most 32768 pixels a side"),
    ],
)
def test_what_cannot_be_recorded(tmp_path, name, size, text):
    (tmp_path / "there.aedat4").write_text("")
    with pytest.raises(RecordingError) as caught:
        Recorder(tmp_path / name, size)
    assert text in str(caught.value)
    assert not (tmp_path / "a.aedat4").exists()


def test_large_chunks_are_several_packets(tmp_path):
    events = empty_events((1 << 18) + 5)
    events["t"] = np.arange(len(events))
    appender = Aedat4Appender(tmp_path / "a.aedat4", SIZE)
    appender.append(events)
    appender.close()
    assert len(list(aedat.Decoder(str(tmp_path / "a.aedat4")))) == 2
    assert np.array_equal(open_recording(tmp_path / "a.aedat4").read(), events)
