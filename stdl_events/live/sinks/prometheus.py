"""The sink `prometheus`: a page of metrics of the run; the only door to prometheus-client.

The page is made when it is asked for, from the newest summary, by a thread of the server. The run never waits for it.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from stdl_events import __version__
from stdl_events.errors import UserError
from stdl_events.events.stream import EventSource
from stdl_events.live.model_identity import ModelIdentity
from stdl_events.live.recogniser import Prediction, Recogniser
from stdl_events.live.sinks.extras import missing_extra
from stdl_events.live.sinks.lines import say_overloaded
from stdl_events.live.summary import LiveSummary

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99", "max": "1.0"}
# Counters of the summary, by the name of the metric.
COUNTERS = {
    "events": ("events", "Events that the source gave."),
    "frames": ("frames", "Frames that the model stepped on."),
    "clips": ("clips", "Clips that were recognised as a whole."),
    "early_clips": ("early_clips", "Clips that were decided before their end."),
    "filtered_events": ("filtered_events", "Events that the filters dropped."),
    "cropped_events": ("cropped_events", "Events outside the window."),
    "clock_resets": ("clock_resets", "Resets and leaps of the source's clock."),
}
LOSSES = ("dropped_frames", "late_events", "incomplete_clips")


def open_prometheus(where: str) -> "PrometheusSink":
    """Open the sink `prometheus`: serve the page at http://HOST:PORT/metrics.

    Raises:
        UserError: the address is wrong, or taken.
        MissingExtraError: prometheus-client is not installed.
    """
    try:
        parts = urlsplit(f"//{where.removeprefix('//')}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.path:
        raise UserError(
            f"sink prometheus:{where}", got="no host and port", expected="prometheus:HOST:PORT, such as 127.0.0.1:9100",
            todo="correct it",
        )  # fmt: skip
    return PrometheusSink(host, port)


class PrometheusSink:
    """A `StatusSink` that answers a scrape.

    Attributes:
        port: that is listened at.

    Raises:
        UserError: the address is not this machine's, or taken.
        MissingExtraError: prometheus-client is not installed.
    """

    def __init__(self, host: str, port: int) -> None:
        self.name = f"prometheus:{host}:{port}"
        try:
            import prometheus_client
            from prometheus_client import core
        except ImportError:
            raise missing_extra(f"sink {self.name}", "prometheus-client", "monitor") from None
        self._numbers = _Numbers()
        registry = prometheus_client.CollectorRegistry()
        registry.register(_Page(self._numbers, core))
        try:
            self._server, self._thread = prometheus_client.start_http_server(port, host, registry)
        except OSError as error:
            raise UserError(
                f"sink {self.name}", got=str(error.strerror or error).lower(),
                expected="an address of this machine at which nothing else listens", todo="choose another port",
            ) from None  # fmt: skip
        self.port = int(self._server.server_port)

    def started(self, recogniser: Recogniser, source: EventSource) -> None:
        """Receive what runs."""
        self._numbers.model = _model_facts(recogniser)

    def predicted(self, prediction: Prediction) -> None:
        self._numbers.add(prediction)

    def overloaded(self, dropped_frames: int) -> None:
        say_overloaded(dropped_frames)

    def status(self, summary: LiveSummary) -> None:
        self._numbers.summary, self._numbers.status_s = summary, time.time()

    def ended(self, summary: LiveSummary) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _model_facts(recogniser: Recogniser) -> dict[str, str]:
    return {
        **asdict(ModelIdentity.of(recogniser.session)),
        "classes": str(len(recogniser.labels)),
        "version": __version__,
    }


@dataclass(frozen=True)
class _Counts:
    """Predictions so far: by (label, state), and by bucket of their latency, the last one without a limit."""

    predictions: Mapping[tuple[str, str], int]
    buckets: tuple[int, ...]
    seconds: float


class _Numbers:
    """What the run has said so far; written by the run, read by the server's threads."""

    def __init__(self) -> None:
        self.model: dict[str, str] = {}
        self.summary, self.status_s = LiveSummary.before_the_start(0.0), time.time()
        self._lock = threading.Lock()
        self._predictions: Counter[tuple[str, str]] = Counter()
        self._buckets = [0] * (len(BUCKETS_S) + 1)
        self._seconds = 0.0

    def add(self, prediction: Prediction) -> None:
        """Count a prediction: its decision, which is empty where no class is believed, and its state."""
        latency_s = prediction.latency_us / 1e6
        bucket = sum(latency_s > limit for limit in BUCKETS_S)
        with self._lock:
            self._predictions[prediction.decision or "", prediction.state] += 1
            self._buckets[bucket] += 1
            self._seconds += latency_s

    def counts(self) -> _Counts:
        with self._lock:
            return _Counts(dict(self._predictions), tuple(self._buckets), self._seconds)


class _Page:
    """A collector of prometheus-client: the metrics, made of the numbers at a scrape."""

    def __init__(self, numbers: _Numbers, core: Any) -> None:
        self._numbers, self._core = numbers, core

    def collect(self) -> Iterator[Any]:
        core, summary, counts = self._core, self._numbers.summary, self._numbers.counts()
        for name, (entry, help) in COUNTERS.items():
            yield core.CounterMetricFamily(f"stdl_events_{name}", help, value=getattr(summary, entry))
        yield core.CounterMetricFamily("stdl_events_run_seconds", "Duration of the run.", value=summary.seconds)
        yield core.GaugeMetricFamily(
            "stdl_events_status_timestamp_seconds", "When the run last said its status, which it does each second.",
            value=self._numbers.status_s,
        )  # fmt: skip
        predictions = core.CounterMetricFamily(
            "stdl_events_predictions", "Predictions by decision and state.", labels=["label", "state"]
        )
        for labels, count in counts.predictions.items():
            predictions.add_metric(labels, count)
        yield predictions
        losses = core.CounterMetricFamily(
            "stdl_events_losses", "What was lost or refused, each reason in its own unit.", labels=["reason"]
        )
        for reason, count in {**{name: getattr(summary, name) for name in LOSSES}, **summary.source}.items():
            losses.add_metric([reason], count)
        yield losses
        limits = [*map(str, BUCKETS_S), "+Inf"]
        below = [sum(counts.buckets[: place + 1]) for place in range(len(limits))]
        yield core.HistogramMetricFamily(
            "stdl_events_prediction_latency_seconds", "From the end of a prediction's window to the prediction.",
            buckets=list(zip(limits, below, strict=True)), sum_value=counts.seconds,
        )  # fmt: skip
        yield self._quantiles("frame_latency", "From the end of a frame's window to its step.", summary.latency_us)
        yield self._quantiles("step", "Duration of the model's steps.", summary.step_us)
        if self._numbers.model:
            yield core.InfoMetricFamily("stdl_events_model", "The model that runs.", value=self._numbers.model)

    def _quantiles(self, name: str, help: str, percentiles_us: Mapping[str, float | None]) -> Any:
        """Return the quantiles since the start of the run, the largest as 1."""
        metric = self._core.Metric(f"stdl_events_{name}_seconds", help, "summary")
        for percentile, quantile in QUANTILES.items():
            value = percentiles_us.get(percentile)
            if value is not None:
                metric.add_sample(metric.name, {"quantile": quantile}, value / 1e6)
        metric.add_sample(f"{metric.name}_count", {}, self._numbers.summary.frames)
        return metric
