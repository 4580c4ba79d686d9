"""Parser of lines of decimal numbers as a loop over bytes, compiled by numba.

It takes the usual spelling only; `text_numbers` has the parser for all others. Imported only where `LOADING` says that
it pays.

A number with a fraction is an integer below 2^53 over a power of ten up to 10^22, or times one. Both are exact as
float64, so that the quotient is the nearest float64, as any correct parser has it.
Source: W. D. Clinger, How to read floating point numbers accurately, 1990.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.compiled import cached_njit

_NEW_LINE, _RETURN, _BLANK, _PLUS, _MINUS, _POINT = (ord(mark) for mark in "\n\r +-.")
_ZERO, _SMALL_E, _LARGE_E = np.uint8(ord("0")), ord("e"), ord("E")
# Indices are unsigned, so that none is checked for being negative.
_ONE, _TEN = np.uint64(1), np.uint64(10)
_MOST_DIGITS = np.uint64(18)  # fit into int64
_MOST_EXACT = np.uint64(1 << 53)
_POWERS = 10.0 ** np.arange(23)
_compiled = cached_njit()


def parse_lines(data: bytes, delimiter: str | None, is_whole: list[bool]) -> list[npt.NDArray[Any]] | None:
    """Return the columns of lines, int64 where `is_whole` and float64 elsewhere.

    Args:
        delimiter: one character between columns, None for one blank; further blanks may stand around numbers.

    Returns:
        None if a line is not one number per entry of `is_whole`, or written unusually.
    """
    if not data.endswith(b"\n"):
        data += b"\n"  # ends every loop over bytes
    # A line has a digit and a mark per column at least. What is not written costs no memory.
    table = np.empty((len(is_whole), len(data) // (2 * len(is_whole)) + 1), np.int64)
    floats = table.view(np.float64)
    rows = _parse(np.frombuffer(data, np.uint8), ord(delimiter or " "), np.array(is_whole), table, floats, _POWERS)
    if rows < 0:
        return None
    return [(table if whole else floats)[column, :rows] for column, whole in enumerate(is_whole)]


@_compiled
def _is_digit(data: Any, at: Any) -> Any:
    return np.uint8(data[at] - _ZERO) < 10


@_compiled
def _after_digits(data: Any, at: Any, value: Any) -> Any:
    """Append the digits from `at` on to `value`; return (value, the index behind them)."""
    digit = np.uint8(data[at] - _ZERO)
    while digit < 10:
        value = value * _TEN + np.uint64(digit)
        at += _ONE
        digit = np.uint8(data[at] - _ZERO)
    return value, at


@_compiled
def _after_blanks(data: Any, at: Any) -> Any:
    while data[at] == _BLANK:
        at += _ONE
    return at


@_compiled
def _after_sign(data: Any, at: Any) -> Any:
    """Return (whether the number is negative, the index of its first digit)."""
    mark = data[at]
    return mark == _MINUS, at + _ONE if mark in (_MINUS, _PLUS) else at


@_compiled
def _after_end(data: Any, at: Any) -> Any:
    """Return (whether the line ends here, but for blanks, the index behind its end)."""
    if data[at] != _NEW_LINE:
        at = _after_blanks(data, at)
        at += _ONE if data[at] == _RETURN else np.uint64(0)
    return data[at] == _NEW_LINE, at + _ONE


@_compiled
def _after_exponent(data: Any, at: Any) -> Any:
    """Return (the power of ten, the index behind it); 2^53 for one that is unusual."""
    is_negative, start = _after_sign(data, at + _ONE)
    power, at = _after_digits(data, start, np.uint64(0))
    if at - start - _ONE >= _MOST_DIGITS or power > _MOST_EXACT:  # none, or too many
        power = _MOST_EXACT
    return -np.int64(power) if is_negative else np.int64(power), at


@_compiled
def _parse(data: Any, delimiter: int, is_whole: Any, table: Any, floats: Any, powers: Any) -> Any:
    """Write the numbers of `data`, which ends with a line feed; return the number of lines, -1 if one is unusual.

    A digit at the beginning of a number and the mark behind it are looked for first: most numbers have no more.
    """
    at, row, last = np.uint64(0), np.uint64(0), len(is_whole) - 1
    while at < len(data):
        if not _is_digit(data, at):
            at = _after_blanks(data, at) if delimiter == _BLANK else at
            is_windows = data[at] == _RETURN and data[at + _ONE] == _NEW_LINE
            if is_windows or data[at] == _NEW_LINE:  # an empty line
                at += _ONE + _ONE if is_windows else _ONE
                continue
        for column in range(len(is_whole)):
            is_negative = False
            if not _is_digit(data, at):
                is_negative, at = _after_sign(data, _after_blanks(data, at))
            start = at
            value, at = _after_digits(data, at, np.uint64(0))
            digits = at - start
            if is_whole[column]:
                number = np.int64(value)
                table[column, row] = -number if is_negative else number
            else:
                exponent = np.int64(0)
                if data[at] == _POINT:
                    start = at + _ONE
                    value, at = _after_digits(data, start, value)
                    exponent = -np.int64(at - start)
                    digits += at - start
                if data[at] in (_SMALL_E, _LARGE_E):
                    power, at = _after_exponent(data, at)
                    exponent += power
                if value > _MOST_EXACT or abs(exponent) >= len(powers):
                    return -1
                real = np.float64(value)
                real = real * powers[exponent] if exponent > 0 else real / powers[-exponent]
                floats[column, row] = -real if is_negative else real
            if digits - _ONE >= _MOST_DIGITS:  # none, or too many
                return -1
            if column == last:
                is_end, at = _after_end(data, at)
                if not is_end:
                    return -1
                continue
            if data[at] != delimiter and delimiter != _BLANK:
                at = _after_blanks(data, at)
            if data[at] != delimiter:
                return -1
            at += _ONE
        row += _ONE
    return np.int64(row)
