"""An interrupt ends a run although a source or a sink blocks; the other sinks get the summary."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from collectors import Collector
from onnx import helper, numpy_helper
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import ModelError
from stdl_events.events import write_recording
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


def write_endless_model(path, products=200, side=64):
    """Write a model of the operators that an exported network has, whose step takes minutes."""
    spec = stream_spec((side, side), 1, DT_US)
    model = onnx.load(write_model(path, make_card(spec)))
    graph = model.graph
    constants = {"column": np.array([-1, 1], np.int64), "row": np.zeros((1, 1024)), "square": np.zeros((1024, 1024))}
    graph.initializer.extend(
        numpy_helper.from_array(value if name == "column" else value.astype(np.float32), name)
        for name, value in constants.items()
    )
    graph.node[4].output[0] = "counted"
    graph.node.add(op_type="Reshape", input=["frame", "column"], output=["values"])
    graph.node.add(op_type="MatMul", input=["values", "row"], output=["product_0"])
    for index in range(products):
        graph.node.add(op_type="MatMul", input=[f"product_{index}", "square"], output=[f"product_{index + 1}"])
    graph.node.append(helper.make_node("ReduceSum", [f"product_{products}"], ["sum"], keepdims=0))
    graph.node.append(helper.make_node("Add", ["counted", "sum"], ["logits"]))
    path.write_bytes(model.SerializeToString())
    return path


def used_cpu_ticks(pid):
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the test sees by /proc that the step has begun")
def test_a_step_of_minutes_does_not_keep_a_run_from_its_end(tmp_path):
    """Signals are handled by Python, and the step is outside it; without being stopped it lasts beyond the timeout."""
    model = write_endless_model(tmp_path / "m.onnx")
    events = empty_events(100)
    events["t"] = np.arange(100) * 1_000
    write_recording(tmp_path / "r.h5", events, (64, 64))
    command = [sys.executable, "-c", "from stdl_events.cli import main; main()", "live", str(model)]
    command += ["--source", str(tmp_path / "r.h5"), "--speed", "max"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        begun = [process.stderr.readline() for _ in range(3)]  # which model runs
        ticks = used_cpu_ticks(process.pid)
        while used_cpu_ticks(process.pid) < ticks + 50:  # half a second in the step
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert begun[0] == "model m.onnx, not signed\n"
    assert (process.returncode, out) == (0, "")
    assert err.startswith("interrupted after ")
    assert " 0 frames" in err.splitlines()[0]


def test_a_session_that_was_stopped_steps_no_more(tmp_path):
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US))))
    frame_BCHW = np.ones((1, 2, *SIZE[::-1]))
    session.step(frame_BCHW, session.initial_state())
    session.stop()
    with pytest.raises(ModelError, match="a step that fails in onnxruntime"):
        session.step(frame_BCHW, session.initial_state())
