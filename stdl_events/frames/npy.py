"""Frames as one .npy file [T, C, H, W], written in bounded memory."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stdl_events.frames.counting import Counts
from stdl_events.whole_file import whole_file


def write_frames(path: Path, frames: Iterable[Counts], shape_CHW: tuple[int, int, int]) -> int:
    """Write all `frames` (counts_CHW) to a temporary file and rename it; returns T. An error leaves no file behind.

    Raises:
        UserError: the folder does not exist, is not writable, or is full.
    """
    count = 0
    with whole_file(path, room_for="frames") as file:
        _write_header(file, (0, *shape_CHW))
        start = file.tell()
        for counts_CHW in frames:
            file.write(counts_CHW.tobytes())
            count += 1
        file.seek(0)
        _write_header(file, (count, *shape_CHW))
        assert file.tell() == start, "numpy leaves room in the header for a first axis that grows"
    return count


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype("<u2")), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
