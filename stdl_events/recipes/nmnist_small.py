"""Digits: 1000 recordings of N-MNIST, the first 800 to train and the last 200 held out."""

from stdl_events.recipes import folder
from stdl_events.training.settings import TrainConfig


def recipe() -> TrainConfig:
    """T=10 frames of equally many events, the network in two blocks."""
    return folder.recipe().derive(
        name="nmnist_small",
        data={"dataset": "nmnist", "split": {"rule": "order", "train": 800, "test": 200}},
        frames={"kind": "recording", "steps": 10, "dt_us": None, "by": "count"},
        # Running statistics are updated at every time step; with PyTorch's 0.1 they would cover the last clips only.
        network={"norm_momentum": 0.01},
        epochs=12,
    )
