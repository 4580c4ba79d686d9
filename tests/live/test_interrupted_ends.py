"""An interrupt ends a run although a source or a sink blocks; the other sinks get the summary."""

import json
import os
import signal
import socket
import threading

import numpy as np
import pytest
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


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_source_is_being_opened_ends_with_a_summary(tmp_path, run_cli, end):
    """The sender takes the connection and says nothing, not even what it would send."""
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US)))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def interrupt():
            connection, _ = listener.accept()
            with connection:
                os.kill(os.getpid(), end)
                ended.wait(60)

        ended = threading.Event()
        sender = threading.Thread(target=interrupt)
        sender.start()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        code, out, err = run_cli("live", model, "--source", address, "--reconnect", "60", "--json-lines")
        ended.set()
        sender.join()
    (summary,) = (json.loads(line)["summary"] for line in out.splitlines())
    # Between connecting and the next line of Python an interrupt leaves the socket to the collector of garbage.
    said = [line for line in err.splitlines() if "unclosed <socket" not in line]
    assert (code, said) == (0, [])
    assert (summary["interrupted"], summary["events"], summary["clips"]) == (True, 0, 0)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
