"""Positions of the clips of a store, and reading them.

No file stays open between two reads: a table may be forked, pickled and used by several threads.

Shape letters: N clips of the store, E entries, T frames of a clip, C=2 polarities, H rows, W columns.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import DatasetError
from stdl_events.prepared.manifest import Manifest
from stdl_events.prepared.payload import checksum, unpack
from stdl_events.prepared.shards import MAGIC

AGAIN = "run the same stdl-events prepare again: it recreates damaged and changed clips"

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClipTable:
    """Clips by their number in the store.

    Attributes:
        shards: paths of the files.
        entry_N: index of each clip's entry in the manifest.
    """

    shards: tuple[Path, ...]
    shape_TCHW: tuple[int, int, int, int]
    entry_N: Indices
    label_N: Indices
    t_start_us_N: Indices
    shard_N: Indices
    offset_N: Indices
    bytes_N: Indices
    crc_N: Indices

    @classmethod
    def of(cls, store: Path, manifest: Manifest) -> "ClipTable":
        """Build the table of a complete store.

        Raises:
            DatasetError: a shard is missing or has another size.
        """
        rows = [
            (index, entry.label, entry.shard, *clip)
            for index, entry in enumerate(manifest.entries)
            for clip in entry.clips
        ]
        entry_N, label_N, shard_N, t_start_us_N, bytes_N, crc_N = np.array(rows, np.int64).reshape(-1, 6).T.copy()
        before_N = np.cumsum(bytes_N) - bytes_N
        # The clips of one shard are contiguous, after its magic.
        first_N = np.searchsorted(shard_N, shard_N)
        offset_N = before_N - before_N[first_N] + len(MAGIC)
        shards = tuple(store / shard.file for shard in manifest.shards)
        for path, shard in zip(shards, manifest.shards, strict=True):
            _require_size(path, shard.bytes)
        shape_TCHW = (manifest.frames.steps, *manifest.frames.frame_shape_CHW)
        return cls(shards, shape_TCHW, entry_N, label_N, t_start_us_N, shard_N, offset_N, bytes_N, crc_N)

    def read(self, number: int) -> npt.NDArray[np.uint8]:
        """Return frames_TCHW of one clip as a new array.

        Raises:
            DatasetError: the clip is damaged.
        """
        path, offset, size = self.shards[self.shard_N[number]], int(self.offset_N[number]), int(self.bytes_N[number])
        try:
            payload = _read_bytes(path, offset, size)
            if checksum(payload) != self.crc_N[number]:
                raise ValueError("its checksum differs")
            return unpack(payload, self.shape_TCHW)
        except (OSError, ValueError) as error:
            raise DatasetError(
                str(path), got=f"a damaged clip of {size} bytes at byte {offset} ({error})",
                expected="what prepare wrote", todo=AGAIN,
            ) from None  # fmt: skip

    def read_all(self, numbers: Indices) -> npt.NDArray[np.uint8]:
        """Return frames_NTCHW of several clips."""
        frames_NTCHW = np.empty((len(numbers), *self.shape_TCHW), np.uint8)
        for position, number in enumerate(numbers.tolist()):
            frames_NTCHW[position] = self.read(number)
        return frames_NTCHW


@dataclass(frozen=True, eq=False)
class StoredFrames:
    """Clips of a store as `ClipFrames`, read on access, so that memory does not grow."""

    table: ClipTable
    number_N: Indices

    def __len__(self) -> int:
        return len(self.number_N)

    def __getitem__(self, index: Any, /) -> npt.NDArray[np.uint8]:
        chosen = self.number_N[index]
        return self.table.read(int(chosen)) if np.ndim(chosen) == 0 else self.table.read_all(chosen)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        del copy  # part of numpy's protocol: every read returns a new array
        frames_NTCHW = self.table.read_all(self.number_N)
        return frames_NTCHW if dtype is None else frames_NTCHW.astype(dtype)


def _require_size(path: Path, size: int) -> None:
    try:
        found = f"{path.stat().st_size} bytes"
    except OSError as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
    if found != f"{size} bytes":
        raise DatasetError(str(path), got=found, expected=f"{size} bytes, as prepare wrote it", todo=AGAIN)


def _read_bytes(path: Path, offset: int, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)
