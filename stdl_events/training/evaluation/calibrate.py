"""Calibration of a finished run on its validation part: a temperature and the thresholds of its decisions.

The held-out part is not read: it stays for the test of what was fitted.

Shape letters: N clips, T time steps, K classes.
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from stdl_events.analysis.thresholds import (
    EarlyDecisions,
    Floats,
    Rejection,
    StillScenes,
    fit_early,
    fit_rejection,
    fit_still,
    fit_temperature,
    risk_curve,
    upper_bound,
)
from stdl_events.errors import ModelError, RunError
from stdl_events.events.defects import count_of
from stdl_events.live.readout import softmax
from stdl_events.model_card import LARGEST_TEMPERATURE, LEAST_TEMPERATURE, DecisionThresholds, ModelCard
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
from stdl_events.training.bundle import write_card
from stdl_events.training.evaluation.evaluate_clips import Evaluation
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.evaluation.still_scenes import ClipRates, clip_rates
from stdl_events.training.run_folder import CARD_FILE, load_config, lock_of_run
from stdl_events.training.run_weights import Weights, weights_folder

TARGET_ERROR, TARGET_AGREEMENT = 0.02, 0.99
# With fewer wrong clips a temperature is that of chance.
FEW_WRONG = 10
# With a smaller share of believed clips a model answers hardly ever.
FEW_BELIEVED = 0.5
MOST_NAMED = 5


@dataclass(frozen=True)
class Calibration:
    """What was fitted to the validation part of a run.

    Attributes:
        folder: the bundle whose card it is for.
        before, after: the clips to validate on, with probabilities of temperature 1 and of `temperature`.
        probabilities_NTK: after each step, with `temperature`.
        temperature: None if none is best, see `fit_temperature`; the card's is 1 then.
        rejection: None if no threshold has an error as low as `target_error`.
        early: decisions before the end of a clip.
        target_error, target_agreement: what was asked for.
        still: the rate of events below which nothing is there; a text is why it cannot be fitted.
    """

    folder: Path
    before: Evaluation
    after: Evaluation
    probabilities_NTK: Floats
    temperature: float | None
    rejection: Rejection
    early: EarlyDecisions
    target_error: float
    target_agreement: float
    still: StillScenes | str

    @property
    def accepts_all(self) -> Rejection:
        """All clips, without a threshold."""
        return Rejection.at(0.0, self.after.probabilities_NK.max(1), self.after.right_N)

    @property
    def still_text(self) -> str:
        """What was fitted to still scenes, or why nothing was."""
        if isinstance(self.still, str):
            return f"not fitted: {self.still}"
        found = self.still
        return f"{found.silent} of {found.still} still clips are below, and {found.lost} of {found.moving} moving ones"

    @property
    def cautions(self) -> list[str]:
        """What limits the result, in words."""
        said, rejection, wrong = self._absent(), self.rejection, self.accepts_all.wrong
        if self.temperature is None:
            said.append(
                f"no temperature from {LEAST_TEMPERATURE:g} to {LARGEST_TEMPERATURE:g} has the least cross-entropy "
                f"({wrong} of {count_of(rejection.clips, 'clip')} wrong); it stays 1"
            )
        elif wrong < FEW_WRONG:
            said.append(f"the temperature rests on {count_of(wrong, 'wrong clip')}; validate on more recordings")
        bound = upper_bound(rejection.wrong, rejection.accepted)
        if bound > self.target_error:
            accepted = _clips(rejection.accepted, "accepted clip")
            said.append(
                f"{rejection.wrong} wrong of {accepted} compatible with an error up to {bound:.3f} (95 %, if clips "
                "were independent); validate on more recordings for a surer threshold"
            )
        if rejection.coverage < FEW_BELIEVED:
            said.append(
                f"{rejection.clips - rejection.accepted} of {_clips(rejection.clips)} unknown from now on; a larger "
                f"--target-error believes more of them"
            )
        if self.early.threshold is None and self.early.steps > 1:
            said.append("no threshold decides early as often as at the end as asked; clips are decided at their ends")
        elif self.early.early and self.early.clips * (1 - self.target_agreement) < 1:
            said.append(
                f"{_clips(self.early.clips)} too few to show that {self.target_agreement:g} of them are decided "
                f"early as at their ends; validate on more recordings"
            )
        return said

    def _absent(self) -> list[str]:
        """The classes that no clip tests, in words."""
        clips, names = self.after.clips, self.after.recordings.classes
        absent = [name for index, name in enumerate(names) if not (clips.targets_N == index).any()]
        if not absent:
            return []
        some = ", ".join(absent[:MOST_NAMED]) + (" and others" if len(absent) > MOST_NAMED else "")
        return [
            f"no clip to validate on is of {some}: the fits say nothing about {'it' if len(absent) == 1 else 'them'}"
        ]

    def applied(self, card: ModelCard) -> ModelCard:
        """Return `card` with what was fitted, and where it is from; its other thresholds are kept."""
        old = card.decision or DecisionThresholds()
        fitted = {"unknown_below": self.rejection.threshold, "decide_at": self.early.threshold}
        if isinstance(self.still, StillScenes):
            fitted["still_below"] = self.still.threshold
        record: dict[str, JsonValue] = {
            "part": "validation",
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "clips": self.rejection.clips,
            "recordings": len(self.after.recording_is_right_R),
            "target_error": self.target_error,
            "accepted": self.rejection.accepted,
            "wrong": self.rejection.wrong,
            "target_agreement": self.target_agreement,
            "other_than_at_the_end": self.early.other,
            "still": self.still_text,
        }
        return card.model_copy(
            update={
                "temperature": self.temperature or 1.0,
                "decision": DecisionThresholds.model_validate(old.model_dump() | fitted),
                "provenance": card.provenance | {"calibration": record},
            }
        )

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        clip_us = self.after.frame_spec.dt_us if self.after.frame_spec else None
        return {
            "card": str(self.folder / CARD_FILE),
            "part": "validation",
            "clips": self.rejection.clips,
            "recordings": len(self.after.recording_is_right_R),
            "accuracy": self.after.accuracy,
            "temperature": self.temperature,
            "nll": {"before": self.before.loss, "after": self.after.loss},
            "ece": {"before": self.before.reliability().ece, "after": self.after.reliability().ece},
            "rejection": asdict(self.rejection)
            | {
                "target_error": self.target_error,
                "coverage": self.rejection.coverage,
                "error": self.rejection.error,
                "error_upper_bound": upper_bound(self.rejection.wrong, self.rejection.accepted),
                "error_of_all": self.accepts_all.error,
            },
            "early": asdict(self.early)
            | {
                "target_agreement": self.target_agreement,
                "agreement": self.early.agreement,
                "saved_frames": self.early.steps - self.early.mean_frames,
                "saved_us": clip_us and (self.early.steps - self.early.mean_frames) * clip_us,
            },
            "still": {"refused": self.still} if isinstance(self.still, str) else asdict(self.still),
            "cautions": self.cautions,
        }


def _clips(count: int, what: str = "clip") -> str:
    return f"{count_of(count, what)} {'is' if count == 1 else 'are'}"


def calibrate(
    folder: Path | str,
    *,
    weights: Weights | None = None,
    data: Path | str | None = None,
    device: str = "auto",
    target_error: float = TARGET_ERROR,
    target_agreement: float = TARGET_AGREEMENT,
    write: bool = True,
) -> Calibration:
    """Fit a temperature and thresholds to the validation part of the run in `folder`, and write them into its card.

    The temperature is fitted first; the thresholds are of its probabilities. Earlier fits are replaced.
    `still_below` is fitted where the recordings to validate on have labelled movements with still parts between them.

    Args:
        weights: the best ones or the last ones; None is the best ones. Each have a card of their own.
        data: current folder of the recordings.
        target_error: largest share of wrong clips among those that `unknown_below` accepts.
        target_agreement: least share of clips that `decide_at` decides as at their ends, and of clips of movements
            that `still_below` leaves.
        write: False leaves the card as it is.

    Raises:
        RunError: there is no finished run with a validation part in `folder`, another process trains in it, or no
            threshold has an error as low as `target_error`.
        ModelError: the logits are not finite.
        DatasetError: recordings are missing, have changed or cannot be read.
    """
    folder = Path(folder)
    load_config(folder)
    _require_validation(folder)
    with lock_of_run(folder):
        bundle = weights_folder(folder, weights)
        card = ModelCard.read(bundle / CARD_FILE)
        evaluation = evaluate(
            folder, weights=weights, data=data, device=device, side="validation", keep_logits=True, baseline=False
        )
        found = fit_calibration(
            evaluation, bundle, target_error, target_agreement, rates=clip_rates(evaluation, folder)
        )
        if write:
            write_card(bundle, found.applied(card))
    return found


def fit_calibration(
    evaluation: Evaluation, folder: Path, target_error: float, target_agreement: float, *, rates: ClipRates
) -> Calibration:
    """Fit to the clips of `evaluation`, whose running logits are kept, and to the rates of moving and still clips.

    Raises:
        RunError, ModelError: see `calibrate`.
    """
    running_TNK = evaluation.running_logits_TNK
    assert running_TNK is not None, "the logits are kept"
    logits_NTK = running_TNK.transpose(1, 0, 2).astype(np.float64)
    if not np.isfinite(logits_NTK).all():
        raise ModelError(
            str(folder), got="logits that are not finite", expected="finite logits",
            todo="train again, with a smaller learning rate",
        )  # fmt: skip
    temperature = fit_temperature(logits_NTK[:, -1], evaluation.clips.targets_N)
    probabilities_NTK = softmax(logits_NTK, temperature or 1.0)
    after = replace(evaluation, probabilities_NK=probabilities_NTK[:, -1])
    rejection = fit_rejection(after.probabilities_NK.max(1), after.right_N, target_error)
    if rejection is None:
        raise _unreachable(after, folder, target_error)
    early = fit_early(probabilities_NTK, rejection.threshold, target_agreement)
    return Calibration(
        folder, replace(evaluation, probabilities_NK=softmax(logits_NTK[:, -1])), after, probabilities_NTK,
        temperature, rejection, early, target_error, target_agreement,
        rates.refused or fit_still(rates.moving_hz_N, rates.still_hz_M, target_agreement),
    )  # fmt: skip


def _require_validation(folder: Path) -> None:
    listed = read_split_list(folder / SPLIT_FILE)
    if listed is not None and not listed.side("validation"):
        raise RunError(
            str(folder), got="no validation part",
            expected="recordings that the run neither was trained on nor is tested on",
            todo="train with --validation 0.1, and calibrate that run",
        )  # fmt: skip


def _unreachable(evaluation: Evaluation, folder: Path, target_error: float) -> RunError:
    _, coverage_M, error_M = risk_curve(evaluation.probabilities_NK.max(1), evaluation.right_N)
    best, clips = int(error_M.argmin()), len(evaluation.clips)
    some = f"{round(coverage_M[best] * clips)} of {clips} clips to validate on"
    return RunError(
        str(folder), got=f"an error of {error_M[best]:.3f} at the least, on {some}",
        expected=f"at most {target_error:g}, on some of them",
        todo=f"give --target-error {np.ceil(error_M[best] * 1000) / 1000:g}, or train a better network",
    )  # fmt: skip
