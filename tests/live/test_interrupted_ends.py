"""An interrupt ends a run although a source or a sink blocks; the other sinks get the summary."""

import threading

import numpy as np
from collectors import Collector
from onnx_models import make_card, stream_spec, write_model

from stdl_events.events.stream import empty_events
from stdl_events.live import OnnxSession, Recogniser, run_live

SIZE, STEPS, DT_US = (8, 6), 4, 10_000


def test_a_source_and_a_sink_that_block_do_not_keep_a_run_from_its_end(tmp_path):
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US))))
    release = threading.Event()

    class Silent:
        sensor_size = SIZE

        def chunks(self):
            events = empty_events(100)
            events["t"] = np.arange(100) * 1_000
            yield events
            release.wait(60)

    class Blocking(Collector):
        name = "blocking"

        def predicted(self, prediction):
            raise KeyboardInterrupt

        def ended(self, summary):
            release.wait(60)

    other = Collector()
    try:
        summary = run_live(Silent(), Recogniser(session, SIZE), [Blocking(), other])
    finally:
        still_blocked = not release.is_set()
        release.set()
    assert still_blocked
    assert (summary.interrupted, summary.blocked_sinks) == (True, ("blocking",))
    assert other.summary is not None
    assert other.summary.interrupted
