"""Transforms by name: every function is in a registry and reachable from a recipe or a command."""

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from stdl_events.errors import RecipeError
from stdl_events.events import open_recording, transforms, write_recording
from stdl_events.events.filtered import GIVEN
from stdl_events.events.filters import crop
from stdl_events.events.stream import empty_events
from stdl_events.events.transform_registry import EVENT_TRANSFORMS
from stdl_events.events.transform_spec import transform_settings
from stdl_events.frames import event_transforms, mixes
from stdl_events.frames import transforms as frame_transforms
from stdl_events.frames.autoaugment import autoaugment
from stdl_events.frames.mix_registry import MIXES
from stdl_events.frames.transform_registry import OF_EVENTS, TRANSFORMS
from stdl_events.recipes import load_recipe
from stdl_events.training.data import augment
from stdl_events.training.overrides import apply_overrides
from stdl_events.training.settings import AugmentSettings

RunCli = Callable[..., tuple[int, str, str]]
SIZE = (12, 10)
# Not transforms by themselves: one draws for `event_drop`, the other applies a probability.
HELPERS = {"draw_event_drop", "sometimes"}
FRAME_SETTINGS = {
    "shift": "dx=2,dy=-1",
    "random_shift": "reach_px=2",
    "roll": "dx=2,dy=1",
    "random_roll": "reach_px=2",
    "random_zoom": "least=0.5",
    "drop_random": "share=0.5",
    "drop_time": "share=0.5",
    "drop_area": "share=0.5",
    "cutout": "side_px=4",
    "random_rate": "least=0.5,most=2",
    "random_time_warp": "reach=0.5",
    "random_centre": "reach_px=2",
    "random_scale": "least=0.5,most=2",
    "random_noise": "most=0.5",
}
EVENT_SETTINGS = {
    "crop": "left=2,top=1,width=6,height=5",
    "random_crop": "width=6,height=5",
    "roll": "dx=3,dy=1",
    "random_roll": "reach_px=3",
    "drop_random": "share=0.5",
    "drop_time": "share=0.5",
    "drop_area": "share=0.5",
    "without_background": "support_us=50",
}


def functions_of(module: object) -> dict[str, object]:
    found = inspect.getmembers(module, inspect.isfunction)
    return {name: function for name, function in found if function.__module__ == module.__name__ and name[0] != "_"}


def test_every_function_is_registered_under_its_name() -> None:
    of_events = functions_of(event_transforms)
    del of_events["warped"]
    assert dict(TRANSFORMS) == functions_of(frame_transforms) | of_events | {"autoaugment": autoaugment}
    assert dict(MIXES) == functions_of(mixes)
    assert set(of_events) < OF_EVENTS < set(TRANSFORMS)
    assert dict(EVENT_TRANSFORMS) == {
        name: function for name, function in functions_of(transforms).items() if name not in HELPERS
    } | {"crop": crop}


def frames_TBCHW() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 5, (6, 8, 2, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if "crop" not in name and name != "autoaugment"])
def test_every_transform_of_clips_augments(name: str) -> None:
    word = f"{name}:{FRAME_SETTINGS.get(name, '')}"
    settings = apply_overrides(load_recipe("folder"), [f'augment.transforms=["{word}"]']).augment
    batch, transform = frames_TBCHW(), TRANSFORMS[name]
    changed = augment(batch, settings.model_copy(update={"shift_px": 0}), np.random.default_rng(5))
    rng, (spec,) = np.random.default_rng(5), settings.transforms
    more = {"rng": rng} if "rng" in inspect.signature(transform).parameters else {}
    expected = [transform(batch[:, index], **spec.settings, **more) for index in range(8)]
    np.testing.assert_array_equal(changed, np.stack(expected, axis=1))
    assert (changed != batch).any()


def test_a_probability_is_a_share_of_the_clips() -> None:
    settings = AugmentSettings.model_validate({"transforms": ["flip_x:probability=0.25"]})
    batch = np.random.default_rng(0).integers(0, 5, (1, 400, 1, 2, 3), dtype=np.uint8)
    batch[..., 0, 0], batch[..., 0, 2] = 0, 1
    changed = augment(batch, settings, np.random.default_rng(1))
    assert 60 < np.count_nonzero(changed[0, :, 0, 0, 0]) < 140


def test_what_changes_the_size_is_refused() -> None:
    settings = AugmentSettings.model_validate({"transforms": ["random_crop:width=4,height=4"]})
    with pytest.raises(RecipeError, match=r"got a clip of \(6, 2, 4, 4\); expected \(6, 2, 8, 8\)"):
        augment(frames_TBCHW(), settings, np.random.default_rng(0))


