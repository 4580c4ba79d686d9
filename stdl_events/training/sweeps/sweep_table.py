"""The table of a sweep: a row per combination, with mean and spread over its seeds, and differences between pairs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from stdl_events.events.defects import count_of
from stdl_events.training.sweeps.paired import paired_difference, spread
from stdl_events.training.sweeps.sweep_folder import FAILED, FINISHED, SweepRecord

MEASURED = ("accuracy", "validation_accuracy", "macro_f1", "mean_class_accuracy", "recording_accuracy", "seconds")
PEAKS = ("step_bytes", "peak_rss_bytes", "peak_cuda_bytes")
_COLUMNS = (("accuracy", "held out"), ("validation_accuracy", "validation"), ("macro_f1", "macro F1"))
MB = 10**6


def table_rows(record: SweepRecord) -> list[dict[str, Any]]:
    """A row per combination, JSON-ready: means, spreads, peaks, the paired difference to the first combination."""
    combinations = record.sweep.combinations
    runs = {
        one.name: {trial.seed: record.runs.get(trial.name, {}) for trial in record.sweep.trials_of(one)}
        for one in combinations
    }
    first = _finished(runs[combinations[0].name])
    rows = []
    for one in combinations:
        finished = _finished(runs[one.name])
        failed = {seed: run for seed, run in runs[one.name].items() if _failed(run)}
        row: dict[str, Any] = {"combination": one.name, "values": dict(one.values), "runs": len(finished)}
        row |= {"failed": len(failed), "errors": list(dict.fromkeys(run["error"] for run in failed.values()))}
        row |= {"failed_seeds": list(failed)}
        row |= {key: asdict(spread(found)) for key in MEASURED if (found := _all(finished.values(), key))}
        row |= {key: max(found) for key in PEAKS if (found := _all(finished.values(), key))}
        row |= _baselines(record, finished)
        if one is not combinations[0]:
            row["against_first"] = _against(first, finished)
        rows.append(row)
    chosen = chosen_row(record, rows)
    return [row | {"chosen": row is chosen} for row in rows]


def chosen_row(record: SweepRecord, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with the best mean accuracy on the validation part; None where `why_nothing_is_chosen` says why."""
    return None if why_nothing_is_chosen(record, rows) else max(rows, key=_validated)


def why_nothing_is_chosen(record: SweepRecord, rows: Sequence[dict[str, Any]]) -> str | None:
    """A reason in words, or None if the validation part decides."""
    if len(rows) < 2:
        return "nothing is chosen: there is one combination"
    finished = [run for run in record.runs.values() if run["state"] == FINISHED]
    if finished and not any("validation_accuracy" in run for run in finished):
        return "nothing is chosen: there is no validation part; add one with --validation 0.1"
    if len({run.get("validation_sha256") for run in finished}) > 1:
        return "nothing is chosen: the combinations have other validation parts"
    if not any(row["runs"] == len(record.sweep.seeds) for row in rows):
        return "nothing is chosen: no combination has finished with every seed"
    best = max(map(_validated, rows))
    equal = [row["combination"] for row in rows if _validated(row) == best]
    return f"nothing is chosen: equal on the validation part: {'; '.join(equal)}" if len(equal) > 1 else None


def _validated(row: dict[str, Any]) -> tuple[bool, float]:
    """Whether every seed has finished, and the mean accuracy on the validation part."""
    every = row["failed"] == 0 and row["runs"] == row.get("validation_accuracy", {}).get("n")
    return every, row["validation_accuracy"]["mean"] if "validation_accuracy" in row else 0.0


