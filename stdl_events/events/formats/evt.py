"""Prophesee's RAW encodings EVT 2 and EVT 3, decoded one block of words at a time without a loop over words.

Both carry state from word to word (time, row, base column). The state at a word is set by the last word of its kind
before it, found for all words at once. A block starts with the state at the end of the previous block. The high part of
the time counts up and wraps: a backward step of more than half its range is a wrap. The low part may step back in real
streams; that is disorder, never a wrap. Words before the first time, and in EVT 3 before the first row or base column,
are dropped. Pictures are stored upright.
Source: Prophesee's documentation of its encoding formats.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import Header, Records, RecordsDecoder, corrupt
from stdl_events.events.formats.clock import UnwrappedClock
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.prophesee import read_header
from stdl_events.events.stream import EVENT_DTYPE, EventArray

Integers: TypeAlias = npt.NDArray[np.int64]

EVT2_TIME_HIGH = 8
EVT3_ADDR_Y, EVT3_ADDR_X, EVT3_BASE_X, EVT3_VECT_12, EVT3_VECT_8, EVT3_TIME_LOW, EVT3_TIME_HIGH = 0, 2, 3, 4, 5, 6, 8
_VECTOR_WIDTH = np.zeros(16, np.int64)
_VECTOR_WIDTH[[EVT3_VECT_12, EVT3_VECT_8]] = 12, 8


def open_evt2(path: Path) -> RecordsDecoder:
    """Read the header of an EVT 2 file.

    Raises:
        UnknownFormatError: the header names another encoding.
    """
    return _open(path, "2.0", np.dtype("<u4"), make_evt2)


def open_evt3(path: Path) -> RecordsDecoder:
    """Read the header of an EVT 3 file.

    Raises:
        UnknownFormatError: the header names another encoding.
    """
    return _open(path, "3.0", np.dtype("<u2"), make_evt3)


def _open(
    path: Path, version: str, word: np.dtype[np.unsignedinteger], make: Callable[[], Callable[[Records], EventArray]]
) -> RecordsDecoder:
    text = read_header(path)
    if text.evt not in (None, version):
        raise UnknownFormatError(
            str(path), got=f"the encoding EVT {text.evt}", expected=f"EVT {version}",
            todo="leave --format out, or convert it with Prophesee's tools to EVT 2.0 or 3.0",
        )  # fmt: skip
    if text.values.get("endianness", "little") != "little":
        raise corrupt(path, 0, f"the byte order {text.values['endianness']!r}", "little")
    size = text.sensor_size(path)
    header = Header(size, "header" if size else None)
    return RecordsDecoder(path, header, word, text.data_offset, make, t0_us=text.t0_us)


def _latest(where: npt.NDArray[np.intp], values: Integers, count: int) -> Integers:
    """Return at each of `count` words the last of `values`, which are set at `where`; -1 before the first."""
    lengths = np.diff(where, prepend=0, append=count)
    return np.repeat(np.concatenate([np.full(1, -1), values]), lengths)


def make_evt2() -> Callable[[Records], EventArray]:
    """Return a decoder of EVT 2: 4 bits of type, then low time (6 bits), x (11) and y (11), or high time (28)."""
    high_time = UnwrappedClock(28)

    def decode(words: Records) -> EventArray:
        if high_time.last is not None:
            left_behind = np.array([EVT2_TIME_HIGH << 28 | high_time.last], np.uint32)
            words = np.concatenate([left_behind, words])
        kind = words >> 28
        sets_high = np.flatnonzero(kind == EVT2_TIME_HIGH)
        high = high_time.unwrap((words[sets_high] & 0xFFF_FFFF).astype(np.int64))
        high_of_word = _latest(sets_high, high, len(words))
        is_event = np.flatnonzero((kind <= 1) & (high_of_word >= 0))
        word = words[is_event]
        events = np.empty(len(word), EVENT_DTYPE)
        events["t"] = high_of_word[is_event] << 6 | (word >> 22 & 0x3F)
        events["x"] = word >> 11 & 0x7FF
        events["y"] = word & 0x7FF
        events["p"] = kind[is_event]
        return events

    return decode


@dataclass
class _Evt3State:
    """State set by the words so far; None where unset."""

    low: int | None = None
    row: int | None = None
    column: int | None = None
    vector_is_on: int = 0


def make_evt3() -> Callable[[Records], EventArray]:
    """Return a decoder of EVT 3: 4 bits of type and 12 of value, which set a part of the state or add events."""
    high_time = UnwrappedClock(12)
    state = _Evt3State()

    def decode(words: Records) -> EventArray:
        kind, value = words >> 12, (words & 0xFFF).astype(np.int64)
        left_behind = [
            (EVT3_TIME_HIGH, high_time.last),
            (EVT3_TIME_LOW, state.low),
            (EVT3_ADDR_Y, state.row),
            (EVT3_BASE_X, state.column),
        ]
        kept = [(kind_left, value_left) for kind_left, value_left in left_behind if value_left is not None]
        kind = np.concatenate([np.array([item[0] for item in kept], kind.dtype), kind])
        value = np.concatenate([np.array([item[1] for item in kept], np.int64), value])
        t_us = _evt3_times(kind, value, high_time, state)
        sets_row = np.flatnonzero(kind == EVT3_ADDR_Y)
        row = _latest(sets_row, value[sets_row] & 0x7FF, len(kind))
        column, is_on = _evt3_columns(kind, value, state)
        state.row = int(row[-1]) if len(sets_row) else None
        has_place = (t_us >= 0) & (row >= 0) & (column >= 0)
        adds = np.flatnonzero(((_VECTOR_WIDTH[kind] > 0) | (kind == EVT3_ADDR_X)) & has_place)
        word, bit = _set_bits(kind[adds], value[adds])
        word = adds[word]
        events = np.empty(len(word), EVENT_DTYPE)
        events["t"] = t_us[word]
        events["x"] = column[word] + bit
        events["y"] = row[word]
        events["p"] = is_on[word]
        return events

    return decode


def _set_bits(kind: Records, value: Integers) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return (index of the word, number of the bit) of every event; a single event has bit 0."""
    is_single = kind == EVT3_ADDR_X
    # Drop bits beyond a vector's width.
    vectors = (value & (1 << _VECTOR_WIDTH[kind]) - 1)[~is_single].astype("<u2")
    counts = np.ones(len(kind), np.intp)
    counts[~is_single] = np.bitwise_count(vectors)
    word = np.repeat(np.arange(len(kind)), counts)
    bit = np.zeros(len(word), np.intp)
    set_bits = np.flatnonzero(np.unpackbits(vectors.view(np.uint8), bitorder="little"))
    bit[~is_single[word]] = set_bits & 15
    return word, bit


