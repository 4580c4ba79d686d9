"""`stdl-events demo`: the whole path on simulated walkers, from events to live predictions."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.next_step import say_next
from stdl_events.cli.output import messages, print_json, results

if TYPE_CHECKING:
    from stdl_events.live import Prediction
    from stdl_events.live.summary import LiveSummary
    from stdl_events.recordings.entry import Entry
    from stdl_events.training.fit import RunResult

PICTURE_FILE = "demo.png"
MODEL_FILE = "model.onnx"
REPORT_FILE = "demo.json"
# The recipe, and the rules without cuts, with ordinary autograd.
COMPARED: dict[str, dict[str, str]] = {
    "STDL": {},
    "SLTT": {"rule": "sltt", "memory": "plain"},
    "BPTT": {"rule": "bptt", "memory": "plain"},
}


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run; it must be new.")] = Path("runs/demo"),
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe demo_walkers."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Recognise simulated people by their gait: simulate, train with STDL, test, export, check, run live.

    Nothing is downloaded. The walkers are simulated; their recordings are files of timestamped events like a camera's.
    The run's folder holds the recogniser (model.onnx), the numbers (demo.json) and a picture of the results (demo.png).
    """
    from stdl_events.analysis.plots import demo_picture
    from stdl_events.cli.evaluation_text import print_evaluation
    from stdl_events.cli.report import report_of_training
    from stdl_events.export.onnx import export_onnx
    from stdl_events.recipes import load_recipe
    from stdl_events.training.build_learner import step_bytes
    from stdl_events.training.bundle import load_bundle
    from stdl_events.training.evaluation.evaluate_run import evaluate
    from stdl_events.training.fit import fit
    from stdl_events.training.load_recordings import load_split
    from stdl_events.training.metrics import read_metrics
    from stdl_events.training.overrides import apply_overrides
    from stdl_events.training.run_folder import check_run_folder, write_json
    from stdl_events.training.run_weights import weights_folder

    config = apply_overrides(load_recipe("demo_walkers"), assignments or [])
    check_run_folder(out, config, resume=False)
    messages.print("1. simulating walkers as an event camera would see them")
    split = load_split(config)
    frame_spec = config.frames.spec(split.train.sensor_size)
    messages.print(f"2. training with {config.learning.rule.upper()} at T={frame_spec.steps}")
    result = fit(config, out, split=split)
    network, card = load_bundle(weights_folder(out))
    messages.print("3. exporting, and checking the file against the network")
    agreement = export_onnx(network, card, out / MODEL_FILE)
    evaluation = evaluate(out, model=out / MODEL_FILE)
    messages.print("4. metering what the other rules would need for the same step")
    needs = {
        name: step_bytes(config.derive(learning=changes), frame_spec, len(split.train.classes))
        for name, changes in COMPARED.items()
    }
    entry = split.test.entries[0]
    messages.print(f"5. replaying {entry.key}, which was held out, as a live camera")
    predictions, summary = _replay(out / MODEL_FILE, entry)
    report = {
        "simulated": True,
        "accuracy": evaluation.accuracy,
        "recording_accuracy": evaluation.recording_accuracy,
        "held_out_recordings": len(split.test.entries),
        "chance": evaluation.chance,
        "ridge_on_summed_events": evaluation.ridge.accuracy,
        "peak_bytes_of_one_step": needs,
        "export_largest_difference": agreement.largest_difference,
        "live": _live_report(entry, split.test.classes, predictions, summary),
        "train_seconds": result.seconds,
    } | result.memory
    write_json(out / REPORT_FILE, report)
    epochs = [row for row in read_metrics(out) if row["kind"] == "epoch"]
    demo_picture(out / PICTURE_FILE, epochs, report, evaluation.clips, predictions)
    report_of_training(out, result.evaluation)
    if json:
        print_json(report)
        return
    print_evaluation(evaluation)
    _print_report(report, result, out)
    say_next("live", out / MODEL_FILE, "--source", entry.path)


def _replay(model: Path, entry: "Entry") -> tuple[list["Prediction"], "LiveSummary"]:
    from stdl_events.events import ReplaySource
    from stdl_events.live import OnnxSession, Recogniser, run_live

    session = OnnxSession(model)
    recording = entry.open()
    sink = _Collector()
    recogniser = Recogniser(session, recording.sensor_size)
    summary = run_live(ReplaySource(recording, speed=1.0), recogniser, [sink], every="frame")
    return sink.predictions, summary


class _Collector:
    """A live run's predictions, in a list."""

    def __init__(self) -> None:
        self.predictions: list[Prediction] = []

    def predicted(self, prediction: "Prediction") -> None:
        self.predictions.append(prediction)

    def overloaded(self, dropped_frames: int) -> None:
        sys.stderr.write(f"the model is too slow: {dropped_frames} frames dropped\n")

    def ended(self, summary: "LiveSummary") -> None:
        del summary  # run_live returns it as well


def _live_report(
    entry: "Entry", classes: tuple[str, ...], predictions: list["Prediction"], summary: "LiveSummary"
) -> dict[str, Any]:
    return {
        "recording": entry.key,
        "label": classes[entry.label],
        "recognised": next((prediction.label for prediction in reversed(predictions) if prediction.final), None),
        "frames": summary.frames,
        "dropped_frames": summary.dropped_frames,
        "latency_us": summary.latency_us,
        "step_us": summary.step_us,
    }


def _print_report(report: dict[str, Any], result: "RunResult", out: Path) -> None:
    from stdl_events.sizes import format_bytes

    needs, live = report["peak_bytes_of_one_step"], report["live"]
    step, found = live["step_us"], report["ridge_on_summed_events"]
    ridge = "left out" if found is None else f"{found:.3f}"
    results.print(
        f"simulated walkers, {report['held_out_recordings']} held-out recordings, through the exported file: accuracy "
        f"{report['accuracy']:.3f} (ridge on summed events {ridge}, chance "
        f"{report['chance']:.3f})",
        soft_wrap=False,
    )
    results.print(
        "peak memory of one training step: "
        + ", ".join(f"{rule} {format_bytes(needed)}" for rule, needed in needs.items()),
        soft_wrap=False,
    )
    results.print(
        f"live: {live['recording']} recognised as {live['recognised']} (it is {live['label']}); {live['frames']} "
        f"frames, {live['dropped_frames']} dropped; a step takes {step['p50'] / 1e3:.2f} ms (p50), "
        f"{step['p99'] / 1e3:.2f} ms (p99)",
        soft_wrap=False,
    )
    results.print(f"trained in {result.seconds:.0f} s; everything is in {out}, the picture in {out / PICTURE_FILE}")
