"""Memory and time of one training step, beside SpikingJelly and snnTorch: one network, one batch, in turns.

    python tests/benchmarks/bench_training.py [--network NOTATION] [--input 2x32x32] [--batch 16] [--steps 4 10 20]
                                              [--rounds 9] [--threads 2] [--front-batches 4 8 16]
                                              [--name training] [--quick] [--out FOLDER]

For each T every contender trains the same clips. Bytes are those of all live tensors at the peak of a step, input
apart, counted on the tensors of the step that runs, so that they mean the same for every library. Times are medians
over rounds, in each of which every contender takes one step; multiply-accumulates are counted as they run. Beside each
time stands the share of it that the network's bare convolutions take: forward and backward, of the same shapes, with
the same threads, in the same rounds, of a step of `sltt`. In bf16 they are those that the plain bf16 step runs.

The front trains smaller batches too: time per sample against memory; `--front-batches` without numbers leaves it out.
SpikingJelly's memory optimiser is at level 1, as the higher ones need a GPU; `gpu_check.py` has level 4.

Draws <date>_<name>.svg: memory and time over T of the main contenders, and the front of all.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import spikingjelly_contenders as spikingjelly
import torch
from bench_report import REPOSITORY, environment, write_result
from charts import Line, Panel, draw, front
from step_measures import bare_convolutions, clip, in_turns, peak_bytes
from training_contenders import HOST, Contender, ours, snntorch_bptt

from stdl_events.memory.macs import MultiplyAccumulates
from stdl_events.network.spec import NetworkSpec

NETWORK = "32C3-AP2-64C3-AP2-64C3-AP2-128C3-10FC"
FRONT_BATCHES = (4, 8, 16)
FRONT_STEPS = 10
# Of the charts over T, which would not be readable with all.
OVER_TIME = ("bptt", "sltt, plain", "sltt, lean", "sltt, kept", "SpikingJelly BPTT", "SpikingJelly BPTT, memopt 1")
QUICK = ["--network", "4C3-AP2-4C3-4C3-10FC", "--input", "2x8x8", "--batch", "2", "--steps", "2", "4", "--rounds", "1"]


def contenders() -> list[Contender]:
    """This package's contenders, and those of the other installed libraries."""
    own = [
        ours("bptt", rule="bptt", memory="plain"),
        ours("sltt, plain", rule="sltt", memory="plain"),
        ours("sltt, lean", rule="sltt", memory="lean"),
        ours("sltt, kept", rule="sltt", memory="kept"),
        ours("sltt, lean, bf16", rule="sltt", memory="lean", precision="bf16"),
        ours("sltt, kept, bf16", rule="sltt", memory="kept", precision="bf16"),
        ours("sltt, lean, int8-state", rule="sltt", memory="lean", precision="int8-state"),
        ours("sltt, lean, int8-state+bf16", rule="sltt", memory="lean", precision="int8-state+bf16"),
        ours("stdl 2 blocks, plain", rule="stdl", memory="plain", least_blocks=2),
        ours("stdl 2 blocks, lean", rule="stdl", memory="lean", least_blocks=2),
        ours("stdl 2 blocks, kept", rule="stdl", memory="kept", least_blocks=2),
        ours("stdl 3 blocks, lean", rule="stdl", memory="lean", least_blocks=3),
    ]
    others = [spikingjelly.bptt(), spikingjelly.bptt(memopt=1), spikingjelly.sltt(), snntorch_bptt()]
    present = [other for other in others if find_spec(other.library) is not None]
    for name in sorted({other.library for other in others} - {other.library for other in present}):
        print(f"{name} is not installed and left out: pip install -e '.[bench]'", file=sys.stderr)
    return own + present


def precision_of(contender: Contender) -> str:
    return str((contender.ours or {}).get("precision", "fp32"))


