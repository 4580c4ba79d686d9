"""Hand gestures: DVS128 Gesture (11 classes, DVS128), as in the SLTT paper."""

from stdl_events.recipes.base import Variant, base
from stdl_events.recipes.papers import bins, sltt, truncated, windows, with_dropout
from stdl_events.training.settings import TrainConfig

SOURCE = "SLTT, Table S2"
VARIANTS = {
    "sltt-4": Variant(
        "SLTT, Table 2: four random steps of each clip learn", {"learning": {"rule": "sltt-k", "options": {"k": 4}}}
    ),
    "ws": Variant(
        "SLTT, appendix E.3: VGG-11 (WS), standardised weights instead of batch norm", {"network": {"norm": "ws"}}
    ),
    "stdl": Variant("STDL in two blocks, with SLTT's settings; not from a paper", {"learning": {"rule": "stdl"}}),
    "tbptt": Variant(
        "truncated local BPTT, Table 1: LeNet-2, binary frames of 20 ms, T=60",
        {
            "frames": windows(60, 20_000),
            **truncated(
                k=10, n=1, batch_size=32, lr=0.05, decay=0.3, threshold=0.4, dropout=0.1, network="lenet-2", classes=11
            ),
        },
    ),
}


def recipe() -> TrainConfig:
    """SLTT: VGG-11 with dropout behind all neurons, T=20 frames of equally many events, no augmentation.

    The STDL paper does not use this dataset. The variant `tbptt` trains on all clips of a gesture, the paper on the
    first.
    """
    return base(
        "dvs_gesture",
        data={"dataset": "dvs_gesture"},
        frames=bins(20),
        **sltt(
            epochs=300,
            lr=0.1,
            batch_size=16,
            weight_decay=5e-4,
            mse_target="threshold",
            notation=with_dropout("vgg11", 0.4, 11),
        ),
    )
