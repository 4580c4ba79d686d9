"""Training configurations by name (recipe, recipe file, or run folder), with their input shape and classes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from stdl_events.errors import RecipeError
from stdl_events.model_card import ModelCard
from stdl_events.recipes import RECIPES
from stdl_events.recipes.resolve import resolve, resolve_run
from stdl_events.training.load_recordings import sensor_and_classes
from stdl_events.training.run_folder import BUNDLE_FOLDER, CARD_FILE, load_config
from stdl_events.training.settings import TrainConfig


@dataclasses.dataclass(frozen=True)
class Training:
    """A configuration, and the finished run that it is from, if any.

    Args:
        card: the finished run's model card, with the sensor and the classes.
    """

    config: TrainConfig
    card: ModelCard | None = None

    def input_and_classes(self) -> tuple[tuple[int, int, int], int]:
        """(C, H, W) of the network's frames, and the number of classes; no recording is decoded.

        Raises:
            DatasetError: the recordings are needed, and they are missing.
            FrameSpecError: they cannot be cut into such frames.
        """
        if self.card is not None:
            sensor_size, classes = self.card.frame.sensor_size, len(self.card.labels)
        else:
            sensor_size, classes = sensor_and_classes(self.config)
        return self.config.frames.spec(sensor_size).frame_shape_CHW, classes


def find_training(
    name: str, assignments: Sequence[str] = (), *, variant: str | None = None, file: Path | None = None
) -> Training:
    """The training called `name`: a recipe, the path of a .py file that defines one, or the folder of a run.

    Args:
        assignments: settings that change, `key=value` each.
        variant: of a recipe.
        file: further settings that change, see `read_settings_file`; assignments win.

    Raises:
        RecipeError: there is no such recipe, file or folder, or a setting is wrong.
        RunError: the folder is not that of a run.
    """
    if name in RECIPES or name.endswith(".py"):
        return Training(resolve(name, variant=variant, file=file, assignments=assignments).config)
    folder = Path(name)
    if not folder.is_dir():
        raise RecipeError(
            f"training {name!r}",
            got="no such recipe and no such folder",
            expected=f"one of {', '.join(RECIPES)}, a .py file that defines recipe(), or a run's folder",
            todo="see stdl-events train --list",
        )
    if variant is not None:
        raise RecipeError(
            f"variant {variant!r}", got=f"the run {name}", expected="a recipe", todo="leave --variant out"
        )  # fmt: skip
    config = resolve_run(folder, file=file, assignments=assignments).config
    card_path = folder / BUNDLE_FOLDER / CARD_FILE
    # Other recordings may have another sensor and other classes than those that the run was trained on.
    if not card_path.is_file() or config.data != load_config(folder).data:
        return Training(config)
    return Training(config, ModelCard.read(card_path))
