"""Gait recognition: GAIT-DAY-DVS (20 people, DVS128), with the network and the frames of the STDL paper."""

from stdl_events.recipes import demo_walkers
from stdl_events.training.settings import TrainConfig


def recipe() -> TrainConfig:
    """STDL, section V: ResNet-18, T=20 frames of equally many events, batch 100, AdamW 5e-4, the published plan."""
    return demo_walkers.recipe().derive(
        name="gait_day",
        data={"dataset": "gait_day"},
        frames={"kind": "recording", "steps": 20, "dt_us": None, "by": "count"},
        network={"notation": "resnet18"},
        learning={"plan": "paper"},
        augment={"shift_px": 0},
        optimiser={"lr": 5e-4, "weight_decay": 5e-4},
        epochs=100,
        batch_size=100,
    )
