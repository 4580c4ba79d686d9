"""The page of metrics: read with Prometheus' own parser, it has the numbers of the summary."""

import hashlib
import socket
import urllib.request
from dataclasses import replace

import pytest
from onnx_models import LABELS, make_card, stream_spec, write_model
from prometheus_client.parser import text_string_to_metric_families

from stdl_events.errors import UserError
from stdl_events.live import OnnxSession, Recogniser, StatusSink
from stdl_events.live.protocols import StartSink
from stdl_events.live.recogniser import Prediction
from stdl_events.live.sinks import open_sink
from stdl_events.live.sinks.prometheus import BUCKETS_S
from stdl_events.live.summary import LiveSummary

SUMMARY = replace(
    LiveSummary.before_the_start(12.5), events=1_000, frames=40, clips=9, incomplete_clips=2, dropped_frames=3,
    late_events=4, filtered_events=5, cropped_events=6, clock_resets=1, early_clips=7,
    source={"lost_packets": 8, "damaged_packets": 0},
    latency_us={"p50": 500.0, "p95": 1_000.0, "p99": 2_000.0, "max": 3_000.0},
)  # fmt: skip


def prediction(decision, state, latency_us):
    return Prediction(1, LABELS[0], dict.fromkeys(LABELS, 0.5), latency_us, 0, 3, True, decision, state)


def scrape(sink):
    with urllib.request.urlopen(f"http://127.0.0.1:{sink.port}/metrics", timeout=30) as page:
        assert page.headers["Content-Type"].startswith("text/plain")
        families = list(text_string_to_metric_families(page.read().decode()))
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value for each in families for sample in each.samples
    }
    return {family.name: family for family in families}, samples


@pytest.fixture
def sink():
    opened = open_sink("prometheus:127.0.0.1:0")
    yield opened
    opened.ended(SUMMARY)


def test_the_page_has_the_numbers_of_the_run(sink, tmp_path):
    assert isinstance(sink, StatusSink)
    assert isinstance(sink, StartSink)
    families, samples = scrape(sink)
    assert samples["stdl_events_events_total",] == 0
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec((8, 6), 4, 10_000)))
    sink.started(Recogniser(OnnxSession(model), (8, 6)), None)
    hostile = 'a"\n{x}\\'
    for decision, state, latency_us in (("a", "recognised", 500), ("a", "held", 501), (None, "unknown", 20_000_000),
                                        (hostile, "recognised", 3_000)):  # fmt: skip
        sink.predicted(prediction(decision, state, latency_us))
    sink.status(SUMMARY)
    families, samples = scrape(sink)
    for name in ("events", "frames", "clips", "filtered_events", "cropped_events", "clock_resets", "early_clips"):
        assert samples[f"stdl_events_{name}_total",] == getattr(SUMMARY, name)
    assert samples["stdl_events_run_seconds_total",] == 12.5
    lost = {key[1][1]: value for key, value in samples.items() if key[0] == "stdl_events_losses_total"}
    assert lost == {"dropped_frames": 3, "late_events": 4, "incomplete_clips": 2} | SUMMARY.source
    said = {key[1:]: value for key, value in samples.items() if key[0] == "stdl_events_predictions_total"}
    assert said == {
        (("label", "a"), ("state", "recognised")): 1, (("label", "a"), ("state", "held")): 1,
        (("label", ""), ("state", "unknown")): 1, (("label", hostile), ("state", "recognised")): 1,
    }  # fmt: skip
    base = "stdl_events_prediction_latency_seconds"
    buckets = {key[1][1]: value for key, value in samples.items() if key[0] == f"{base}_bucket"}
    assert len(buckets) == len(BUCKETS_S) + 1
    assert (buckets["0.0005"], buckets["0.001"], buckets["0.005"], buckets["10.0"], buckets["+Inf"]) == (1, 2, 3, 3, 4)
    assert samples[f"{base}_count",] == 4
    assert samples[f"{base}_sum",] == pytest.approx(20.004001)
    quantiles = {dict(key[1:])["quantile"]: value for key, value in samples.items()
                 if key[0] == "stdl_events_frame_latency_seconds"}  # fmt: skip
    assert quantiles == {"0.5": 0.0005, "0.95": 0.001, "0.99": 0.002, "1.0": 0.003}
    assert samples["stdl_events_frame_latency_seconds_count",] == 40
    assert not [key for key in samples if key[0] == "stdl_events_step_seconds"]
    (facts,) = [dict(key[1:]) for key in samples if key[0] == "stdl_events_model_info"]
    assert (facts["name"], facts["sha256"]) == ("m.onnx", hashlib.sha256(model.read_bytes()).hexdigest())
    kinds = {name: family.type for name, family in families.items()}
    assert kinds["stdl_events_losses"] == "counter"
    assert kinds[base] == "histogram"
    assert all(name.startswith("stdl_events_") for name in families)


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"prometheus:127.0.0.1:{port}: got address already in use; expected an"):
            open_sink(f"prometheus:127.0.0.1:{port}")


@pytest.mark.parametrize("where", ["", "9100", ":9100", "127.0.0.1:x", "127.0.0.1:1/metrics", "[::1:9"])
def test_wrong_addresses_are_one_line(where):
    with pytest.raises(UserError, match="got no host and port; expected prometheus:HOST:PORT"):
        open_sink(f"prometheus:{where}")
