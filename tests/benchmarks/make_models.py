"""The models that come with the package: trained, exported, tested and described in `stdl_events/models/models.json`.

    python tests/benchmarks/make_models.py [--nmnist FOLDER] [--only NAME ...] [--runs FOLDER] [--out FOLDER]

Without --nmnist the recordings are looked for where STDL_EVENTS_RECORDINGS says. A run that is there is
finished and not repeated. Each takes about 15 minutes on two cores.
"""

import argparse
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment

from stdl_events.export.onnx import export_onnx
from stdl_events.recipes import load_recipe
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.export_proof import held_out_proof
from stdl_events.training.fit import fit
from stdl_events.training.run_folder import CONFIG_FILE
from stdl_events.training.run_weights import weights_folder

FACTS_FILE = "models.json"
LARGEST_BYTES = 1_000_000


@dataclass(frozen=True)
class Made:
    """A model to make; see `stdl_events.models.ShippedModel`."""

    recipe: str
    task: str
    data: str
    data_licence: str
    licence: str


MODELS = {
    "walkers": Made(
        recipe="demo_walkers",
        task="eight simulated people, by their gait",
        data="walkers that this package simulates; no person was recorded",
        data_licence="none is needed: simulated",
        licence="Apache-2.0",
    ),
    "nmnist": Made(
        recipe="nmnist_small",
        task="handwritten digits before a moving camera",
        data="N-MNIST (Orchard, Jayawant, Cohen, Thakor 2015), its first 1000 training recordings",
        data_licence="CC BY-SA 4.0",
        licence="CC BY-SA 4.0",
    ),
}


def make(name: str, made: Made, data: Path | None, run: Path, out: Path) -> dict[str, Any]:
    """Train, export and test one model, and return its facts."""
    config = load_recipe(made.recipe).derive(seed=0, device="cpu")
    if data is not None:
        config = config.derive(data={"path": str(data.resolve())})
    fit(config, run, resume=(run / CONFIG_FILE).is_file())
    network, card = load_bundle(weights_folder(run))
    path = out / f"{name}.onnx"
    proof = held_out_proof(run, card.frame, "all")
    export_onnx(network, card, path, proof.frames(), held_out_of=proof.of)
    accuracy = proof.evaluate(path)
    assert accuracy is not None, proof.left_out
    content = path.read_bytes()
    assert len(content) < LARGEST_BYTES, f"{path} has {len(content)} bytes"
    return {
        "name": name, "file": path.name, "task": made.task, "classes": list(card.labels), "recipe": made.recipe,
        "split": str(card.provenance["split"]), "held_out_clips": accuracy.clips,
        "held_out_accuracy": accuracy.accuracy, "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(), "data": made.data, "data_licence": made.data_licence,
        "licence": made.licence, "made": environment(("torch", "numpy", "onnx")),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nmnist", type=Path, default=Path(os.environ.get("STDL_EVENTS_RECORDINGS", ".")) / "nmnist")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--runs", type=Path, default=Path("runs") / "models")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "stdl_events" / "models")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    facts = asked.out / FACTS_FILE
    known = {row["name"]: row for row in json.loads(facts.read_text())["models"]} if facts.is_file() else {}
    for name in asked.only:
        data = asked.nmnist if name == "nmnist" else None
        known[name] = make(name, MODELS[name], data, asked.runs / name, asked.out)
        print(f"{name}: {known[name]['held_out_accuracy']:.4f} of {known[name]['held_out_clips']} held-out clips")
        document = {"models": [known[each] for each in MODELS if each in known]}
        facts.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
