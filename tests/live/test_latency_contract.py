"""The latency of a live run as a contract: its budget, when events arrived, and what a machine keeps up with."""

import json
import math
import time
from typing import ClassVar

import numpy as np
import pytest
from collectors import Collector
from onnx_models import make_card, stream_spec, write_model

from stdl_events.events import ReplaySource, open_recording, write_recording
from stdl_events.events.sources.received import ReceivedSource
from stdl_events.events.stream import empty_events
from stdl_events.live import OnnxSession, Recogniser, run_live
from stdl_events.live.capacity import RATES, Capacity, Level, check_capacity
from stdl_events.live.summary import LiveSummary
from stdl_events.live.synthetic import CHUNK_US, SyntheticSource

SIZE, STEPS, DT_US = (8, 6), 4, 10_000
TIMES_US = {"p50": 1000.0, "p95": 2000.0, "p99": 3000.0, "max": 4000.0}
NO_TIMES = dict.fromkeys(TIMES_US)


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US)))


def events_at(t_us):
    events = empty_events(len(t_us))
    events["t"] = t_us
    return events


def summary_of(latency_us, budget_ms) -> LiveSummary:
    return LiveSummary(2.0, 5, 4, 1, 0, 0, 0, latency_us, latency_us, interrupted=False, budget_ms=budget_ms)


@pytest.mark.parametrize(
    ("latency_us", "budget_ms", "kept", "line"),
    [
        (TIMES_US, 3.0, True, "budget of 3 ms kept: p99 3.00 ms"),
        (TIMES_US, 2.9, False, "budget of 2.9 ms broken: p99 3.00 ms"),
        (NO_TIMES, 1.0, None, "budget of 1 ms not measured: no prediction"),
        (TIMES_US, None, None, None),
    ],
)
def test_the_summary_says_whether_the_budget_was_kept(latency_us, budget_ms, kept, line):
    summary = summary_of(latency_us, budget_ms)
    document = json.loads(summary.to_json())["summary"]
    assert (summary.budget_kept, document["budget_kept"], document["budget_ms"]) == (kept, kept, budget_ms)
    said = [each for each in summary.to_text().splitlines() if each.startswith("budget")]
    assert said == ([line] if line else [])


@pytest.mark.parametrize("json_lines", [(), ("--json-lines",)])
def test_a_broken_budget_is_one_line_and_exit_code_6(model, tmp_path, run_cli, json_lines):
    write_recording(tmp_path / "r.h5", events_at(np.arange(0, 200_000, 50)), SIZE)
    run = ("live", model, "--source", tmp_path / "r.h5", "--speed", "max", *json_lines)
    code, out, err = run_cli(*run, "--budget-ms", "1e-6")
    assert code == 6
    errors = [line for line in err.splitlines() if line.startswith("stdl-events: error:")]
    assert len(errors) == 1
    assert "ms from the end of a window to its decision; expected at most 1e-06 ms; see what this machine" in errors[0]
    assert out.count("clip") or out.count(" ms")
    if json_lines:
        assert json.loads(out.splitlines()[-1])["summary"]["budget_kept"] is False
    assert run_cli(*run, "--budget-ms", "1e9")[0] == 0


class Stamped:
    """A source whose chunks arrived `late_s` before they are read."""

    sensor_size = SIZE

    def __init__(self, chunks, late_s):
        self._chunks, self._late_s, self.arrived_s = chunks, late_s, 0.0

    def chunks(self):
        for events in self._chunks:
            self.arrived_s = time.monotonic() - self._late_s
            yield events


@pytest.mark.parametrize("overload", ["fresh", "complete"])
def test_time_in_queues_is_latency_also_where_nothing_is_shed(model, overload):
    collector = Collector()
    chunks = [events_at([n * DT_US]) for n in range(3 * STEPS)]
    run_live(Stamped(chunks, 7.0), Recogniser(OnnxSession(model), SIZE), [collector], every="frame", overload=overload)
    # The last window is closed by the end of the source, at that moment.
    *latencies_us, _ = [prediction.latency_us for prediction in collector.predictions]
    assert latencies_us
    assert min(latencies_us) >= 7_000_000


def test_a_replays_events_arrive_when_their_time_has_passed_however_late_they_are_read(tmp_path):
    write_recording(tmp_path / "r.h5", events_at(np.arange(0, 100_000, 500)), SIZE)
    now_s = [0.0]

    def sleep(seconds):
        now_s[0] += seconds

    source = ReplaySource(open_recording(tmp_path / "r.h5"), chunk_us=10_000, clock_s=lambda: now_s[0], sleep_s=sleep)
    late_s = []
    for number, _ in enumerate(source.chunks()):
        late_s.append(time.monotonic() - source.arrived_s)
        now_s[0] += 0.5 if number == 2 else 0.0  # the reader is busy
    late_s = np.array(late_s)
    assert (late_s[:3] < 0.2).all()
    # chunk 3 was due 10 ms after chunk 2, and is read 0.5 s after it
    np.testing.assert_allclose(late_s[3:], 0.49 - 0.01 * np.arange(len(late_s) - 3), atol=0.2)


