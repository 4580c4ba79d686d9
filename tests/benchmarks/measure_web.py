"""Time per clip in the browser beside native onnxruntime, of the models that come with the package.

    cd deploy/web && npm ci && npm run build
    python tests/benchmarks/measure_web.py [--quick] [--rounds 5] [--out FOLDER]

Both run the same recordings in turns, in one thread: a round of the page of deploy/web in headless Chromium, then one
of the package's own code. Times are medians: of a clip, from its events in memory to its decision, and of a step of the
model. In the browser the first steps are slow, as their code is compiled while they run.
"""

import argparse
import functools
import http.server
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bench_report import REPOSITORY, environment, write_result
from playwright.sync_api import Page, sync_playwright

from stdl_events.events import open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames import Frame, Framer, FrameSpec, recording_frames
from stdl_events.live import OnnxSession, Recogniser
from stdl_events.models import model_path
from stdl_events.recordings.simulated.synthetic import generate_walkers

SITE = REPOSITORY / "deploy" / "web" / "dist"


MODELS = ("walkers", "nmnist")


def native(session: OnnxSession, recordings: list[Path]) -> dict[str, float]:
    """Return the median times of a clip and of a step in this process."""
    clip_ms, step_ms = [], []
    spec = session.card.frame
    for path in recordings:
        recording = open_recording(path, sensor_size=spec.sensor_size)
        events = recording.read()
        began_s = time.perf_counter()
        frames = _frames(events, spec)
        recogniser = Recogniser(session, recording.sensor_size, whole_recordings=True)
        clips = 0
        for frame in frames:
            step_began_s = time.perf_counter()
            readout = recogniser.push(frame)
            step_ms.append(1e3 * (time.perf_counter() - step_began_s))
            clips += readout is not None and readout.final
        clip_ms.append(1e3 * (time.perf_counter() - began_s) / clips)
    return {"clip_ms": statistics.median(clip_ms), "step_ms": statistics.median(step_ms)}


def _frames(events: EventArray, spec: FrameSpec) -> list[Frame]:
    if spec.kind == "stream":
        framer = Framer(spec)
        return [*framer.push(events), *framer.finish()]
    frames_TCHW = recording_frames(events, spec)
    return [Frame(step, 0, 1, counts_CHW, spec.steps) for step, counts_CHW in enumerate(frames_TCHW)]


def in_browser(page: Page, url: str, model: str, recordings: list[Path]) -> dict[str, float]:
    """Return the same of the page, which is loaded anew."""
    page.goto(url)
    page.set_input_files("#model", model_path(f"models:{model}"))
    page.set_input_files("#recordings", recordings)
    while page.evaluate("document.body.dataset.state") != "done":
        page.wait_for_timeout(50)
    if page.locator("#problem").is_visible():
        raise RuntimeError(page.locator("#problem").text_content())
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    rows = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))["recordings"]
    return {name: statistics.median(row[name] for row in rows) for name in ("clip_ms", "step_ms")}


def write_recordings(model: str, folder: Path, count: int) -> list[Path]:
    """Write recordings for a model: walkers of eight clips each, or random events at the rate of N-MNIST."""
    paths = [folder / f"{model}_{number}.raw" for number in range(count)]
    if model == "walkers":
        people = generate_walkers(folder / "walkers", people=count, per_person=2, duration_us=6_500_000)
        for entry, path in zip(people.test.entries, paths, strict=True):
            convert(entry.open(), path)
        return paths
    for number, path in enumerate(paths):
        random = np.random.default_rng(number)
        events = empty_events(4_000)
        events["t"] = np.sort(random.integers(0, 300_000, len(events)))
        events["x"], events["y"] = random.integers(0, 34, (2, len(events)))
        events["p"] = random.random(len(events)) < 0.5
        write_recording(path.with_suffix(".h5"), events, (34, 34))
        convert(open_recording(path.with_suffix(".h5")), path)
    return paths


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a folder on loopback; yields the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Requests are not listed."""


def measure(page: Page, url: str, model: str, folder: Path, rounds: int, count: int) -> dict[str, Any]:
    recordings, session = write_recordings(model, folder, count), OnnxSession(f"models:{model}")
    native(session, recordings[:1])  # both warm up
    found = [(native(session, recordings), in_browser(page, url, model, recordings)) for _ in range(rounds)]
    result = {}
    for name in ("clip_ms", "step_ms"):
        here, there = (statistics.median(pair[side][name] for pair in found) for side in (0, 1))
        result[name] = {"native": here, "browser": there, "ratio": there / here}
        print(f"{model} {name}: native {here:.2f}, browser {there:.2f}, {there / here:.1f} times")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of two recordings")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--site", type=Path, default=SITE, help="the built page")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    asked = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None or not (asked.site / "index.html").is_file():
        print(f"measure_web: got no chromium, or no page in {asked.site}; build the page first", file=sys.stderr)
        return
    rounds, count = (1, 2) if asked.quick else (asked.rounds, 6)
    with (
        tempfile.TemporaryDirectory() as folder, served(asked.site) as url, sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser,
    ):  # fmt: skip
        page = browser.new_page()
        results = {model: measure(page, url, model, Path(folder), rounds, count) for model in MODELS}
        results["browser"] = browser.version
    document = {"environment": environment(["stdl-events", "numpy", "onnxruntime"]), "results": results}
    print(write_result(asked.out, "web", document))


if __name__ == "__main__":
    main()
