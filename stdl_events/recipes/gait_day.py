"""Gait recognition: GAIT-DAY-DVS (20 people, DVS128), as in the STDL paper."""

from stdl_events.recipes.base import base
from stdl_events.recipes.papers import COSINE, STDL, STDL_BASELINES, STDL_LOSS, STDL_NEURON, adamw, bins
from stdl_events.training.settings import TrainConfig

SOURCE = STDL
VARIANTS = STDL_BASELINES


def recipe() -> TrainConfig:
    """ResNet-18 in the published blocks, T=20 frames of equally many events, no augmentation."""
    return base(
        "gait_day",
        data={"dataset": "gait_day"},
        frames=bins(20),
        network={"notation": "resnet18", "neuron": {**STDL_NEURON, "decay": 0.1}},
        learning={"rule": "stdl", "plan": "paper", **STDL_LOSS},
        optimiser=adamw(5e-4, 5e-4),
        schedule=COSINE,
        epochs=100,
        batch_size=100,
    )
