"""Mixed batches: targets that are weights of the classes, and a training on them."""

from pathlib import Path

import numpy as np
import pytest

from stdl_events.errors import RecipeError
from stdl_events.events.transform_spec import TransformSpec
from stdl_events.frames.mix_registry import MIXES
from stdl_events.recipes import load_recipe
from stdl_events.training.fit import fit
from stdl_events.training.metrics import read_metrics
from stdl_events.training.mixing import mixed
from stdl_events.training.overrides import apply_overrides
from stdl_events.training.settings import TrainConfig

T, B, K = 3, 40, 5


def draw_batch() -> tuple[np.ndarray, np.ndarray]:
    """Each clip consists of cells with its number plus one."""
    clips_B = np.arange(1, B + 1, dtype=np.uint8)
    return np.broadcast_to(clips_B[None, :, None, None, None], (T, B, 2, 8, 8)).copy(), np.arange(B) % K


@pytest.mark.parametrize("name", MIXES)
def test_targets_are_the_shares_of_both_classes(name: str) -> None:
    frames, targets_B = draw_batch()
    before = frames.copy()
    spec = TransformSpec(name=name)
    made, targets_BK = mixed(frames, targets_B, spec, classes=K, cap=255, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(frames, before)
    assert (made.shape, made.dtype) == (frames.shape, np.uint8)
    assert (targets_BK.shape, targets_BK.dtype) == ((B, K), np.float32)
    np.testing.assert_allclose(targets_BK.sum(1), 1, rtol=1e-6)
    assert (targets_BK >= 0).all()
    if name == "cutmix":
        for clip in range(B):
            for other in set(np.unique(made[:, clip])) - {clip + 1}:
                share = (made[:, clip] == other).mean()
                same = targets_B[other - 1] == targets_B[clip]
                assert targets_BK[clip, targets_B[other - 1]] == pytest.approx(1.0 if same else share, abs=1e-6)
    again = mixed(frames, targets_B, spec, classes=K, cap=255, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(again[0], made)
    np.testing.assert_array_equal(again[1], targets_BK)


def test_a_probability_is_a_share_of_the_clips() -> None:
    frames, targets_B = draw_batch()
    spec = TransformSpec.model_validate("cutmix:probability=0.5")
    made, targets_BK = mixed(frames, targets_B, spec, classes=K, cap=255, rng=np.random.default_rng(1))
    same_B = (made == frames).all((0, 2, 3, 4))
    assert 10 < same_B.sum() < 32
    np.testing.assert_array_equal(targets_BK[same_B], np.eye(K)[targets_B[same_B]])
    none = TransformSpec(name="eventmix", probability=0.0)
    made, targets_BK = mixed(frames, targets_B, none, classes=K, cap=255, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(made, frames)
    np.testing.assert_array_equal(targets_BK, np.eye(K)[targets_B])


def test_a_run_trains_on_mixed_clips(tmp_path: Path, config: TrainConfig) -> None:
    words = ["random_rate:least=0.5,most=2", "random_flip_polarity", "random_time_warp:reach=0.5"]
    small = config.derive(
        network={"notation": "4C3-AP4"}, learning={"rho": None, "rule": "sltt"}, epochs=1,
        augment={"transforms": words, "mix": "eventmix:probability=0.5"},
    )  # fmt: skip
    assert TrainConfig.model_validate_json(small.model_dump_json()) == small
    result = fit(small, tmp_path / "run", quiet=True)
    assert result.learner.loss.soft_targets
    (epoch,) = (row for row in read_metrics(tmp_path / "run") if row["kind"] == "epoch")
    assert 0 <= epoch["accuracy"] <= 1
    assert np.isfinite(epoch["loss"])


@pytest.mark.parametrize(
    ("assignments", "text"),
    [
        (
            ["augment.mix=eventmx"],
            "got 'eventmx'; expected mixup or cutmix or eventmix; did you mean 'eventmix'",
        ),
        (["augment.mix=mixup:alpha=0"], "augment.mix', mix mixup: alpha: got 'mixup:alpha=0'; expected greater than 0"),
        (["augment.mix=cutmix:alpha=inf"], "alpha: got 'cutmix:alpha=inf'; expected a finite number"),
        (["augment.mix=mixup:alpha=1,alpha=2"], "got 'mixup:alpha=1,alpha=2'; expected each setting once"),
        (["augment.mix=cutmix:cap=3"], "augment.mix': got 'cutmix:cap=3'; expected the settings alpha; "),
    ],
)
def test_wrong_mixes_are_told(assignments: list[str], text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        apply_overrides(load_recipe("folder"), assignments)
    assert apply_overrides(load_recipe("folder"), ["augment.mix=none"]).augment.mix is None


def test_pictures_are_not_mixed() -> None:
    with pytest.raises(RecipeError, match="augment: got eventmix; expected changes of pictures"):
        load_recipe("cifar10").derive(augment={"mix": "eventmix"})
