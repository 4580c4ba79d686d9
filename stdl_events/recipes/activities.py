"""Activities of people: labelled movements in long recordings, such as standing up and sitting down."""

from stdl_events.recipes.base import SMALL_NETWORK, Variant, base
from stdl_events.training.settings import TrainConfig

SOURCE = "this package"
VARIANTS = {
    "four": Variant(
        "with walking away and walking towards: the labels of all four in labels.csv",
        {
            "data": {
                "labels": "labels.csv",
                "orientation": ["sit_stand:rotate=90", "walk_toward:rotate=180"],
            }
        },
    ),
    "folders": Variant(
        "whole recordings by their folder, without labels: sit_stand, walk_away, walk_toward",
        {"data": {"labels": "none", "orientation": ["sit_stand:rotate=90", "walk_toward:rotate=180"]}},
    ),
}


def recipe() -> TrainConfig:
    """Binary frames of 32x32 pixels in clips of 100 ms, shifted, zoomed and thinned; whole recordings are held out.

    For the folders of sit_stand_walk, whose labels (segments.tsv) are those of `sit_stand`, where the camera lay on its
    side. Other recordings take other settings of `data.orientation`, `data.labels` and `frames.downscale`.
    """
    return base(
        "activities",
        data={
            "dataset": "folder",
            "orientation": ["sit_stand:rotate=90"],
            "split": {"rule": "recording", "held_out": 0.3},
        },
        # Pixels are occupied or not: standing up differs from sitting down in order, not in the number of events.
        frames={"kind": "stream", "steps": 5, "dt_us": 20_000, "downscale": 4, "cap": 1},
        network={"notation": SMALL_NETWORK},
        learning={"least_blocks": 2},
        # Another recording has another rate of events, and a figure of another size.
        augment={"shift_px": 3, "zoom": 0.25, "event_drop": True},
        epochs=8,
    )
