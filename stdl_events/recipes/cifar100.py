"""Static pictures: CIFAR-100 (100 classes, 32x32), as in the STDL paper."""

from stdl_events.recipes.base import base
from stdl_events.recipes.papers import STDL, cifar, cifar_variants
from stdl_events.training.settings import TrainConfig

SOURCE = STDL
CUTOUT = "cutout:side_px=8"
VARIANTS = cifar_variants(weight_decay=5e-4, cutout=CUTOUT)


def recipe() -> TrainConfig:
    """ResNet-19 in the published blocks; each picture is the input at all T=4 steps.

    Crops are shifts by up to 4 pixels. No paper gives the side of the cutout: 8 pixels are those of its authors for
    this set; here it is black, not the mean colour. SLTT's variant has a ResNet-18 without pre-activation.
    """
    settings = cifar(network="resnet19", cutout=CUTOUT, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762))
    return base("cifar100", data={"dataset": "cifar100"}, **settings)
