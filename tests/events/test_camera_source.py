"""The source `eventcv`: eventcv's windows become our events, cameras are chosen, and a lost one is opened again."""

import json
import threading
from functools import partial

import event_files
import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import RecordingError, SourceLostError
from stdl_events.events import SOURCES, open_recording, write_recording
from stdl_events.events.sources import eventcv as source_module
from stdl_events.events.sources.eventcv import CameraReceiver, choose, events_of, parse_camera
from stdl_events.events.sources.eventcv_driver import CameraSettings, ListedCamera
from stdl_events.events.sources.received import ReceivedSource
from stdl_events.events.stream import RecordingWarning

eventcv = pytest.importorskip("eventcv", reason="the extra camera is not installed")

from file_camera import GONE, FileCamera  # noqa: E402 - needs eventcv

SIZE = (34, 30)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("camera") / "r.h5"
    events = event_files.make_events(3_000, *SIZE, t0_us=5_000, step_us=500)
    events["p"] = np.sin(events["t"] / 60_000) > 0
    write_recording(path, events, SIZE)
    return path


class Cameras:
    """Opens one camera after another; there is none when they are used up."""

    def __init__(self, *cameras):
        self.left, self.used = list(cameras), []

    def __call__(self):
        if not self.left:
            raise SourceLostError("eventcv:", got="no camera", expected="a camera", todo="plug it in")
        self.used.append(self.left.pop(0))
        return self.used[-1]


def source_of(cameras, reconnect_s=0.0, overload="complete"):
    receiver = CameraReceiver("eventcv:test", cameras, reconnect_s)
    return ReceivedSource("eventcv:test", receiver.sensor_size, receiver, overload=overload)


def read_all(source):
    """Return the events before the source is lost, and why it is."""
    parts = []
    with pytest.raises(SourceLostError) as lost:
        parts.extend(source.chunks())
    return np.concatenate(parts), str(lost.value)


@pytest.mark.parametrize("window_us", [1_000, 33_333])
def test_windows_of_eventcv_are_the_recording(recording, window_us):
    cameras = Cameras(FileCamera(recording, SIZE, window_us))
    source = source_of(cameras)
    events, lost = read_all(source)
    assert source.sensor_size == SIZE
    np.testing.assert_array_equal(events, open_recording(recording).read())
    assert f"eventcv:test: got {GONE}; expected a camera that stays; check cable and port" in lost
    assert cameras.used[0].closed
    assert source.counts == {"camera_backlog": 3}


def test_events_of_its_simulator_keep_their_columns(tmp_path):
    """A bright bar that moves to the right: eventcv's own polarities and columns say so, and ours must."""
    frames = np.zeros((6, 20, 30), np.uint8)
    for number, frame in enumerate(frames):
        frame[5:9, 4 * number : 4 * number + 4] = 255
    simulated = eventcv.simulate(frames, fps=100, sigma_thres=0.0, leak_rate_hz=0, shot_noise_rate_hz=0, cutoff_hz=0)
    events = events_of(simulated.numpy())
    assert len(events) == len(simulated) > 100
    assert (events["t"].min() >= 0, bool((np.diff(events["t"]) >= 0).all())) == (True, True)
    assert set(np.unique(events["y"])) == {5, 6, 7, 8}
    brighter, darker = events[events["p"]], events[~events["p"]]
    assert brighter["x"].mean() > darker["x"].mean() + 3
    assert len(brighter) == len(simulated.filter_polarity(True))


def test_a_run_on_a_camera_is_the_replay_and_its_loss_is_exit_code_4(recording, tmp_path, run_cli):
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, 4, 10_000)))
    code, out, _ = run_cli("live", model, "--source", recording, "--speed", "max", "--json-lines")
    *expected, _ = (json.loads(line) for line in out.splitlines())
    assert (code, len(expected) > 10) == (0, True)

    def open_file(address, *, overload="fresh", reconnect_s=0.0):
        return source_of(Cameras(FileCamera(address, SIZE, overflows=2)), reconnect_s, overload)

    SOURCES.register("file-camera", open_file)
    try:
        code, out, err = run_cli(
            "live", model, "--source", f"file-camera:{recording}", "--overload", "complete", "--json-lines"
        )
    finally:
        SOURCES.unregister("file-camera")
    *predictions, last = (json.loads(line) for line in out.splitlines())
    facts = ("clip", "t_us", "label", "probabilities")
    assert [[p[name] for name in facts] for p in predictions] == [[p[name] for name in facts] for p in expected]
    assert last["summary"]["source"] == {"camera_backlog": 3, "camera_overflows": 2}
    assert (code, len(err.splitlines()), GONE in err) == (4, 1, True)


def test_a_camera_that_is_plugged_in_again_goes_on(recording):
    cameras = Cameras(FileCamera(recording, SIZE, overflows=2), FileCamera(recording, SIZE, overflows=3))
    with pytest.warns(RecordingWarning, match=f"{GONE}; opening it again, for the [12]. time"):
        events, lost = read_all(source := source_of(cameras, reconnect_s=0.01))
    once = open_recording(recording).read()
    np.testing.assert_array_equal(events, np.concatenate([once, once]))
    assert source.counts == {"camera_overflows": 5, "camera_backlog": 3, "reopened": 1}
    assert [camera.closed for camera in cameras.used] == [True, True]
    assert "no camera; expected a camera; plug it in" in lost


def test_another_camera_in_its_place_is_refused(recording):
    cameras = Cameras(FileCamera(recording, SIZE), FileCamera(recording, (40, 40)))
    with pytest.warns(RecordingWarning, match="opening it again"):
        _, lost = read_all(source_of(cameras, reconnect_s=0.01))
    assert "got a sensor of (40, 40) after it was opened again" in lost


