"""A training step and an evaluation with scattered convolutions beside dense ones, over density, in turns.

    python tests/benchmarks/bench_scatter_steps.py [--networks N-MNIST VGG-11] [--quick] [--threads 1] [--rounds 7]
                                                   [--out FOLDER]

The networks are one for N-MNIST and a VGG-11 on 128x128 frames. Frames have the stated share of non-zeros, and the
biases of the batch norms are set so that about as many neurons fire; what the layers really see is printed. Learning
rates are zero, so that all rounds run the same network. Times are medians of the process's CPU time.

Writes <date>_scatter_steps.json and .md.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from bench_report import REPOSITORY, environment, write_result
from torch import Tensor

from stdl_events.build import build_learner
from stdl_events.learning.learner import Learner
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec
from stdl_events.network.synapse import Synapse, set_convolutions
from stdl_events.scatter import most_threads

# Notation, input, batch, steps.
NETWORKS = {
    "N-MNIST": ("32C3-AP2-64C3-AP2-64C3-AP2-128C3-10FC", (2, 34, 34), 16, 4),
    "VGG-11": (
        "64C3-AP2-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-512C3-512C3-AP2-10FC",
        (2, 128, 128),
        2,
        2,
    ),
}
DENSITIES = (0.02, 0.05, 0.1, 0.2)
QUICK_DENSITIES = (0.05,)
WAYS = ("dense", "auto")


def synapses(network: SpikingNetwork) -> list[Synapse]:
    """The synapses, first to last."""
    return [module for module in network.modules() if isinstance(module, Synapse)]


def quieten(learner: Learner, density: float, threshold: float) -> None:
    """Set the biases so that a normal current crosses the threshold with probability `density`."""
    crossing = torch.distributions.Normal(0, 1).icdf(torch.tensor(1 - density))
    for synapse in synapses(learner.network):
        assert isinstance(synapse.norm, torch.nn.BatchNorm2d)
        torch.nn.init.constant_(synapse.norm.bias, threshold - float(crossing))
        synapse.norm.momentum = 0.5


@torch.no_grad()
def densities(network: SpikingNetwork, frames_TBCHW: Tensor) -> list[float]:
    """The share of non-zeros in front of each convolution."""
    seen: list[float] = []
    hooks = [
        synapse.register_forward_pre_hook(lambda _, given: seen.append(float((given[0] != 0).float().mean())))
        for synapse in synapses(network)
    ]
    state = network.train().initial_state(frames_TBCHW.shape[1])
    for frame_BCHW in frames_TBCHW:
        _, state = network.step(frame_BCHW, state)
    for hook in hooks:
        hook.remove()
    return [statistics.mean(seen[index :: len(hooks)]) for index in range(len(hooks))]


def compare(name: str, memory: str, density: float, rounds: int) -> dict[str, Any]:
    """Seconds of one network at one density."""
    notation, shape, batch, steps = NETWORKS[name]
    spec = NetworkSpec.parse(notation, input_shape=shape)
    still: dict[str, Any] = {"lr": 0.0, "momentum": 0.0, "weight_decay": 0.0}
    learner = build_learner(spec, "sltt", batch_size=batch, steps=steps, memory=memory, **still)
    quieten(learner, density, spec.neuron.threshold)
    generator = torch.Generator().manual_seed(0)
    frames_TBCHW = (torch.rand((steps, batch, *shape), generator=generator) < density).float()
    targets_B = torch.arange(batch) % 10
    for _ in range(3):
        learner.train_step(frames_TBCHW, targets_B)
    seconds: dict[str, list[float]] = {f"{what}, {way}": [] for what in ("training", "evaluation") for way in WAYS}
    for number in range(rounds + 1):
        for way in WAYS:
            set_convolutions([learner.network, *(part for block in learner.blocks for part in block.parts)], way)
            began = time.process_time()
            learner.train_step(frames_TBCHW, targets_B)
            trained = time.process_time()
            learner.predict(frames_TBCHW)
            if number:
                seconds[f"training, {way}"].append(trained - began)
                seconds[f"evaluation, {way}"].append(time.process_time() - trained)
    return {
        "network": name,
        "memory": memory,
        "density": density,
        "densities": densities(learner.network, frames_TBCHW),
        "seconds": {what: statistics.median(times) for what, times in seconds.items()},
    }


def to_markdown(document: dict[str, Any]) -> str:
    machine = document["environment"]
    lines = [
        f"# Steps with scattered convolutions, {machine['date']}",
        "",
        f"{machine['machine']}, commit {machine['commit']}, {document['threads']} threads, medians of "
        f"{document['rounds']} rounds in turns, CPU time, float32.",
        "",
        "| network | memory | frames | in front of the layers | training, ms: dense / auto | ratio "
        "| evaluation, ms: dense / auto | ratio |",
        "|" + "---|" * 8,
    ]
    for row in document["rows"]:
        cells = []
        for what in ("training", "evaluation"):
            dense, auto = (row["seconds"][f"{what}, {way}"] for way in WAYS)
            cells += [f"{dense * 1e3:.0f} / {auto * 1e3:.0f}", f"{auto / dense:.2f}"]
        seen = " ".join(f"{share:.0%}" for share in row["densities"])
        lines.append(f"| {row['network']} | {row['memory']} | {row['density']:.0%} | {seen} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one density, three rounds")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    most_threads()  # numba's threads change torch's number, so they start first
    torch.set_num_threads(arguments.threads)
    rounds = 3 if arguments.quick else arguments.rounds
    rows = []
    for name in arguments.networks:
        for memory in ("lean", "kept"):
            for density in QUICK_DENSITIES if arguments.quick else DENSITIES:
                rows.append(compare(name, memory, density, rounds))
                print(f"measured {name}, {memory}, {density:.0%}", file=sys.stderr)
    document = {
        "environment": environment(["stdl-events", "torch", "numba"]),
        "threads": arguments.threads,
        "rounds": rounds,
        "rows": rows,
    }
    path = write_result(arguments.out, "scatter_steps", document)
    path.with_suffix(".md").write_text(to_markdown(document), encoding="utf-8")
    print(to_markdown(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