def _finished(runs: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {seed: run for seed, run in runs.items() if run.get("state") == FINISHED}


def _failed(run: dict[str, Any]) -> bool:
    return run.get("state") == FAILED


def _all(runs: Any, key: str) -> list[Any]:
    """The values of `key` if every run has it."""
    values = [run.get(key) for run in runs]
    return values if values and None not in values else []


def _baselines(record: SweepRecord, finished: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    digests = {run.get("test_sha256") for run in finished.values()}
    digest = digests.pop() if len(digests) == 1 else None
    return record.baselines.get(digest, {}) if digest is not None else {}


def _against(first: Mapping[int, dict[str, Any]], other: Mapping[int, dict[str, Any]]) -> dict[str, Any] | None:
    """The paired difference over the seeds that both have; None without any, or if other recordings were tested."""
    shared = [seed for seed in first if seed in other]
    if not shared or any(first[seed].get("test_sha256") != other[seed].get("test_sha256") for seed in shared):
        return None
    ours, theirs = ([runs[seed]["accuracy"] for seed in shared] for runs in (first, other))
    return asdict(paired_difference(ours, theirs))


def table_cells(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """(heads, cells) of the table for people; columns that no row fills are left out."""
    measured = [(key, head) for key, head in _COLUMNS if any(key in row for row in rows)]
    peaks = [
        (key, head) for key, head in (("step_bytes", "step MB"), ("peak_cuda_bytes", "CUDA MB")) if _any(rows, key)
    ]
    if not any(key == "peak_cuda_bytes" for key, _ in peaks):
        peaks.append(("peak_rss_bytes", "RAM MB"))
    heads = ["", "n", *(head for _, head in measured), "s", *(head for _, head in peaks)]
    body = []
    for row in rows:
        cells = [("* " if row["chosen"] else "") + row["combination"], str(row["runs"])]
        cells += [spread_text(row.get(key)) for key, _ in measured]
        cells.append(f"{row['seconds']['mean']:.3g}" if "seconds" in row else "-")
        cells += [f"{row[key] / MB:.3g}" if key in row else "-" for key, _ in peaks]
        body.append(cells)
    return heads, body


def table_lines(rows: Sequence[dict[str, Any]], width: int) -> list[str]:
    """The table as text; names that do not fit into `width` beside the numbers stand above them."""
    heads, body = table_cells(rows)
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    above = sum(widths) + 2 * (len(widths) - 1) > width
    first = 0 if above else widths[0]
    lines = []
    for cells in (heads, *body):
        numbers = "".join(f"  {cell:>{size}}" for cell, size in zip(cells[1:], widths[1:], strict=True))
        lines += [cells[0], numbers] if above and cells[0] else [f"{cells[0]:<{first}}{numbers}"]
    return lines


def _any(rows: Sequence[dict[str, Any]], key: str) -> bool:
    return any(key in row for row in rows)


def spread_text(found: Mapping[str, Any] | None) -> str:
    """`0.953 ± 0.010`; `-` without a value."""
    if found is None:
        return "-"
    return f"{found['mean']:.3f}" + ("" if found["sd"] is None else f" ± {found['sd']:.3f}")


def table_notes(record: SweepRecord, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines below the table: baselines, differences, what was chosen, what has failed."""
    seeds = count_of(len(record.sweep.seeds), "seed")
    lines = [f"mean ± standard deviation over n of {seeds}; step: metered peak of one step"]
    lines += [f"held-out clips: {baselines_text(baselines)}" for baselines in record.baselines.values()]
    lines += [_difference_text(row, rows[0]["combination"]) for row in rows[1:] if row["runs"]]
    chosen = next((row for row in rows if row["chosen"]), None)
    why = why_nothing_is_chosen(record, rows)
    lines.append(why or f"* best on the validation part: {chosen['combination'] if chosen else '-'}")
    lines += [_failure_text(row, len(record.sweep.seeds)) for row in rows if row["failed"]]
    return lines


def _failure_text(row: dict[str, Any], seeds: int) -> str:
    which = "" if row["failed"] == seeds else f" (seed {', '.join(map(str, row['failed_seeds']))})"
    return (
        f"{row['failed']} of {count_of(seeds, 'run')} failed: {row['combination']}{which}: {'; '.join(row['errors'])}"
    )


def baselines_text(baselines: Mapping[str, Any]) -> str:
    """The accuracies without a network, in words."""
    ridge = baselines.get("ridge")
    left_out = baselines.get("left_out") or "not computed"
    text = f"no ridge on summed events: {left_out}" if ridge is None else f"ridge on summed events {ridge:.3f}"
    return f"chance {baselines['chance']:.3f}, {text}"


def _difference_text(row: dict[str, Any], first: str) -> str:
    found = row.get("against_first")
    if found is None:
        return f"{row['combination']}: not compared with {first}: no seed that tested the same recordings"
    error = f" ± {found['standard_error']:.3f} (standard error)" if found["standard_error"] is not None else ""
    return f"{row['combination']}: {found['mean']:+.3f}{error} against {first}, {count_of(found['n'], 'seed')} in pairs"


def as_markdown(record: SweepRecord, rows: Sequence[dict[str, Any]]) -> str:
    """The table and its notes."""
    heads, body = table_cells(rows)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in (heads, *body)]
    lines.insert(1, "|---" * len(heads) + "|")
    return "\n".join([*lines, "", *(f"- {note}" for note in table_notes(record, rows)), ""])


def as_csv(record: SweepRecord) -> str:
    """A row per run: its settings that vary, its seed, its state and all its numbers."""
    keys = list(dict.fromkeys(key for run in record.runs.values() for key in run if key != "state"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *record.sweep.vary, "seed", "state", *keys])
    for trial in record.sweep.trials:
        run = record.runs.get(trial.name, {"state": "waiting"})
        values = [*trial.combination.values.values(), trial.seed, run["state"]]
        writer.writerow([trial.name, *values, *(run.get(key, "") for key in keys)])
    return text.getvalue()
