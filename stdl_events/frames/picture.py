"""Static pictures as frames: the scale of their pixels, and one picture for all T steps of a clip.

Pixels are the input current of the first layer at every step ("direct encoding"): the first layer turns them into
spikes. STDL, section V-A1; SLTT and NDOT scale them to zero mean and unit variance.

Shape letters: T steps, C=3 colours (red, green, blue), H rows, W columns.
"""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_PIXEL = 255


def _read_colours(value: object) -> object:
    """Parse `0.49,0.48,0.45`; one number is that of all colours."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, int | float):
        value = (value,)
    return tuple(value) * 3 if isinstance(value, list | tuple) and len(value) == 1 else value


_Share = Annotated[float, Field(ge=0, le=1)]
_Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Mean = Annotated[tuple[_Share, _Share, _Share], BeforeValidator(_read_colours)]
Spread = Annotated[tuple[_Spread, _Spread, _Spread], BeforeValidator(_read_colours)]


class PictureSpec(BaseModel):
    """How pictures become frames, besides the window `FrameSpec.center_crop`.

    Attributes:
        resize: first the picture is resized, bilinearly, so that its shorter side has this many pixels.
        mean, std: a pixel becomes `(pixel / 255 - mean) / std`, for red, green and blue; written `0.49,0.48,0.45`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: Annotated[int, Field(ge=1, le=65536)] | None = None
    mean: Mean = (0.0, 0.0, 0.0)
    std: Spread = (1.0, 1.0, 1.0)

    def scaled(self, pixels_CHW: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return the input of the network for pixels [..., C, H, W] from 0 to 255."""
        mean, std = (np.array(colours, np.float32).reshape(3, 1, 1) for colours in (self.mean, self.std))
        scaled: npt.NDArray[np.float32] = np.divide(pixels_CHW, MAX_PIXEL, dtype=np.float32)
        scaled -= mean
        scaled /= std
        return scaled


def repeated(picture: npt.NDArray[Any], steps: int, axis: int = 0) -> npt.NDArray[Any]:
    """Return `picture` with a new dimension of `steps` equal parts in front of `axis`, as a view of the same memory."""
    shape, strides = list(picture.shape), list(picture.strides)
    shape.insert(axis, steps)
    strides.insert(axis, 0)
    return np.lib.stride_tricks.as_strided(picture, shape, strides)


def is_repeated(frames_TBCHW: npt.NDArray[Any]) -> bool:
    """True if all T frames are one in memory."""
    return frames_TBCHW.strides[0] == 0 or len(frames_TBCHW) == 1
