"""Prophesee's RAW encodings EVT 2.0, 2.1 and 3.0, decoded one block of words at a time without a loop over words.

They carry state from word to word (time, row, base column). The state at a word is set by the last word of its kind
before it, found for all words at once. A block starts with the state at the end of the previous block. The high part of
the time counts up and wraps: a backward step of more than half its range is a wrap. The low part may step back in real
streams; that is disorder, never a wrap. Words before the first time, and in EVT 3 before the first row or base column,
are dropped. Pictures are stored upright.
Source: Prophesee's documentation of its encoding formats.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import BLOCK_EVENTS, Decoder, Header, Records, RecordsDecoder, corrupt
from stdl_events.events.formats.clock import UnwrappedClock
from stdl_events.events.formats.evt3 import evt3_decoder
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.pieces import Pieces, follow_records
from stdl_events.events.formats.prophesee import read_header
from stdl_events.events.stream import EVENT_DTYPE, EventArray

Integers: TypeAlias = npt.NDArray[np.int64]

EVT2_TIME_HIGH = 8
# Words of the types 0 and 1, which are below, are events.
_EVT2_FIRST_OTHER = 2 << 28
_EVT3_BLOCK_WORDS = 1 << 16
_EVT21_BLOCK_WORDS = 1 << 13  # each may hold 32 events
_EVT21_FOLLOWED_BYTES = 4096
_EVT21_TYPES = (0, 1, EVT2_TIME_HIGH, 10, 14, 15)


def open_evt2(path: Path) -> RecordsDecoder:
    """Read the header of an EVT 2 file.

    Raises:
        UnknownFormatError: the header names another encoding.
    """
    return _open(path, "2.0", np.dtype("<u4"), make_evt2)


def open_evt21(path: Path) -> RecordsDecoder:
    """Read the header of an EVT 2.1 file.

    A word is 64 bits, or two halves of which the upper one comes first (`legacy`, IMX636). Where the header does not
    say which, the words decide: in one order alone all have known types.

    Raises:
        UnknownFormatError: the header names another encoding.
        CorruptRecordingError: the words fit neither order.
    """
    text = read_header(path)
    order = text.byte_order or _order_of_words(path, text.data_offset)
    halves = ("valid", "head") if order == "little" else ("head", "valid")
    word = np.dtype([(half, "<u4") for half in halves])
    return _open(path, "2.1", word, make_evt21, _EVT21_BLOCK_WORDS, orders=("little", "legacy"))


def _order_of_words(path: Path, offset: int) -> str:
    """Return the order of the halves of EVT 2.1 words, by the types of the first words."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(8 * _EVT21_BLOCK_WORDS)
    halves = np.frombuffer(data[: len(data) // 8 * 8], "<u4").reshape(-1, 2) >> 28
    fits = {
        order: bool(np.isin(halves[:, place], _EVT21_TYPES).all()) for order, place in (("little", 1), ("legacy", 0))
    }
    has_time = {order: EVT2_TIME_HIGH in halves[:, place] for order, place in (("little", 1), ("legacy", 0))}
    for order in fits:
        if fits[order] and (has_time[order] or not any(has_time.values())):
            return order
    raise corrupt(path, offset, "words of unknown types in both orders of their halves", "words of EVT 2.1")


def open_evt3(path: Path) -> RecordsDecoder:
    """Read the header of an EVT 3 file.

    Raises:
        UnknownFormatError: the header names another encoding.
    """
    return _open(path, "3.0", np.dtype("<u2"), lambda: evt3_decoder(path.stat().st_size), _EVT3_BLOCK_WORDS)


def _open(
    path: Path,
    version: str,
    word: np.dtype[Any],
    make: Callable[[], Callable[[Records], EventArray]],
    block_words: int = BLOCK_EVENTS,
    orders: tuple[str, ...] = ("little",),
) -> RecordsDecoder:
    text = read_header(path)
    if text.evt not in (None, version):
        raise UnknownFormatError(
            str(path), got=f"the encoding EVT {text.evt}", expected=f"EVT {version}",
            todo="leave --format out, or convert it with Prophesee's tools to EVT 2.0, 2.1 or 3.0",
        )  # fmt: skip
    if text.byte_order not in (None, *orders):
        raise corrupt(path, 0, f"the byte order {text.byte_order!r}", " or ".join(orders))
    size = text.sensor_size(path)
    header = Header(size, "header" if size else None)
    zeros_are_events = version == "2.0"
    return RecordsDecoder(path, header, word, text.data_offset, make, text.t0_us, block_words, zeros_are_events)


def _make_timed() -> Callable[[Records], tuple[npt.NDArray[np.bool_], Integers]]:
    """Return a function of the next words of EVT 2: (whether a word is an event, the high time of each event in us).

    Events before the first high time are none.
    """
    high_time = UnwrappedClock(28)
    latest_us: Integers = np.zeros(0, np.int64)  # at the end of the previous block; empty before the first

    def timed(words: Records) -> tuple[npt.NDArray[np.bool_], Integers]:
        nonlocal latest_us
        is_event = words < _EVT2_FIRST_OTHER
        others = np.flatnonzero(~is_event)
        sets_high = np.flatnonzero(words[others] >> 28 == EVT2_TIME_HIGH)
        high_us = high_time.unwrap(words[others[sets_high]] & 0xFFF_FFFF) << 6
        # Its number among the others is that of the words before it that are no events.
        events_before = others[sets_high] - sets_high
        if len(latest_us):
            events_before = np.concatenate([np.zeros(1, np.intp), events_before])
        else:
            first = int(others[sets_high[0]]) if len(sets_high) else len(words)
            events_before -= np.count_nonzero(is_event[:first])
            is_event[:first] = False
        high_us = np.concatenate([latest_us, high_us])
        latest_us = high_us[-1:]
        return is_event, np.repeat(high_us, np.diff(events_before, append=np.count_nonzero(is_event)))

    return timed


def make_evt2() -> Callable[[Records], EventArray]:
    """Return a decoder of EVT 2: 4 bits of type, then low time (6 bits), x (11) and y (11), or high time (28)."""
    timed = _make_timed()

    def decode(words: Records) -> EventArray:
        is_event, t_us = timed(words)
        word = words[is_event]
        t_us += word >> 22 & 0x3F
        events = np.empty(len(word), EVENT_DTYPE)
        events["t"] = t_us
        events["x"] = word >> 11 & 0x7FF
        events["y"] = word & 0x7FF
        events["p"] = word >> 28
        return events

    return decode


def make_evt21() -> Callable[[Records], EventArray]:
    """Return a decoder of EVT 2.1: the upper half is a word of EVT 2, the lower one marks events at x to x + 31."""
    timed = _make_timed()

    def decode(words: Records) -> EventArray:
        head = np.ascontiguousarray(words["head"])
        is_event, t_us = timed(head)
        head, valid = head[is_event], words["valid"][is_event]
        t_us += head >> 22 & 0x3F
        count = np.bitwise_count(valid)
        bit = np.flatnonzero(np.unpackbits(valid.view(np.uint8), bitorder="little")) & 31
        events = np.empty(len(bit), EVENT_DTYPE)
        events["t"] = np.repeat(t_us, count)
        events["x"] = np.repeat(head >> 11 & 0x7FF, count) + bit
        events["y"] = np.repeat(head & 0x7FF, count)
        events["p"] = np.repeat(head >> 28, count)
        return events

    return decode


def _says(version: str) -> Signature:
    """Return the signature of a file whose header names EVT of `version`."""
    return Signature(b"%", lambda path: read_header(path).evt == version)


def _follow(decoder: Decoder, stream: int | None) -> Pieces:
    return follow_records(decoder, header_mark=b"%")


def _follow_evt21(decoder: Decoder, stream: int | None) -> Pieces:
    """Wait for as many words as decide the order of their halves."""
    return follow_records(decoder, least_bytes=_EVT21_FOLLOWED_BYTES, header_mark=b"%")


EVT2 = Format("Prophesee RAW, EVT 2.0", open_evt2, (".raw",), (_says("2.0"),), follow=_follow)
EVT21 = Format("Prophesee RAW, EVT 2.1", open_evt21, (".raw",), (_says("2.1"),), follow=_follow_evt21)
EVT3 = Format("Prophesee RAW, EVT 3.0", open_evt3, (".raw",), (_says("3.0"),), follow=_follow)
