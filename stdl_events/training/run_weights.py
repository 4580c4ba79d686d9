"""Which weights of a run are kept: those of its last epoch, and the best ones by its validation part."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stdl_events.errors import RunError
from stdl_events.events.defects import count_of
from stdl_events.model_card import ModelCard
from stdl_events.training.evaluation.evaluate_clips import Evaluation
from stdl_events.training.run_folder import BEST_FOLDER, BUNDLE_FOLDER, CARD_FILE, CONFIG_FILE

Weights = Literal["best", "last"]
FOLDERS: dict[Weights, str] = {"best": BEST_FOLDER, "last": BUNDLE_FOLDER}


@dataclass
class Best:
    """The epoch with the highest accuracy on the validation part; of equal ones that with the lowest loss.

    Attributes:
        epoch: counted from 1; 0 is none so far.
    """

    epoch: int = 0
    accuracy: float = 0.0
    loss: float = 0.0

    def update(self, epoch: int, evaluation: Evaluation) -> bool:
        """Take `epoch` if it is better; return True if it is."""
        better = not self.epoch or (evaluation.accuracy, -evaluation.loss) > (self.accuracy, -self.loss)
        if better:
            self.epoch, self.accuracy, self.loss = epoch, evaluation.accuracy, evaluation.loss
        return better

    def to_state(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return dict(vars(self))


def weights_text(run: Path, weights: Weights | None = None) -> str:
    """Return which weights of a run are meant, and of which epoch, in words."""
    folder = weights_folder(run, weights)
    card = ModelCard.from_json((folder / CARD_FILE).read_text(encoding="utf-8"), subject=str(folder / CARD_FILE))
    name = next(name for name, its in FOLDERS.items() if its == folder.name)
    epochs = card.provenance.get("epochs")
    return f"{name} weights, after {count_of(epochs, 'epoch') if isinstance(epochs, int) else '? epochs'}"


def weights_folder(run: Path, weights: Weights | None = None) -> Path:
    """Return the bundle of a run with these weights; None is the best ones if a validation part chose some.

    Raises:
        RunError: there are no best ones.
    """
    best = run / BEST_FOLDER
    if weights == "best" and not best.is_dir():
        raise RunError(
            str(run), got="no best weights", expected="a run with a validation part, after its first epoch",
            todo="use --weights last, or train with --validation 0.1",
        )  # fmt: skip
    return run / FOLDERS[weights or ("best" if best.is_dir() else "last")]


def bundle_folder(folder: Path, weights: Weights | None = None) -> Path:
    """Return the bundle of a run, see `weights_folder`; `folder` itself if it is no run.

    Raises:
        RunError: there are no best ones, or `weights` are chosen of a bundle.
    """
    if (folder / BUNDLE_FOLDER).is_dir() or (folder / CONFIG_FILE).is_file():
        return weights_folder(folder, weights)
    if weights is not None:
        raise RunError(
            str(folder), got=f"the {weights} weights asked for", expected="the folder of a run",
            todo="leave --weights out: a bundle has its own weights",
        )  # fmt: skip
    return folder
