"""What `info` says of a model file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stdl_events.errors import printable
from stdl_events.models import PREFIX

if TYPE_CHECKING:
    from rich.table import Table

    from stdl_events.frames.spec import FrameSpec
    from stdl_events.model_card import FileAccuracy, Verification

SUFFIX = ".onnx"
_SHOWN_LABELS, _MOST_SHOWN = 20, 800


def is_model(file: Path) -> bool:
    """True for a model file, or a model of the package."""
    return file.suffix.lower() == SUFFIX or str(file).startswith(PREFIX)


def describe_model(file: Path) -> dict[str, Any]:
    """Return the facts of a model, after the checks that `live` does.

    Raises:
        ModelError: see `OnnxSession`.
    """
    from stdl_events.live.session import OnnxSession

    session = OnnxSession(str(file), whole_clips=True)
    stored, card = session.file, session.card.model_dump(mode="json")
    return {
        "path": str(session.path),
        "bytes": stored.size,
        "sha256": stored.sha256,
        "weights": stored.weights,
        "weights_sha256": stored.weights_sha256,
        "has_signature": stored.signature != "none",
        "operators": stored.operators,
        "card": card,
    }


def model_table(facts: dict[str, Any]) -> "Table":
    """Return the facts of `describe_model` as a table."""
    from rich.table import Table
    from rich.text import Text

    from stdl_events.frames.spec import StoredFrameSpec
    from stdl_events.model_card import FileAccuracy, Verification

    card = facts["card"]
    labels = card["labels"]
    more = f", and {len(labels) - _SHOWN_LABELS} more" if len(labels) > _SHOWN_LABELS else ""
    stated = "as its card says" if card["weights_sha256"] else "its card states none"
    rows = {
        "classes": f"{len(labels)}: {', '.join(labels[:_SHOWN_LABELS])}{more}",
        "network": str(card["network"].get("notation", "unknown")),
        "frames": _frames_text(StoredFrameSpec.model_validate(card["frame"])),
        "state": _state_text(card),
        "one call": "a frame" if card["steps_per_call"] == 1 else f"a whole clip, {card['steps_per_call']} frames",
        "decision": _decision_text(card),
        "accuracy": _measured_text(card["accuracy"], FileAccuracy),
        "checked": _measured_text(card["verification"], Verification),
        "origin": ", ".join(f"{name} {value}" for name, value in card["provenance"].items()) or "unknown",
        "versions": ", ".join(f"{name} {value}" for name, value in card["versions"].items()) or "unknown",
        "size": f"{facts['bytes'] / 1e6:.2f} MB, {facts['weights']:,} weights",
        "sha256": facts["sha256"],
        "weights": f"{facts['weights_sha256']} ({stated})",
        "signature": "beside it; live --require-signature checks it" if facts["has_signature"] else "none",
    }
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(_shown(value)))
    return table


def _shown(text: str) -> str:
    """Return what a card says, without line breaks, and not too much of it."""
    text = printable(text)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}… and more: --json"


def _frames_text(spec: "FrameSpec") -> str:
    channels, height, width = spec.frame_shape_CHW
    sensor = "{}x{}".format(*spec.sensor_size)
    size = f"{channels} x {height} x {width} of a {sensor} sensor"
    if spec.kind == "picture":
        return f"{spec.steps} times one picture of {size}"
    if spec.kind == "recording":
        return f"{spec.steps} of a whole recording, cut by {spec.by}, {size}"
    length = f"{spec.dt_us / 1000:g} ms" if spec.dt_us else f"{spec.events_per_frame:,} events"
    return f"{spec.steps} of {length} a clip, {size}" + (f", counts up to {spec.cap}" if spec.cap else "")


def _state_text(card: dict[str, Any]) -> str:
    from stdl_events.model_card import StateFormat

    stated = card["state_format"]
    written = "" if stated is None else f"; {StateFormat.model_validate(stated).to_text()}"
    return ("zeroed at each clip" if card["readout"] == "reset" else "carried from clip to clip") + written


def _measured_text(entry: dict[str, Any] | None, kind: "type[FileAccuracy] | type[Verification]") -> str:
    return "its card states none" if entry is None else kind.model_validate(entry).to_text()


def _decision_text(card: dict[str, Any]) -> str:
    thresholds = card["decision"] or {}
    parts = [f"{name} {value}" for name, value in thresholds.items() if value is not None]
    if card["temperature"] != 1:
        parts.append(f"temperature {card['temperature']:g}")
    return ", ".join(parts) or "the most probable class, always"
