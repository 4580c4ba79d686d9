"""The number formats of an exported file, each made of a verified float32 file.

N clips, T time steps, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

from stdl_events.errors import ModelError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    import onnx

ClipsNTCHW: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Precision:
    """A number format.

    Attributes:
        convert: makes a model of the float32 file and of clips to train, and says in words what it is; these begin with
            the format's name. None keeps the file as it is.
    """

    convert: "Callable[[Path, ClipsNTCHW], tuple[onnx.ModelProto, str]] | None"


FLOAT32 = Precision(None)
PRECISIONS: Registry[Precision] = Registry(
    "precision",
    ModelError,
    {
        "float32": FLOAT32,
        "float16": "stdl_events.export.half:FLOAT16",
        "int8": "stdl_events.export.quantize:INT8",
    },
)
