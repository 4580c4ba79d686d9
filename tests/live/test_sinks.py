"""Sinks: where predictions go, and what happens where nothing more can be written."""

import io
import shlex
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import UserError
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.live import Prediction, StopRun
from stdl_events.live.sinks import Calls, open_sink
from stdl_events.live.sinks.lines import JsonLines, Lines
from stdl_events.live.sinks.outlets import WAITING_LINES, TcpOutlet
from stdl_events.registry import Registry


@pytest.fixture
def arguments(tmp_path):
    rng = np.random.default_rng(0)
    events = empty_events(2_000)
    events["t"] = np.sort(rng.integers(0, 400_000, len(events)))
    events["x"], events["y"] = rng.integers(0, 8, len(events)), rng.integers(0, 6, len(events))
    events["p"] = np.sin(events["t"] / 60_000) > 0
    write_recording(tmp_path / "r.h5", events, (8, 6))
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec((8, 6), 4, 10_000)))
    return "live", model, "--source", tmp_path / "r.h5", "--speed", "max"


def prediction(label="walk", **changes) -> Prediction:
    entries = {
        "t_us": 1_234_000, "label": label, "probabilities": {label: 0.75, "b" * 60: 0.2, "c": 0.05},
        "latency_us": 1_500, "clip": 3, "step": 3, "final": True,
    }  # fmt: skip
    return Prediction(**(entries | changes))


def test_json_lines_go_to_a_file_a_server_and_datagrams_alike(arguments, tmp_path, run_cli):
    (tmp_path / "out.jsonl").write_text('{"before": 1}\n')
    listener = socket.create_server(("127.0.0.1", 0))
    received = []

    def serve() -> None:
        with listener, listener.accept()[0] as peer, peer.makefile(encoding="utf-8") as lines:
            received.extend(lines)

    thread = threading.Thread(target=serve)
    thread.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        places = (tmp_path / "out.jsonl", *(
            f"{scheme}://127.0.0.1:{bound.getsockname()[1]}" for scheme, bound in (("tcp", listener), ("udp", receiver))
        ))  # fmt: skip
        sinks = [word for place in places for word in ("--sink", f"json-lines:{place}")]
        code, out, err = run_cli(*arguments, "--json-lines", *sinks)
        assert (code, err) == (0, "")
        thread.join(30)
        lines = out.splitlines()
        datagrams = [receiver.recv(1 << 16).decode() for _ in lines]
    assert len(lines) == 11
    assert (tmp_path / "out.jsonl").read_text() == f'{{"before": 1}}\n{out}'
    assert "".join(received) == "".join(datagrams) == out


def test_a_server_that_is_not_there_stops_nothing(arguments, run_cli):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    name = f"tcp://127.0.0.1:{port}"
    code, out, err = run_cli(*arguments, "--json-lines", "--sink", f"json-lines:{name}")
    assert (code, len(out.splitlines())) == (0, 11)
    warning = f"stdl-events: warning: {name}:"
    assert err == f"{warning} connection refused: it is tried again\n{warning} 11 lines were not sent\n"