def test_packets_arrive_when_they_are_received_however_late_they_are_decoded(monkeypatch):
    """Three packets wait in the inbox: two that arrived together, and one that arrived 5 ms later."""
    arrivals_s, decoded = [10.0, 10.0004, 10.0054], []
    now_s = [9.0]
    monkeypatch.setattr("stdl_events.events.sources.inbox.time.monotonic", lambda: now_s[0])

    class Receiver:
        counts: ClassVar = {}

        def receive(self, inbox):
            for number, at_s in enumerate(arrivals_s):
                now_s[0] = at_s
                inbox.put(number, 1)

        def decode(self, packets):
            decoded.append(list(packets))
            yield events_at([packet * 1_000 for packet in packets])

        def close(self):
            pass

    source = ReceivedSource("packets", SIZE, Receiver())
    source._receiver.receive(source._inbox)
    monkeypatch.setattr(source._receiver, "receive", lambda inbox: None, raising=False)
    stamps = [(source.arrived_s, len(events)) for events in source.chunks() if len(events)]
    assert decoded == [[0, 1], [2]]
    assert stamps == [(10.0, 2), (10.0054, 1)]


def test_synthetic_events_come_at_their_rate_and_are_not_waited_for():
    now_s = [0.0]

    def sleep(seconds):
        now_s[0] += seconds

    source = SyntheticSource((40, 30), 3e6, 0.2, clock_s=lambda: now_s[0], sleep_s=sleep)
    events = np.concatenate([chunk.copy() for chunk in source.chunks()])
    assert len(events) == 600_000
    assert (np.diff(events["t"]) >= 0).all()
    assert (events["t"].max(), source.t_now_us) == (pytest.approx(200_000, abs=10), 200_000)
    assert (events["x"].max(), events["y"].max()) == (39, 29)
    assert now_s[0] == pytest.approx(0.2)
    assert source.counts == {"dropped_events": 0}

    source = SyntheticSource((40, 30), 3e6, 0.2, clock_s=lambda: now_s[0], sleep_s=sleep)
    taken = 0
    for chunk in source.chunks():
        now_s[0] += 0.1 if not taken else 0.0  # the reader is busy
        taken += len(chunk)
    per_chunk = 3 * CHUNK_US
    # 100 ms behind; 50 ms are allowed
    assert source.counts == {"dropped_events": 600_000 - taken}
    assert source.counts["dropped_events"] == pytest.approx(25 * per_chunk, abs=2 * per_chunk)


def level(mega, p99_us, *, kept) -> Level:
    return Level(mega * 1e6, {**NO_TIMES, "p50": 1_000.0, "p99": p99_us}, 0, 0, kept)


def test_the_answer_of_a_check():
    found = Capacity(
        40.0, 40_000, (level(0.5, 1_500.0, kept=True), level(1, 2_500.0, kept=True), level(2, 9e4, kept=False))
    )
    assert found.to_text().splitlines()[-1] == "this machine keeps up with 1 Mev/s at 2.50 ms p99, budget 40 ms"
    assert json.loads(found.to_json())["check"]["best"]["events_per_s"] == 1e6
    all_kept = Capacity(40.0, 40_000, (level(0.5, 1_500.0, kept=True),))
    assert all_kept.to_text().splitlines()[-1].startswith("this machine keeps up with at least 0.5 Mev/s")
    none = Capacity(1.0, 40_000, (level(0.5, 1_500.0, kept=False),))
    assert none.to_text().splitlines()[-1] == "this machine does not keep up with 0.5 Mev/s, budget 1 ms"
    assert json.loads(none.to_json())["check"]["best"] is None


@pytest.mark.parametrize("budget_ms", [math.inf, 1e-9])
def test_rates_rise_until_one_is_not_kept(model, budget_ms):
    session = OnnxSession(model)
    found = check_capacity(lambda: Recogniser(session, SIZE), SIZE, 0.5, budget_ms)
    rates = [tried.events_per_s for tried in found.levels]
    assert rates == [0.5e6 * 2**power for power in range(len(rates))]
    *before, last = found.levels
    assert all(tried.kept for tried in before)
    assert not last.kept or len(rates) == RATES
    assert budget_ms > 1 or rates == [0.5e6]


def test_check_needs_a_model_alone_and_enough_time(model, run_cli):
    code, out, _ = run_cli("live", model, "--check", "0.5", "--json-lines", "--budget-ms", "1e-6")
    assert (code, json.loads(out)["check"]["best"]) == (0, None)
    for arguments, text in (
        (("--source", "r.h5"), "got a source too; expected a model alone"),
        (("--crop", "0,0,8x6"), "got a crop or scale; expected the sensor's size too; pass --sensor WxH"),
    ):
        code, out, err = run_cli("live", model, "--check", "0.5", *arguments)
        assert (code, out, text in err) == (2, "", True)
    code, _, err = run_cli("live", model, "--check", "0.1")
    assert (code, "got 0.1 s; expected at least 0.5 s" in err) == (2, True)


def test_no_model_and_no_source_is_one_line(run_cli):
    code, _, err = run_cli("live")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "got no model and no source" in err
