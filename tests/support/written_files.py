"""Every writer of the package, in one list, each with the smallest content that it takes."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stdl_events.analysis.calibration_picture import calibration_picture
from stdl_events.analysis.clip_pictures import ShownClip, draw_clips
from stdl_events.analysis.plan_picture import plan_picture
from stdl_events.analysis.plots import demo_picture
from stdl_events.analysis.recording_pictures import draw_recording
from stdl_events.analysis.recording_survey import Survey, survey_recording
from stdl_events.analysis.run_pictures import curves_picture
from stdl_events.analysis.thresholds import EarlyDecisions, Rejection
from stdl_events.cli.predict_output import CsvRows
from stdl_events.errors import DatasetError, ModelError, RecordingError, RunError, UserError
from stdl_events.events import WRITERS, Recording, open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.export.onnx import export_onnx
from stdl_events.frames import FrameSpec
from stdl_events.frames.npy import write_frames
from stdl_events.live.predict import RecordingPrediction
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.plan import Plan, PlannedBlock
from stdl_events.prepared.jobs import ShardJob
from stdl_events.prepared.manifest import MANIFEST_FILE, Manifest, StoredSplit, write_manifest
from stdl_events.prepared.shards import make_shard
from stdl_events.recipes import load_recipe
from stdl_events.recordings.clips import ClipArray
from stdl_events.recordings.splits.split_list import SPLIT_FILE, SplitList, write_split_list
from stdl_events.report.page import REPORT_FILE, write_report
from stdl_events.training.bundle import save_bundle
from stdl_events.training.checkpoint import save_checkpoint
from stdl_events.training.run_folder import CONFIG_FILE, write_json

SIZE = (8, 6)
FRAMES = FrameSpec.parse({"kind": "stream", "steps": 2, "dt_us": 1000, "sensor_size": SIZE})


def curves(seed: int) -> dict[str, list[dict[str, float]]]:
    """The metrics of one epoch of one run."""
    return {"run": [{"epoch": 1, "loss": 1.0, "accuracy": 0.3 * seed, "held_out_accuracy": 0.5}]}


class FileWriter(NamedTuple):
    """A writer of one file.

    Args:
        name: of the file that it can be asked for.
        write: called with the file's path and a number that changes the content.
        error: raised where the file cannot be written.
        modules: those that hand the file to `whole_file`.
    """

    name: str
    write: Callable[[Path, int], object]
    error: type[UserError]
    modules: tuple[str, ...]


def events(seed: int) -> EventArray:
    rng = np.random.default_rng(seed)
    found = empty_events(400)
    found["t"] = np.sort(rng.integers(0, 20_000, 400))
    found["x"], found["y"], found["p"] = rng.integers(0, 8, 400), rng.integers(0, 6, 400), rng.integers(0, 2, 400)
    return found


@cache
def source(folder: Path, seed: int) -> Recording:
    path = folder / f"source-{seed}.h5"
    write_recording(path, events(seed), SIZE)
    return open_recording(path)


def survey(folder: Path, seed: int) -> Survey:
    return survey_recording(source(folder, seed), FRAMES, frames=2, rate_bins=5)


def network(seed: int) -> SpikingNetwork:
    return SpikingNetwork.build(NetworkSpec.parse("2C3-3FC", input_shape=(2, 6, 8)), seed=seed).eval()


def card(seed: int) -> ModelCard:
    built = network(seed)
    shapes = built.state_shapes
    return ModelCard(
        network=built.spec.to_dict(), frame=FRAMES, labels=("a", "b", "c"), readout="reset", state_shapes=shapes
    )


def plan(seed: int) -> Plan:
    block = PlannedBlock(0, 2, "2C3-3FC", auxiliary=None, predicted_bytes=1000 + seed)
    return Plan("2C3-3FC", (2, 6, 8), 4, (block,), whole_bytes=2000)


def manifest(seed: int) -> Manifest:
    return Manifest(
        schema_version=1, complete=False, framing=1, made_by=f"test {seed}", codec="none", dataset="d", root="/r",
        frames=FRAMES, classes=("a",), sensor_size=SIZE,
        split=StoredSplit(rule="r", gap_us=0, settings={}, checked="c"),
    )  # fmt: skip


def split_list(seed: int) -> SplitList:
    return SplitList(
        schema_version=1, made_by=f"test {seed}", dataset="d", root="/r", rule="r", gap_us=0, classes=("a",),
        sensor_size=SIZE, recordings=(),
    )  # fmt: skip


def shard_job(path: Path, seed: int) -> ShardJob:
    return ShardJob(path, FRAMES.model_copy(update={"dt_us": 1000 * seed}), path.parent, ())


def draw_demo(path: Path, seed: int) -> None:
    counts = np.full((1, 2, 2, 6, 8), seed, np.uint8)
    zero = np.zeros(1, np.int64)
    epochs = [{"epoch": 1, "accuracy": 0.5, "held_out_accuracy": 0.5}]
    report = {
        "ridge_on_summed_events": 0.5,
        "chance": 0.3,
        "peak_bytes_of_one_step": {"stdl": seed * 10**6},
        "live": {"label": "a"},
    }
    demo_picture(path, epochs, report, ClipArray(counts, zero, zero, zero, 0), [])


def write_rows(path: Path, seed: int) -> None:
    with CsvRows.open(path, ("a", "b")) as rows:
        for number in range(200):
            rows.add(RecordingPrediction(Path(f"{seed}-{number}.h5")))


def draw_calibration(path: Path, seed: int) -> None:
    probabilities_NTK = np.array([[[0.6, 0.4], [0.2, 0.8]], [[0.5, 0.5], [0.9, 0.1]]])
    bins = np.array([0.5, np.nan]), np.array([0.5 / seed, np.nan])
    right_N = np.array([True, False])
    rejection = Rejection.at(0.85, probabilities_NTK[:, -1].max(1), right_N)
    early = EarlyDecisions.at(0.6, probabilities_NTK, 0.0)
    calibration_picture(path, {"before": bins, "after": bins}, probabilities_NTK, right_N, rejection, early)


@cache
def configured_run(folder: Path, seed: int) -> Path:
    """Return the folder of a run that has not trained yet."""
    run = folder / f"run-{seed}"
    run.mkdir()
    (run / CONFIG_FILE).write_text(load_recipe("folder").derive(seed=seed).model_dump_json())
    return run


def writers(folder: Path) -> list[FileWriter]:
    """All of them; recordings that they read are made in `folder`."""

    def convert_to(format: str) -> Callable[[Path, int], object]:
        return lambda path, seed: convert(source(folder, seed), path, format=format, replace=True)

    facts = {"file": "a recording"}
    pictures = ("analysis.figures", "analysis.recording_pictures")
    converted = [
        FileWriter(f"{name}{suffix}", convert_to(name), RecordingError, ("events.convert",))
        for name, writer in WRITERS.items()
        for suffix in writer.suffixes
    ]
    drawn = [
        FileWriter(
            f"r{kind}", lambda path, seed: draw_recording(path, survey(folder, seed), facts), UserError, pictures
        )
        for kind in (".gif", ".png", ".html")
    ]
    drawn += [
        FileWriter(
            f"clips{kind}",
            lambda path, seed: draw_clips(path, "clips", [], [ShownClip("one", survey(folder, seed).frames_NCHW)]),
            UserError,
            ("analysis.clip_pictures",),
        )
        for kind in (".png", ".html")
    ]
    counts = [np.full((2, 6, 8), value, np.uint16) for value in range(300)]
    return [
        *converted,
        *drawn,
        FileWriter(
            "own.h5", lambda path, seed: write_recording(path, events(seed), SIZE), RecordingError,
            ("events.formats.hdf5",),
        ),
        FileWriter(
            "f.npy", lambda path, seed: write_frames(path, counts[seed:], (2, 6, 8)), UserError, ("frames.npy",)
        ),
        FileWriter(
            "n.json", lambda path, seed: write_json(path, {"a": [seed] * 100}), RunError, ("training.run_folder",)
        ),
        FileWriter(
            "c.safetensors", lambda path, seed: save_checkpoint(path, {"a": torch.full((3000,), seed)}), RunError,
            ("training.checkpoint",),
        ),
        FileWriter(
            "m.onnx", lambda path, seed: export_onnx(network(seed), card(seed), path, steps=8), ModelError,
            ("export.onnx",),
        ),
        FileWriter(
            MANIFEST_FILE, lambda path, seed: write_manifest(path.parent, manifest(seed)), DatasetError,
            ("prepared.manifest",),
        ),
        FileWriter(
            SPLIT_FILE, lambda path, seed: write_split_list(path, split_list(seed)), DatasetError,
            ("recordings.splits.split_list",),
        ),
        FileWriter(
            "0.clips", lambda path, seed: make_shard(shard_job(path, seed)), DatasetError,
            ("prepared.shards",),
        ),
        FileWriter("plan.png", lambda path, seed: plan_picture(path, plan(seed), ["a", "b"], [1, 2 + seed]), UserError,
                   ("analysis.plan_picture",)),
        FileWriter("rows.csv", write_rows, UserError, ("cli.predict_output",)),
        FileWriter(
            REPORT_FILE, lambda path, seed: write_report(configured_run(folder, seed), None, out=path), RunError,
            ("report.page",),
        ),
        FileWriter("demo.png", draw_demo, UserError, ("analysis.plots",)),
        FileWriter("curves.png", lambda path, seed: curves_picture(path, curves(seed)), UserError,
                   ("analysis.run_pictures",)),
        FileWriter("calibration.png", draw_calibration, UserError, ("analysis.calibration_picture",)),
    ]  # fmt: skip


def write_bundle(path: Path, seed: int) -> None:
    save_bundle(path, network(seed), card(seed))