def compare(everybody: Sequence[Contender], spec: NetworkSpec, batch_size: int, steps: int, rounds: int) -> list[Any]:
    """A row for each contender at one batch size and one T."""
    inputs = clip(spec, batch_size, steps)
    made = [contender.make(spec, batch_size, steps, HOST) for contender in everybody]
    precisions = sorted({precision_of(contender) for contender in everybody})
    whole = [
        ours("", rule="sltt", memory="plain", precision=name).make(spec, batch_size, steps, HOST) for name in precisions
    ]
    bare = [bare_convolutions(partial(step, *inputs), HOST) for step in whole]
    seconds = in_turns([*(partial(step, *inputs) for step in made), *bare], rounds, HOST)
    medians = [statistics.median(times) for times in seconds]
    bare_seconds = dict(zip(precisions, medians[len(made) :], strict=True))
    rows = []
    for contender, step, times, median in zip(everybody, made, seconds, medians, strict=False):
        with MultiplyAccumulates() as macs:
            step(*inputs)
        rows.append(
            {
                "name": contender.name,
                "library": contender.library,
                "backend": contender.backend(HOST),
                "batch": batch_size,
                "steps": steps,
                "peak_bytes": peak_bytes(partial(contender.make, spec, batch_size, steps, HOST), inputs),
                "seconds": median,
                "fastest": min(times),
                "slowest": max(times),
                "bare_share": bare_seconds[precision_of(contender)] / median,
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
        "sltt, lean: bf16 over float32": ratio("sltt, lean, bf16", "sltt, lean"),
        "sltt, kept: bf16 over float32": ratio("sltt, kept, bf16", "sltt, kept"),
        "sltt, lean: int8-state over float32": ratio("sltt, lean, int8-state", "sltt, lean"),
        "sltt, lean: int8-state+bf16 over bf16": ratio("sltt, lean, int8-state+bf16", "sltt, lean, bf16"),
        "stdl, lean over SpikingJelly BPTT, memopt 1": ratio("stdl 2 blocks, lean", "SpikingJelly BPTT, memopt 1"),
        "stdl, lean over SpikingJelly BPTT": ratio("stdl 2 blocks, lean", "SpikingJelly BPTT"),
        "sltt, kept over SpikingJelly BPTT": ratio("sltt, kept", "SpikingJelly BPTT"),
        "bytes of stdl, lean over memopt 1": ratio("stdl 2 blocks, lean", "SpikingJelly BPTT, memopt 1", "peak_bytes"),
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
        f"medians of {document['rounds']} rounds in turns, float32 where nothing else is said.",
        f"{machine['machine']}, commit {machine['commit']}, "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        + ".",
    ]
    for steps in document["steps"]:
        lines += [
            "",
            f"## T = {steps}",
            "",
            "| | neurons by | ms per step | fastest to slowest | bare convolutions | MB | GMAC |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['name']} | {row['backend']} | {row['seconds'] * 1e3:.1f} | {row['fastest'] * 1e3:.1f} to "
            f"{row['slowest'] * 1e3:.1f} | {row['bare_share']:.0%} | {row['peak_bytes'] / 1e6:.2f} "
            f"| {row['macs'] / 1e9:.2f} |"
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


def panels(document: dict[str, Any]) -> list[Panel]:
    """Memory and time over T, and the front of all batches."""

    def lines(rows: Sequence[dict[str, Any]], of: Callable[[dict[str, Any]], tuple[float, float]]) -> list[Line]:
        styles = {row["name"]: "-" if row["library"] == "stdl-events" else "--" for row in rows}
        return [Line(name, [of(row) for row in rows if row["name"] == name], styles[name]) for name in styles]

    by_batch = document["front"]
    rows = [row for row in document["rows"] if row["name"] in OVER_TIME]
    megabytes = lines(rows, lambda row: (row["steps"], row["peak_bytes"] / 1e6))
    milliseconds = lines(rows, lambda row: (row["steps"], row["seconds"] * 1e3))
    over_time = [
        Panel("memory of one step", "T", "MB", megabytes, "y", at_points=True),
        Panel("time of one step", "T", "ms", milliseconds, at_points=True),
    ]
    if not by_batch:
        return over_time

    def point(row: dict[str, Any]) -> tuple[float, float]:
        return row["peak_bytes"] / 1e6, 1e3 / row["samples_per_s"]

    points = list(map(point, by_batch))
    best = Line("Pareto front", [points[index] for index in front(points)], "band")
    title = f"front, T = {FRONT_STEPS}, batches " + ", ".join(map(str, document["front_batches"]))
    return [*over_time, Panel(title, "MB", "ms per sample", [*lines(by_batch, point), best], "x")]


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
    parser.add_argument("--quick", action="store_true", help="a tiny network, to see that it works")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments = parser.parse_args(QUICK, arguments)
    torch.set_num_threads(arguments.threads)
    spec = NetworkSpec.parse(arguments.network, input_shape=tuple(map(int, arguments.input.split("x"))))
    everybody = contenders()
    by_steps = [compare(everybody, spec, arguments.batch, steps, arguments.rounds) for steps in arguments.steps]
    batches = arguments.front_batches
    by_batch = [row for batch in batches for row in compare(everybody, spec, batch, FRONT_STEPS, arguments.rounds)]
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
        "front_batches": list(batches),
        "front": by_batch,
        "dominated": dominated(by_batch),
    }
    path = write_result(arguments.out, arguments.name, document)
    path.with_suffix(".md").write_text(to_markdown(document), encoding="utf-8")
    draw(panels(document), path.with_suffix(".svg"))
    print(to_markdown(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
