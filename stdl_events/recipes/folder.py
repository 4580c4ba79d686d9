"""Your own recordings: one folder of recordings per class, or one long recording per class."""

from stdl_events.training.data_settings import DataSettings, FrameSettings, SplitSettings
from stdl_events.training.settings import AugmentSettings, NetworkSettings, OptimiserSettings, TrainConfig


def recipe() -> TrainConfig:
    """Clips of 200 ms; held out are the folder's own test part, or a fifth of each class's recordings or time."""
    return TrainConfig(
        name="folder",
        data=DataSettings(dataset="folder", split=SplitSettings(rule="auto", held_out=0.2)),
        frames=FrameSettings(kind="stream", steps=10, dt_us=20_000),
        network=NetworkSettings(notation="8C3-AP2-32C3-32C3-AP2-64C3-AP2-64C3"),
        augment=AugmentSettings(shift_px=1),
        optimiser=OptimiserSettings(kind="adamw", lr=0.01),
        epochs=20,
        batch_size=32,
    )
