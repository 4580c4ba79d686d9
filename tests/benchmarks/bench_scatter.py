"""Convolutions of sparse inputs: time over density, scattering kernels beside torch's dense convolution, in turns.

    python tests/benchmarks/bench_scatter.py [--quick] [--threads 1] [--rounds 7] [--out FOLDER]

Shapes are those of the layers of an N-MNIST network at batch 16 and of a VGG-11 on 128x128 at batch 2. For each shape
and density it takes the forward convolution and the weights' gradient, dense and scattered, from packed bits and from
numbers. All times are of the process's CPU and include what a step needs besides: the copies between layouts, packing,
counting and listing; `measuring` is the cost of the density alone, which a dense convolution pays too.

Writes <date>_scatter.json, .md and .png: time over density, relative to the dense convolution, with the break-even that
the package uses.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from bench_report import REPOSITORY, environment, write_result

from stdl_events.scatter import (
    Geometry,
    convolve,
    forward_break_even,
    from_bits,
    from_values,
    most_threads,
    weight_break_even,
    weight_gradient,
)

# Batch, input and output channels, pixels of a side, kernel, stride.
SHAPES = [
    (16, 2, 32, 34, 3, 1),
    (16, 32, 64, 17, 3, 1),
    (16, 64, 64, 8, 3, 1),
    (16, 64, 128, 4, 3, 1),
    (2, 2, 64, 128, 3, 1),
    (2, 64, 128, 64, 3, 1),
    (2, 128, 256, 32, 3, 1),
    (2, 256, 256, 32, 3, 1),
    (2, 256, 512, 16, 3, 1),
    (2, 512, 512, 16, 3, 1),
    (2, 512, 512, 8, 3, 1),
    (1, 64, 128, 64, 3, 1),
    (1, 512, 512, 8, 3, 1),
    (16, 64, 128, 32, 3, 2),
    (16, 64, 128, 32, 1, 2),
    (16, 16, 16, 32, 3, 1),
    (16, 128, 128, 16, 1, 1),
]
QUICK = [SHAPES[1], SHAPES[5]]
DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
QUICK_DENSITIES = (0.02, 0.05, 0.2)


def in_turns(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each contender, in turns, after one round of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, act in contenders.items():
            started = time.process_time()
            act()
            if number:
                seconds[name].append(time.process_time() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def compare(shape: Sequence[int], density: float, threads: int, rounds: int) -> dict[str, Any]:
    """Seconds of one shape at one density."""
    batch, inputs, outputs, side, kernel, stride = shape
    geometry = Geometry(inputs, outputs, side, side, kernel, stride, kernel // 2)
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand((batch, inputs, side, side), generator=generator) < density).float()
    weight = torch.randn((outputs, inputs, kernel, kernel), generator=generator)
    padding = [kernel // 2] * 2
    out = torch.nn.functional.conv2d(x, weight, stride=stride, padding=padding)
    gradient, grad_weight = torch.randn(out.shape, generator=generator), torch.empty_like(weight)
    values_BCP = x.flatten(2).numpy()
    bits_BCQ = from_values(values_BCP).bits_BCQ
    geometry_of_torch = (None, [stride] * 2, padding, [1, 1], False, [0, 0], 1, [False, True, False])

    def scattered(from_what: Callable[..., Any], source: Any) -> None:
        nonzeros = from_what(source, threads=threads)
        convolve(nonzeros, weight.numpy(), None, geometry, out.numpy(), threads=threads)

    def learned(from_what: Callable[..., Any], source: Any) -> None:
        nonzeros = from_what(source, threads=threads)
        weight_gradient(nonzeros, gradient.numpy(), geometry, grad_weight.numpy(), threads=threads)

    seconds = in_turns(
        {
            "forward, dense": lambda: torch.nn.functional.conv2d(x, weight, stride=stride, padding=padding),
            "forward, bits": lambda: scattered(from_bits, bits_BCQ),
            "forward, numbers": lambda: scattered(from_values, values_BCP),
            "weights, dense": lambda: torch.ops.aten.convolution_backward(gradient, x, weight, *geometry_of_torch),
            "weights, bits": lambda: learned(from_bits, bits_BCQ),
            "weights, numbers": lambda: learned(from_values, values_BCP),
            "measuring, bits": lambda: from_bits(bits_BCQ, threads=threads).total,
            "measuring, numbers": lambda: from_values(values_BCP, threads=threads).total,
        },
        rounds,
    )
    return {
        "shape": list(shape),
        "density": density,
        "seconds": seconds,
        "forward_break_even": forward_break_even(geometry, batch),
        "weight_break_even": weight_break_even(geometry, batch),
    }


def name_of(shape: Sequence[int]) -> str:
    batch, inputs, outputs, side, kernel, stride = shape
    return f"{batch} x {inputs} -> {outputs}, {side}x{side}, k{kernel} s{stride}"


def ratios(row: dict[str, Any]) -> dict[str, float]:
    """Seconds over those of the dense convolution."""
    seconds = row["seconds"]
    return {
        name: value / seconds[f"{name.split(',')[0]}, dense"]
        for name, value in seconds.items()
        if not name.startswith("measuring")
    } | {name: value / seconds["forward, dense"] for name, value in seconds.items() if name.startswith("measuring")}


def slower_than_allowed(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows where the package would scatter and lose more than 2 %."""
    found = []
    for row in rows:
        share = ratios(row)
        for name, limit in (("forward", "forward_break_even"), ("weights", "weight_break_even")):
            worst = share[f"{name}, numbers"]
            if row["density"] <= row[limit] and worst > 1.02:
                found.append(f"{name} of {name_of(row['shape'])} at {row['density']:.0%}: {worst:.2f} x dense")
    return found


