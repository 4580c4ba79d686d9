"""AutoAugment's CIFAR-10 policy: one of 25 pairs of changes of a static picture, drawn for each clip.

Source: E. Cubuk et al., "AutoAugment: learning augmentation strategies from data", CVPR 2019, the policy found on
CIFAR-10, in its appendix. Magnitudes, nearest neighbours and black borders are those of torchvision's `AutoAugment`.

Shape letters: T steps, C=3 colours, H rows, W columns.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import FrameSpecError, MissingExtraError

# Change:probability in tenths:magnitude from 0 to 9, twice in each line.
_POLICY = """
    Invert:1 Contrast:2:6
    Rotate:7:2 TranslateX:3:9
    Sharpness:8:1 Sharpness:9:3
    ShearY:5:8 TranslateY:7:9
    AutoContrast:5 Equalize:9
    ShearY:2:7 Posterize:3:7
    Color:4:3 Brightness:6:7
    Sharpness:3:9 Brightness:7:9
    Equalize:6 Equalize:5
    Contrast:6:7 Sharpness:6:5
    Color:7:7 TranslateX:5:8
    Equalize:3 AutoContrast:4
    TranslateY:4:3 Sharpness:2:6
    Brightness:9:6 Color:2:8
    Solarize:5:2 Invert:0
    Equalize:2 AutoContrast:6
    Equalize:2 Equalize:6
    Color:9:9 Equalize:6
    AutoContrast:8 Solarize:2:8
    Brightness:1:3 Color:7:0
    Solarize:4:5 AutoContrast:9
    TranslateY:9:9 TranslateY:7:9
    AutoContrast:9 Solarize:8:3
    Equalize:8 Invert:1
    TranslateY:7:9 AutoContrast:9
"""
_MOST = 9
_ENHANCED = ("Brightness", "Color", "Contrast", "Sharpness")
_SIGNED = (*_ENHANCED, "Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")


def policy() -> list[tuple[tuple[str, float, int | None], ...]]:
    """Return the 25 pairs of (change, probability, magnitude or None)."""
    words = [line.split() for line in _POLICY.split("\n") if line.strip()]
    return [tuple(_change(word.split(":")) for word in pair) for pair in words]


def _change(parts: list[str]) -> tuple[str, float, int | None]:
    return parts[0], int(parts[1]) / 10, int(parts[2]) if len(parts) > 2 else None


_PAIRS = policy()


def autoaugment(frames: npt.NDArray[Any], *, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Apply a drawn pair of changes of AutoAugment's CIFAR-10 policy to a static picture, in all steps alike.

    Raises:
        FrameSpecError: the frames are no pictures of three colours.
        MissingExtraError: Pillow is not installed.
    """
    if frames.dtype != np.uint8 or frames.ndim < 3 or frames.shape[-3] != 3:
        raise FrameSpecError(
            "autoaugment", got=f"frames of {frames.dtype}, {frames.shape}", expected="pictures, uint8 of three colours",
            todo="leave it out for events",
        )  # fmt: skip
    pair = _PAIRS[int(rng.integers(len(_PAIRS)))]
    chances, signs = rng.random(2), rng.choice((-1, 1), 2)
    changed = frames
    for (name, probability, magnitude), chance, sign in zip(pair, chances.tolist(), signs.tolist(), strict=True):
        if chance < probability:
            changed = apply(changed, name, magnitude, sign)
    return changed


def apply(frames: npt.NDArray[Any], name: str, magnitude: int | None, sign: int) -> npt.NDArray[Any]:
    """Return pictures [..., C, H, W] after one change.

    Args:
        magnitude: from 0 to 9; None for changes without one.
        sign: -1 or 1, used by changes in two directions.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise MissingExtraError(
            "autoaugment", got="no package Pillow", expected="the extra `train`",
            todo="pip install 'stdl-events[train]'",
        ) from None  # fmt: skip
    changed = np.empty_like(frames)
    for index in np.ndindex(frames.shape[:-3]):
        picture = Image.fromarray(np.ascontiguousarray(frames[index].transpose(1, 2, 0)))
        changed[index] = np.asarray(_applied(picture, name, magnitude, sign)).transpose(2, 0, 1)
    return changed


def _applied(picture: Any, name: str, magnitude: int | None, sign: int) -> Any:
    from PIL import Image, ImageEnhance, ImageOps

    share = (magnitude or 0) / _MOST
    signed = share * (sign if name in _SIGNED else 1)
    if name in _ENHANCED:
        return getattr(ImageEnhance, name)(picture).enhance(1 + 0.9 * signed)
    if name == "Rotate":
        return picture.rotate(30 * signed)
    if name in ("Invert", "AutoContrast", "Equalize"):
        return getattr(ImageOps, name.lower())(picture)
    if name == "Solarize":
        return ImageOps.solarize(picture, 255 * (1 - share))
    if name == "Posterize":
        return ImageOps.posterize(picture, 8 - round(4 * share))
    # A pixel of the result is that of the picture at (a x + b y + c, d x + e y + f).
    width, height = picture.size
    a, b, c, d, e, f = {
        "ShearX": (1.0, 0.3 * signed, 0.0, 0.0, 1.0, 0.0),
        "ShearY": (1.0, 0.0, 0.0, 0.3 * signed, 1.0, 0.0),
        "TranslateX": (1.0, 0.0, -int(150 / 331 * width * signed), 0.0, 1.0, 0.0),
        "TranslateY": (1.0, 0.0, 0.0, 0.0, 1.0, -int(150 / 331 * height * signed)),
    }[name]
    return picture.transform(picture.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.NEAREST)
