"""Recording while recognising: all events, also of dropped windows; a full disk ends the recording alone."""

import io
import json
import resource
import subprocess
import sys
import threading

import aedat
import h5py
import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model
from recorded_scene import SIZE, scene

from stdl_events.errors import RecordingError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.formats.aedat4_append import Aedat4Appender
from stdl_events.events.formats.hdf5_append import Hdf5Appender
from stdl_events.events.stream import empty_events
from stdl_events.live import EventSink, OnnxSession, Prediction, Recogniser, run_live
from stdl_events.live.recorded_predictions import predictions_beside, read_predictions
from stdl_events.live.sinks.recorder import Recorder

SUFFIXES = (".aedat4", ".h5")  # those that are read again as recordings


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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_events_of_dropped_windows_are_recorded(model, tmp_path, suffix):
    events = scene()
    source = Chunks(events)

    class Slow(Recogniser):
        def push(self, frame, shed=0):
            assert source.ended.wait(30)
            return super().push(frame, shed)

    recorder = Recorder(tmp_path / f"a{suffix}", SIZE)
    assert isinstance(recorder, EventSink)
    summary = run_live(source, Slow(OnnxSession(model), SIZE), [recorder])
    assert summary.dropped_frames > 50
    assert np.array_equal(open_recording(tmp_path / f"a{suffix}").read(), events)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_ends_the_recording_and_not_the_run(model, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("stdl_events.events.formats.hdf5_append.FLUSH_S", 0.0)
    monkeypatch.setattr("stdl_events.events.formats.hdf5._CHUNK_EVENTS", 1_000)
    events, messages = scene(6_000), io.StringIO()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(tmp_path / f"a{suffix}", SIZE, overload="complete", queue_bytes=1, messages=messages)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        summary = run_live(Chunks(events, 1_000), Recogniser(OnnxSession(model), SIZE), [recorder], overload="complete")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (
        summary.clips == run_live(Chunks(events), Recogniser(OnnxSession(model), SIZE), [], overload="complete").clips
    )
    found = open_recording(tmp_path / f"a{suffix}").read()
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
        (
            "a.npy",
            SIZE,
            "got the suffix .npy; expected .aedat4 or .h5 or .mcap; record a.aedat4, and turn it",
        ),
        ("there.aedat4", SIZE, "File exists"),
        ("nowhere/a.aedat4", SIZE, "No such file or directory; expected a folder that exists"),
        ("a.aedat4", (40_000, 3), "got a sensor of 40000x3; expected at most 32768 pixels a side"),
        ("a.h5", (70_000, 3), "got a sensor of 70000x3; expected at most 65536 pixels a side"),
        ("said.h5", SIZE, "said.predictions.jsonl: got File exists; expected a name that is not taken"),
    ],
)
def test_what_cannot_be_recorded(tmp_path, name, size, text):
    for there in ("there.aedat4", "said.predictions.jsonl"):
        (tmp_path / there).write_text("")
    with pytest.raises(RecordingError) as caught:
        Recorder(tmp_path / name, size)
    assert text in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["said.predictions.jsonl", "there.aedat4"]


def test_large_chunks_are_several_packets(tmp_path):
    events = empty_events((1 << 18) + 5)
    events["t"] = np.arange(len(events))
    appender = Aedat4Appender(tmp_path / "a.aedat4", SIZE)
    appender.append(events)
    appender.close()
    assert len(list(aedat.Decoder(str(tmp_path / "a.aedat4")))) == 2
    assert np.array_equal(open_recording(tmp_path / "a.aedat4").read(), events)


KILLED = """
import os, sys
import numpy as np
from pathlib import Path
from stdl_events.live.recorded_predictions import predictions_beside, read_predictions
from stdl_events.live.sinks.recorder import RECORDERS
import stdl_events.events.formats.hdf5_append as hdf5_append
hdf5_append.FLUSH_S = 0.0
events = np.load(sys.argv[2])
recording = RECORDERS[Path(sys.argv[1]).suffix](Path(sys.argv[1]), (8, 6))
for start in range(0, len(events), 300):
    hdf5_append.FLUSH_S = 0.0 if start < 2_000 else 1e9
    recording.append(events[start : start + 300])
os.kill(os.getpid(), 9)
"""


def test_a_killed_recording_has_what_was_flushed(tmp_path):
    events = scene()
    np.save(tmp_path / "events.npy", events)
    path = tmp_path / "a.h5"
    killed = subprocess.run([sys.executable, "-c", KILLED, path, tmp_path / "events.npy"], check=False)
    assert killed.returncode == -9
    recording = open_recording(path)
    assert recording.sensor_size == SIZE
    assert np.array_equal(recording.read(), events[:2_100])


def test_the_file_is_that_of_the_writer_of_recordings(tmp_path):
    """h5py reads the same datasets and attributes as of a file that was written as a whole."""
    events = scene()
    recording = Hdf5Appender(tmp_path / "a.h5", SIZE)
    for start in range(0, len(events), 700):
        recording.append(events[start : start + 700])
    recording.close()
    write_recording(tmp_path / "b.h5", events, SIZE)
    with h5py.File(tmp_path / "a.h5") as grown, h5py.File(tmp_path / "b.h5") as whole:
        assert dict(grown.attrs) == dict(whole.attrs)
        assert set(grown) == set(whole)
        for name, dataset in whole["events"].items():
            assert grown["events"][name].dtype == dataset.dtype
            assert np.array_equal(grown["events"][name], dataset)


def test_predictions_are_written_beside_and_read_again(model, tmp_path, run_cli):
    write_recording(tmp_path / "r.h5", scene(), SIZE)
    arguments = ("live", model, "--source", tmp_path / "r.h5", "--speed", "max", "--json-lines", "--record")
    code, out, _ = run_cli(*arguments, tmp_path / "copy.h5")
    beside = predictions_beside(tmp_path / "copy.h5")
    assert (code, beside.name, beside.read_text()) == (0, "copy.predictions.jsonl", out)
    read = read_predictions(beside)
    assert [prediction.to_json() for prediction in read] == out.splitlines()[:-1]
    beside.write_text(out[: out.rindex('"label"')])  # killed within a line
    assert read_predictions(beside) == read[: out.count("\n", 0, out.rindex('"label"'))]
    for bad, got in (("{}\n", "something else than a prediction in line 1"), (None, "No such file or directory")):
        beside.write_text(bad) if bad else beside.unlink()
        with pytest.raises(RecordingError, match=got):
            read_predictions(beside)


@pytest.mark.parametrize(
    "changes",
    [
        {"t_us": "1"}, {"t_us": None}, {"t_start_us": 1.5}, {"label": 3}, {"probabilities": {}}, {"state": "sure"},
        {"probabilities": {"a": float("nan")}}, {"probabilities": {"a": "1"}}, {"decision": ["a"]}, {"clip": None},
    ],
)  # fmt: skip
def test_lines_that_are_no_predictions_are_one_line(tmp_path, changes):
    whole = json.loads(Prediction(5, "a", {"a": 1.0}, 1, 0, 0, True).to_json())
    path = tmp_path / "a.predictions.jsonl"
    path.write_text(json.dumps(whole | {"later": 1}) + "\n")
    assert read_predictions(path)[0].t_us == 5
    path.write_text(json.dumps(whole) + "\n" + json.dumps(whole | changes) + "\n")
    with pytest.raises(RecordingError, match="got something else than a prediction in line 2"):
        read_predictions(path)
