"""What the page is told: the predictions of the JSON stream, pictures of the events. No viewer slows the run."""

import asyncio
import hashlib
import io
import json
import socket
import zlib

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra `monitor`")

from monitored import CLIP_US, SIZE, MonitoredRun, clip_of_events, read_until
from websockets.exceptions import ConnectionClosed

from stdl_events.cli.options.monitor_options import with_monitor_address
from stdl_events.events import open_recording
from stdl_events.events.stream import empty_events
from stdl_events.live import EventSink, LiveSummary, StatusSink
from stdl_events.live.controls import Controls
from stdl_events.live.monitor import Monitor, feed, hub, server
from stdl_events.live.monitor.feed import Feed
from stdl_events.live.monitor.pictures import OFF, ON, Picture


@pytest.fixture
def run(tmp_path):
    with MonitoredRun(tmp_path) as run:
        yield run


def controls_of(messages):
    return [message["controls"] for message in messages if "controls" in message]


def ask(viewer, done, **command):
    """Send a command, and read until the controls are as wanted."""
    viewer.send(json.dumps(command))
    messages, _ = read_until(viewer, lambda message: "problem" in message or done(message.get("controls", {})))
    return messages[-1]


def test_the_predictions_are_those_of_the_json_stream(run):
    run.push_clips(5)
    with run.connect() as early:
        run.push_clips(8)
        with run.connect() as late:
            for viewer in (early, late):
                messages, pictures = read_until(
                    viewer, lambda its: (its.get("predictions") or [{}])[-1].get("clip") == 11
                )
                shown = [prediction for message in messages for prediction in message.get("predictions", [])]
                assert shown == run.predictions
                assert len(shown) == 12
                assert all(picture.startswith(b"\x89PNG") for picture in pictures)
            assert messages[-1]["missed"] == 0
    assert isinstance(run.monitor, EventSink)
    assert isinstance(run.monitor, StatusSink)


def test_the_facts_and_the_end(run):
    with run.connect() as viewer:
        ((first,), _) = read_until(viewer, lambda message: "facts" in message)
        run.push_clips(3)
        run.end()
        messages, _ = read_until(viewer, lambda message: message.get("ended"))
        with pytest.raises(ConnectionClosed):
            read_until(viewer, lambda message: False)
    facts = first["facts"]
    assert facts["labels"] == ["dark", "bright", "still"]
    assert facts["source"] == {"source": "a source", "sensor": "8 x 6 pixels"}
    assert facts["model"]["SHA-256"] == hashlib.sha256((run.folder / "m.onnx").read_bytes()).hexdigest()
    assert facts["model"]["frames"] == "4 of 10 ms: a clip of 40 ms"
    last = [message["summaries"][-1] for message in messages if "summaries" in message][-1]
    assert (last["events"], last["clips"], last["losses"]) == (600, run.summary.clips, run.summary.losses)
    with pytest.raises(ConnectionRefusedError):
        run.connect()


def test_controls(run):
    with run.connect() as viewer:
        run.push_clips(3)
        done = ask(viewer, lambda its: its.get("thresholds", {}).get("unknown_below") == 0.999,
                   do="thresholds", thresholds={"unknown_below": 0.999, "hold": 1})  # fmt: skip
        assert done["controls"]["thresholds"]["decide_at"] is None
        run.push_clips(3)
        assert [each["state"] for each in run.predictions][-2:] == ["unknown", "unknown"]
        ask(viewer, lambda its: its.get("recording"), do="record", on=True)
        run.push_clips(2)
        ask(viewer, lambda its: its.get("recording") is None and "recording" in its, do="record", on=False)
        run.push_clips(1)
        ask(viewer, lambda its: its.get("paused"), do="pause", on=True)
        before = len(run.predictions)
        run.push_clips(3, wait=False)
        ask(viewer, lambda its: its.get("paused") is False, do="pause", on=False)
    run.end()
    assert len(run.predictions) >= before + 2
    (path,) = run.folder.glob("live-*.aedat4")
    expected = np.concatenate([clip_of_events(clip) for clip in (6, 7)])
    assert np.array_equal(open_recording(path).read(), expected)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("{", "no command of this page"),
        ("[]", "no command of this page"),
        ('{"do": "quit"}', "no command of this page"),
        ('{"do": "pause"}', "no command of this page"),
        ('{"do": "pause", "on": 1}', "no command of this page"),
        ('{"do": "record", "on": "false"}', "no command of this page"),
        ("[" * 2000, "no command of this page"),
        ('{"do": "record", "on": true, "file": "/etc/passwd"}', None),
        ('{"do": "thresholds", "thresholds": {"unknown_below": 2}}', "unknown_below: 2 is not "),
        ('{"do": "thresholds", "thresholds": {"unknown_below": NaN}}', "unknown_below: "),
        ('{"do": "thresholds", "thresholds": {"file": 1}}', "file: "),
    ],
)
def test_commands_of_another_form(run, command, problem):
    with run.connect() as viewer:
        viewer.send(command)
        messages, _ = read_until(
            viewer, lambda its: "problem" in its or (problem is None and (its.get("controls") or {}).get("recording"))
        )
    if problem is not None:
        assert messages[-1]["problem"].startswith(problem)
        assert run.monitor.controls.thresholds.unknown_below == 0
    else:
        assert [path.name[:5] for path in run.folder.glob("*.aedat4")] == ["live-"]


