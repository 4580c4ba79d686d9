"""Static pictures: ImageNet (1000 classes, 224x224), as in the STDL paper, in two stages."""

from typing import Any

from stdl_events.recipes.base import Variant, base
from stdl_events.recipes.papers import COSINE, STDL, STDL_BASELINES, STDL_LOSS, STDL_NEURON, pictures, sgd, sltt
from stdl_events.training.settings import TrainConfig

SOURCE = STDL

_FINETUNE: dict[str, Any] = {
    "frames": {"steps": 4},
    "optimiser": {"lr": 0.002, "weight_decay": 0.0},
    "epochs": 10,
    "batch_size": 512,
}


def _sltt(steps: int, *, epochs: int, lr: float, weight_decay: float) -> dict[str, Any]:
    """A row of SLTT's Table S2; appendix D has its crops, appendix F no squared error."""
    row = sltt(
        epochs=epochs, lr=lr, batch_size=256, weight_decay=weight_decay, mse_target="threshold",
        notation="nf-resnet34", norm="ws",
    )  # fmt: skip
    learning = {**row["learning"], "alpha": 0.0}
    return {**row, "learning": learning, "frames": {"steps": steps}, "augment": {"crop": "resized"}}


VARIANTS = {
    "finetune": Variant("STDL, Table VII: the second stage, T=4, from the first: --init runs/imagenet", _FINETUNE),
    **{name: STDL_BASELINES[name] for name in ("decolle", "ell")},
    # Appendix B: batches of 256, and the learning rate in proportion.
    "bptt": Variant(
        "BPTT with the settings of STDL (appendix B), batches of 256",
        {"learning": {"rule": "bptt"}, "optimiser": {"lr": 0.128}, "batch_size": 256},
    ),
    "bptt-finetune": Variant(
        "BPTT's second stage, T=4, batches of 256: --init runs/imagenet",
        {
            **_FINETUNE,
            "learning": {"rule": "bptt"},
            "optimiser": {"lr": 0.001, "weight_decay": 0.0},
            "batch_size": 256,
        },
    ),
    "sltt": Variant(
        "SLTT, Table S2: NF-ResNet-34, the first stage, T=1", _sltt(1, epochs=100, lr=0.1, weight_decay=1e-5)
    ),
    "sltt-finetune": Variant(
        "SLTT, Table S2: the second stage, T=6, from the first: --init runs/imagenet",
        _sltt(6, epochs=30, lr=0.001, weight_decay=0.0),
    ),
}


def recipe() -> TrainConfig:
    """SEW-ResNet-34 in the published blocks; the first stage, with T=1. The variant `finetune` is the second, with T=4.

    The second stage starts from the network of the first (`--init`), without its auxiliary network. The paper states
    neither the size before the crop nor the scale of the pixels: 256 pixels and the customary scale.
    """
    return base(
        "imagenet",
        data={"dataset": "image_folder"},
        frames=pictures(1, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        | {"center_crop": "224x224"},
        network={"notation": "sew-resnet34", "neuron": {**STDL_NEURON, "decay": 0.2}},
        learning={"rule": "stdl", "plan": "paper", **STDL_LOSS},
        augment={"crop": "random", "flip": True},
        optimiser=sgd(0.15, 1e-5),
        schedule=COSINE,
        epochs=100,
        batch_size=300,
    )
