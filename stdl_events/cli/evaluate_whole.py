"""`stdl-events evaluate --whole`: whole recordings, uncut, decided as in a live run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdl_events.cli.keep_result import keep_or_say
from stdl_events.cli.next_step import say_next
from stdl_events.cli.output import messages, print_json, results
from stdl_events.events.defects import count_of

if TYPE_CHECKING:
    from stdl_events.recordings.splits.sides import Side
    from stdl_events.training.evaluation.whole_recordings import Rules, WholeRecordings
    from stdl_events.training.run_weights import Weights

WholeOption = Annotated[
    bool,
    typer.Option(
        "--whole",
        help="Run whole recordings, uncut, and decide as live does, by the model's thresholds or the options from "
        "--unknown-below on: is each labelled movement named once, how soon, and what is said while nothing moves?",
    ),
]
COLUMNS = ("recording", "moves", "once", "missed", "wrong", "twice", "<300 ms", "false/min")


def show_whole(
    run: Path,
    *,
    weights: "Weights | None",
    model: Path | None,
    data: Path | None,
    side: "Side",
    rules: "Rules",
    as_json: bool,
) -> None:
    """Evaluate a run on whole recordings, and print the score."""
    from stdl_events.training.evaluation.whole_recordings import evaluate_whole
    from stdl_events.training.progress import LineProgress

    with LineProgress("whole recordings") as progress:
        found = evaluate_whole(
            run,
            weights=weights,
            model=model,
            data=data,
            side=side,
            progress=progress.at,
            rules=rules,
        )
    if model is None:
        keep_or_say(run, "whole", found.summary(), side=side, weights=weights)
    if as_json:
        print_json({"run": str(run), "model": None if model is None else str(model)} | found.summary())
        return
    results.print("\n".join(whole_lines(found)))
    if found.thresholds is None:
        messages.print("no thresholds: something is said at every clip; fit them, or give --still-below and --hold")
        say_next("calibrate", run)
    elif model is None:
        say_next("export", run, "--out", "model.onnx", *_words(found.thresholds.model_dump()))


def whole_lines(found: "WholeRecordings") -> list[str]:
    """Return the score as lines of 80 columns: a row per recording, their sum, and what it means."""
    rows = [one for one in found.recordings if one.score is not None]
    lines = [_row(COLUMNS)] if rows else []
    lines += [_row(_cells(one.key, one.score.summary())) for one in rows if one.score is not None]
    if found.movements is not None:
        summary = found.movements.summary()
        lines += [_row(_cells("all", summary)), *_in_words(summary)]
    for one in found.recordings:
        if one.shares is not None:
            lines.append(f"{_end(one.key, 20)}  {one.label}: {_shares(one.shares)}"[:80])
    if found.shares is not None:
        lines.append(f"all of one class each, share of time: {_shares(found.shares)}")
    return lines


def _in_words(summary: dict[str, Any]) -> list[str]:
    lines = []
    if summary["delay_ms_median"] is not None:
        delays = f"{summary['delay_ms_median']:.0f} ms after the onset (median), {summary['delay_ms_max']:.0f} at most"
        lines.append(f"{summary['named']} of {count_of(summary['movements'], 'movement')} named, {delays}")
    alarms = count_of(summary["false_alarms"], "false alarm")
    return [*lines, f"{alarms} in {summary['still_s']:.0f} s in which nothing labelled moves"]


def _cells(key: str, summary: dict[str, Any]) -> tuple[str, ...]:
    names = ("movements", "once", "missed", "wrong_names", "doubles", "named_within_300_ms")
    rate = summary["false_alarms_per_min"]
    return (key, *(str(summary[name]) for name in names), "-" if rate is None else f"{rate:.1f}")


def _row(cells: tuple[str, ...]) -> str:
    first, *others = cells
    return _end(first, 24) + "".join(
        f"{cell:>{max(7, len(name) + 1)}}" for cell, name in zip(others, COLUMNS[1:], strict=True)
    )


def _end(text: str, width: int) -> str:
    return f"{text:{width}}" if len(text) <= width else "\N{HORIZONTAL ELLIPSIS}" + text[1 - width :]


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.3f}" for name, share in shares.items())


def _words(thresholds: dict[str, Any]) -> list[str]:
    """Return the options of thresholds that differ from believing all."""
    given = {
        name: value
        for name, value in thresholds.items()
        if value not in (None, 0, 0.0) and (name, value) != ("hold", 1)
    }
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", f"{value:g}")]
