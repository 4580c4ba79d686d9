"""A step of VGG-11 in torch and in onnxruntime, and the variants of trained runs: size, time and accuracy.

    python tests/benchmarks/bench_variants.py [--runs walkers=runs/demo nmnist=runs/nmnist] [--quick] [--out FOLDER]

Batch 1, one thread. Contenders take turns; a time is that of the thread on its processor, so that other work on the
machine counts little, and medians are compared. VGG-11 at 2x128x128 has initial weights; its file is written without
the comparison with the network, which takes minutes. A run's variants are chosen as `export --auto` does, and all of
them are evaluated on its held-out recordings afterwards.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_report import REPOSITORY, environment, write_result
from live_contenders import norse_step
from vgg11 import vgg11

from stdl_events.export.fold import fold_norms
from stdl_events.export.onnx import export_onnx, write_step
from stdl_events.export.precisions import PRECISIONS
from stdl_events.export.variants import write_variant
from stdl_events.live.session import OnnxSession
from stdl_events.live.step_times import busy_frames, machine
from stdl_events.network.network import SpikingNetwork
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.evaluation.variant_choice import choose_variant, clips_of_run
from stdl_events.training.run_weights import bundle_folder

PACKAGES = ("stdl-events", "torch", "norse", "onnx", "onnxruntime", "numpy")
WINDOW_US = 10_000
Step = Callable[[np.ndarray], object]


def eager(network: SpikingNetwork, step: Callable[..., Any]) -> Step:
    """Return the network's step in torch, which keeps its state."""
    state = network.initial_state(1)

    @torch.no_grad()
    def run(frame_BCHW: np.ndarray) -> object:
        nonlocal state
        logits_BK, state = step(torch.from_numpy(frame_BCHW), state)
        return logits_BK

    return run


def file(path: Path) -> Step:
    """Return the step of an exported file, which keeps its state."""
    session = OnnxSession(path)
    state = session.initial_state()

    def run(frame_BCHW: np.ndarray) -> object:
        nonlocal state
        logits_BK, state = session.step(frame_BCHW, state)
        return logits_BK

    return run


def contenders(folder: Path) -> tuple[dict[str, Step], np.ndarray]:
    """Return the steps of VGG-11 by name, and frames for them."""
    network, card = vgg11(WINDOW_US)
    frames_NBCHW = busy_frames(card, 10, 1)
    write_step(network, card, folder / "float32.onnx")
    norse = norse_step(network)
    steps: dict[str, Step] = {
        "eager, Norse": lambda frame_BCHW: norse(torch.from_numpy(frame_BCHW)),
        "eager, ours": eager(network, network.step),
    }
    folded = fold_norms(network)
    try:
        compiled = eager(folded, torch.compile(folded.step))
        compiled(frames_NBCHW[0])
        steps["torch.compile"] = compiled
    except Exception as error:  # whatever the compiler of the machine lacks
        print(f"torch.compile does not run here: {str(error).splitlines()[0]}")
    clips_NTCHW = frames_NBCHW.swapaxes(0, 1)
    for precision in PRECISIONS.names:
        path = folder / f"{precision}.onnx"
        if precision != "float32":
            write_variant(precision, folder / "float32.onnx", clips_NTCHW, path)
        steps[f"onnxruntime, {precision}"] = file(path)
    return steps, frames_NBCHW


def vgg11_times(rounds: int) -> dict[str, Any]:
    """Time VGG-11 in turns and return medians in milliseconds, and how many times faster than eager Norse."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        steps, frames_NBCHW = contenders(Path(folder))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            for frame_BCHW in frames_NBCHW[:3]:
                began_s = time.thread_time()
                step(frame_BCHW)
                if turn:
                    times[name].append((time.thread_time() - began_s) * 1e3)
    medians = {name: float(np.median(each)) for name, each in times.items()}
    base, floats = medians["eager, Norse"], medians["onnxruntime, float32"]
    print(f"{'VGG-11, 2x128x128':24} {'ms':>8} {'x Norse':>8} {'x float32':>9}")
    for name, median in medians.items():
        print(f"{name:24} {median:8.1f} {base / median:8.2f} {floats / median:9.2f}")
    return {"median_ms": medians, "times_faster_than_norse": {name: base / each for name, each in medians.items()}}


def run_variants(name: str, run: Path, data: Path | None) -> dict[str, Any]:
    """Choose among the variants of a run, then evaluate all of them on its held-out recordings."""
    network, card = load_bundle(bundle_folder(run))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        export_onnx(network, card, folder / "float32.onnx")
        choice, _ = choose_variant(folder / "float32.onnx", clips_of_run(run, card.frame, data), folder)
        held_out = {
            precision: evaluate(run, model=folder / f"{precision}.onnx", data=data, baseline=False).accuracy
            for precision in PRECISIONS.names
            if (folder / f"{precision}.onnx").exists()
        }
    print(f"\n{name}: {card.network['notation']}")
    print("\n".join(choice.lines()))
    print("held out: " + ", ".join(f"{precision} {accuracy:.4f}" for precision, accuracy in held_out.items()))
    return {"choice": choice.kept, "lines": choice.lines(), "held_out_accuracy": held_out}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="*", default=[], metavar="NAME=RUN[:DATA]", help="trained runs, for the tables")
    parser.add_argument("--quick", action="store_true", help="three turns instead of ten")
    parser.add_argument("--no-vgg11", dest="vgg11", action="store_false", help="the runs alone")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    asked = parser.parse_args()
    results: dict[str, Any] = {"environment": environment(PACKAGES), "processor": machine()}
    if asked.vgg11:
        results["vgg11"] = vgg11_times(3 if asked.quick else 10)
    for given in asked.runs:
        name, _, places = given.partition("=")
        run, _, data = places.partition(":")
        results[name] = run_variants(name, Path(run), Path(data) if data else None)
    print(write_result(asked.out, "variants", results))


if __name__ == "__main__":
    main()
