"""A live run with its page, for tests: a source that is pushed by hand, in a thread of its own."""

import io
import json
import queue
import threading
from urllib.parse import urlsplit

import numpy as np
from onnx_models import make_card, stream_spec, write_model
from websockets.sync.client import connect

from stdl_events.events.stream import empty_events
from stdl_events.live import OnnxSession, Recogniser, run_live
from stdl_events.live.monitor import Monitor
from stdl_events.live.monitor.address import Address
from stdl_events.live.sinks.lines import JsonLines

SIZE, STEPS, DT_US = (8, 6), 4, 10_000
CLIP_US = STEPS * DT_US
PATIENCE_S = 60


def clip_of_events(clip, count=200, size=SIZE):
    """Return events of one clip; their polarity depends on its number."""
    rng = np.random.default_rng(clip)
    events = empty_events(count)
    events["t"] = clip * CLIP_US + np.sort(rng.integers(0, CLIP_US, count))
    events["x"], events["y"] = rng.integers(0, size[0], count), rng.integers(0, size[1], count)
    events["p"] = rng.random(count) < (clip % 5) / 4
    return events


class Pushed:
    """A source of the chunks that a test pushes; None ends it."""

    sensor_size = SIZE

    def __init__(self):
        self.chunks_to_come = queue.Queue()

    def chunks(self):
        while (events := self.chunks_to_come.get(timeout=PATIENCE_S)) is not None:
            yield events


class MonitoredRun:
    """A run whose page is served at `url` within the `with` statement.

    Attributes:
        monitor: the sink.
        text: the JSON lines of the run.
    """

    def __init__(self, folder, address="127.0.0.1:0", sinks=(), **card):
        self.source, self.folder = Pushed(), folder
        self.out, self.messages = io.StringIO(), io.StringIO()
        self.monitor = Monitor(
            Address.parse(address), "a source", folder=folder, overload="complete", messages=self.messages
        )
        self._model = write_model(folder / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US), **card))
        self._sinks = [self.monitor, JsonLines(self.out), self, *sinks]
        self._thread = threading.Thread(target=self._run)
        self._started, self._clips = threading.Event(), threading.Semaphore(0)
        self._clip = 0
        self.summary = None

    def __enter__(self):
        self._thread.start()
        assert self._started.wait(PATIENCE_S)
        self.url = self.monitor.url.partition("?")[0]
        self.token = self.monitor.url.partition("?token=")[2]
        return self

    def __exit__(self, *error):
        self.end()

    def _run(self):
        recogniser = Recogniser(OnnxSession(self._model), SIZE)
        self.summary = run_live(
            self.source, recogniser, self._sinks, overload="complete", controls=self.monitor.controls
        )

    def started(self, recogniser, source):
        self._started.set()

    def predicted(self, prediction):
        self._clips.release()

    def overloaded(self, dropped_frames):
        raise AssertionError("a run that is complete drops nothing")

    def ended(self, summary):
        """The summary is that of `run_live`."""

    def push_clips(self, count=1, *, wait=True):
        """Push events of so many clips, and wait until they are recognised; the last one needs the one after it."""
        for _ in range(count):
            self.source.chunks_to_come.put(clip_of_events(self._clip))
            self._clip += 1
            if wait and self._clip > 1:
                assert self._clips.acquire(timeout=PATIENCE_S)

    def end(self):
        """End the source, and wait for the run's end."""
        self.source.chunks_to_come.put(None)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    @property
    def predictions(self):
        """Return the predictions of the JSON lines so far."""
        lines = [json.loads(line) for line in self.out.getvalue().splitlines()]
        return [line for line in lines if "summary" not in line]

    def connect(self, **headers):
        """Return a WebSocket of a viewer."""
        host = urlsplit(self.url).netloc
        sent = {"Origin": f"http://{host}", "Cookie": ""} | headers
        origin = sent.pop("Origin")
        return connect(f"ws://{host}/live", origin=origin, additional_headers=sent, open_timeout=PATIENCE_S)


def read_until(viewer, done):
    """Read a viewer's messages until `done(message)`; return all JSON messages, and the pictures."""
    texts, pictures = [], []
    while not texts or not done(texts[-1]):
        message = viewer.recv(timeout=PATIENCE_S)
        if isinstance(message, bytes):
            pictures.append(message)
        else:
            texts.append(json.loads(message))
    return texts, pictures
