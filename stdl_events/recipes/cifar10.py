"""Static pictures: CIFAR-10 (10 classes, 32x32), as in the STDL paper."""

from stdl_events.recipes.base import Variant, base
from stdl_events.recipes.papers import STDL, cifar, cifar_variants, truncated
from stdl_events.training.settings import TrainConfig

SOURCE = STDL
CUTOUT = "cutout:side_px=16"
VARIANTS = {
    **cifar_variants(weight_decay=5e-5, cutout=CUTOUT),
    "tbptt": Variant(
        "truncated local BPTT, Table 1: AlexNet, T=10, no augmentation",
        {
            "frames": {"steps": 10},
            "augment": {"shift_px": 0, "flip": False, "transforms": []},
            **truncated(
                k=1, n=1, batch_size=128, lr=0.1, decay=0.8, threshold=0.4, dropout=0.1, network="alexnet", classes=10
            ),
        },
    ),
}


def recipe() -> TrainConfig:
    """ResNet-18 in the published blocks; each picture is the input at all T=4 steps.

    Crops are shifts by up to 4 pixels. No paper gives the side of the cutout: 16 pixels are those of its authors for
    this set; here it is black, not the mean colour. SLTT's variant has a ResNet-18 without pre-activation.
    """
    settings = cifar(network="resnet18", cutout=CUTOUT, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
    return base("cifar10", data={"dataset": "cifar10"}, **settings)
