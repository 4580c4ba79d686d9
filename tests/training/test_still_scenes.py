"""The rate below which nothing is there: fitted to still parts of recordings, beside rates counted by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from class_recordings import CLASSES, SENSOR_SIZE, draw_events

from stdl_events.analysis.thresholds import fit_still
from stdl_events.events import open_recording, write_recording
from stdl_events.events.stream import empty_events
from stdl_events.export.onnx import export_onnx
from stdl_events.model_card import DecisionThresholds, ModelCard
from stdl_events.recipes import load_recipe
from stdl_events.training.bundle import load_bundle
from stdl_events.training.evaluation.calibrate import calibrate
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.evaluation.still_scenes import clip_rates
from stdl_events.training.evaluation.whole_recordings import evaluate_whole
from stdl_events.training.fit import fit

Cli = Callable[..., tuple[int, str, str]]
STARTS_US = (505_000, 1_260_000, 2_005_000)
LENGTH_US = 160_000
END_US = 4_000_000
NOISE_HZ = 2_500
CLIP_US = 20_000


def write(path: Path, rng: np.random.Generator) -> None:
    """Three movements in background noise, which goes on for long behind the last one."""
    noise = empty_events(NOISE_HZ * END_US // 1_000_000)
    noise["t"] = np.sort(rng.integers(0, END_US, len(noise)))
    noise["x"], noise["y"] = rng.integers(0, SENSOR_SIZE[0], len(noise)), rng.integers(0, SENSOR_SIZE[1], len(noise))
    parts = [noise]
    for label, start_us in enumerate(STARTS_US):
        parts.append(draw_events(label, rng))
        parts[-1]["t"] += start_us
    events = np.concatenate(parts)
    write_recording(path, events[np.argsort(events["t"], kind="stable")], SENSOR_SIZE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a recording to train on, one to validate on and one held out."""
    root, rng = tmp_path_factory.mktemp("still"), np.random.default_rng(0)
    rows = ["recording,t_start,t_end,label,split"]
    for side in ("train", "validation", "test"):
        write(root / f"{side}.h5", rng)
        rows += [
            f"{side}.h5,{start},{start + LENGTH_US},{label},{side}"
            for label, start in zip(CLASSES, STARTS_US, strict=True)
        ]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    config = load_recipe("folder").derive(
        data={"path": str(root), "label_times": "clock", "split": {"rule": "given"}},
        frames={"steps": 2, "dt_us": CLIP_US // 2}, network={"notation": "8C3-AP2-8C3"},
        learning={"rule": "sltt", "memory": "plain"}, optimiser={"lr": 0.02}, epochs=5, batch_size=6,
        device="cpu",
    )  # fmt: skip
    fit(config, root / "run", quiet=True)
    return root / "run"


def counted(path: Path) -> tuple[list[float], list[float]]:
    """Rates of clips within movements, on each one's own grid, and of clips far from all, on the recording's."""
    t_us = open_recording(path).read()["t"]
    first, last = int(t_us[0]), int(t_us[-1])

    def rate(start_us: int) -> float:
        return float(((t_us >= start_us) & (t_us < start_us + CLIP_US)).sum()) * 1e6 / CLIP_US

    moving = [rate(start) for begin in STARTS_US for start in range(begin, begin + LENGTH_US, CLIP_US)]
    whole = [start for start in range(first, last, CLIP_US) if start + CLIP_US - CLIP_US // 2 <= last]
    far = [
        start
        for start in whole
        if all(start + CLIP_US <= at - 100_000 or start >= at + LENGTH_US + 300_000 for at in STARTS_US)
    ]
    return moving, [rate(start) for start in far]


def test_rates_are_those_of_the_events_in_each_clip(run: Path) -> None:
    evaluation = evaluate(run, side="validation", baseline=False)
    rates = clip_rates(evaluation, run)
    moving, still = counted(run.parent / "validation.h5")
    assert rates.refused == ""
    assert rates.still_hz_M.tolist() == still
    assert len(still) > 50
    # The first clip of a movement begins with its first event, and the last one may be incomplete.
    assert len(rates.moving_hz_N) == pytest.approx(len(moving), abs=len(STARTS_US))
    assert rates.moving_hz_N.mean() == pytest.approx(np.mean(moving), rel=0.1)
    picked = replace(evaluation, frame_spec=None)
    assert "not windows of a fixed time" in clip_rates(picked, run).refused
    whole = [replace(entry, span=(None, None)) for entry in evaluation.recordings.entries]
    unlabelled = replace(evaluation, recordings=evaluation.recordings.with_entries(whole))
    assert "has labelled movements" in clip_rates(unlabelled, run).refused
    gone = [replace(entry, path=run / "gone.h5") for entry in evaluation.recordings.entries]
    moved = replace(evaluation, recordings=evaluation.recordings.with_entries(gone))
    assert "only the clips of a store" in clip_rates(moved, run).refused


def test_false_alarms_behind_the_last_movement_go_down(run: Path, run_cli: Cli) -> None:
    card_file = run / "best" / "model.json"
    export_onnx(*load_bundle(run / "best"), model := run.parent / "model.onnx", steps=20)
    before, old = evaluate_whole(run, model=model, rules=lambda _: DecisionThresholds()), ModelCard.read(card_file)
    code, out, err = run_cli("calibrate", run, "--target-error", 0.9)
    assert code == 0, err
    card = ModelCard.read(card_file)
    assert card.decision is not None
    moving, still = counted(run.parent / "validation.h5")
    assert np.median(still) < card.decision.still_below < np.median(moving)
    assert f"\nnothing there below {card.decision.still_below:g} events/s\n" in out
    assert card.provenance["calibration"]["still"] in out  # type: ignore[index, operator, call-overload]
    still_below = DecisionThresholds(still_below=card.decision.still_below)
    after = evaluate_whole(run, model=model, rules=lambda _: still_below)
    assert before.movements is not None
    assert after.movements is not None
    assert any(alarm.t_us > STARTS_US[-1] + LENGTH_US for alarm in before.movements.false_alarms)
    assert after.movements.false_alarms == ()
    within = [
        (loud.label, quiet.label)
        for loud, quiet in zip(before.recordings[0].decisions, after.recordings[0].decisions, strict=True)
        if any(start + CLIP_US <= loud.t_us <= start + LENGTH_US for start in STARTS_US)
    ]
    assert len(within) >= 6 * len(STARTS_US)
    assert all(loud == quiet for loud, quiet in within), "what is said of a movement stays"
    assert calibrate(run, target_error=0.9).applied(old).decision == card.decision


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("agreement", [0.0, 0.8, 0.95, 1.0])
def test_no_threshold_silences_more_still_clips(seed: int, agreement: float) -> None:
    rng = np.random.default_rng(seed)
    still, moving = rng.integers(0, 12, 15).astype(float), rng.integers(6 if seed % 2 else 13, 30, 20).astype(float)
    found = fit_still(moving, still, agreement)
    values = np.unique(np.concatenate([still, moving]))
    every = [0.0, *((values[1:] + values[:-1]) / 2)]
    kept = [low for low in every if (moving < low).sum() <= (1 - agreement) * len(moving) + 1e-9]
    assert found.silent == (still < found.threshold).sum() == max((still < low).sum() for low in kept)
    assert found.lost == (moving < found.threshold).sum() <= (1 - agreement) * len(moving) + 1e-9
    assert found.lost == min((moving < low).sum() for low in kept if (still < low).sum() == found.silent)
    assert (found.still, found.moving) == (15, 20)


def test_still_clips_as_busy_as_moving_ones_give_no_threshold() -> None:
    found = fit_still(np.array([10.0, 20.0]), np.array([10.0, 30.0]), 1.0)
    assert (found.threshold, found.silent, found.lost) == (0.0, 0, 0)
