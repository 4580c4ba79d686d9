"""A step of an exported VGG-11 over the density of its spikes: onnxruntime, float32 and int8, and `--provider scatter`.

    python tests/benchmarks/bench_quiet_steps.py [--out FOLDER] [--quick]

The weights are initial ones. Each layer's norm is shifted until the share of its neurons that fire in a step is the
density asked for, on frames of the same density. Batch 1, one thread, in turns, medians.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from bench_report import REPOSITORY, environment, write_result
from charts import Line, Panel, draw
from torch import Tensor
from vgg11 import vgg11

from stdl_events.export.onnx import write_step
from stdl_events.export.variants import write_variant
from stdl_events.live import OnnxSession
from stdl_events.live.step_times import machine
from stdl_events.network.layers import Layer, SpikingUnit
from stdl_events.network.network import SpikingNetwork

DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.2)
WINDOW_US = 500_000
STEPS = 4
PACKAGES = ["torch", "onnxruntime", "numba", "numpy"]


@torch.no_grad()
def quieten(network: SpikingNetwork, frames_TBCHW: Tensor, density: float) -> list[float]:
    """Shift the norms of `network`; returns the density reached in each layer."""
    reached, values = [], list(frames_TBCHW)
    for layer in network.layers_in_order():
        if isinstance(layer.body, SpikingUnit):
            norm = layer.body.synapse.norm
            low, high, start = -8.0, 8.0, norm.bias.clone()
            for _ in range(14):
                norm.bias.copy_(start + (low + high) / 2)
                found = _fired(layer, values)
                low, high = (low, (low + high) / 2) if found > density else ((low + high) / 2, high)
            reached.append(found)
        values = _through(layer, values)
    return reached


def _through(layer: Layer, values: list[Tensor]) -> list[Tensor]:
    state, out = layer.initial_state(len(values[0])), []
    for x_BCHW in values:
        x_BCHW, state = layer.step(x_BCHW, state)
        out.append(x_BCHW)
    return out


def _fired(layer: Layer, values: list[Tensor]) -> float:
    """Return the mean share of the layer's neurons that fire, in front of its pooling."""
    shares, state = [], layer.initial_state(len(values[0]))
    for x_BCHW in values:
        spikes_BCHW, state = layer.body.step(layer.before(x_BCHW), state)
        shares.append(float((spikes_BCHW != 0).float().mean()))
    return float(np.mean(shares))


def at_density(density: float, rounds: int) -> dict[str, Any]:
    """Return medians in milliseconds by name, and the densities reached."""
    network, card = vgg11(WINDOW_US)
    frames_TBCHW = torch.from_numpy(frames_of(density, (STEPS, 1, *card.frame.frame_shape_CHW)))
    reached = quieten(network, frames_TBCHW, density)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.onnx" for name in ("float32", "int8")}
        write_step(network, card, files["float32"])
        write_variant("int8", files["float32"], frames_TBCHW.numpy().swapaxes(0, 1), files["int8"])
        sessions = {name: OnnxSession(path) for name, path in files.items()}
        sessions["scatter"] = OnnxSession(files["float32"], provider="scatter")
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(rounds + 1):
        for name, session in sessions.items():
            state = session.initial_state()
            for frame_BCHW in frames_TBCHW.numpy():
                began_s = time.thread_time()
                _, state = session.step(frame_BCHW, state)
                if turn:
                    times[name].append((time.thread_time() - began_s) * 1e3)
    scattered = sessions["scatter"].scattered
    assert scattered is not None
    return {
        "density": density,
        "reached": reached,
        "median_ms": {name: float(np.median(each)) for name, each in times.items()},
        "scattered": dataclasses.asdict(scattered),
    }


def frames_of(density: float, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return frames of which a share of `density` of the pixels has an event."""
    return (np.random.default_rng(0).random(shape) < density).astype(np.float32)


def panel(rows: list[dict[str, Any]]) -> Panel:
    """Return the chart of time over density."""
    names = {"float32": "onnxruntime, float32", "int8": "onnxruntime, int8", "scatter": "--provider scatter"}
    lines = [
        Line(text, [(100 * row["density"], row["median_ms"][name]) for row in rows], "-" if name == "scatter" else "--")
        for name, text in names.items()
    ]
    return Panel(
        "A step of VGG-11, 2x128x128, one thread", "neurons that fire and pixels with events, %", "ms", lines,
        logarithmic="x", at_points=True,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two densities, three turns instead of ten")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(f"{'density':>8} {'float32 ms':>11} {'int8 ms':>8} {'scatter ms':>11} {'x float32':>9}")
    for density in DENSITIES[1:3] if asked.quick else DENSITIES:
        rows.append(at_density(density, 3 if asked.quick else 10))
        times = rows[-1]["median_ms"]
        share = times["scatter"] / times["float32"]
        print(f"{density:8.2f} {times['float32']:11.1f} {times['int8']:8.1f} {times['scatter']:11.1f} {share:9.2f}")
    document = {"environment": environment(PACKAGES), "processor": machine(), "rows": rows}
    written = write_result(asked.out, "quiet_steps", document)
    draw([panel(rows)], written.with_suffix(".svg"))
    print(written)


if __name__ == "__main__":
    main()
