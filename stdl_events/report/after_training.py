"""What was done with a run after its training: corrupted events, whole recordings, calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdl_events.events.defects import count_of
from stdl_events.model_card import DecisionThresholds, ModelCard
from stdl_events.report.tables import Bar, Table
from stdl_events.training.kept_results import KeptResult, kept_result
from stdl_events.training.run_weights import Weights

MOVEMENTS = ("movements", "once", "missed", "wrong_names", "doubles", "named_within_300_ms")
SHARES = ("right", "wrong", "nothing")


@dataclass(frozen=True)
class Kept:
    """A kept result.

    Attributes:
        note: recordings and date, in a sentence.
        facts: (name, text), of all recordings.
        tables: by level or recording.
    """

    note: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]


def robustness(folder: Path, weights: Weights | None) -> Kept | None:
    """Return the accuracies under corrupted events; None if these weights have none.

    Raises:
        RunError: the file is damaged.
    """
    kept = kept_result(folder, "robustness", weights)
    if kept is None:
        return None
    summary = kept.summary
    facts = [("events as they are", f"{summary['clean']['accuracy']:.3f}"), ("chance", f"{summary['chance']:.3f}")]
    tables = []
    for kind, corruption in summary["corruptions"].items():
        rows = [(f"{row['level']:g}", _bar(row["accuracy"]), f"{row['clips']:,}") for row in corruption["levels"]]
        head = (corruption["unit"], "accuracy", "clips")
        tables.append(Table.of(f"{kind}: {corruption['summary']}", head, rows))
    return Kept(_note(kept), tuple(facts), tuple(tables))


def whole(folder: Path, weights: Weights | None) -> Kept | None:
    """Return the score of whole recordings; None if these weights have none.

    Raises:
        RunError: the file is damaged.
    """
    kept = kept_result(folder, "whole", weights)
    if kept is None:
        return None
    summary = kept.summary
    thresholds = summary["thresholds"]
    facts = [("thresholds", "none" if thresholds is None else thresholds_text(thresholds))]
    if summary["movements"] is not None:
        facts += _movement_facts(summary["movements"])
    if summary["shares_of_time"] is not None:
        facts += [(f"share of time, {name}", f"{summary['shares_of_time'][name]:.3f}") for name in SHARES]
    moving = [one for one in summary["recordings"] if "movements" in one]
    single = [one for one in summary["recordings"] if "movements" not in one]
    return Kept(_note(kept), tuple(facts), (*_movement_table(moving), *_share_table(single)))


def calibration(card: ModelCard) -> tuple[tuple[str, str], ...]:
    """Return what `calibrate` has written into a card; empty if nothing."""
    found = card.provenance.get("calibration")
    if not isinstance(found, Mapping):
        return ()
    record: Mapping[str, Any] = found
    clips, recordings = count_of(record["clips"], "clip"), count_of(record["recordings"], "recording")
    decision = card.decision or DecisionThresholds()
    return (
        ("fitted to", f"{clips} of {recordings} to validate on, {record['date']}"),
        ("temperature", f"{card.temperature:.3g}"),
        ("thresholds", thresholds_text(decision.model_dump())),
        (
            f"wrong of the believed clips, at most {record['target_error']}",
            f"{record['wrong']} of {record['accepted']}",
        ),
        (
            f"early as at the end, at least {record['target_agreement']}",
            f"{record['other_than_at_the_end']} of {clips} otherwise",
        ),
        *([("still scenes", str(record["still"]))] if "still" in record else []),
    )


def thresholds_text(thresholds: Mapping[str, Any]) -> str:
    """Return thresholds in words; those that believe all are left out."""
    words = {
        "unknown_below": "unknown below {:g}",
        "still_below": "nothing there below {:g} events/s",
        "hold": "new only after {:g} clips in a row",
        "decide_at": "decided early at {:g}",
    }
    usual = DecisionThresholds().model_dump()
    said = [text.format(thresholds[name]) for name, text in words.items() if thresholds[name] != usual[name]]
    return ", ".join(said) or "all clips are believed"


def _movement_facts(movements: Mapping[str, Any]) -> list[tuple[str, str]]:
    rate, median = movements["false_alarms_per_min"], movements["delay_ms_median"]
    return [
        ("movements named once", f"{movements['once']} of {movements['movements']}"),
        ("onset to name, median", "none is named" if median is None else f"{median:.0f} ms"),
        ("false alarms", f"{movements['false_alarms']} in {movements['still_s']:.0f} s without a labelled movement"),
        ("false alarms a minute", "none could be" if rate is None else f"{rate:.2f}"),
    ]


def _movement_table(rows: Sequence[Mapping[str, Any]]) -> tuple[Table, ...]:
    if not rows:
        return ()
    head = ("recording", "movements", "once", "missed", "wrong names", "named twice", "within 300 ms", "false alarms")
    cells = [(row["key"], *(str(row[name]) for name in (*MOVEMENTS, "false_alarms"))) for row in rows]
    return (Table.of("recordings with labelled movements", head, cells, folded=20),)


def _share_table(rows: Sequence[Mapping[str, Any]]) -> tuple[Table, ...]:
    if not rows:
        return ()
    cells = [(row["key"], row["label"] or "none", *_shares(row["shares"])) for row in rows]
    return (
        Table.of("recordings of one class each: shares of time", ("recording", "class", *SHARES), cells, folded=20),
    )


def _shares(shares: Mapping[str, float] | None) -> tuple[str | Bar, ...]:
    return tuple("none" if shares is None else _bar(shares[name]) for name in SHARES)


def _bar(value: float | None) -> str | Bar:
    return "no clip" if value is None else Bar(value, f"{value:.3f}")


def _note(kept: KeptResult) -> str:
    side = "Held-out" if kept.side == "test" else "Validation"
    return f"{side} recordings, evaluated on {kept.date} UTC."
