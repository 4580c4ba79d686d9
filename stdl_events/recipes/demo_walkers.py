"""Gait recognition of simulated walkers; needs no recordings."""

from stdl_events.recipes.base import Variant, base
from stdl_events.training.settings import TrainConfig

SOURCE = "this package"
VARIANTS = {
    "quiet": Variant(
        "a penalty on firing rates: 6 instead of 16 % of the neurons fire; accuracy on a validation part rises",
        {"learning": {"rate_penalty": 1.0, "target_rate": 0.02}},
    ),
}


def recipe() -> TrainConfig:
    """Clips of 800 ms, most of a gait cycle; decay 0.5, a memory of several frames; the network in two blocks."""
    return base(
        "demo_walkers",
        data={"dataset": "walkers"},
        frames={"kind": "stream", "steps": 20, "dt_us": 40_000},
        network={"notation": "16C5(s2)-32C3-AP2-64C3-AP2-64C3", "neuron": {"decay": 0.5}},
        augment={"shift_px": 3},
        optimiser={"lr": 0.003},
        epochs=16,
    )
