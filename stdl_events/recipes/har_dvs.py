"""Activities: HAR-DVS (300 classes, DAVIS346), as in the STDL paper."""

from stdl_events.recipes.base import base
from stdl_events.recipes.papers import COSINE, STDL, STDL_BASELINES, STDL_LOSS, STDL_NEURON, adamw, bins
from stdl_events.training.settings import TrainConfig

SOURCE = STDL
VARIANTS = STDL_BASELINES


def recipe() -> TrainConfig:
    """ResNet-18 in the published blocks, T=4 frames of equally many events, the central 224x224 pixels.

    The paper crops training clips at random places. Here both sides have the frame spec's window, in the centre; a
    shift by up to 18 pixels, the paper's reach from top to bottom, moves the scene in it, with empty pixels behind.
    """
    return base(
        "har_dvs",
        data={"dataset": "har_dvs"},
        frames=bins(4, center_crop="224x224"),
        network={"notation": "resnet18", "neuron": {**STDL_NEURON, "decay": 0.1}},
        learning={"rule": "stdl", "plan": "paper", **STDL_LOSS},
        augment={"shift_px": 18, "flip": True},
        optimiser=adamw(1e-3, 5e-4),
        schedule=COSINE,
        epochs=100,
        batch_size=100,
    )
