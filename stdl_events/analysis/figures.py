"""Figures of matplotlib, if it is installed, and atomic writes of their files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stdl_events.errors import MissingExtraError, RecordingError
from stdl_events.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(asked_by: str, width_in: float, height_in: float) -> "Figure":
    """Return an empty figure of this size in inches.

    Args:
        asked_by: the option that requests a picture, for the error.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise missing_extra(asked_by, "matplotlib") from None
    return Figure(figsize=(width_in, height_in), layout="constrained")


def missing_extra(asked_by: str, package: str) -> MissingExtraError:
    """Return the error for a picture that needs a missing package."""
    return MissingExtraError(
        asked_by, got=f"no package {package}", expected="the extra `train`", todo="pip install 'stdl-events[train]'"
    )


def number_to_show(path: Path, kinds: Mapping[str, int]) -> int:
    """Return the number that `kinds` gives for the suffix of `path`.

    Args:
        kinds: the largest number of things in a picture, by its suffix.

    Raises:
        RecordingError: the suffix is none of a picture.
    """
    if path.suffix.lower() not in kinds:
        raise RecordingError(
            f"--out {path}", got=f"the suffix {path.suffix!r}", expected=", ".join(kinds),
            todo="choose the kind of picture by its suffix",
        )  # fmt: skip
    return kinds[path.suffix.lower()]


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file beside `path`, and rename it; on an error nothing is left behind.

    Raises:
        UserError: the folder does not exist, cannot be written to, or is full.
    """
    with whole_file(path, room_for="picture") as file:
        write(file)
