"""Decoder of Prophesee's RAW encoding EVT 3: 4 bits of type and 12 of value that set a part of the state or add events.

Without numba (`evt3_loop` is with it) one value of the state serves many events. The number of events of every word is
found first. Then each value is repeated for the events up to the next word of its kind, so no step has more elements
than there are words or events.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stdl_events.compiled import LOADING
from stdl_events.events.decoder import Records
from stdl_events.events.formats.clock import UnwrappedClock
from stdl_events.events.stream import EVENT_DTYPE, EventArray

Integers: TypeAlias = npt.NDArray[np.int64]

ADDR_Y, ADDR_X, BASE_X, VECT_12, VECT_8, TIME_LOW, TIME_HIGH = 0, 2, 3, 4, 5, 6, 8
_VECTOR_WIDTH = np.zeros(16, np.int64)
_VECTOR_WIDTH[[VECT_12, VECT_8]] = 12, 8
OFF_EVERY_SENSOR = 0xFF00
_VECTOR_MASK = ((1 << _VECTOR_WIDTH) - 1).astype(np.uint16)


@dataclass
class _State:
    """State set by the words so far; None where unset. Vectors may have moved `column` beyond the range of a word."""

    low: int | None = None
    row: int | None = None
    column: int | None = None
    vector_is_on: int = 0

    def as_words(self, high: int | None) -> Records:
        """Return words that set this state."""
        on = self.vector_is_on << 11
        parts = [(TIME_HIGH, high), (TIME_LOW, self.low), (ADDR_Y, self.row)]
        parts.append((BASE_X, None if self.column is None else self.column & 0x7FF | on))
        return np.array([kind << 12 | value for kind, value in parts if value is not None], np.uint16)


def evt3_decoder(file_bytes: int) -> Callable[[Records], EventArray]:
    """Return the quicker decoder of EVT 3 words for one pass over so many bytes; both give the same events."""
    if LOADING.pays(file_bytes):
        from stdl_events.events.formats.evt3_loop import make_evt3_loop

        return make_evt3_loop()
    return make_evt3()


def make_evt3() -> Callable[[Records], EventArray]:
    """Return a decoder of EVT 3 words for one pass, without a loop over words."""
    high_time = UnwrappedClock(12)
    state = _State()

    def decode(words: Records) -> EventArray:
        words = np.concatenate([state.as_words(high_time.last), words])
        kind = (words >> 12).astype(np.uint8)
        sets_row = np.flatnonzero(kind == ADDR_Y)
        rows = words.take(sets_row) & 0x7FF
        sets_time, t_us = _times(kind, words, high_time, state)
        vectors = _find_vectors(kind, words, state)
        if len(sets_row):
            state.row = int(rows[-1])
        if not len(sets_row) or not len(t_us) or t_us[-1] < 0:
            return np.empty(0, EVENT_DTYPE)
        first = max(int(sets_row[0]), int(sets_time[np.argmax(t_us >= 0)]))
        vectors = vectors.after(first)
        is_single = kind == ADDR_X
        is_single[:first] = False
        counts = is_single.view(np.uint8).copy()
        counts[vectors.where] = np.bitwise_count(vectors.bits)
        ends = np.cumsum(counts, dtype=np.int32)
        events = np.empty(ends[-1], EVENT_DTYPE)
        events["t"] = np.repeat(t_us, _lengths(ends[sets_time], len(events)))
        events["y"] = np.repeat(rows, _lengths(ends[sets_row], len(events)))
        word = words.take(np.flatnonzero(is_single))
        place = vectors.places(ends)
        if len(place):
            singles, word = word, np.zeros(len(events), np.uint16)
            of_single = np.ones(len(events), np.bool_)
            of_single[place] = False
            word[of_single] = singles
        x, p = word & 0x7FF, (word & 0x800) > 0
        vectors.write(x, p, place)
        events["x"], events["p"] = x, p
        return events

    return decode


@dataclass(frozen=True)
class _Vectors:
    """Vectors with events: the indices `where` of their words, their first columns, polarities and set bits."""

    where: npt.NDArray[np.intp]
    column: Integers
    is_on: npt.NDArray[np.bool_]
    bits: Records

    def after(self, first: int) -> "_Vectors":
        """Return those from word `first` on."""
        kept = slice(int(np.searchsorted(self.where, first)), None)
        return _Vectors(self.where[kept], self.column[kept], self.is_on[kept], self.bits[kept])

    def places(self, ends: Records) -> Integers:
        """Return the index of each of the vectors' events among all; `ends[i]` events come up to word i."""
        number = self._numbers()
        before = np.cumsum(number) - number
        return np.repeat(ends[self.where] - number - before, number) + np.arange(number.sum())

    def write(self, x: Records, p: npt.NDArray[np.bool_], place: Integers) -> None:
        """Write `x` and `p` of the vectors' events at `place`."""
        number = self._numbers()
        is_set = np.unpackbits(self.bits.view(np.uint8), bitorder="little").view(np.bool_)
        bit = np.flatnonzero(is_set) & 15
        # A column beyond every sensor stays beyond it: it must not wrap round to a pixel.
        x[place] = np.repeat(np.minimum(self.column, OFF_EVERY_SENSOR), number) + bit
        p[place] = np.repeat(self.is_on, number)

    def _numbers(self) -> Integers:
        return np.bitwise_count(self.bits).astype(np.int64)


