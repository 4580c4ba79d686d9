"""Digits: 1000 recordings of N-MNIST, the first 800 to train and the last 200 held out."""

from stdl_events.recipes.base import SMALL_NETWORK, base
from stdl_events.training.settings import TrainConfig

SOURCE = "this package"


def recipe() -> TrainConfig:
    """T=10 frames of equally many events, the network in two blocks."""
    return base(
        "nmnist_small",
        data={"dataset": "nmnist", "split": {"rule": "order", "train": 800, "test": 200}},
        frames={"kind": "recording", "steps": 10, "by": "count"},
        # Running statistics are updated at every time step; with PyTorch's 0.1 they would cover the last clips only.
        network={"notation": SMALL_NETWORK, "norm_momentum": 0.01},
        augment={"shift_px": 1},
        epochs=12,
    )
