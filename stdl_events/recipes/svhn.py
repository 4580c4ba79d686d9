"""Static pictures: SVHN (10 digits, 32x32), as in the STDL paper."""

from stdl_events.recipes.base import base
from stdl_events.recipes.papers import COSINE, STDL, STDL_BASELINES, STDL_LOSS, STDL_NEURON, pictures, sgd
from stdl_events.training.settings import TrainConfig

SOURCE = STDL
VARIANTS = STDL_BASELINES


def recipe() -> TrainConfig:
    """VGG16 in the published blocks; each picture is the input at all T=4 steps.

    Crops are shifts by up to 2 pixels. The paper states no scale of the pixels: here they are from -1 to 1.
    """
    return base(
        "svhn",
        data={"dataset": "svhn"},
        frames=pictures(4, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        network={"notation": "vgg16", "neuron": {**STDL_NEURON, "decay": 0.1}},
        learning={"rule": "stdl", "plan": "paper", **STDL_LOSS},
        augment={"shift_px": 2},
        optimiser=sgd(0.1, 5e-5),
        schedule=COSINE,
        epochs=200,
        batch_size=512,
    )
