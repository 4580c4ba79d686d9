"""Codes of polarity: 0/1, -1/+1 (wrapped round in unsigned types too), 1/2, booleans and words."""

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

ON_WORDS = (
    "on", "true", "t", "yes", "y", "pos", "positive", "p", "plus", "+", "up", "rise", "rising", "increase", "inc",
    "bright", "brighter", "on_event",
)  # fmt: skip
OFF_WORDS = (
    "off", "false", "f", "no", "n", "neg", "negative", "minus", "-", "down", "fall", "falling", "decrease", "dec",
    "dark", "darker", "off_event",
)  # fmt: skip
EXPECTED = "0 and 1, -1 and 1, 1 and 2, or on and off"
_MINUS_ONES = (255, 65535, 4294967295, 18446744073709551615)
_FIRST = 16
_CODES = (frozenset({0, 1}), frozenset({-1, 1}), frozenset({1, 2}))


class UnknownPolarityError(Exception):
    """Values of a column that are no codes of polarity; the text names them."""


class PolarityCodes:
    """The codes of one column, found block by block.

    A block of ones alone fits all codes. They are brighter, until a later block has a 2: `is_settled` is False then,
    and the column must be decoded again.
    """

    def __init__(self) -> None:
        self._seen: set[float] = set()
        self._stored: set[float] = set()
        self._on = 1
        self.is_settled = True

    @property
    def has_seen(self) -> bool:
        """True if an earlier block had valid codes."""
        return bool(self._seen)

    @property
    def codes(self) -> tuple[int, int] | None:
        """The codes (off, on), once both were seen as numbers that are not wrapped round."""
        if self._stored not in _CODES:
            return None
        return int(min(self._stored)), self._on

    def restart(self) -> None:
        """Begin another pass with the codes that were found."""
        self.is_settled = True

    def to_bool(self, column: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return True where the pixel became brighter.

        Raises:
            UnknownPolarityError: the values are no codes, alone or together with those of earlier blocks.
        """
        if column.dtype.kind == "b" or not len(column):
            return column.astype(bool, copy=False)
        if column.dtype.kind in "USO":
            return self._words(column)
        column = np.ascontiguousarray(column)
        low, high = column.min(), column.max()
        if (
            not (column.dtype.kind in "iu" and low >= 0 and high <= 1)
            and not ((column == low) | (column == high)).all()
        ):
            raise UnknownPolarityError(_names(np.unique(column)))
        self._note({low.item(), high.item()})
        found: npt.NDArray[np.bool_] = column == self._on
        return found

    def _words(self, column: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        words, index = np.unique(column.astype("S16" if column.dtype.kind in "SO" else "U16"), return_inverse=True)
        values = [polarity_of_word(word) for word in words.tolist()]
        if None in values:
            raise UnknownPolarityError(_names(words))
        codes = np.array(values)
        self._note(set(codes.tolist()))
        found: npt.NDArray[np.bool_] = codes[index] == self._on
        return found

    def _note(self, stored: set[float]) -> None:
        if stored <= self._stored:
            return
        stored = self._stored | stored
        seen = {_code(value) for value in stored}
        if not any(seen <= known for known in _CODES):
            raise UnknownPolarityError(_names(sorted(stored)))
        if 2 in seen and self._on == 1:
            self.is_settled = not self._seen
            self._on = 2
        self._seen, self._stored = seen, stored


def can_be_polarity(column: npt.NDArray[Any]) -> bool:
    """True if the values of `column` are codes of polarity."""
    if len(set(column[:_FIRST].tolist())) > 2:  # as most other columns have, and found quickly
        return False
    try:
        PolarityCodes().to_bool(column)
    except UnknownPolarityError:
        return False
    return True


def polarity_of_word(word: str | bytes) -> int | None:
    """Return 1 for on, 0 for off, the number for a number, None for another word."""
    text = (word.decode("latin-1") if isinstance(word, bytes) else word).strip().strip("\"'").lower()
    if text in ON_WORDS or text in OFF_WORDS:
        return int(text in ON_WORDS)
    return int(text) if text in ("0", "1", "-1", "+1", "2") else None


def _code(value: float) -> float:
    return -1 if value in _MINUS_ONES else value


def _names(values: Collection[Any]) -> str:
    shown = [value.decode("latin-1") if isinstance(value, bytes) else f"{value}" for value in list(values)[:5]]
    return ", ".join(shown) + (f" and {len(values) - 5} more" if len(values) > 5 else "")
