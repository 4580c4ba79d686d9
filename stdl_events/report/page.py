"""The page `report.html` of a run. Jinja2 is imported here alone, on use."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stdl_events.analysis.html_page import content_policy, stylesheet
from stdl_events.errors import RunError
from stdl_events.events.defects import count_of
from stdl_events.recordings.registry import DATASETS
from stdl_events.report import accuracy
from stdl_events.report.activity import energy_facts, measure_activity, rate_table
from stdl_events.report.after_training import calibration, robustness, whole
from stdl_events.report.clips import worst_clips
from stdl_events.report.confusion import confusion
from stdl_events.report.learning import learning
from stdl_events.report.memory import memory
from stdl_events.report.origin import recordings, settings, software
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_clips import Evaluation, evaluate_clips, network_logits
from stdl_events.training.metrics import METRICS_FILE, read_metrics
from stdl_events.training.run_device import resolve_device
from stdl_events.training.run_folder import load_config
from stdl_events.training.run_weights import Weights, weights_folder, weights_text
from stdl_events.whole_file import whole_file

REPORT_FILE = "report.html"
# The end of a training does not evaluate more clips again for their accuracy over time steps.
CLIPS_OVER_TIME = 512


def write_report(
    folder: Path | str,
    evaluation: Evaluation | None,
    *,
    out: Path | None = None,
    weights: Weights | None = None,
    device: str | None = None,
    meter_layers: bool = False,
) -> Path:
    """Write the report of the run in `folder`, and return its path.

    Args:
        evaluation: of the held-out clips by these weights; None leaves out all that depends on it, and says so.
        out: the file; None is `report.html` in the folder.
        weights: the best ones or the last ones; None is the best ones if a validation part chose some.
        device: of the pass that measures firing rates; None is the run's.
        meter_layers: also meter the memory of one step over the layers, in about the time of planning.

    Raises:
        RunError: there is no run in the folder; or the file cannot be written, and an older one is unchanged.
    """
    folder = Path(folder)
    out = out or folder / REPORT_FILE
    page = render(contents(folder, evaluation, weights=weights, device=device, meter_layers=meter_layers))
    with whole_file(out, room_for="report", error=RunError) as file:
        file.write(page.encode("utf-8", "backslashreplace"))  # names of files may hold any bytes
    return out


def contents(
    folder: Path,
    evaluation: Evaluation | None,
    *,
    weights: Weights | None = None,
    device: str | None = None,
    meter_layers: bool = False,
) -> dict[str, Any]:
    """Return what the template shows of a run; see `write_report`."""
    config = load_config(folder)
    rows = read_metrics(folder) if (folder / METRICS_FILE).is_file() else []
    return {
        "title": folder.resolve().name,
        "folder": str(folder),
        "config": config,
        "simulated": DATASETS[config.data.dataset].makes is not None,
        "learning": learning(rows, config.epochs),
        "start": next((row for row in reversed(rows) if row["kind"] == "start"), {}),
        "validated": any("validation_accuracy" in row for row in rows),
        "warnings": warnings_of(rows),
        "memory": memory(folder, config, rows, meter_layers=meter_layers),
        "robustness": robustness(folder, weights),
        "whole": whole(folder, weights),
        "settings": settings(config),
        "recordings": recordings(folder),
        "software": software(rows),
        "held_out": None if evaluation is None else _held_out(folder, evaluation, weights, device or config.device),
    }


def warnings_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the warnings in the rows of a run's metrics, each once."""
    texts = (text for row in rows for text in row.get("warnings", ()))
    return list(dict.fromkeys(texts))


def _held_out(folder: Path, evaluation: Evaluation, weights: Weights | None, device: str) -> dict[str, Any]:
    """Return what the template shows of an evaluation of the held-out clips."""
    config, kept = load_config(folder), weights_folder(folder, weights)
    network, card = load_bundle(kept, resolve_device(device), convolutions=config.learning.convolutions)
    clips, batch_size = evaluation.clips, config.batch_size
    if evaluation.accuracy_T is None and len(clips) <= CLIPS_OVER_TIME:
        logits_of = network_logits(network, over_time=True)
        timed = evaluate_clips(logits_of, evaluation.recordings, clips, batch_size=batch_size, over_time=True)
        evaluation = replace(evaluation, predicted_TN=timed.predicted_TN)
    summary, activity = evaluation.summary(), measure_activity(network, clips, batch_size=batch_size)
    over_time = summary["over_time"]
    return {
        "weights": weights_text(folder, weights),
        "summary": summary,
        "figures": accuracy.figures(summary),
        "notes": accuracy.notes(summary),
        "confusion": confusion(summary["labels"], summary["confusion"]),
        "classes": accuracy.class_table(summary),
        "groups": [(kind, accuracy.group_table(kind, summary[f"per_{kind}"])) for kind in ("subject", "session")],
        "reliability": accuracy.reliability_chart(summary["reliability"]),
        "reliability_table": accuracy.reliability_table(summary["reliability"]),
        "calibrated": calibration(card),
        "over_time": over_time and accuracy.over_time_chart(over_time, summary["chance"], card.frame.dt_us),
        "worst": worst_clips(evaluation),
        "activity": activity,
        "rates": rate_table(activity),
        "energy": energy_facts(activity),
    }


def render(found: Mapping[str, Any]) -> str:
    """Return the page. Everything in `found` is text: the template escapes it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["counted"] = lambda number, what: count_of(number, what, ",")
    environment.filters["share"] = lambda value: f"{100 * value:.1f} %"
    template = environment.get_template("page.html.jinja")
    return template.render(found, policy=content_policy(), stylesheet=stylesheet())
