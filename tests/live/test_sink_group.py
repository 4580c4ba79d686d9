"""Sinks that fail, take long, or whose reader has gone: the run says so, and the others get their summary."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from collectors import Collector
from onnx_models import make_card, stream_spec, write_model

from stdl_events.errors import ModelError, SinkError, UserError, printable
from stdl_events.events import open_recording, write_recording
from stdl_events.events.sources.replay import ReplaySource
from stdl_events.events.stream import empty_events
from stdl_events.live import OnnxSession, Recogniser, StopRun, run_live
from stdl_events.live.sink_group import SinkGroup
from stdl_events.live.sinks.lines import Lines
from stdl_events.live.summary import LiveSummary

SIZE = (8, 6)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    events = empty_events(2_000)
    events["t"] = np.sort(rng.integers(0, 400_000, len(events)))
    events["x"], events["y"] = rng.integers(0, 8, len(events)), rng.integers(0, 6, len(events))
    write_recording(tmp_path / "r.h5", events, SIZE)
    return write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, 4, 10_000))), tmp_path / "r.h5"


OWN = """
import json

seen = []

def refuse(prediction):
    seen.append(prediction)
    if len(seen) == 3:
        json.loads("{")

class Bell:
    def predicted(self, prediction): ...
    def overloaded(self, dropped_frames): ...
    def ended(self, summary):
        raise SystemExit(5)
"""


def test_a_function_that_raises_is_one_line_and_the_others_get_the_summary(files, tmp_path, run_cli):
    (tmp_path / "own_failing.py").write_text(OWN)
    model, recording = files
    own = tmp_path / "own_failing.py"
    arguments = ("live", model, "--source", recording, "--speed", "max", "--json-lines", "--sink")
    code, out, err = run_cli(*arguments, f"{own}:refuse")
    assert (code, len(err.splitlines())) == (SinkError.exit_code, 1)
    assert "error: sink own_failing:refuse: got JSONDecodeError: Expecting property name" in err
    assert " at own_failing.py:9; expected a sink that raises nothing but stdl_events.live.StopRun" in err
    *predictions, last = map(json.loads, out.splitlines())
    assert last["summary"]["clips"] == len(predictions) == 3
    assert last["summary"]["interrupted"] is True
    code, out, err = run_cli(*arguments, f"{own}:Bell")
    assert (code, "sink own_failing:Bell: got SystemExit: 5 at own_failing.py:15" in err) == (8, True)
    assert json.loads(out.splitlines()[-1])["summary"]["interrupted"] is False


class Fails(Collector):
    """Raises in one of its methods."""

    def __init__(self, method: str, error: BaseException) -> None:
        super().__init__()
        self.calls = 0
        self._error = error
        setattr(self, method, self._fail)

    def _fail(self, *_: object) -> None:
        self.calls += 1
        raise self._error


@pytest.mark.parametrize("method", ["started", "received", "predicted", "ended"])
@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), UserError("a", got="b", expected="c", todo="d")])
def test_each_method_may_fail_once(files, method, error):
    model, recording = files
    bad, good = Fails(method, error), Collector()
    source = ReplaySource(open_recording(recording), speed=None)
    with pytest.raises(UserError if isinstance(error, UserError) else SinkError):
        run_live(source, Recogniser(OnnxSession(model), SIZE), [bad, good], overload="complete")
    assert bad.calls == 1
    assert bad.summary is None
    assert good.summary is not None
    assert (good.summary.interrupted, good.summary.clips) == (method != "ended", len(good.predictions))


def test_a_recorder_may_stop_the_run_from_the_thread_that_reads(files):
    model, recording = files
    bad, good = Fails("received", StopRun()), Collector()
    source = ReplaySource(open_recording(recording), speed=None)
    assert run_live(source, Recogniser(OnnxSession(model), SIZE), [bad, good], overload="complete").interrupted
    assert bad.summary == good.summary


def test_the_time_in_sinks_is_counted_by_name_and_said_if_it_is_much(monkeypatch):
    clock = [0.0]

    class Slow(Collector):
        name = "slow"

        def predicted(self, prediction):
            clock[0] += 2.0

    monkeypatch.setattr("stdl_events.live.sink_group.time.perf_counter", lambda: clock[0])
    group = SinkGroup([Slow(), Collector(), Slow()])
    group.predicted(None)
    group.predicted(None)
    assert group.seconds == {"slow": 8.0, "collectors:Collector": 0.0}
    summary = LiveSummary.before_the_start(79.0)
    line = "sinks took 8.00 s of 79.00 s: slow 8.00 s"
    for seconds, said in ((79.0, True), (81.0, False)):
        text = LiveSummary(**{**vars(summary), "seconds": seconds, "sinks_s": {"slow": 8.0}}).to_text()
        assert (line in text) is said
    text = LiveSummary(**{**vars(summary), "seconds": 1.0, "sinks_s": {"lines": 0.4}}).to_text()
    assert "sinks took" not in text


def test_the_first_line_alone_may_be_read(files):
    program = "from stdl_events.cli import main; main()"
    model, recording = files
    live = f"'{sys.executable}' -c '{program}' live {model} --source {recording} --speed max --every frame"
    for more in ("--json-lines", "2>&1"):
        command = f"set -o pipefail; {live} {more} | head -1"
        ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr, len(ended.stdout.splitlines())) == (0, "", 1)


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_messages_that_nothing_reads_end_nothing():
    Lines(io.StringIO(), Gone()).ended(LiveSummary.before_the_start(1.0))


def test_control_characters_are_shown_as_such():
    assert printable("a\x1b[2J\nb\x9b\u202e é") == "a\\x1b[2J\\nb\\x9b\\u202e é"


def test_a_model_that_fails_leaves_whole_recordings_and_summaries(files):
    model, recording = files
    source, kept = ReplaySource(open_recording(recording), speed=None), Collector()

    class Broken(Recogniser):
        def push(self, frame, shed=0):
            if frame.index == 9:
                raise ModelError("model", got="logits that are not finite", expected="finite ones", todo="correct it")
            return super().push(frame, shed)

    with pytest.raises(ModelError, match="not finite"):
        run_live(source, Broken(OnnxSession(model), SIZE), [kept], overload="complete")
    assert (kept.summary.interrupted, kept.summary.clips) == (True, 2)
