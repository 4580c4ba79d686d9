"""The events of one sample of a data set, decoded from the array that the data set returns."""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecordingError
from stdl_events.events.decoder import BLOCK_EVENTS, TODO_DAMAGE, Block, Header
from stdl_events.events.formats import columns
from stdl_events.events.formats.column_reading import ColumnReading
from stdl_events.events.formats.npy import pick_columns

Columns = dict[str, npt.NDArray[Any]]


class SampleDecoder:
    """Decoder of one sample; its array is read at the first pass and kept for the next ones.

    Args:
        read: returns the events.
        sensor_size: (width, height, polarities).
        time_unit: a name in `TIME_UNITS`; None for the convention of tables.
    """

    def __init__(
        self, path: Path, read: Callable[[], Any], sensor_size: tuple[int, int, int], time_unit: str | None
    ) -> None:
        self._path, self._read, self._sensor_size = path, read, sensor_size
        self._reading = ColumnReading(path, time_unit)

    @property
    def header(self) -> Header:
        return Header(self._sensor_size[:2], "format", interpretation=self._reading)

    @cached_property
    def _columns(self) -> Columns:
        return sample_columns(self._path, self._read(), self._sensor_size)

    def blocks(self) -> Iterator[Block]:
        self._reading.restart()
        for start in range(0, len(self._columns["t"]), BLOCK_EVENTS):
            part = {name: column[start : start + BLOCK_EVENTS] for name, column in self._columns.items()}
            try:
                block = self._reading.to_block(start, part)
            except RecordingError as error:
                error.got = error.got.replace(f" at byte {start}", f" among the events from number {start} on")
                if (
                    error.todo == TODO_DAMAGE and not start
                ):  # no block is in front of it, so that repair would keep none
                    error.todo = "correct the events of this sample"
                raise
            yield block


def sample_columns(path: Path, events: Any, sensor_size: tuple[int, int, int]) -> Columns:
    """Return the columns t, x, y and p of the events of a sample.

    A sensor of one row needs no y, and one of one polarity no p: each of its events is an ON event.

    Raises:
        UnknownFormatError: the array has no such columns.
    """
    array = np.asarray(events)
    _, height, polarities = sensor_size
    names = array.dtype.names
    if names is None:
        if not array.size:
            return {name: np.zeros(0, np.int64) for name in columns.NAMES}
        order: dict[str, Any] = pick_columns(path, array)
        found = {name: array[:, index] for name, index in order.items()}
    else:
        array = array.reshape(-1)
        implied = [name for name, is_implied in (("y", height == 1), ("p", polarities == 1)) if is_implied]
        there = {columns.plain_name(name) for name in names}
        given = [name for name in implied if not there.intersection(columns.NAMES[name])]
        order = columns.match_names(path, [*names, *given])
        found = {
            name: np.zeros(len(array), np.int64) if column in given else array[column] for name, column in order.items()
        }
    if polarities == 1:
        found["p"] = np.ones(len(array), np.bool_)
    return found