def test_a_command_that_is_too_long_ends_its_connection(run):
    with run.connect() as viewer:
        viewer.send("x" * 5000)
        with pytest.raises(ConnectionClosed):
            read_until(viewer, lambda message: False)
    run.push_clips(2)


def test_ten_viewers_that_never_read_are_closed_and_cost_no_prediction(run, monkeypatch):
    monkeypatch.setattr(server, "SEND_S", 0.3)
    its = run.monitor._server
    monkeypatch.setattr(its._hub._picture, "png", lambda: bytes(200_000))  # as large as that of a camera's noise
    silent = [stuck_viewer(run) for _ in range(10)]
    with run.connect() as viewer:
        waiting = []
        run.push_clips(1)
        while its._hub.slow_viewers < 10:
            run.push_clips(1)
            waiting += [each.transport.get_write_buffer_size() for each in list(its._server.server_state.connections)]
            read_until(viewer, lambda message: (message.get("predictions") or [{}])[-1].get("clip") == run._clip - 2)
        assert its._hub.viewers == 1
    # What waits for a viewer is at most a message, and what had room before it.
    assert 0 < max(waiting) < 65_536 + 200_100
    for each in silent:
        each.close()
    run.end()
    assert len(run.predictions) >= run._clip - 1
    assert run.summary.dropped_frames == 0


def test_no_picture_is_made_that_no_viewer_waits_for(monkeypatch):
    monkeypatch.setattr(hub, "PICTURE_S", 0.0)

    async def watch():
        its = Feed()
        shown = hub.Hub(its, Picture(SIZE), {}, Controls())
        running = asyncio.create_task(shown.run())
        seen = shown.enter()  # and does not read the greeting yet
        its.add_chunk(clip_of_events(0))
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert shown._pictures == 0
        assert (await shown.next(seen))[-1].startswith(b"\x89PNG")
        running.cancel()

    asyncio.run(watch())


def stuck_viewer(run):
    """Return a connection that asks for the page's messages and reads none of them."""
    host, port = run.monitor._listening.getsockname()
    viewer = socket.socket()
    viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    viewer.connect((host, port))
    viewer.sendall(
        f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\nUpgrade: websocket\r\n".encode()
        + b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    return viewer


def test_more_pages_than_there_is_room_for(run, monkeypatch):
    monkeypatch.setattr(server, "MOST_VIEWERS", 1)
    with run.connect() as first:
        read_until(first, lambda message: "viewers" in message)
        with run.connect() as second, pytest.raises(ConnectionClosed, match="1 pages are open already"):
            second.recv(timeout=60)


def test_the_feed_is_bounded_and_says_what_it_lost(monkeypatch):
    monkeypatch.setattr(feed, "MOST_EVENTS", 1_000)
    its = Feed()
    its.add_chunk(clip_of_events(0))
    assert its.take().chunks == []  # there is no viewer
    its.watched = True
    for clip in range(10):
        its.add_chunk(clip_of_events(clip))
    assert np.array_equal(
        np.concatenate(its.take().chunks), np.concatenate([clip_of_events(clip) for clip in range(5, 10)])
    )
    assert its.skipped_events == 1_000
    for number in range(feed.PREDICTIONS + 7):
        its.add_prediction(number)
        its.add_summary(LiveSummary.before_the_start(0.0))
    news = its.take()
    assert news.predictions == [(number, number) for number in range(7, feed.PREDICTIONS + 7)]
    assert len(news.summaries) == feed.SUMMARIES


def decoded(png):
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(png)).convert("RGBA"))