def _evt3_times(kind: Records, value: Integers, high_time: UnwrappedClock, state: _Evt3State) -> Integers:
    """Return the time in microseconds at every word, -1 before the first high part.

    A new high part restarts the low part at 0; a repeated high part changes nothing.
    """
    sets_time = np.flatnonzero((kind == EVT3_TIME_HIGH) | (kind == EVT3_TIME_LOW))
    if not len(sets_time):
        return np.full(len(kind), -1, np.int64)
    is_high = kind[sets_time] == EVT3_TIME_HIGH
    highs = high_time.unwrap(value[sets_time[is_high]])
    high = np.concatenate([np.full(1, -1), highs])[np.cumsum(is_high)]
    is_new = is_high & (np.diff(high, prepend=-1) != 0)
    sets_low = np.flatnonzero(is_new | ~is_high)
    low = _latest(sets_low, np.where(is_new, 0, value[sets_time])[sets_low], len(sets_time))
    state.low = int(low[-1]) if high[-1] >= 0 else None
    return _latest(sets_time, np.where(high >= 0, high << 12 | low, -1), len(kind))


def _evt3_columns(kind: Records, value: Integers, state: _Evt3State) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Return (first column, polarity) of every word's events; -1 for vectors before the first base column.

    A single event has its own. A vector starts at the base column, and advances it by its width.
    """
    width = _VECTOR_WIDTH[kind]
    passed = np.cumsum(width) - width
    sets_base = np.flatnonzero(kind == EVT3_BASE_X)
    start, is_on_from_base = value[sets_base] & 0x7FF, value[sets_base] >> 11
    if state.column is not None:
        # The first base continues the previous block; vectors may have advanced it beyond a word's range.
        start[0], is_on_from_base[0] = state.column, state.vector_is_on
    moved = _latest(sets_base, start - passed[sets_base], len(kind)) + passed
    is_on = _latest(sets_base, is_on_from_base, len(kind))
    if len(sets_base):
        moved[: sets_base[0]] = -1
        state.column, state.vector_is_on = int(moved[-1] + width[-1]), int(is_on[-1])
    else:
        moved[:] = -1
    is_single = kind == EVT3_ADDR_X
    return np.where(is_single, value & 0x7FF, moved), np.where(is_single, value >> 11, is_on) > 0


def _says(version: str) -> Signature:
    """Return the signature of a file whose header names EVT of `version`."""
    return Signature(b"%", lambda path: read_header(path).evt == version)


EVT2 = Format("Prophesee RAW, EVT 2.0", open_evt2, (".raw",), (_says("2.0"),))
EVT3 = Format("Prophesee RAW, EVT 3.0", open_evt3, (".raw",), (_says("3.0"),))
