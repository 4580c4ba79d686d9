"""`predict`: a model and recordings that it has never seen, to predictions."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stdl_events.errors import UserError
from stdl_events.events.stream import RecordingWarning
from stdl_events.live.predict import Reading, RecordingPrediction, predict_recordings
from stdl_events.live.providers import CPU
from stdl_events.live.session import OnnxSession, StepSession
from stdl_events.model_card import DecisionThresholds
from stdl_events.recordings.given_files import given_files

if TYPE_CHECKING:
    from stdl_events.training.run_weights import Weights

Names = Iterable[str | os.PathLike[str]]


def predict(
    model: str | os.PathLike[str],
    files: Names | str | os.PathLike[str],
    *,
    weights: "Weights | None" = None,
    decision: DecisionThresholds | None = None,
    threads: int = 1,
    device: str = "auto",
    **reading: Any,
) -> list[RecordingPrediction]:
    """Return the predictions of `model` for recordings, in the order given; the others follow one that is unreadable.

    Args:
        model: an exported .onnx file, which needs no torch; or the folder of a run or bundle.
        files: recordings and folders of them, or one.
        weights: of a run: the best ones or the last ones; None is the best ones if a validation part chose some.
        decision: thresholds of the predictions; by default those of the model's card.
        threads: threads within one step of an exported model.
        device: of a run.
        reading: fields of `stdl_events.live.predict.Reading`, such as `time_unit="ms"`.

    Returns:
        A result for each recording, with its `error`, and a warning, if it cannot be read.

    Raises:
        ModelError, RunError: the model is unusable, or was trained on static pictures.
    """
    how = Reading(**reading)
    paths = [files] if isinstance(files, str | os.PathLike) else list(files)
    given = given_files(map(Path, paths), how.format)
    session = open_session(model, weights=weights, threads=threads, device=device)
    results = list(predict_recordings(session, given, how, decision))
    for result in results:
        if result.error is not None:
            warnings.warn(f"no predictions: {result.error}", RecordingWarning, stacklevel=2)
    return results


def open_session(
    model: str | os.PathLike[str],
    *,
    weights: "Weights | None" = None,
    threads: int = 1,
    device: str = "auto",
    provider: str = CPU,
) -> StepSession:
    """Open an exported model, or the network of a run or bundle; see `predict`.

    Raises:
        ModelError, RunError: see `predict`.
        UserError: `weights` are chosen of an exported model, or a provider of a run.
        MissingExtraError, VerificationError: see `OnnxSession`.
    """
    path = Path(model)
    if not path.is_dir():
        if weights is not None:
            raise UserError(
                "--weights", got=f"{weights} for the exported file {path}", expected="the folder of a run",
                todo="leave it out: an exported file has its own weights",
            )  # fmt: skip
        return OnnxSession(path, threads=threads, provider=provider)
    if provider != CPU:
        raise UserError(
            "--provider", got=f"{provider} for the folder {path}", expected="an exported file",
            todo="leave it out, or choose a --device",
        )  # fmt: skip
    from stdl_events.training.bundle import load_bundle
    from stdl_events.training.evaluation.network_session import NetworkSession
    from stdl_events.training.run_device import resolve_device
    from stdl_events.training.run_weights import bundle_folder

    network, card = load_bundle(bundle_folder(path, weights), resolve_device(device))
    return NetworkSession(network, card, path)