def test_a_picture_has_the_colours_of_polarity_and_fades():
    events = empty_events(4)
    events["x"], events["y"], events["p"] = [0, 7, 3, 3], [0, 5, 2, 2], [1, 0, 0, 1]
    picture = Picture(SIZE)
    assert picture.is_dark
    picture.add([events], 0.0)
    first = decoded(picture.png())
    assert first.shape == (6, 8, 4)
    assert first[0, 0].tolist() == [*ON, 255]
    assert first[5, 7].tolist() == [*OFF, 255]
    assert first[2, 3].tolist() == [*ON, 255]  # the last event of a pixel
    assert (first[..., 3] > 0).sum() == 3
    older = events[:1].copy()
    older["x"], older["t"] = 6, -80_000 * np.log(4)
    other = Picture(SIZE)
    other.add([older, events], 0.0)
    assert abs(int(decoded(other.png())[0, 6, 3]) - 64) <= 2
    picture.add([], 0.08 * np.log(2))
    faded = decoded(picture.png())
    assert abs(int(faded[0, 0, 3]) - 128) <= 2
    assert faded[5, 7, :3].tolist() == list(OFF)
    picture.add([], 10.0)
    assert picture.is_dark


def test_a_large_sensor_is_shown_smaller_and_pixels_outside_are_left_out():
    events = empty_events(3)
    events["x"], events["y"], events["p"] = [1279, 1280, 2], [719, 3, 3], 1
    picture = Picture((1280, 720))
    picture.add([events], 0.0)
    pixels = decoded(picture.png())
    assert pixels.shape == (360, 640, 4)
    assert sorted(map(tuple, np.argwhere(pixels[..., 3] > 0).tolist())) == [(1, 1), (359, 639)]
    assert len(zlib.compress(picture.png())) < 2_000


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["live", "m", "--monitor"], ["live", "m", "--monitor", "127.0.0.1"]),
        (["live", "--monitor", "m", "--every", "clip"], ["live", "--monitor", "127.0.0.1", "m", "--every", "clip"]),
        (["--monitor", "0.0.0.0:80", "m"], ["--monitor", "0.0.0.0:80", "m"]),
        (["--monitor", "models:walkers"], ["--monitor", "127.0.0.1", "models:walkers"]),
        (["--monitor", "tcp://127.0.0.1:7777"], ["--monitor", "127.0.0.1", "tcp://127.0.0.1:7777"]),
        (["--monitor=[::1]:80"], ["--monitor=[::1]:80"]),
        (["--monitor", "eventcv:EVK4"], ["--monitor", "127.0.0.1", "eventcv:EVK4"]),
        (["--monitor", "x:y", "m"], ["--monitor", "x:y", "m"]),
    ],
)
def test_the_option_alone_has_the_default_address(given, expected):
    assert with_monitor_address(given) == expected


def test_the_command_serves_the_page_and_its_end_is_quick(tmp_path, run_cli):
    run = MonitoredRun(tmp_path)  # for its model
    run.monitor._listening.close()
    from stdl_events.events import write_recording

    events = np.concatenate([clip_of_events(clip) for clip in range(5)])
    write_recording(tmp_path / "r.h5", events, SIZE)
    arguments = ("live", tmp_path / "m.onnx", "--source", tmp_path / "r.h5", "--speed", "max", "--json-lines")
    code, out, err = run_cli(*arguments, "--monitor", "127.0.0.1:0")
    assert code == 0
    assert err.startswith("stdl-events: monitor: http://127.0.0.1:")
    assert json.loads(out.splitlines()[-1])["summary"]["events"] == 1_000
    code, _, err = run_cli(*arguments, "--monitor=nowhere:x")
    assert (code, err.count("\n")) == (2, 1)
    assert CLIP_US
    assert Monitor.name == "monitor"
