"""Recordings for Foxglove, read with the reader of the package mcap."""

import base64
import io
import json
import resource
from contextlib import suppress

import numpy as np
import pytest
from mcap.exceptions import EndOfFile
from mcap.reader import NonSeekingReader, SeekingReader
from onnx_models import make_card, stream_spec, write_model
from recorded_scene import SIZE, scene

from stdl_events.errors import RecordingError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.stream import empty_events
from stdl_events.live import Prediction
from stdl_events.live.sinks import mcap_recording
from stdl_events.live.sinks.mcap_recording import SCHEMAS, McapRecording
from stdl_events.live.sinks.recorder import PredictionRecording, Recorder
from stdl_events.live.summary import LiveSummary


def messages(reader):
    """Return (topic, time in ns, content) of each message, and check it against its schema."""
    found = []
    for schema, channel, message in reader.iter_messages():
        assert (schema.encoding, channel.message_encoding) == ("jsonschema", "json")
        assert (schema.name, channel.topic) == (SCHEMAS[channel.topic][0], channel.topic)
        content = json.loads(message.data)
        described = json.loads(schema.data)["properties"]
        assert content.keys() == described.keys()
        kinds = {"integer": int, "string": str, "object": dict, "boolean": bool, "null": type(None)}
        for name, value in content.items():
            allowed = described[name]["type"]
            assert isinstance(value, tuple(kinds[k] for k in ([allowed] if isinstance(allowed, str) else allowed)))
        stamp = content["timestamp"]
        assert stamp["sec"] * 1_000_000_000 + stamp["nsec"] == message.log_time == message.publish_time
        found.append((channel.topic, message.log_time, content))
    return found


def unpacked(found):
    """Decode the events as their schema describes them."""
    kind = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<u2", "<u2", "u1"], "offsets": [0, 8, 10, 12]})
    parts = [base64.b64decode(content["events"]) for topic, _, content in found if topic == "/events"]
    return np.frombuffer(b"".join(parts), kind)


def same(found, events):
    return all(np.array_equal(found[name], events[name]) for name in ("t", "x", "y", "p"))


def test_a_live_run_has_events_pictures_and_predictions(tmp_path, run_cli):
    events = scene()
    write_recording(tmp_path / "r.h5", events, SIZE)
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, 4, 10_000)))
    arguments = ("live", model, "--source", tmp_path / "r.h5", "--speed", "max", "--json-lines", "--record")
    code, out, err = run_cli(*arguments, tmp_path / "a.mcap")
    assert (code, err) == (0, "")
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = SeekingReader(file, validate_crcs=True)
        found = messages(reader)
        assert reader.get_summary().statistics.message_count == len(found)
    assert same(unpacked(found), events)
    recording = open_recording(tmp_path / "a.mcap")
    assert np.array_equal(recording.read(), events)
    assert (recording.sensor_size, recording.sensor_size_from) == (SIZE, "header")
    said = [(t_ns, content) for topic, t_ns, content in found if topic == "/predictions"]
    expected = [json.loads(line) for line in out.splitlines()[:-1]]
    assert [t_ns for t_ns, _ in said] == [each["t_us"] * 1_000 for each in expected]
    assert [{k: v for k, v in content.items() if k != "timestamp"} for _, content in said] == expected
    assert (tmp_path / "a.predictions.jsonl").read_text() == out


def test_a_picture_has_the_newest_event_of_each_pixel(tmp_path):
    events = empty_events(3)
    events["t"], events["x"], events["y"], events["p"] = (1, 2, 3), (2, 2, 7), (1, 1, 5), (1, 0, 1)
    recording = McapRecording(tmp_path / "a.mcap", SIZE)
    assert isinstance(recording, PredictionRecording)
    recording.append(events)
    recording.append(events[:0])
    recording.close()
    with (tmp_path / "a.mcap").open("rb") as file:
        (picture,) = [content for topic, _, content in messages(SeekingReader(file)) if topic == "/picture"]
    assert (picture["width"], picture["height"], picture["encoding"], picture["step"]) == (8, 6, "rgb8", 24)
    pixels = np.frombuffer(base64.b64decode(picture["data"]), np.uint8).reshape(6, 8, 3).astype(int)
    assert pixels[1, 2, 2] > pixels[1, 2, 0], "darker is blue"
    assert pixels[5, 7, 0] > pixels[5, 7, 2], "brighter is red"
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 3


def test_large_sensors_have_small_pictures(tmp_path):
    events = empty_events(1)
    events["x"], events["y"] = 1279, 719
    recording = McapRecording(tmp_path / "a.mcap", (1280, 720))
    recording.append(events)
    recording.close()
    with (tmp_path / "a.mcap").open("rb") as file:
        (picture,) = [content for topic, _, content in messages(SeekingReader(file)) if topic == "/picture"]
    assert (picture["width"], picture["height"]) == (320, 180)


def read_as_it_came(path):
    """Return the messages of a file without an end, up to there."""
    found = []
    with path.open("rb") as file, suppress(EndOfFile):
        for _, channel, message in NonSeekingReader(file).iter_messages(log_time_order=False):
            found.append((channel.topic, message.log_time, json.loads(message.data)))
    return found


def test_a_full_disk_ends_the_recording_and_leaves_what_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(mcap_recording, "FLUSH_S", 0.0)
    events, said = scene(), io.StringIO()
    recorder = Recorder(tmp_path / "a.mcap", SIZE, overload="complete", queue_bytes=1, messages=said)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        for start in range(0, len(events), 300):
            recorder.received(events[start : start + 300])
        recorder.predicted(Prediction(1, "a", {"a": 1.0}, 1, 0, 0, True))
        recorder._thread.join(60)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    recorder.ended(LiveSummary.before_the_start(0.0))
    assert f"file too large: the recording ends here, with {recorder.events:,} events" in said.getvalue()
    assert 0 < recorder.events < len(events)
    assert same(unpacked(read_as_it_came(tmp_path / "a.mcap")), events[: recorder.events])
    assert np.array_equal(open_recording(tmp_path / "a.mcap").read(), events[: recorder.events])
    assert (tmp_path / "a.mcap").stat().st_size <= 20_000


def test_a_file_that_is_there_is_not_replaced(tmp_path):
    (tmp_path / "a.mcap").write_text("old")
    with pytest.raises(RecordingError, match="got File exists"):
        McapRecording(tmp_path / "a.mcap", SIZE)


def test_a_run_without_events_is_a_recording_of_none(tmp_path):
    path = tmp_path / "r.mcap"
    recording = McapRecording(path, SIZE)
    begun = path.read_bytes()
    recording.close()
    for written in (path.read_bytes(), begun):  # closed, and as a killed program leaves it
        path.write_bytes(written)
        assert len(open_recording(path, sensor_size=SIZE).read()) == 0
