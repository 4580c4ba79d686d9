"""Lines of text to columns of numbers: through a compiled loop where loading it pays, otherwise through numpy.

A column is parsed as whole numbers until a line has a fraction in it: numpy parses these five times as fast. Lines that
the fast parsers refuse go to one that takes all spellings and decides what is an error, so that every installation
reads the same events and reports the same bad lines.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.compiled import LOADING
from stdl_events.events.formats import text_digits
from stdl_events.events.formats.polarity import OFF_WORDS, ON_WORDS, polarity_of_word

NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WORDS = re.compile(
    rb"(?i)(?<![\w.+-])("
    + b"|".join(re.escape(word).encode() for word in sorted((*ON_WORDS, *OFF_WORDS), key=len, reverse=True))
    + rb")(?![\w.])"
)
_COMMENTS = {mark: re.compile(rb"(?m)^\s*" + mark + rb".*$") for mark in (b"%", b"#", b"//")}
# Lines without a value, as spreadsheets write empty rows.
_EMPTY_LINES = re.compile(rb"(?m)^[ \t\r,;|]+(?:\n|\Z)")
_MISSING = re.compile(rb"(?i)(?<![\w.])(?:n/?a|null|none)(?![\w.])")
_FRACTION_MARKS = (b".", b"e", b"E", b"n", b"N")  # the last two stand for nan and inf

Columns = list[npt.NDArray[Any]]


class LineParser:
    """The parser of one file's lines.

    Args:
        delimiter: between columns, None for blanks.
        width: number of columns.
        example: the columns of one line, which show where to expect fractions.
        has_words: polarity is written as a word, or values are quoted; an empty or quoted first column is a row's name.
        has_decimal_comma: numbers have a comma in front of their fraction.
    """

    def __init__(
        self,
        delimiter: str | None,
        width: int,
        *,
        example: Sequence[bytes] = (),
        has_words: bool = False,
        has_decimal_comma: bool = False,
    ) -> None:
        self.delimiter = delimiter
        self.width = width
        self._has_words = has_words
        self._has_decimal_comma = has_decimal_comma
        self._example = example
        self._used: frozenset[int] | None = None
        self._has_others = False
        self._is_whole = [not _has_fractions(word) for word in example] if len(example) == width else [True] * width
        self._is_compiled = LOADING.pays(0)

    def only(self, columns: Iterable[int]) -> None:
        """Parse these columns alone where others hold something else than numbers."""
        self._used = frozenset(columns)
        others = (word for place, word in enumerate(self._example) if place not in self._used)
        self._has_others = not all(NUMBER.fullmatch(word) for word in others)

    def expect(self, file_bytes: int) -> None:
        """Prepare for a pass over so many bytes."""
        self._is_compiled = LOADING.pays(file_bytes)

    def parse(self, data: bytes) -> Columns:
        """Parse complete lines to columns of equal length, int64 or float64.

        Raises:
            ValueError: a line is not `width` numbers.
        """
        data = self._plain(data)
        if not data or data.isspace():
            return [np.empty(0, np.int64)] * self.width
        columns = self._parse_compiled(data) if self._is_compiled and not self._has_others else None
        if columns is not None:
            return columns
        if self._has_others:
            return self._parse_odd(data)
        try:
            return self._parse_with_numpy(data)
        except ValueError:
            return self._parse_odd(data)

    def _plain(self, data: bytes) -> bytes:
        """Return `data` without comments, with numbers for words of polarity and with decimal points."""
        for mark, comment in _COMMENTS.items():
            if mark[:1] in data and mark in data:  # a search for one byte is a hundred times as fast
                data = comment.sub(b"", data)
        if self._has_decimal_comma:
            data = data.replace(b",", b".")
        if self._has_words:
            data = _WORDS.sub(lambda found: str(polarity_of_word(found[1])).encode(), data.replace(b'"', b""))
        return data

    def _parse_odd(self, data: bytes) -> Columns:
        """Return the columns of lines with empty rows, missing values, or columns of something else.

        Raises:
            ValueError: a line is not `width` columns with numbers in those that are used.
        """
        data = _MISSING.sub(b"nan", _EMPTY_LINES.sub(b"", data))
        if not data or data.isspace():
            return [np.empty(0, np.int64)] * self.width
        if self._used is None:
            return self._parse_with_numpy(data)
        try:
            return self._parse_used(data, self._used, self._is_whole)
        except ValueError:
            return self._parse_used(data, self._used, [False] * self.width)

    def _parse_used(self, data: bytes, used: Collection[int], is_whole: Sequence[bool]) -> Columns:
        numbers = ["i8" if whole else "f8" for whole in is_whole]
        kinds = [(f"f{place}", number if place in used else "S1") for place, number in enumerate(numbers)]
        rows = np.loadtxt(_lines(data), np.dtype(kinds), comments=None, delimiter=self.delimiter, ndmin=1)
        return [np.ascontiguousarray(rows[name]) for name, _ in kinds]

    def _parse_compiled(self, data: bytes) -> Columns | None:
        """Return the columns of lines in the commonest spelling, None for others and for bad ones."""
        from stdl_events.events.formats.text_loop import parse_lines

        return parse_lines(data, self.delimiter, self._is_whole)

    def _parse_with_numpy(self, data: bytes) -> Columns:
        of_digits = text_digits.parse_lines(data, self.delimiter, self._is_whole)
        if of_digits is not None:
            return of_digits
        if any(self._is_whole) and not all(self._is_whole):
            with suppress(ValueError):
                return self._parse_used(data, range(self.width), self._is_whole)
        is_whole = all(self._is_whole) and not _has_fractions(data)
        dtype = np.int64 if is_whole else np.float64
        table = np.loadtxt(_lines(data), dtype, comments=None, delimiter=self.delimiter, ndmin=2)
        if table.shape[1] != self.width:
            raise ValueError(f"{table.shape[1]} columns")
        columns = [np.ascontiguousarray(column) for column in table.T]
        if not is_whole:
            self._expect_fractions(columns)
        return columns

    def _expect_fractions(self, columns: Columns) -> None:
        """Expect fractions where `columns` have some that came unexpectedly, or everywhere: 96.0 is not 96."""
        found = [
            whole and bool((column == np.floor(column)).all())
            for whole, column in zip(self._is_whole, columns, strict=True)
        ]
        self._is_whole = [False] * self.width if found == self._is_whole else found


def _lines(data: bytes) -> list[str]:
    """Return the lines of `data`; numpy would take longer to decode them one by one as it reads them from a file."""
    return data.decode("latin-1").split("\n")


def _has_fractions(text: bytes) -> bool:
    return any(mark in text for mark in _FRACTION_MARKS)
