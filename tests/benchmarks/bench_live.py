"""Latency of live runs, from the end of a window to its decision, and what they do under overload.

    python tests/benchmarks/bench_live.py [--quick] [--only walkers vgg11] [--out FOLDER]

Each run is a process of its own, so that memory is its own. Events are random over the whole sensor, a chunk of 2 ms
each, from memory or from a second process over loopback TCP (AEDAT 4). Latency runs from the arrival of the chunk that
closes the window; see docs/live.md. The networks are the walkers' model, at 10 ms windows, and with `--only vgg11` a
VGG-11 at 128x128 with initial weights, at 200 ms windows (three minutes).

After that the model as fast as it goes, at every rate, beside Tonic's ToFrame with eager Norse on the same events in
memory, and the walkers' beside eventcv's own windows, counts and recurrent model on the same AEDAT 4 file.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_report import REPOSITORY, environment, write_result
from live_comparisons import against_eventcv, against_tonic_and_norse

from stdl_events.events.sources import open_source
from stdl_events.live import OnnxSession, Prediction, Recogniser, run_live
from stdl_events.live.synthetic import SyntheticSource

RATES = (0.5e6, 2e6, 10e6, 50e6)
WINDOWS_US = {"walkers": 10_000, "vgg11": 200_000}
STORM = 150e6


class Working(Recogniser):
    """A recogniser with `work_s` of injected work for each window."""

    work_s = 0.0

    def push(self, frame: Any, shed: int = 0) -> Any:
        time.sleep(self.work_s)
        return super().push(frame, shed)


class Watch:
    """Keeps the end and the latency of each window, and the memory of the process once a second."""

    def __init__(self) -> None:
        self.windows: list[tuple[int, int]] = []
        self.rss_mib: list[float] = []

    def predicted(self, prediction: Prediction) -> None:
        self.windows.append((prediction.t_us, prediction.latency_us))

    def overloaded(self, dropped_frames: int) -> None:
        """The summary says it."""

    def status(self, summary: Any) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.rss_mib.append(pages * resource.getpagesize() / 2**20)

    def ended(self, summary: Any) -> None:
        """`run_live` returns it."""


class Calm(SyntheticSource):
    """A storm of `rate` for `seconds`, then two seconds at a hundredth of it."""

    def chunks(self) -> Any:
        calm = SyntheticSource(self.sensor_size, STORM / 100, 2.0)
        yield from super().chunks()
        offset_us = self.t_now_us
        for events in calm.chunks():
            self.arrived_s, self.t_now_us = calm.arrived_s, offset_us + calm.t_now_us
            events["t"] += offset_us
            yield events


def one_run(asked: argparse.Namespace) -> dict[str, Any]:
    """Run once in this process, and return what was measured."""
    session = OnnxSession(asked.model)
    size = session.card.frame.sensor_size
    recogniser = Working(session, size, frame_us=asked.window_us)
    recogniser.work_s = asked.work_ms / 1e3
    sender, watch = None, Watch()
    kind = Calm if asked.kind == "storm" else SyntheticSource
    if asked.kind == "tcp":
        program = str(Path(__file__).with_name("live_contenders.py"))
        port = 40_000 + int(time.monotonic() * 1e3) % 20_000
        command = [sys.executable, program, *map(str, (port, *size, asked.rate, asked.seconds))]
        sender = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert sender.stdout is not None
        sender.stdout.readline()
        source = open_source(f"tcp://127.0.0.1:{port}")
    else:
        source = kind(size, asked.rate, asked.seconds)
    began_s = time.process_time()
    summary = run_live(source, recogniser, [watch], every="frame", overload=asked.overload)
    found = json.loads(summary.to_json())["summary"]
    found["cpu_s"] = time.process_time() - began_s
    if sender is not None:
        assert sender.stdout is not None
        found["sender_cpu_s"] = float(sender.stdout.readline())
        sender.wait(30)
    found["peak_mib"] = peak_mib()
    seconds = np.arange(len(watch.rss_mib))
    warm = seconds >= min(10, len(seconds) // 3)
    found["rss_slope_mib_min"] = (
        60 * np.polyfit(seconds[warm], np.array(watch.rss_mib)[warm], 1)[0] if sum(warm) > 2 else None
    )
    if asked.kind == "storm":
        found["after_1s_max_ms"] = max(
            (late / 1e3 for t_us, late in watch.windows if t_us > (asked.seconds + 1) * 1e6), default=None
        )
    return found


def peak_mib() -> float:
    """Return the largest memory of this process; `getrusage` may return that of the process that started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def measured(model: Path, kind: str, rate: float, seconds: float, window_us: int, **options: Any) -> dict[str, Any]:
    """Return a run in a process of its own."""
    command = [sys.executable, __file__, "--one", kind, "--model", str(model), "--rate", str(rate)]
    command += ["--seconds", str(seconds), "--window-us", str(window_us)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        return {"failed": ended.stderr.strip().splitlines()[-1:]}
    return json.loads(ended.stdout.splitlines()[-1])


def row(name: str, found: dict[str, Any]) -> str:
    """Return a line of the table."""
    if "failed" in found:
        return f"{name:<34} failed: {found['failed']}"
    times = [found["latency_us"][share] for share in ("p50", "p95", "p99")]
    shown = "  ".join("      -" if each is None else f"{each / 1e3:7.2f}" for each in times)
    lost = sum(found["source"].values())
    return f"{name:<34} {shown}  {found['dropped_frames']:>7} {lost:>10}  {found['peak_mib']:5.0f}"


class Bench:
    """The cases of a network, a printed line each.

    Attributes:
        results: what was measured, by the name of the case.
    """

    def __init__(self, name: str, folder: Path, quick: bool) -> None:
        self.results: dict[str, Any] = {}
        self._name, self._quick = name, quick
        self._path = Path("models:walkers") if name == "walkers" else written_vgg11(folder)
        self._window_us = WINDOWS_US[name]

    def rates(self, seconds: float, tcp_rates: tuple[float, ...] = RATES) -> None:
        for kind, rates in (("memory", RATES), ("tcp", tcp_rates)):
            for rate in rates:
                self.case(f"{self._name} {kind} {rate / 1e6:g} Mev/s", kind, rate, seconds)

    def overloads(self, seconds: float) -> None:
        """Work that takes as long as a window, a storm, and a minute."""
        for overload in ("fresh", "complete"):
            self.case(f"20 ms of work, 20 ms windows, {overload}", "memory", 2e6, seconds, 20_000,
                      work_ms=20, overload=overload)  # fmt: skip
        self.case("storm of 150 Mev/s, then 1.5", "storm", STORM, seconds if self._quick else 10.0)
        self.case("a minute at 2 Mev/s", "memory", 2e6, 5.0 if self._quick else 60.0)
        if "failed" not in (minute := self.results["a minute at 2 Mev/s"]):
            print(f"memory grows by {minute['rss_slope_mib_min'] or 0.0:.2f} MiB a minute")

    def case(
        self, name: str, kind: str, rate: float, seconds: float, window_us: int | None = None, **options: Any
    ) -> None:
        found = measured(self._path, kind, rate, seconds, window_us or self._window_us, **options)
        self.results[name] = found
        print(row(name, found), flush=True)

    def against(
        self,
        name: str,
        compare: Callable[[Path, int, float, int], dict[str, Any]],
        windows: int,
        rates: tuple[float, ...] = RATES,
    ) -> None:
        for rate in rates:
            count = min(windows, 20) if self._quick or rate > 2e7 else windows
            found = compare(self._path, self._window_us, rate, count)
            self.results[f"{self._name} against {name}, {rate / 1e6:g} Mev/s"] = found
            print(f"{rate / 1e6:g} Mev/s as fast as it goes: {found['ratio']:.1f} times {name}", flush=True)


def written_vgg11(folder: Path) -> Path:
    """Write the file without the proof of an export, which takes minutes."""
    from vgg11 import vgg11

    from stdl_events.export.onnx import write_step

    path = folder / "vgg11.onnx"
    write_step(*vgg11(WINDOWS_US["vgg11"]), path)
    return path


def everything(quick: bool, names: list[str]) -> dict[str, Any]:
    """Run all cases, print the table and return the results."""
    print(
        f"{'case':<34} {'p50':>7}  {'p95':>7}  {'p99':>7}  {'shed':>7} {'lost':>10}  MiB   (ms, window end to decision)"
    )
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            bench = Bench(name, Path(folder), quick)
            if name == "walkers":
                bench.rates(2.0 if quick else 8.0)
                bench.overloads(2.0 if quick else 8.0)
                bench.against("tonic and norse", against_tonic_and_norse, 200)
                bench.against("eventcv", against_eventcv, 200)
            else:
                bench.rates(2.0 if quick else 16.0, tcp_rates=(2e6, 10e6))
                # A window of 50 Mev/s has ten million events.
                bench.against("tonic and norse", against_tonic_and_norse, 10, RATES[:-1])
            results |= bench.results
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few seconds a case")
    parser.add_argument("--only", nargs="+", choices=WINDOWS_US, default=["walkers"])
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    parser.add_argument("--one", dest="kind", choices=("memory", "tcp", "storm"), help="a single run, as JSON")
    parser.add_argument("--model", default="models:walkers")
    parser.add_argument("--rate", type=float, default=2e6)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--window-us", type=int, default=WINDOWS_US["walkers"])
    parser.add_argument("--work-ms", type=float, default=0.0)
    parser.add_argument("--overload", choices=("fresh", "complete"), default="fresh")
    asked = parser.parse_args()
    if asked.kind is not None:
        print(json.dumps(one_run(asked)))
        return
    results = everything(asked.quick, asked.only)
    document = {
        "environment": environment(["stdl-events", "numpy", "onnxruntime", "tonic", "norse", "torch"]),
        "results": results,
    }
    print(write_result(asked.out, "live", document))


if __name__ == "__main__":
    main()
