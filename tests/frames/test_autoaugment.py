"""AutoAugment: its table against torchvision's source, each change against arithmetic on arrays, its draws."""

import ast
import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stdl_events.errors import FrameSpecError
from stdl_events.frames import autoaugment as module
from stdl_events.frames.autoaugment import apply, autoaugment, policy

PICTURE = np.random.default_rng(3).integers(0, 256, (3, 32, 32), np.uint8)


def test_the_policy_is_torchvisions() -> None:
    """Its source is read, since it does not import beside every build of PyTorch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no torchvision")
    source = Path(spec.submodule_search_locations[0], "transforms", "autoaugment.py").read_text(encoding="utf-8")
    tables = [ast.literal_eval(node.value) for node in ast.walk(ast.parse(source))
              if isinstance(node, ast.Return) and isinstance(node.value, ast.List)]  # fmt: skip
    assert policy() in tables
    assert len(policy()) == 25


def test_changes_of_values() -> None:
    wide = PICTURE.astype(np.float64)
    assert (apply(PICTURE, "Invert", None, 1) == 255 - PICTURE).all()
    for magnitude in (0, 3, 9):
        threshold = 255 * (1 - magnitude / 9)
        expected = np.where(threshold > PICTURE, PICTURE, 255 - PICTURE)
        assert (apply(PICTURE, "Solarize", magnitude, 1) == expected).all()
    for magnitude, bits in ((0, 8), (1, 8), (3, 7), (5, 6), (7, 5), (9, 4)):
        mask = 256 - 2 ** (8 - bits)
        assert (apply(PICTURE, "Posterize", magnitude, 1) == (PICTURE & mask)).all()
    for sign in (-1, 1):
        brighter = np.clip(wide * (1 + sign * 0.9 * 6 / 9), 0, 255)
        assert np.abs(apply(PICTURE, "Brightness", 6, sign) - brighter).max() <= 1
        grey = 0.299 * wide[0] + 0.587 * wide[1] + 0.114 * wide[2]
        coloured = np.clip(grey + (wide - grey) * (1 + sign * 0.3), 0, 255)
        assert np.abs(apply(PICTURE, "Color", 3, sign) - coloured).max() <= 2
        contrast = np.clip(grey.mean() + (wide - grey.mean()) * (1 + sign * 0.7), 0, 255)
        assert np.abs(apply(PICTURE, "Contrast", 7, sign) - contrast).max() <= 2
    for colour in apply(PICTURE // 2 + 30, "AutoContrast", None, 1):
        assert (colour.min(), colour.max()) == (0, 255)
    even = np.bincount(apply(PICTURE // 4, "Equalize", None, 1)[0].ravel() // 32, minlength=8)
    assert even.min() > 64, "of 1024 pixels, 128 in each eighth of the range"
    assert (apply(PICTURE, "Sharpness", 0, 1) == PICTURE).all()


def test_changes_of_places() -> None:
    """Translations by up to 150/331 of the side, shears by 0.3, rotations by 30 degrees; what enters is black."""
    for axis, name in ((2, "TranslateX"), (1, "TranslateY")):
        for sign in (-1, 1):
            by = sign * int(150 / 331 * 32)
            expected = np.roll(PICTURE, by, axis)
            gone = [slice(None)] * 3
            gone[axis] = slice(0, by) if by > 0 else slice(by, None)
            expected[tuple(gone)] = 0
            assert (apply(PICTURE, name, 9, sign) == expected).all()
    for name in ("ShearX", "ShearY"):
        expected = np.zeros_like(PICTURE)
        for row, column in np.ndindex(32, 32):
            x, y = column + 0.5, row + 0.5
            x, y = (x + 0.3 * y, y) if name == "ShearX" else (x, y + 0.3 * x)
            if 0 <= x < 32 and 0 <= y < 32:
                expected[:, row, column] = PICTURE[:, int(y), int(x)]
        assert (apply(PICTURE, name, 9, 1) == expected).mean() > 0.995, "but for ties of rounding"
    point = np.zeros((3, 33, 33), np.uint8)
    point[:, 16, 30] = 255
    rows, columns = np.nonzero(apply(point, "Rotate", 9, 1)[0])
    assert abs(np.degrees(np.arctan2(16 - rows.mean(), columns.mean() - 16)) - 30) < 3, "counter-clockwise"


def test_one_draw_for_all_steps() -> None:
    clip = np.stack([PICTURE] * 3)
    for seed in range(20):
        changed = autoaugment(clip, rng=np.random.default_rng(seed))
        assert (changed == changed[0]).all()
        assert (changed[0] == autoaugment(PICTURE[None], rng=np.random.default_rng(seed))[0]).all()
    assert (clip == PICTURE).all(), "the input is not changed"


def test_changes_are_drawn_as_often_as_the_policy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Counter[tuple[str, int | None, int]] = Counter()
    monkeypatch.setattr(module, "apply", lambda frames, *change: drawn.update([change]) or frames)
    rng, count = np.random.default_rng(0), 5000
    for _ in range(count):
        autoaugment(PICTURE[None], rng=rng)
    expected: Counter[tuple[str, int | None]] = Counter()
    for name, probability, magnitude in (change for pair in policy() for change in pair):
        expected[name, magnitude] += probability * count / 25
    for (name, magnitude), mean in expected.items():
        found = [drawn[name, magnitude, sign] for sign in (-1, 1)]
        assert abs(sum(found) - mean) < 5 * np.sqrt(mean + 1), name
        assert abs(found[0] - found[1]) < 5 * np.sqrt(mean + 1), name


@pytest.mark.parametrize("frames", [np.zeros((2, 2, 8, 8), np.uint8), np.zeros((2, 3, 8, 8), np.float32)])
def test_events_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(FrameSpecError, match="expected pictures, uint8 of three colours; leave it out for events"):
        autoaugment(frames, rng=np.random.default_rng(0))
