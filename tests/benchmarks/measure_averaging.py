"""Averaged weights and the statistics of their batch norms, on a validation part of N-MNIST.

    python tests/benchmarks/measure_averaging.py --data FOLDER [--decays 0.9 0.97 0.99] [--seeds 1] [--out FOLDER]

After each epoch of the recipe `nmnist_small`, a fifth of the training recordings is recognised by: the trained weights;
the averaged ones with the trained network's statistics (what training keeps), with averaged statistics, and with
statistics estimated again in one pass over the training clips without augmentation. Held-out recordings are not read.
Writes <date>_averaging.json.
"""

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_report import REPOSITORY, environment, write_result
from torch import nn

from stdl_events import load_recipe
from stdl_events.learning.averaging import AveragedWeights
from stdl_events.network.network import SpikingNetwork
from stdl_events.recordings.clips import ClipArray, load_clips
from stdl_events.training.build_learner import build_configured_learner
from stdl_events.training.data import batch_of, epoch_batches, ordered_batches
from stdl_events.training.evaluation.evaluate_clips import evaluate_clips, network_logits
from stdl_events.training.load_recordings import load_split
from stdl_events.training.schedule import learning_rate
from stdl_events.training.settings import TrainConfig


@torch.no_grad()
def with_new_statistics(network: SpikingNetwork, clips: ClipArray, batch_size: int) -> SpikingNetwork:
    """A copy whose running statistics are the means over all time steps of all clips."""
    again = copy.deepcopy(network).train()
    for module in again.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    for indices in ordered_batches(len(clips), batch_size):
        frames_TBCHW, _ = batch_of(clips, indices)
        state = again.initial_state(len(indices))
        for frame_BCHW in torch.from_numpy(frames_TBCHW):
            _, state = again.step(frame_BCHW.float(), state)
    return again


class AveragedStatistics:
    """A moving average of the running statistics, with the decay of the weights' average."""

    def __init__(self, average: AveragedWeights, decay: float) -> None:
        self._average, self._decay = average, decay
        self._values = [value.clone() for value in average.network.buffers()]

    def update(self) -> None:
        """Average once more, after the weights' average."""
        n = self._average.updates - 1
        decay = min(self._decay, (1 + n) / (10 + n)) if n else 0.0
        for mine, its in zip(self._values, self._average.network.buffers(), strict=True):
            mine.copy_(decay * mine + (1 - decay) * its)

    def network(self) -> SpikingNetwork:
        """The averaged network with them."""
        again = copy.deepcopy(self._average.network)
        for mine, its in zip(self._values, again.buffers(), strict=True):
            its.copy_(mine)
        return again


def one_run(config: TrainConfig, decays: list[float]) -> list[dict[str, Any]]:
    """Train one learner, with an average for each decay; a row for each epoch."""
    split = load_split(config)
    assert split.validation is not None
    spec = config.frames.spec(split.train.sensor_size)
    train, judged = load_clips(split.train, spec), load_clips(split.validation, spec)
    learner = build_configured_learner(config, spec, len(split.train.classes))
    averages = {decay: AveragedWeights(learner.network, decay) for decay in decays}
    statistics = {decay: AveragedStatistics(average, decay) for decay, average in averages.items()}
    step, peak = 0, learner.optimizer.param_groups[0]["lr"]
    rows = []

    def accuracy(network: SpikingNetwork) -> dict[str, float]:
        found = evaluate_clips(network_logits(network), split.validation, judged, batch_size=config.batch_size)
        return {"accuracy": found.accuracy, "loss": found.loss}

    for epoch in range(config.epochs):
        batches = epoch_batches(len(train), config.batch_size, seed=config.seed, epoch=epoch)
        for number, indices in enumerate(batches):
            for group in learner.optimizer.param_groups:
                group["lr"] = learning_rate(
                    config.schedule, peak, step, steps_per_epoch=len(batches), epochs=config.epochs
                )
            rng = np.random.default_rng((config.seed, epoch, number))
            frames_TBCHW, targets_B = batch_of(train, indices, config.augment, rng)
            learner.train_step(torch.from_numpy(frames_TBCHW), torch.from_numpy(targets_B))
            for decay, average in averages.items():
                average.update()
                statistics[decay].update()
            step += 1
        row: dict[str, Any] = {"seed": config.seed, "epoch": epoch + 1, "trained": accuracy(learner.network)}
        for decay, average in averages.items():
            row[str(decay)] = {
                "averaged statistics": accuracy(statistics[decay].network()),
                "trained statistics": accuracy(average.network),
                "new statistics": accuracy(with_new_statistics(average.network, train, config.batch_size)),
            }
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--decays", type=float, nargs="+", default=[0.9, 0.97, 0.99])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "benchmarks" / "results")
    arguments = parser.parse_args()
    config = load_recipe("nmnist_small").derive(
        data={"path": arguments.data, "split": {"validation": 0.2}}, epochs=arguments.epochs
    )
    rows = [row for seed in range(arguments.seeds) for row in one_run(config.derive(seed=seed), arguments.decays)]
    document = {
        "environment": environment(["stdl-events", "torch"]),
        "config": config.derive(data={"path": None}).model_dump(mode="json"),
        "rows": rows,
    }
    print(write_result(arguments.out, "averaging", document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
