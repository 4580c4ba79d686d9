"""Prophesee's RAW encodings EVT 2 and EVT 3, decoded one block of words at a time without a loop over words.

Both carry state from word to word (time, row, base column). The state at a word is set by the last word of its kind
before it, found for all words at once. A block starts with the state at the end of the previous block. The high part of
the time counts up and wraps: a backward step of more than half its range is a wrap. The low part may step back in real
streams; that is disorder, never a wrap. Words before the first time, and in EVT 3 before the first row or base column,
are dropped. Pictures are stored upright.
Source: Prophesee's documentation of its encoding formats.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import BLOCK_EVENTS, Header, Records, RecordsDecoder, corrupt
from stdl_events.events.formats.clock import UnwrappedClock
from stdl_events.events.formats.evt3 import make_evt3
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.prophesee import read_header
from stdl_events.events.stream import EVENT_DTYPE, EventArray

Integers: TypeAlias = npt.NDArray[np.int64]

EVT2_TIME_HIGH = 8
_EVT3_BLOCK_WORDS = 1 << 16


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
    return _open(path, "3.0", np.dtype("<u2"), make_evt3, _EVT3_BLOCK_WORDS)


def _open(
    path: Path,
    version: str,
    word: np.dtype[np.unsignedinteger],
    make: Callable[[], Callable[[Records], EventArray]],
    block_words: int = BLOCK_EVENTS,
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
    return RecordsDecoder(path, header, word, text.data_offset, make, text.t0_us, block_words)


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


def _says(version: str) -> Signature:
    """Return the signature of a file whose header names EVT of `version`."""
    return Signature(b"%", lambda path: read_header(path).evt == version)


EVT2 = Format("Prophesee RAW, EVT 2.0", open_evt2, (".raw",), (_says("2.0"),))
EVT3 = Format("Prophesee RAW, EVT 3.0", open_evt3, (".raw",), (_says("3.0"),))
