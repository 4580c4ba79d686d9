"""What no trained network answers: numbers that are not finite, or the same for all clips."""

import warnings
from pathlib import Path

import numpy as np

from stdl_events.errors import RunError
from stdl_events.training.evaluation.evaluate_clips import Evaluation

# After fewer steps a network may have no spikes yet in its last layers.
TRAINED_STEPS = 50


def check_finite(folder: Path, evaluation: Evaluation) -> None:
    """Check that a network's outputs are finite.

    Raises:
        RunError: some are not, as after a step that was too large.
    """
    if not np.isfinite(evaluation.probabilities_NK).all():
        raise RunError(
            str(folder), got="a network whose outputs are not finite", expected="finite ones",
            todo="use a smaller learning rate (--set optimiser.lr=...) in a new run",
        )  # fmt: skip


def warn_of_equal_answers(folder: Path, evaluation: Evaluation, steps: int) -> None:
    """Warn if the outputs of a network that was trained for `steps` steps do not depend on the clip."""
    probabilities_NK = evaluation.probabilities_NK
    if steps >= TRAINED_STEPS and len(probabilities_NK) > 1 and not np.ptp(probabilities_NK, axis=0).any():
        text = (
            f"{folder}: the outputs are the same for all {len(probabilities_NK)} clips, as of a network whose last "
            "neurons never fire; lower network.neuron.threshold or optimiser.lr, or train longer"
        )
        warnings.warn(text, stacklevel=2)
