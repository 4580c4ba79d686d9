"""`calibrate`: fitted on the validation part alone, written into the card, and applied by evaluate."""

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stdl_events.analysis.thresholds import risk_curve
from stdl_events.errors import RunError
from stdl_events.folder_lock import locked
from stdl_events.live.decision import decide_clips
from stdl_events.live.readout import softmax
from stdl_events.model_card import DecisionThresholds, ModelCard
from stdl_events.recipes import load_recipe
from stdl_events.training.bundle import load_bundle, write_card
from stdl_events.training.evaluation.calibrate import calibrate, fit_calibration
from stdl_events.training.evaluation.evaluate_clips import Evaluation
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.evaluation.still_scenes import clip_rates
from stdl_events.training.fit import fit

RunCli = Callable[..., tuple[int, str, str]]
AGREEMENT = 0.75


@pytest.fixture(scope="module")
def trained(folder_of_recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of one epoch with a validation part of 12 clips, and its recordings."""
    root = tmp_path_factory.mktemp("calibrated")
    shutil.copytree(folder_of_recordings, root / "recordings")
    config = load_recipe("folder").derive(
        data={"path": str(root / "recordings"), "split": {"rule": "given", "validation": 0.34}},
        frames={"steps": 4, "dt_us": 20_000}, network={"notation": "8C3-AP2-12C3"},
        learning={"rule": "sltt", "memory": "plain"}, optimiser={"lr": 5e-3},
        epochs=1, batch_size=8, device="cpu",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(config, root / "run", quiet=True)
    return root / "run", root / "recordings"


@pytest.fixture(scope="module")
def asked(trained: tuple[Path, Path]) -> dict[str, float]:
    """Targets that the hardly trained network reaches with some of the clips."""
    result = validated(trained[0])
    _, _, error_M = risk_curve(result.probabilities_NK.max(1), result.right_N)
    return {"target_error": float((error_M.min() + error_M[-1]) / 2), "target_agreement": AGREEMENT}


@pytest.fixture(scope="module")
def options(asked: dict[str, float]) -> tuple[object, ...]:
    return "--target-error", asked["target_error"], "--target-agreement", asked["target_agreement"]


@pytest.fixture
def run(trained: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the run, whose recordings stay where they are."""
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


def validated(run: Path) -> Evaluation:
    return evaluate(run, side="validation", keep_logits=True, baseline=False)


def card_of(run: Path, weights: str = "best") -> ModelCard:
    return ModelCard.read(run / weights / "model.json")


def test_the_card_has_what_the_validation_part_supports(run: Path, asked: dict[str, float]) -> None:
    old, last = card_of(run), card_of(run, "bundle")
    write_card(run / "best", old.model_copy(update={"decision": DecisionThresholds(still_below=70, hold=3)}))
    found = calibrate(run, **asked)
    card = card_of(run)
    assert card.temperature == found.temperature or found.temperature is None
    assert card.decision is not None
    assert (card.decision.still_below, card.decision.hold) == (70, 3)
    assert {name: value for name, value in card.provenance.items() if name != "calibration"} == old.provenance
    assert card.network == old.network
    record = card.provenance["calibration"]
    assert isinstance(record, dict)
    assert (record["part"], record["clips"], record["recordings"]) == ("validation", 12, 6)
    assert card_of(run, "bundle") == last
    load_bundle(run / "best")

    result = validated(run)
    assert result.running_logits_TNK is not None
    assert result.decided is not None
    assert (result.decided.early, result.decided.mean_frames) == (found.early.early, found.early.mean_frames)
    probabilities_NTK = softmax(result.running_logits_TNK.transpose(1, 0, 2).astype(np.float64), card.temperature)
    np.testing.assert_allclose(result.probabilities_NK, probabilities_NTK[:, -1])
    its = card.decision.model_copy(update={"still_below": 0.0, "hold": 1})
    decided = decide_clips(probabilities_NTK, result.labels, its)
    at_the_end = decide_clips(probabilities_NTK, result.labels, its.model_copy(update={"decide_at": None}))
    assert np.mean([one.label == end.label for one, end in zip(decided, at_the_end, strict=True)]) >= AGREEMENT
    assert np.mean([one.frames for one in decided]) == pytest.approx(found.early.mean_frames)
    names = [result.labels[target] for target in result.clips.targets_N]
    believed = [(one.label, name) for one, name in zip(at_the_end, names, strict=True) if one.label is not None]
    assert len(believed) == found.rejection.accepted
    assert (
        sum(label != name for label, name in believed) == found.rejection.wrong <= asked["target_error"] * len(believed)
    )
    assert found.after.loss <= found.before.loss


def test_the_held_out_recordings_are_not_read(
    trained: tuple[Path, Path], run: Path, tmp_path: Path, asked: dict[str, float]
) -> None:
    recordings = tmp_path / "recordings"
    shutil.copytree(trained[1] / "train", recordings / "train")
    for _ in range(2):  # the second time replaces what the first one fitted
        found = calibrate(run, data=recordings, **asked)
        assert found.rejection.clips == 12
        assert 0 < found.rejection.threshold < 1
        assert found.early.threshold is not None
        assert card_of(run) == found.applied(ModelCard.read(trained[0] / "best" / "model.json"))


def test_an_evaluation_applies_the_temperature_of_the_card(run: Path) -> None:
    before = evaluate(run, baseline=False)
    write_card(run / "best", card_of(run).model_copy(update={"temperature": 2.0}))
    after = evaluate(run, baseline=False)
    roots_NK = np.sqrt(before.probabilities_NK)
    np.testing.assert_allclose(after.probabilities_NK, roots_NK / roots_NK.sum(1, keepdims=True), atol=1e-6)


def test_on_screen(run: Path, tmp_path: Path, run_cli: RunCli, options: tuple[object, ...]) -> None:
    before = (run / "best" / "model.json").read_bytes()
    picture = tmp_path / "curves.png"
    code, out, err = run_cli("calibrate", run, *options, "--dry-run", "--out", picture)
    assert code == 0, err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (run / "best" / "model.json").read_bytes() == before
    assert all(len(line) <= 80 for line in out.splitlines())
    assert out.startswith("fitted on 12 clips of 6 recordings to validate on\ntemperature ")
    assert "\nunknown below " in out
    assert "\ndecide at " in out
    assert out.endswith("as it was\n  not fitted: no recording of this side alone has labelled movements\n")
    assert "clips are compatible with an error up to " in err
    code, out, err = run_cli("calibrate", run, *options, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["written"]
    assert document["card"] == str(run / "best" / "model.json")
    assert document["rejection"]["threshold"] == card_of(run).decision.unknown_below  # type: ignore[union-attr]
    assert set(document["ece"]) == {"before", "after"}
    code, _, err = run_cli("calibrate", run, *options, "--weights", "last")
    assert f"\nnext: stdl-events export {run} --weights last --out model.onnx\n" in err
    assert card_of(run, "bundle").decision is not None


def test_what_cannot_be_calibrated_is_refused(
    run: Path, tmp_path: Path, run_cli: RunCli, options: tuple[object, ...]
) -> None:
    before = (run / "best" / "model.json").read_bytes()
    code, _, err = run_cli("calibrate", run, "--out", tmp_path / "curves.txt")
    assert (code, "--out" in err) == (2, True)
    with locked(run, used="a run that process {} is training", error=RunError):
        code, _, err = run_cli("calibrate", run, *options)
    assert code == 2
    assert "a run that process" in err
    listed = json.loads((run / "split.json").read_text())
    listed["recordings"] = [row for row in listed["recordings"] if row["side"] != "validation"]
    (run / "split.json").write_text(json.dumps(listed))
    code, _, err = run_cli("calibrate", run)
    assert code == 2
    assert "got no validation part; expected recordings that the run neither was trained on nor is tested on" in err
    assert "train with --validation 0.1" in err
    assert (run / "best" / "model.json").read_bytes() == before


def test_a_folder_without_a_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"got no config\.json; expected the folder of a run"):
        calibrate(tmp_path)


def test_what_few_clips_of_one_class_cannot_show_is_said(run: Path) -> None:
    """A network that is right of both clips, which are of one class."""
    result = validated(run)
    assert result.running_logits_TNK is not None
    clips = replace(result.clips, targets_N=np.zeros(2, np.int64), entry_index_N=result.clips.entry_index_N[[0, 2]])
    logits_TNK = result.running_logits_TNK[:, :2] + np.float32([9, 0, 0])
    few = replace(result, clips=clips, probabilities_NK=result.probabilities_NK[:2], running_logits_TNK=logits_TNK)
    found = fit_calibration(few, run / "best", 0.02, 0.99, rates=clip_rates(result, run))
    assert found.temperature is None
    assert (found.rejection.threshold, found.rejection.accepted) == (0, 2)
    assert np.isfinite(found.probabilities_NTK).all()
    no_class, no_temperature, wrong, early = found.cautions
    assert no_class == "no clip to validate on is of middle, right: the fits say nothing about them"
    assert no_temperature.startswith("no temperature from")
    assert wrong.startswith("0 wrong of 2 accepted clips are compatible with an error up to 0.776")
    assert early.startswith("2 clips are too few to show that 0.99 of them are decided early as at their ends")
    mostly_unknown = replace(found, rejection=replace(found.rejection, clips=4, accepted=1))
    assert any(text.startswith("3 of 4 clips are unknown from now on") for text in mostly_unknown.cautions)
    one = replace(found, rejection=replace(found.rejection, clips=1, accepted=1), early=replace(found.early, clips=1))
    assert one.cautions[2].startswith("0 wrong of 1 accepted clip is compatible with an error up to 0.950")
    assert one.cautions[3].startswith("1 clip is too few to show")


def test_an_error_that_no_threshold_reaches_is_said(run: Path) -> None:
    result = validated(run)
    clips = replace(result.clips, targets_N=(result.predicted_N + 1) % 3)
    surest = int(result.probabilities_NK.max(1).argmin())
    clips.targets_N[surest] = result.predicted_N[surest]
    with pytest.raises(RunError, match=r"got an error of 0\.\d+ at the least, on \d+ of 12 .* give --target-error 0\."):
        fit_calibration(replace(result, clips=clips), run / "best", 0.02, 0.99, rates=clip_rates(result, run))
