"""Storms of events: a limit of the rate, and memory that is bounded between the source and the model."""

import threading
import tracemalloc

import numpy as np
import pytest
from collectors import Collector
from onnx_models import make_card, stream_spec, write_model

from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.live import OnnxSession, Recogniser, run_live
from stdl_events.live.rate_limit import BURST_S, RateLimit

SIZE, STEPS, DT_US = (64, 48), 4, 1_000


def storm(count, start_us, stop_us, seed=0):
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(start_us, stop_us, count))
    events["x"], events["y"] = rng.integers(0, SIZE[0], count), rng.integers(0, SIZE[1], count)
    return events


@pytest.mark.parametrize("chunk", [100, 7_000])
def test_a_storm_is_thinned_evenly_to_the_rate(chunk):
    events = storm(1_000_000, 0, 1_000_000)
    limit = RateLimit(100_000)
    kept = np.concatenate([limit(events[at : at + chunk]) for at in range(0, len(events), chunk)])
    assert limit.dropped == len(events) - len(kept)
    assert len(kept) == pytest.approx(100_000 * (1 + BURST_S), rel=0.001)
    assert (np.diff(kept["t"]) >= 0).all()
    # not the end of each second, chunk or window: each millisecond behind the first burst keeps its tenth
    per_ms = np.bincount(kept["t"] // 1_000)[20:-1]
    assert (per_ms.min(), per_ms.max()) >= (50, 50)
    assert per_ms.max() <= 150
    # nor a part of the picture
    per_column = np.bincount(kept["x"], minlength=SIZE[0])
    assert per_column.min() > 0.8 * per_column.mean()


def test_what_is_below_the_rate_stays_and_a_clock_that_goes_back_begins_again():
    limit = RateLimit(1_000)
    quiet = storm(900, 0, 1_000_000)
    assert sum(len(limit(quiet[at : at + 10])) for at in range(0, 900, 10)) == 900
    again = [limit(quiet[at : at + 10]) for at in range(0, 900, 10)]
    assert sum(map(len, again)) + limit.dropped == 900
    assert limit.dropped <= 10
    assert len(RateLimit(None)(quiet)) == 900
    burst = storm(500, 0, 10)
    limit = RateLimit(1)
    assert (len(limit(burst)), limit.dropped) == (0, 500)


def test_rate_limited_events_are_counted_in_the_summary(tmp_path, run_cli):
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US)))
    events = storm(50_000, 0, 100_000)
    write_recording(tmp_path / "r.h5", events, SIZE)
    recorded = tmp_path / "again.aedat4"
    code, _, err = run_cli(
        "live", model, "--source", tmp_path / "r.h5", "--speed", "max", "--max-rate", "1e5", "--record", recorded
    )
    assert code == 0
    dropped = 50_000 - round(1e5 * (0.1 + BURST_S))
    said = int(err.partition("rate limited events ")[2].split()[0].strip(",").replace(",", ""))
    assert said == pytest.approx(dropped, abs=20)
    assert "are not in the recording" not in err, "a recording has all"


@pytest.mark.parametrize("overload", ["fresh", "complete"])
def test_frames_that_wait_are_bounded_in_bytes(tmp_path, monkeypatch, overload):
    """A model that does not begin before the source ends, or, with complete, before the queue is full."""
    monkeypatch.setattr("stdl_events.live.loop.QUEUE_BYTES", 10 * 2 * 2 * SIZE[0] * SIZE[1])  # ten frames
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US))))
    full, read, most = threading.Event(), [0], [0]

    class Storm:
        sensor_size = SIZE

        def chunks(self):
            for number in range(200):
                read[0] += 1
                most[0] = max(most[0], tracemalloc.get_traced_memory()[0])
                if number == 199 or (overload == "complete" and number == 20):
                    full.set()
                yield storm(20_000, number * DT_US, (number + 1) * DT_US)

    class Late(Recogniser):
        def push(self, frame, shed=0):
            # With complete the reader is stopped by the queue, so that it never gets to the end.
            full.wait(0.2 if overload == "complete" else 30)
            if overload == "complete" and not full.is_set():
                full.set()
                assert read[0] <= 10 + 5, "ten frames wait, and one is in the reader's hands"
            return super().push(frame, shed)

    tracemalloc.start()
    try:
        collector = Collector()
        summary = run_live(
            Storm(), Late(session, SIZE), [collector], overload=overload, queue_clips=1_000, every="frame"
        )
    finally:
        tracemalloc.stop()
    assert summary.events == 200 * 20_000
    assert summary.frames + summary.dropped_frames == 200
    assert (summary.dropped_frames >= 180) == (overload == "fresh")
    # blocks of frames (2 MB each), a chunk of events and its indices
    assert most[0] < 10 * 2 * 2 * SIZE[0] * SIZE[1] + 3 * (2 << 20) + 8 * 20_000 * 16
