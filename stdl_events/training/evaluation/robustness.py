"""Accuracy of a finished run under corrupted events, level by level."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdl_events.errors import DatasetError
from stdl_events.events.corruption_registry import CORRUPTIONS
from stdl_events.recordings.clips import load_readable_clips, no_clips
from stdl_events.recordings.corrupted import CorruptedCut
from stdl_events.recordings.splits.sides import Side
from stdl_events.training.evaluation.evaluate_clips import Evaluation, evaluate_clips
from stdl_events.training.evaluation.evaluate_run import HeldOut, open_held_out
from stdl_events.training.run_weights import Weights

Progress = Callable[[int, int, str], None]
"""Called with (levels done, levels in all, the level that follows)."""


@dataclass(frozen=True)
class LevelAccuracy:
    """The accuracy at a level of a corruption.

    Attributes:
        kind: a name of `CORRUPTIONS`.
        accuracy, mean_class_accuracy: of the clips; None if there is none.
        clips: their number, which changes where the recordings' length or the number of count windows does.
        recording_accuracy: of whole recordings.
    """

    kind: str
    level: float
    accuracy: float | None
    mean_class_accuracy: float | None
    recording_accuracy: float | None
    clips: int

    @classmethod
    def of(cls, kind: str, level: float, evaluation: Evaluation | None) -> "LevelAccuracy":
        """Return the accuracies of an evaluation; None if there is no clip."""
        if evaluation is None:
            return cls(kind, level, None, None, None, 0)
        accuracies = evaluation.accuracy, evaluation.mean_class_accuracy, evaluation.recording_accuracy
        return cls(kind, level, *accuracies, len(evaluation.clips))


@dataclass(frozen=True)
class Robustness:
    """Accuracies under corruptions.

    Attributes:
        clean: of the events as they are.
        chance: accuracy of always predicting the most frequent class.
        levels: in the order in which they were evaluated.
        seed: of all draws.
    """

    clean: LevelAccuracy
    chance: float
    levels: tuple[LevelAccuracy, ...]
    seed: int

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(level.kind for level in self.levels))

    def of_kind(self, kind: str) -> tuple[LevelAccuracy, ...]:
        """Return the levels of one corruption."""
        return tuple(level for level in self.levels if level.kind == kind)

    def mean(self, kind: str) -> float | None:
        """Return the mean accuracy over the levels of one corruption; None if a level has no clip."""
        accuracies = [level.accuracy for level in self.of_kind(kind)]
        known = [accuracy for accuracy in accuracies if accuracy is not None]
        return sum(known) / len(known) if known and len(known) == len(accuracies) else None

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "seed": self.seed,
            "clean": _row(self.clean),
            "chance": self.chance,
            "corruptions": {
                kind: {
                    "summary": CORRUPTIONS[kind].summary,
                    "unit": CORRUPTIONS[kind].unit,
                    "mean_accuracy": self.mean(kind),
                    "levels": [_row(level) for level in self.of_kind(kind)],
                }
                for kind in self.kinds
            },
        }


def _row(level: LevelAccuracy) -> dict[str, Any]:
    row = {name: getattr(level, name) for name in LevelAccuracy.__dataclass_fields__}
    return {name: value for name, value in row.items() if name != "kind"}


def evaluate_robustness(
    folder: Path | str,
    levels: Mapping[str, Sequence[float]] | None = None,
    *,
    weights: Weights | None = None,
    model: Path | str | None = None,
    data: Path | str | None = None,
    device: str = "auto",
    side: Side = "test",
    seed: int = 0,
    progress: Progress | None = None,
) -> Robustness:
    """Evaluate the finished run in `folder` on its held-out recordings, their events corrupted before they are framed.

    Args:
        levels: of each kind, a name of `CORRUPTIONS`; None is all kinds with their own levels.
        weights, model, data, device, side: see `stdl_events.training.evaluation.evaluate_run.evaluate`.
        seed: of all draws; the same one corrupts alike.
        progress: called before each level.

    Raises:
        RunError, ModelError, DatasetError: see `held_out.evaluate`; or the recordings are pictures, or their events are
            not there.
        RecipeError: a kind is unknown, or a level is outside its limits.
    """
    chosen = {name: CORRUPTIONS[name].levels for name in CORRUPTIONS.names} if levels is None else levels
    todo = [(CORRUPTIONS.check(kind), CORRUPTIONS[kind].check(level)) for kind in chosen for level in chosen[kind]]
    opened = open_held_out(folder, weights=weights, model=model, data=data, device=device, side=side)
    require_events(opened)
    # The recordings as they are take the same way.
    nothing = "drop", CORRUPTIONS["drop"].identity
    evaluations: list[Evaluation | None] = []
    for done, (kind, level) in enumerate([nothing, *todo]):
        if progress is not None:
            progress(done, len(todo) + 1, f"{kind} {level:g}" if done else "clean")
        evaluations.append(_at(opened, CorruptedCut(CORRUPTIONS[kind], level, seed)))
        if evaluations[0] is None:
            raise no_clips(opened.recordings.entries, opened.card.frame)
    clean = evaluations[0]
    assert clean is not None
    levels_found = [LevelAccuracy.of(*at, found) for at, found in zip(todo, evaluations[1:], strict=True)]
    return Robustness(LevelAccuracy.of("clean", nothing[1], clean), clean.chance, tuple(levels_found), seed)


def _at(opened: HeldOut, cut: CorruptedCut) -> Evaluation | None:
    recordings, clips, _ = load_readable_clips(
        opened.recordings, opened.card.frame, bad_at_most=None if opened.config.data.skip_bad else 0, cut=cut
    )
    if not len(clips):
        return None
    return evaluate_clips(opened.logits_of, recordings, clips, batch_size=opened.config.batch_size)


def require_events(opened: HeldOut) -> None:
    """Check that the events of the recordings are there; clips in a store have none.

    Raises:
        DatasetError: the recordings are static pictures, or their files are not there.
    """
    if opened.card.frame.kind == "picture":
        raise DatasetError(
            "recordings held out", got="static pictures", expected="events, which are what is corrupted",
            todo="use a run on recordings of events",
        )  # fmt: skip
    missing = [entry for entry in opened.recordings.entries if not entry.path.exists()]
    if missing:
        of_store = "" if opened.config.data.prepared is None else " (the store has frames, and no events)"
        raise DatasetError(
            str(missing[0].path), got=f"no such file, one of {len(missing)}{of_store}",
            expected="the recordings, whose events are used", todo="name their folder with --data DIR",
        )  # fmt: skip
