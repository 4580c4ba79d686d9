"""Gait recognition of simulated walkers; needs no recordings."""

from stdl_events.recipes.base import Variant, base
from stdl_events.training.settings import TrainConfig

SOURCE = "this package"
VARIANTS = {
    "unpenalised": Variant(
        "no penalty on firing rates: 16 instead of 6 % of the neurons fire; accuracy on a validation part falls",
        {"learning": {"rate_penalty": None, "target_rate": None}},
    ),
}


def recipe() -> TrainConfig:
    """Clips of 800 ms, most of a gait cycle; decay 0.5, a memory of several frames; the network in two blocks.

    The penalty on firing rates was chosen by a validation part (`docs/benchmarks.md`, "Quiet networks").
    """
    return base(
        "demo_walkers",
        data={"dataset": "walkers"},
        frames={"kind": "stream", "steps": 20, "dt_us": 40_000},
        network={"notation": "16C5(s2)-32C3-AP2-64C3-AP2-64C3", "neuron": {"decay": 0.5}},
        learning={"rate_penalty": 1.0, "target_rate": 0.02},
        augment={"shift_px": 3},
        optimiser={"lr": 0.003},
        epochs=16,
    )
