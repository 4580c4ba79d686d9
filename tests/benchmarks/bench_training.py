"""Memory and time of one training step, beside SpikingJelly and snnTorch: one network, one batch, in turns.

    python tests/benchmarks/bench_training.py [--network NOTATION] [--input 2x32x32] [--batch 16] [--steps 4 10 20]
                                              [--rounds 9] [--threads 2] [--front-batches 4 8 16]
                                              [--name training] [--out FOLDER]

For each T every contender trains the same clips. Bytes are those of all live tensors at the peak of a step, input
apart, counted on the tensors of the step that runs, so that they mean the same for every library. Times are medians
over rounds, in each of which every contender takes one step; multiply-accumulates are counted as they run. The front
trains smaller batches too: time per sample against memory; `--front-batches` without numbers leaves it out.

Draws <date>_<name>.png: memory and time over T, and the front.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from bench_report import REPOSITORY, environment, write_result
from torch import Tensor
from training_contenders import Contender, Step, ours, snntorch_bptt, spikingjelly_bptt, spikingjelly_sltt

from stdl_events.memory.macs import MultiplyAccumulates
from stdl_events.memory.meter import LiveBytes
from stdl_events.network.spec import NetworkSpec

NETWORK = "32C3-AP2-64C3-AP2-64C3-AP2-128C3-10FC"
FRONT_BATCHES = (4, 8, 16)
FRONT_STEPS = 10


def contenders() -> list[Contender]:
    """This package's contenders, and those of the other installed libraries."""
    own = [
        ours("bptt", rule="bptt", memory="plain"),
        ours("sltt, plain", rule="sltt", memory="plain"),
        ours("sltt, lean", rule="sltt", memory="lean"),
        ours("sltt, kept", rule="sltt", memory="kept"),
        ours("stdl 2 blocks, plain", rule="stdl", memory="plain", least_blocks=2),
        ours("stdl 2 blocks, lean", rule="stdl", memory="lean", least_blocks=2),
        ours("stdl 2 blocks, kept", rule="stdl", memory="kept", least_blocks=2),
        ours("stdl 3 blocks, lean", rule="stdl", memory="lean", least_blocks=3),
    ]
    others = [spikingjelly_bptt(memopt=False), spikingjelly_bptt(memopt=True), spikingjelly_sltt(), snntorch_bptt()]
    present = [other for other in others if find_spec(other.library) is not None]
    for name in sorted({other.library for other in others} - {other.library for other in present}):
        print(f"{name} is not installed and left out: pip install -e '.[bench]'", file=sys.stderr)
    return own + present


def clip(spec: NetworkSpec, batch_size: int, steps: int) -> tuple[Tensor, Tensor]:
    """Random event counts, about as dense as real frames, and targets."""
    generator = torch.Generator().manual_seed(0)
    frames_TBCHW = torch.poisson(torch.full((steps, batch_size, *spec.input_shape), 0.3), generator)
    return frames_TBCHW, torch.arange(batch_size) % (spec.classes or 1)


def peak_bytes(contender: Contender, spec: NetworkSpec, batch_size: int, steps: int) -> int:
    """The peak of a settled step, without the clip."""
    frames_TBCHW, targets_B = clip(spec, batch_size, steps)
    with LiveBytes() as live:
        step = contender.make(spec, batch_size, steps)
        live.exclude(frames_TBCHW)
        live.exclude(targets_B)
        step(frames_TBCHW, targets_B)
        live.reset_peak()
        step(frames_TBCHW, targets_B)
    return live.peak