def test_a_silent_camera_is_said_once(recording, monkeypatch):
    monkeypatch.setattr(source_module, "SAY_SILENCE_S", -1.0)
    with pytest.warns(RecordingWarning, match="check the lens cap and the light") as said:
        read_all(source_of(Cameras(FileCamera(recording, SIZE, idle=4))))
    assert len(said) == 1


def test_a_reader_that_stops_closes_the_camera(recording):
    cameras = Cameras(FileCamera(recording, SIZE))
    chunks = source_of(cameras).chunks()
    next(chunks)
    chunks.close()
    assert cameras.used[0].closed


def test_a_reader_that_stops_while_the_camera_is_away_does_not_wait_for_it(recording):
    away = threading.Event()

    class Away(Cameras):
        def __call__(self):
            if not self.left:
                away.set()
            return super().__call__()

    cameras = Away(FileCamera(recording, SIZE))
    chunks = source_of(cameras, reconnect_s=600.0).chunks()
    with pytest.warns(RecordingWarning, match="opening it again"):
        next(events for events in chunks if away.is_set())
    chunks.close()
    assert "stdl-events receiver" not in {thread.name for thread in threading.enumerate()}


def listed(name, serial, kind="inivation_davis346"):
    return ListedCamera(kind, name, serial, 1, 2, "super")


DAVIS, EVK = listed("iniVation DAVIS 346", "00000042"), listed("Prophesee EVK4", "0005A1", "prophesee_evk4")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("DAVIS346", DAVIS),
        ("davis 346", DAVIS),
        ("evk4", EVK),
        ("0005a1", EVK),
        ("prophesee", EVK),
        ("00000042", DAVIS),
    ],
)
def test_cameras_are_chosen_by_name_or_serial(wanted, found):
    assert choose([DAVIS, EVK], wanted) == found


def test_the_only_camera_needs_no_name_and_no_serial():
    nameless = listed("iniVation DVXplorer", None)
    assert choose([nameless], "") == choose([nameless], "dvx") == nameless
    with pytest.raises(RecordingError, match=r"several cameras: iniVation DVXplorer \(no serial number\), Prophesee"):
        choose([nameless, EVK], "dvx")


def test_unknown_and_ambiguous_names_list_what_is_there():
    with pytest.raises(
        RecordingError, match=r"several cameras: .*346 \(00000042\), .*EVK4 \(0005A1\).* eventcv:SERIAL"
    ):
        choose([DAVIS, EVK], "")
    with pytest.raises(SourceLostError, match=r"got iniVation DAVIS 346 \(00000042\), .* stdl-events cameras"):
        choose([DAVIS, EVK], "DVXplorer")
    with pytest.raises(SourceLostError, match="got no camera; install the rules; expected a camera"):
        choose([], "", ["install the rules"])


def test_settings_follow_the_name():
    assert parse_camera("") == ("", CameraSettings())
    assert parse_camera("//EVK%204?roi=320,180,640x360&rate_cap=5e6&adaptive_bias=on") == (
        "EVK 4", CameraSettings(roi=(320, 180, 640, 360), rate_cap=5_000_000, adaptive_bias=True),
    )  # fmt: skip
    assert parse_camera("X?adaptive_bias=2e5,1e6")[1].adaptive_bias == (2e5, 1e6)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("bias.diff_on=5", "the setting bias.diff_on; expected roi=X,Y,WxH"),
        ("roi=1,2,3", "roi=1,2,3; expected roi=X,Y,WxH"),
        ("rate_cap=many", "rate_cap=many; expected rate_cap=EVENTS_A_SECOND"),
        ("rate_cap=-1", "rate_cap=-1; expected"),
        ("rate_cap=nan", "rate_cap=nan; expected"),
        ("adaptive_bias=1,2,3", "expected adaptive_bias=on or adaptive_bias=LOW,HIGH"),
        ("roi", "the settings roi; expected SETTING=VALUE"),
        ("rate_cap=1&rate_cap=2", "a setting twice"),
    ],
)
def test_wrong_settings_are_refused_before_a_camera_is_asked(query, text):
    with pytest.raises(RecordingError) as refused:
        parse_camera(f"EVK4?{query}")
    assert text in str(refused.value)


def test_a_camera_without_a_name_has_no_colon():
    for wanted, subject in (("", "source eventcv"), ("EVK4", "source eventcv:EVK4")):
        with pytest.raises(SourceLostError) as lost:
            choose([], wanted)
        assert lost.value.subject == subject


def test_a_setting_that_eventcv_refuses_is_the_users_error():
    """eventcv checks the values before it looks for a camera."""
    open_it = partial(source_module.opened, EVK)
    with pytest.raises(RecordingError, match="roi width and height must be at least 1; expected settings that the"):
        open_it(CameraSettings(roi=(0, 0, 0, 0)))
    with pytest.raises(RecordingError, match=r"target_rate must be \(low, high\)"):
        open_it(CameraSettings(adaptive_bias=(2.0, 1.0)))
    with pytest.raises(SourceLostError, match=r"source eventcv:0005A1: got .*; expected a camera that can be opened"):
        open_it(CameraSettings())


def test_a_real_recording_through_eventcv_is_what_our_reader_reads(recordings_dir):
    """Two decoders of AEDAT 4 that share no code: columns, polarity and times are the same."""
    path = recordings_dir / "hand_wave" / "wave_1.aedat4"
    ours = open_recording(path)
    source = source_of(Cameras(FileCamera(path, ours.sensor_size)))
    events, _ = read_all(source)
    assert len(events) > 10_000
    np.testing.assert_array_equal(events, ours.read())
