"""Parser of lines of digits as passes of numpy over whole blocks, for the commonest spelling only.

Every number is digits, with a point and further digits where fractions are expected; one mark stands behind each. The
parser of whole numbers in numpy takes half as long as the one that takes lines.

A number with a fraction is an integer below 2^53 over a power of ten, as in `text_loop`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_ZERO, _NINE = ord("0"), ord("9")
_POINT, _NEW_LINE = ord("."), ord("\n")
_MOST_EXACT = 1 << 53
_POWERS = 10 ** np.arange(16)


def parse_lines(data: bytes, delimiter: str | None, is_whole: list[bool]) -> list[npt.NDArray[Any]] | None:
    """Return the columns of lines, int64 where `is_whole` and float64 elsewhere.

    Args:
        delimiter: one character between columns, None for one blank.

    Returns:
        None if a line is not one number per entry of `is_whole`, or written in another way.
    """
    between = ord(delimiter or " ")
    marks = [mark for whole in is_whole for mark in ([between] if whole else [_POINT, between])]
    marks[-1] = _NEW_LINE
    text = np.frombuffer(data, np.uint8)
    places: npt.NDArray[np.intp] = np.flatnonzero(text < _ZERO)
    if len(places) % len(marks) or between >= _ZERO or text.max(initial=_ZERO) > _NINE:
        return None
    places = places.reshape(-1, len(marks))
    if (text[places] != np.array(marks, np.uint8)).any():
        return None
    for mark in {*marks} - set(b" \n"):
        data = data.replace(bytes([mark]), b" ")
    numbers = np.fromstring(data, np.int64, sep=" ")
    if len(numbers) != places.size or numbers.max(initial=0) == np.iinfo(np.int64).max:  # a longer one is cut to it
        return None
    return _columns(numbers.reshape(places.shape), places, is_whole)


def _columns(
    numbers: npt.NDArray[np.int64], places: npt.NDArray[np.intp], is_whole: list[bool]
) -> list[npt.NDArray[Any]] | None:
    """Return the columns of `numbers`, in which fractions have one of their own; `places` are those of the marks."""
    columns: list[npt.NDArray[Any]] = []
    at = 0
    for whole in is_whole:
        if whole:
            columns.append(np.ascontiguousarray(numbers[:, at]))
            at += 1
            continue
        digits = places[:, at + 1] - places[:, at] - 1
        if len(digits) and digits.max() >= len(_POWERS):
            return None
        power = _POWERS[digits]
        if numbers[:, at].max(initial=0) > _MOST_EXACT // power.max(initial=1) - 1:
            return None
        columns.append((numbers[:, at] * power + numbers[:, at + 1]) / power)
        at += 2
    return columns