def to_markdown(document: dict[str, Any]) -> str:
    machine = document["environment"]
    columns = ["forward, bits", "forward, numbers", "weights, bits", "weights, numbers", "measuring, numbers"]
    lines = [
        f"# Convolutions of sparse inputs, {machine['date']}",
        "",
        f"{machine['machine']}, commit {machine['commit']}, {document['threads']} threads, medians of "
        f"{document['rounds']} rounds in turns, CPU time, float32; ratios to the dense convolution, or to that of its "
        "weights' gradient. `break-even` is the density up to which the package scatters, forward / weights.",
        "",
        "| shape | density | dense, ms: forward / weights | " + " | ".join(columns) + " | break-even |",
        "|" + "---|" * (len(columns) + 4),
    ]
    for row in document["rows"]:
        share, seconds = ratios(row), row["seconds"]
        cells = " | ".join(f"{share[name]:.2f}" for name in columns)
        dense = f"{seconds['forward, dense'] * 1e3:.2f} / {seconds['weights, dense'] * 1e3:.2f}"
        limits = f"{row['forward_break_even']:.0%} / {row['weight_break_even']:.0%}"
        lines.append(f"| {name_of(row['shape'])} | {row['density']:.0%} | {dense} | {cells} | {limits} |")
    lost = document["slower_than_allowed"]
    lines += ["", "Scattered and more than 2 % slower: " + ("; ".join(lost) if lost else "none") + "."]
    return "\n".join([*lines, ""])


def draw(document: dict[str, Any], path: Path) -> None:
    """Plot time over density, relative to dense, for forward and the weights' gradient."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, both = pyplot.subplots(1, 2, figsize=(15, 6), sharey=True)
    for axes, name in zip(both, ("forward", "weights"), strict=True):
        for shape in {tuple(row["shape"]): None for row in document["rows"]}:
            rows = [row for row in document["rows"] if tuple(row["shape"]) == shape]
            share = [ratios(row)[f"{name}, bits"] for row in rows]
            axes.plot([100 * row["density"] for row in rows], share, "-o", label=name_of(shape), markersize=3)
        axes.axhline(1.0, color="black", linewidth=1)
        axes.set(title=f"{name}, scattered", xlabel="density, %", ylabel="time over dense", ylim=(0, 2))
    both[0].legend(fontsize="x-small")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two shapes, three densities, three rounds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    most_threads()  # numba's threads change torch's number, so they start first
    torch.set_num_threads(arguments.threads)
    rounds = 3 if arguments.quick else arguments.rounds
    rows = []
    for shape in QUICK if arguments.quick else SHAPES:
        for density in QUICK_DENSITIES if arguments.quick else DENSITIES:
            rows.append(compare(shape, density, arguments.threads, rounds))
        print(f"measured {name_of(shape)}", file=sys.stderr)
    document = {
        "environment": environment(["stdl-events", "torch", "numba"]),
        "threads": arguments.threads,
        "rounds": rounds,
        "rows": rows,
        "slower_than_allowed": slower_than_allowed(rows),
    }
    path = write_result(arguments.out, "scatter", document)
    path.with_suffix(".md").write_text(to_markdown(document), encoding="utf-8")
    draw(document, path.with_suffix(".png"))
    print(to_markdown(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
