"""What a network that follows events could save live: empty windows, untouched parts of the picture, the first layer.

    python tests/benchmarks/measure_silence.py [--out FOLDER] [--recordings FOLDER]

A window without events needs no convolution in a layer whose input is zero; an untouched part of the picture needs none
in the first layer. The program measures, on real recordings, how many windows are empty and how many tiles of 8 x 8
pixels hold or touch an event, and, with onnxruntime's profiler, the share of a step that the first convolution takes.
`bound` is the largest gain that both could give together if neither the test nor the bookkeeping cost anything:
1 / ((1 - empty) (1 - first (1 - touched))).

Simulated walkers are left out: their still background is simulated too.
"""

import argparse
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from bench_report import environment, write_result
from vgg11 import vgg11

from stdl_events.events.files import open_recording
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.filtered import filtered
from stdl_events.events.recording import Recording
from stdl_events.models import model_path

RESULTS = Path(__file__).parent / "results"
WINDOWS_US = (10_000, 20_000, 40_000)
BACKGROUND_US = (None, 20_000)
TILE = 8
# Recordings of a still camera, but for N-MNIST, whose sensor moves.
RECORDINGS = {
    "objects": "objects/*.aedat",
    "sit_stand_walk": "sit_stand_walk/*/*.aedat",
    "walking": "walking/*.aedat",
    "hand_wave": "hand_wave/*.aedat4",
    "poker_dvs": "poker_dvs/aedat2/*/*",
    "nmnist": "nmnist/train/0/*.bin",
}
FILES = 10
STEPS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--recordings", type=Path, default=os.environ.get("STDL_EVENTS_RECORDINGS"))
    asked = parser.parse_args()
    if asked.recordings is None:
        parser.error("name the folder of recordings, by --recordings or STDL_EVENTS_RECORDINGS")
    shares = {name: first_convolution(path) for name, path in _models()}
    rows = [
        row | {"bound": {name: _bound(row, share["first"]) for name, share in shares.items()}}
        for name, pattern in RECORDINGS.items()
        for row in _rows(name, sorted(asked.recordings.glob(pattern))[:FILES])
    ]
    document = {"environment": environment(["onnxruntime", "numpy"]), "of_a_step": shares, "rows": rows}
    print(write_result(asked.out, "silence", document))


def _bound(row: dict[str, Any], first: float) -> float:
    return round(1 / ((1 - row["empty"]) * (1 - first * (1 - row["touched"]))), 2)


def _rows(name: str, paths: list[Path]) -> Iterator[dict[str, Any]]:
    for window_us, background_us in itertools.product(WINDOWS_US, BACKGROUND_US):
        found = [_windows(path, window_us, background_us) for path in paths]
        empty = np.concatenate([tiles_W == 0 for tiles_W, _ in found])
        touched = np.concatenate([tiles_W[tiles_W > 0] / tiles for tiles_W, tiles in found])
        row = {
            "recordings": name, "files": len(paths), "window_ms": window_us / 1000, "background_us": background_us,
            "windows": len(empty), "empty": round(float(empty.mean()), 4), "touched": round(float(touched.mean()), 4),
        }  # fmt: skip
        print(json.dumps(row), flush=True)
        yield row


def _windows(path: Path, window_us: int, background_us: int | None) -> tuple[npt.NDArray[np.int64], int]:
    """The tiles that a 3 x 3 kernel must visit in each window of a recording, and their number in the picture."""
    recording = filtered(open_recording(path), FilterSpec(background_us=background_us))
    width, height = recording.sensor_size
    columns, rows = -(-width // TILE), -(-height // TILE)
    events = _all_events(recording)
    window_N = (events["t"] - events["t"][0]) // window_us
    touched = np.zeros((int(window_N[-1]) + 1, rows, columns), np.bool_)
    # The kernel reaches one pixel further, so that an event at a tile's edge touches the next one.
    for dx, dy in itertools.product((-1, 0, 1), repeat=2):
        x = np.clip(events["x"].astype(np.int64) + dx, 0, width - 1)
        y = np.clip(events["y"].astype(np.int64) + dy, 0, height - 1)
        touched[window_N, y // TILE, x // TILE] = True
    return touched.sum((1, 2)), rows * columns


def _all_events(recording: Recording) -> npt.NDArray[Any]:
    return np.concatenate(list(recording.chunks()))


def _models() -> Iterator[tuple[str, Path]]:
    yield "walkers", model_path("models:walkers")
    yield "nmnist", model_path("models:nmnist")
    from stdl_events.export.onnx import write_step

    with TemporaryDirectory() as folder:
        path = Path(folder) / "vgg11.onnx"
        write_step(*vgg11(window_us=10_000), path)  # untrained: the time of a convolution does not depend on its values
        yield "vgg11_128", path


def first_convolution(path: Path) -> dict[str, float]:
    """Shares of a step's time in onnxruntime, one thread, batch 1: the first convolution's and all of them."""
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = {value.name: np.zeros([1, *value.shape[1:]], np.float32) for value in session.get_inputs()}
        for _ in range(STEPS):
            session.run(None, feed)
        profile = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    runs = [event["dur"] for event in profile if event["name"] == "model_run"][1:]
    nodes = [event for event in profile if event["name"].endswith("_kernel_time")]
    convolutions: dict[str, list[int]] = {}
    for node in nodes:
        if "Conv" in node["args"]["op_name"]:
            convolutions.setdefault(node["name"], []).append(node["dur"])
    medians = [float(np.median(durations)) for durations in convolutions.values()]
    run = float(np.median(runs))
    share = {"first": round(medians[0] / run, 4), "convolutions": round(sum(medians) / run, 4), "step_us": run}
    print(path.name, json.dumps(share), flush=True)
    return share


if __name__ == "__main__":
    main()