def in_turns(steps: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each contender per round, in turns, after one round of warm-up."""
    seconds: list[list[float]] = [[] for _ in steps]
    for number in range(rounds + 1):
        for index, step in enumerate(steps):
            started = time.perf_counter()
            step()
            if number:
                seconds[index].append(time.perf_counter() - started)
    return seconds


def compare(everybody: Sequence[Contender], spec: NetworkSpec, batch_size: int, steps: int, rounds: int) -> list[Any]:
    """A row for each contender at one batch size and one T."""
    frames_TBCHW, targets_B = clip(spec, batch_size, steps)
    made: list[Step] = [contender.make(spec, batch_size, steps) for contender in everybody]
    seconds = in_turns([lambda step=step: step(frames_TBCHW, targets_B) for step in made], rounds)  # type: ignore[misc]
    rows = []
    for contender, step, times in zip(everybody, made, seconds, strict=True):
        with MultiplyAccumulates() as macs:
            step(frames_TBCHW, targets_B)
        median = statistics.median(times)
        rows.append(
            {
                "name": contender.name,
                "library": contender.library,
                "batch": batch_size,
                "steps": steps,
                "peak_bytes": peak_bytes(contender, spec, batch_size, steps),
                "seconds": median,
                "fastest": min(times),
                "slowest": max(times),
                "samples_per_s": batch_size / median,
                "macs": macs.count,
            }
        )
        told = f"{median * 1e3:8.1f} ms {rows[-1]['peak_bytes'] / 1e6:9.2f} MB"
        print(f"T={steps:<3} B={batch_size:<3} {contender.name:28} {told}", file=sys.stderr, flush=True)
    return rows


def goals(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The target ratios of the project, at one T."""
    by_name = {row["name"]: row for row in rows}

    def ratio(first: str, second: str, key: str = "seconds") -> float | None:
        both = first in by_name and second in by_name
        return by_name[first][key] / by_name[second][key] if both else None

    work = by_name["stdl 2 blocks, plain"]["macs"] / by_name["sltt, plain"]["macs"]
    return {
        "steps": rows[0]["steps"],
        "sltt, lean over plain": ratio("sltt, lean", "sltt, plain"),
        "sltt, kept over plain": ratio("sltt, kept", "sltt, plain"),
        "stdl, lean over plain": ratio("stdl 2 blocks, lean", "stdl 2 blocks, plain"),
        "stdl, kept over plain": ratio("stdl 2 blocks, kept", "stdl 2 blocks, plain"),
        "stdl over sltt, plain": ratio("stdl 2 blocks, plain", "sltt, plain"),
        "the same of multiply-accumulates": work,
        "stdl, lean over SpikingJelly BPTT, memopt": ratio("stdl 2 blocks, lean", "SpikingJelly BPTT, memopt"),
        "stdl, lean over SpikingJelly BPTT": ratio("stdl 2 blocks, lean", "SpikingJelly BPTT"),
        "bytes of that over memopt's": ratio("stdl 2 blocks, lean", "SpikingJelly BPTT, memopt", "peak_bytes"),
    }


def dominated(front: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each point of SpikingJelly: the fastest of this package with no more memory, and the ratio of seconds."""
    own = [row for row in front if row["library"] == "stdl-events"]
    found = []
    for row in front:
        if row["library"] != "spikingjelly":
            continue
        fitting = [other for other in own if other["peak_bytes"] <= row["peak_bytes"]]
        best = max(fitting, key=lambda other: other["samples_per_s"]) if fitting else None
        found.append(
            {
                "point": f"{row['name']}, batch {row['batch']}",
                "peak_bytes": row["peak_bytes"],
                "ours": None if best is None else f"{best['name']}, batch {best['batch']}",
                "our_peak_bytes": None if best is None else best["peak_bytes"],
                "time_ratio": None if best is None else row["samples_per_s"] / best["samples_per_s"],
            }
        )
    return found


def to_markdown(document: dict[str, Any]) -> str:
    machine = document["environment"]
    lines = [
        f"# Training steps beside other libraries, {machine['date']}",
        "",
        f"{document['network']} on {document['input']}, batch {document['batch']}, {document['threads']} threads, "
        f"medians of {document['rounds']} rounds in turns, float32.",
        f"{machine['machine']}, commit {machine['commit']}, "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        + ".",
    ]
    for steps in document["steps"]:
        lines += [
            "",
            f"## T = {steps}",
            "",
            "| | ms per step | fastest to slowest | MB | GMAC |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['name']} | {row['seconds'] * 1e3:.1f} | {row['fastest'] * 1e3:.1f} to {row['slowest'] * 1e3:.1f} "
            f"| {row['peak_bytes'] / 1e6:.2f} | {row['macs'] / 1e9:.2f} |"
            for row in document["rows"]
            if row["steps"] == steps
        ]
    names = [name for name in document["goals"][0] if name != "steps"]
    lines += ["", "## Ratios", "", "| T | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
    for goal in document["goals"]:
        cells = ["" if goal[name] is None else f"{goal[name]:.2f}" for name in names]
        lines.append(f"| {goal['steps']} | " + " | ".join(cells) + " |")
    if not document["front"]:
        return "\n".join([*lines, ""])
    lines += ["", f"## The front at T = {FRONT_STEPS}", "", "Our fastest that needs no more memory:", ""]
    lines += ["| point | MB | ours | MB | time per sample over theirs |", "|---|---|---|---|---|"]
    for point in document["dominated"]:
        ours_at = (
            "none | | "
            if point["ours"] is None
            else f"{point['ours']} | {point['our_peak_bytes'] / 1e6:.2f} | {point['time_ratio']:.2f}"
        )
        lines.append(f"| {point['point']} | {point['peak_bytes'] / 1e6:.2f} | {ours_at} |")
    return "\n".join([*lines, ""])


def draw(document: dict[str, Any], path: Path) -> None:
    """Plot memory and time over T, and the Pareto front."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (memory, duration, front) = pyplot.subplots(1, 3, figsize=(18, 6))
    for name in dict.fromkeys(row["name"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["name"] == name]
        style = "-o" if rows[0]["library"] == "stdl-events" else "--s"
        steps = [row["steps"] for row in rows]
        memory.plot(steps, [row["peak_bytes"] / 1e6 for row in rows], style, label=name)
        duration.plot(steps, [row["seconds"] * 1e3 for row in rows], style, label=name)
        points = [row for row in document["front"] if row["name"] == name]
        front.plot(
            [row["peak_bytes"] / 1e6 for row in points],
            [1e3 / row["samples_per_s"] for row in points],
            style,
            label=name,
        )
    for axes, title, across, upward in (
        (memory, "memory of one step", "T", "MB"),
        (duration, "time of one step", "T", "ms"),
        (front, f"front, T = {FRONT_STEPS}", "MB", "ms per sample"),
    ):
        axes.set(title=title, xlabel=across, ylabel=upward)
    memory.set_yscale("log")
    front.set_xscale("log")
    memory.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default=NETWORK)
    parser.add_argument("--input", default="2x32x32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 10, 20])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--front-batches", type=int, nargs="*", default=FRONT_BATCHES)
    parser.add_argument("--name", default="training", help="of the result's files")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    spec = NetworkSpec.parse(arguments.network, input_shape=tuple(map(int, arguments.input.split("x"))))
    everybody = contenders()
    by_steps = [compare(everybody, spec, arguments.batch, steps, arguments.rounds) for steps in arguments.steps]
    batches = arguments.front_batches
    front = [row for batch in batches for row in compare(everybody, spec, batch, FRONT_STEPS, arguments.rounds)]
    document = {
        "environment": environment(["stdl-events", "torch", "spikingjelly", "snntorch"]),
        "network": spec.notation,
        "input": arguments.input,
        "batch": arguments.batch,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "steps": arguments.steps,
        "rows": [row for rows in by_steps for row in rows],
        "goals": [goals(rows) for rows in by_steps],
        "front": front,
        "dominated": dominated(front),
    }
    path = write_result(arguments.out, arguments.name, document)
    path.with_suffix(".md").write_text(to_markdown(document), encoding="utf-8")
    draw(document, path.with_suffix(".png"))
    print(to_markdown(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