@pytest.fixture
def doubled() -> Iterator[None]:
    def doubled(frames: npt.NDArray[np.uint8], *, times: int = 2) -> npt.NDArray[np.uint8]:
        """Multiply every count."""
        return frames * np.uint8(times)

    TRANSFORMS.register("doubled", doubled)
    yield
    TRANSFORMS.unregister("doubled")


@pytest.mark.usefixtures("doubled")
def test_a_transform_of_ones_own_is_registered_and_used() -> None:
    changed = load_recipe("folder").derive(augment={"shift_px": 0, "transforms": ["doubled", "doubled:times=3"]})
    np.testing.assert_array_equal(
        augment(frames_TBCHW(), changed.augment, np.random.default_rng(0)), 6 * frames_TBCHW()
    )
    assert type(changed).model_validate_json(changed.model_dump_json()) == changed


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("drop_tim", " or ".join(TRANSFORMS)),
        ("drop_time", "the settings share"),
        ("drop_time:share=2", "less than or equal to 1"),
        ("drop_time:share=a", "a valid number, unable to parse string as a number"),
        ("flip_x:share=1", "the settings none"),
        ("flip_x:probability=2", "less than or equal to 1"),
    ],
)
def test_wrong_transforms_are_told(word: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_overrides(load_recipe("folder"), [f'augment.transforms=["{word}"]'])
    assert caught.value.expected == expected


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    events = empty_events(500)
    events["t"] = np.sort(rng.integers(0, 20_000, len(events)))
    events["x"], events["y"] = rng.integers(0, SIZE[0], len(events)), rng.integers(0, SIZE[1], len(events))
    events["x"][::4], events["y"][::4] = 7, 2
    write_recording(tmp_path / "r.h5", events, SIZE)
    return tmp_path / "r.h5"


@pytest.mark.parametrize("name", EVENT_TRANSFORMS)
def test_convert_applies_every_transform_of_events(run_cli: RunCli, recording: Path, tmp_path: Path, name: str) -> None:
    word = f"{name}:{EVENT_SETTINGS.get(name, '')}"
    events, transform = open_recording(recording).read(), EVENT_TRANSFORMS[name]
    # A seed with which `event_drop` drops some events.
    code, _, err = run_cli("convert", recording, tmp_path / "out.h5", "--transform", word, "--seed", 2)
    assert code == 0, err
    written = open_recording(tmp_path / "out.h5")
    takes = inspect.signature(transform).parameters
    given = {"rng": np.random.default_rng(2), "sensor_size": SIZE}
    settings = dict(pair.split("=") for pair in EVENT_SETTINGS.get(name, "").split(",") if pair)
    typed = {key: float(value) if key == "share" else int(value) for key, value in settings.items()}
    expected = transform(events, **typed, **{key: value for key, value in given.items() if key in takes})
    np.testing.assert_array_equal(written.read(), expected)
    assert written.sensor_size == ((6, 5) if "crop" in name else SIZE)
    assert len(expected) != len(events) or (expected != events).any()


def test_transforms_follow_each_other_and_the_filters(run_cli: RunCli, recording: Path, tmp_path: Path) -> None:
    asked = ("--filter", "hot_pixels=7:2", "--transform", EVENT_WORD, "--transform", "roll:dx=1,dy=0", "--json")
    code, out, err = run_cli("convert", recording, tmp_path / "out.h5", *asked)
    assert code == 0, err
    events = open_recording(recording).read()
    kept = crop(events[(events["x"] != 7) | (events["y"] != 2)], left=2, top=1, width=6, height=5)
    expected = transforms.roll(kept, sensor_size=(6, 5), dx=1, dy=0)
    np.testing.assert_array_equal(open_recording(tmp_path / "out.h5").read(), expected)
    assert json.loads(out)["events"] == len(expected)


EVENT_WORD = f"crop:{EVENT_SETTINGS['crop']}"


def test_convert_tells_wrong_transforms_and_lists_them_in_its_help(
    run_cli: RunCli, recording: Path, tmp_path: Path
) -> None:
    for word, message in (
        ("drop", "event transform: got 'drop'; expected crop or random_crop or roll"),
        ("drop_random:share=2", "event transform drop_random: share: got '2'; expected less than or equal to 1"),
        ("drop_random", "event transform drop_random: got no share; expected the settings share; add it"),
        ("drop_random:probability=x", "--transform: probability: got 'x'"),
    ):
        code, out, err = run_cli("convert", recording, tmp_path / "out.h5", "--transform", word)
        assert (code, out) == (2, "")
        assert err.startswith(f"stdl-events: error: {message}")
    words = " ".join(run_cli("convert", "--help")[1].split())
    for name, transform in EVENT_TRANSFORMS.items():
        assert " ".join([name, *transform_settings(transform, GIVEN)]) in words