def test_a_server_that_does_not_read_makes_nothing_wait(monkeypatch):
    monkeypatch.setattr("stdl_events.live.sinks.outlets.CLOSE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        outlet = TcpOutlet("tcp", *listener.getsockname(), say=print)
        line = bytes(100_000)
        for _ in range(WAITING_LINES + 200):
            outlet.send(line)
        assert 200 <= outlet.close() <= WAITING_LINES + 200


def test_a_full_disk_stops_the_file_and_not_the_run(arguments, run_cli):
    code, out, err = run_cli(*arguments, "--json-lines", "--sink", "json-lines:/dev/full")
    assert (code, len(out.splitlines())) == (0, 11)
    assert err == "stdl-events: warning: /dev/full: no space left on device: no more predictions are written there\n"


class Closed:
    """An output whose reader has gone."""

    def __init__(self):
        self.writes = 0

    def write(self, text):
        self.writes += 1
        raise BrokenPipeError

    def flush(self): ...


@pytest.mark.parametrize("kind", [JsonLines, Lines])
def test_a_closed_pipe_ends_the_run(kind):
    out = Closed()
    sink = kind(out, io.StringIO())
    with pytest.raises(StopRun):
        sink.predicted(prediction())
    sink.predicted(prediction())
    assert out.writes == 1


def test_a_command_whose_reader_is_gone_ends_without_a_traceback(arguments):
    program = "from stdl_events.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, arguments), "--every", "frame", "--json-lines"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (0, b"")


def test_what_the_caller_closed_is_nowhere(arguments):
    """Not even where a file was opened that got the number of the standard output or error."""
    command = shlex.join([sys.executable, "-c", "from stdl_events.cli import main; main()", *map(str, arguments)])
    for closed in (">&-", "2>&-"):
        ended = subprocess.run(["sh", "-c", f"{command} --json-lines {closed} <&-"], capture_output=True, check=False)
        lines = ended.stdout.splitlines()
        assert (ended.returncode, ended.stderr, len(lines)) == (0, b"", 0 if closed == ">&-" else 11)


def test_lines_fit_80_columns():
    out = io.StringIO()
    sink = Lines(out, io.StringIO())
    sink.predicted(prediction())
    sink.predicted(prediction("a" * 100))
    sink.predicted(prediction(step=1, final=False))
    lines = out.getvalue().splitlines()
    assert lines[0] == f"1.234 s  walk 0.75  {'b' * 23}… 0.20  c 0.05  1.50 ms"
    assert lines[1].startswith(f"1.234 s  {'a' * 23}… 0.75  {'b' * 23}… 0.20")
    assert lines[2].endswith("  1.50 ms  (frame 2 of its clip)")
    assert max(map(len, lines)) <= 80


OWN = """
found = []

def keep(prediction):
    found.append(prediction.label)

class Counted:
    def __init__(self):
        self.count = 0
    def predicted(self, prediction):
        self.count += 1
        assert self.count < 5 or print("five")
    def overloaded(self, dropped_frames): ...
    def ended(self, summary):
        print("clips", summary.clips)

class Half:
    def predicted(self, prediction): ...

class Asking:
    def __init__(self, name): ...

class Leaving:
    def __init__(self):
        raise SystemExit

number = 3
"""


def test_a_function_or_a_class_of_ones_own_is_a_sink(arguments, tmp_path, run_cli):
    (tmp_path / "own_sinks.py").write_text(OWN)
    path = tmp_path / "own_sinks.py"
    code, out, err = run_cli(*arguments, "--sink", f"{path}:keep", "--sink", "lines")
    assert (code, len(out.splitlines())) == (0, 10)
    keep = open_sink(f"{path}:keep")
    assert isinstance(keep, Calls)
    keep.predicted(prediction())
    assert open_sink(f"{path}:keep")._function.__globals__["found"][-1] == "walk"
    for sink, text in (
        ("Half", "got a class without overloaded, ended"),
        ("Asking", "got TypeError when it was made: Asking.__init__() missing 1 required positional argument"),
        ("Leaving", "got SystemExit when it was made"),
        ("number", f"got number of {path}, which cannot be called"),
        ("no", "got no 'no' in"),
    ):
        code, _, err = run_cli(*arguments, "--sink", f"{path}:{sink}")
        assert (code, len(err.splitlines())) == (2, 1)
        assert text in err


@pytest.mark.parametrize(
    ("sink", "text"),
    [
        (
            "line",
            "got 'line'; expected terminal or lines or json-lines or mqtt or mqtts or prometheus; did you mean 'lines'",
        ),
        ("lines:x", "sink lines:x: got x; expected lines alone"),
        ("nowhere.at_all:f", "sink nowhere.at_all:f: got No module named 'nowhere'; expected terminal or lines or"),
        ("json-lines:tcp://a", "got another address; expected tcp://HOST:PORT or udp://HOST:PORT"),
        ("json-lines:http://a:1", "got another address; expected tcp://HOST:PORT or udp://HOST:PORT"),
        (":f", "sink :f: got ValueError while importing it: Empty module name; expected terminal or"),
        (".own:f", "sink .own:f: got TypeError while importing it: "),
        ("json-lines:/no/such/place", "got no such file or directory; expected a file that can be written"),
    ],
)
def test_wrong_sinks(sink, text):
    with pytest.raises(UserError) as caught:
        open_sink(sink)
    assert text in str(caught.value)


def test_predictions_are_not_written_into_a_file_of_something_else(tmp_path):
    events = tmp_path / "events.csv"
    events.write_text("t,x,y,p\n1,2,3,0\n")
    with pytest.raises(UserError, match="got a file of something else; expected a new file, or one of JSON lines"):
        open_sink(f"json-lines:{events}")
    assert events.read_text() == "t,x,y,p\n1,2,3,0\n"


def test_sinks_are_a_registry_and_the_help_names_each(run_cli):
    from stdl_events.live.sinks import SINKS

    assert isinstance(SINKS, Registry)
    text = run_cli("live", "--help")[1]
    assert all(name in text for name in SINKS)
    SINKS.register("nothing", lambda where: Calls(lambda prediction: where))
    try:
        assert isinstance(open_sink("nothing:at all"), Calls)
    finally:
        SINKS.unregister("nothing")