def _lengths(starts: Records, stop: int) -> Integers:
    """Return the distances between `starts` and up to `stop`; what is before the first belongs to it."""
    lengths = np.empty(len(starts), np.int64)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = stop - starts[-1]
    lengths[0] += starts[0]
    return lengths


def _times(
    kind: Records, words: Records, high_time: UnwrappedClock, state: _State
) -> tuple[npt.NDArray[np.intp], Integers]:
    """Return (the words that set the time, the time in microseconds after each); -1 before the first high part.

    A new high part restarts the low part at 0; a repeated high part changes nothing.
    """
    sets_time = np.flatnonzero((kind == TIME_HIGH) | (kind == TIME_LOW))
    if not len(sets_time):
        return sets_time, np.zeros(0, np.int64)
    value = (words[sets_time] & 0xFFF).astype(np.int64)
    is_high = kind[sets_time] == TIME_HIGH
    sets_high = np.flatnonzero(is_high)
    if not len(sets_high):
        return sets_time, np.full(len(sets_time), -1)
    highs = high_time.unwrap(value[sets_high])
    is_repeated = np.zeros(len(highs), np.bool_)
    np.equal(highs[1:], highs[:-1], out=is_repeated[1:])
    # After a high part the low one is 0; after a repeated one it is what it was.
    value[sets_high] = 0
    latest = np.arange(len(value))
    latest[sets_high[is_repeated]] = 0
    value = value.take(np.maximum.accumulate(latest))
    t_us = (np.repeat(highs, _lengths(sets_high, len(value))) << 12) + value
    t_us[: sets_high[0]] = -1
    state.low = int(value[-1])
    return sets_time, t_us


def _find_vectors(kind: Records, words: Records, state: _State) -> _Vectors:
    """Return the vectors after a base column.

    A vector starts at the base column, and advances it by its width.
    """
    where = np.flatnonzero((kind >= BASE_X) & (kind <= VECT_8))
    own_kind = kind.take(where)
    sets_base = np.flatnonzero(own_kind == BASE_X)
    if not len(sets_base):
        return _Vectors(where[:0], np.zeros(0, np.int64), np.zeros(0, np.bool_), words[:0])
    width = _VECTOR_WIDTH.take(own_kind)
    passed = np.cumsum(width) - width
    base = words[where[sets_base]]
    start = (base & 0x7FF).astype(np.int64)
    if state.column is not None:
        start[0] = state.column  # the first base continues the previous block
    lengths = _lengths(sets_base, len(where))
    column = np.repeat(start - passed[sets_base], lengths) + passed
    is_on = np.repeat((base & 0x800) > 0, lengths)
    state.column, state.vector_is_on = int(column[-1] + width[-1]), int(is_on[-1])
    bits = words.take(where) & _VECTOR_MASK.take(own_kind)
    bits[: sets_base[0]] = 0
    adds = np.flatnonzero(bits != 0)
    return _Vectors(where[adds], column[adds], is_on[adds], bits[adds])
