"""The position of a run: counters and sums of the training loop, as state for a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

RATE = "rate_"


@dataclass
class Means:
    """Running sums of the learner's metrics on its device; only `read` synchronises with it."""

    samples: int = 0
    seconds: float = 0.0
    loss: Tensor | float = 0.0
    correct: Tensor | int = 0
    rates: dict[str, Tensor] = field(default_factory=dict)

    def add(self, metrics: Mapping[str, Tensor], samples: int, seconds: float) -> None:
        """Add one batch of `samples` clips; `metrics` is the result of `Learner.train_step`."""
        self.samples += samples
        self.seconds += seconds
        self.loss = metrics["loss"] * samples + self.loss
        self.correct = metrics["correct"] + self.correct
        for name, rate in metrics.items():
            if name.startswith(RATE):
                self.rates[name] = rate * samples + self.rates.get(name, 0)

    def read(self) -> dict[str, float]:
        """Means over the added clips; with a rate penalty also the rates, and their mean over the layers."""
        means = {
            "loss": float(self.loss) / self.samples,
            "accuracy": int(self.correct) / self.samples,
            "samples_per_s": self.samples / self.seconds,
        }
        rates = {name: float(total) / self.samples for name, total in self.rates.items()}
        return means | ({"mean_rate": sum(rates.values()) / len(rates)} | rates if rates else {})


@dataclass
class Position:
    """The next batch of the current epoch.

    Attributes:
        batch: batches of the epoch so far; several may belong to one update.
        step: updates so far.
        seconds: time spent so far, over all resumptions.
        row, whole_epoch: sums since the last step row, and since the epoch began.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    row: Means = field(default_factory=Means)
    whole_epoch: Means = field(default_factory=Means)

    def to_state(self) -> dict[str, Any]:
        """State for a checkpoint; `from_state` reads it back."""
        return vars(self) | {"row": dict(vars(self.row)), "whole_epoch": dict(vars(self.whole_epoch))}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Position":
        return cls(**state | {"row": Means(**state["row"]), "whole_epoch": Means(**state["whole_epoch"])})
