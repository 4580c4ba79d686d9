"""The proof of an exported file, beside it: FILE.proof.json with every number, FILE.proof.md to read."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stdl_events import __version__
from stdl_events.errors import ModelError
from stdl_events.export.agreement import TOLERANCE, Agreement
from stdl_events.export.sequences import SEQUENCES
from stdl_events.model_card import FileAccuracy
from stdl_events.whole_file import whole_file

JSON_SUFFIX = ".proof.json"
TEXT_SUFFIX = ".proof.md"


def proof_document(
    path: Path,
    agreement: Agreement,
    accuracy: FileAccuracy | None = None,
    *,
    held_out_of: str = "",
    left_out: str = "",
    further: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the proof of the file at `path`, JSON-ready.

    Args:
        held_out_of: the dataset of the held-out clips.
        left_out: why the comparison had none of them, or the accuracy not all.
        further: entries of a variant, such as how it was made of the float32 file that was compared.
    """
    content = path.read_bytes()
    return {
        "model": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "made_by": f"stdl-events {__version__}",
        "tolerance": TOLERANCE,
        "held_out_of": held_out_of if agreement.held_out_clips else "",
        "left_out": left_out,
        "verification": dataclasses.asdict(agreement) | {"silent_layers": list(agreement.silent_layers)},
        "accuracy": None if accuracy is None else accuracy.model_dump(mode="json"),
        **(further or {}),
    }


def write_proof(path: Path, document: Mapping[str, Any]) -> Path:
    """Write `document` beside the file at `path` and return the path of the text.

    Raises:
        ModelError: it cannot be written.
    """
    text = path.with_name(path.name + TEXT_SUFFIX)
    contents = {
        path.with_name(path.name + JSON_SUFFIX): json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        + "\n",
        text: proof_text(document),
    }
    for place, content in contents.items():
        with whole_file(place, room_for="proof of the model", error=ModelError) as file:
            file.write(content.encode())
    return text


def proof_text(document: Mapping[str, Any]) -> str:
    """Return the proof in Markdown."""
    lines = [
        f"# {document['model']}",
        "",
        f"{document['bytes']:,} bytes, SHA-256 `{document['sha256']}`, by {document['made_by']}.",
        "",
        "## Does it compute what the network computes?",
        "",
        *verification_lines(document),
        "",
        *_layer_table(document["verification"]["layers"]),
        "",
        "## How often is it right?",
        "",
        accuracy_line(document["accuracy"], document["left_out"]),
    ]
    return "\n".join(lines) + "\n"


def verification_lines(document: Mapping[str, Any]) -> list[str]:
    """Return what was compared and found, in words."""
    found = document["verification"]
    clips, excused = found["held_out_clips"], found["near_threshold"]
    on = f"{found['simulated_sequences']} simulated sequences"
    on += f" and {clips} held-out clips of {document['held_out_of']}, joined to {SEQUENCES} more" if clips else " only"
    silent = ", ".join(found["silent_layers"])
    return [
        *(["The float32 file that this one was made of:"] if document.keys() & {"variant", "variants"} else []),
        f"Compared with the network in onnxruntime over {found['steps']} steps of {on}, in batches of "
        f"{' and '.join(map(str, found['batch_sizes']))}.",
        *([] if clips else [f"No held-out recordings: {document['left_out']}."]),
        f"From the same state, {found['compared']:,} numbers differ by at most {found['largest_difference']:.1e} "
        f"({document['tolerance']:g} is allowed). {excused:,} neurons within rounding of their threshold fired on one "
        f"side only; {found['skipped']:,} numbers behind them in that step were not compared.",
        *_eight_bits_lines(found),
        f"Each with its own state, {found['other_classes']} of {found['runs']} clips and simulated sequences get "
        f"another class; mean logits differ by at most {found['largest_free_difference']:.1e}.",
        f"Never fired meanwhile, so that nothing is shown of them: {silent}." if silent else "Every layer fired.",
    ]


def _eight_bits_lines(found: Mapping[str, Any]) -> list[str]:
    if not (found["near_rounding"] or found["at_the_ends"]):
        return []
    return [
        f"Of the states in eight bits, {found['near_rounding']:,} within rounding of the middle between two integers "
        f"became neighbours; {found['at_the_ends']:,} were at the ends of their range, nearly all of them clamped."
    ]


def accuracy_line(accuracy: Mapping[str, Any] | None, left_out: str = "") -> str:
    """Return the accuracy of a file in words."""
    if accuracy is None:
        return f"Not measured here: {left_out or 'no held-out recordings'}."
    return (
        f"Accuracy {accuracy['accuracy']:.4f} of this file in onnxruntime on {accuracy['clips']:,} held-out clips of "
        f"{accuracy['recordings']:,} recordings of {accuracy['data']}; classes by {accuracy['labels_by']}; held out: "
        f"{accuracy['split']}."
    )


def _layer_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ("layer", "neurons", "spikes", "compared", "largest difference", "on the threshold", "skipped")
    lines = [f"| {' | '.join(head)} |", f"|---{'|--:' * (len(head) - 1)}|"]
    for row in rows:
        counts = [f"{row[key]:,}" for key in ("neurons", "spikes", "compared", "near_threshold", "skipped")]
        counts.insert(3, f"{row['largest_difference']:.1e}")
        lines.append(f"| {' | '.join([row['name'], *counts])} |")
    return lines
