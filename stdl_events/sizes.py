"""Amounts of memory in text."""

import re

from stdl_events.errors import PlanError

_UNITS = {"": 1, "B": 1, **{f"{letter}B": 1000**n for n, letter in enumerate("KMGT", 1)}} | {
    f"{letter}IB": 1024**n for n, letter in enumerate("KMGT", 1)
}


def parse_bytes(amount: int | str) -> int:
    """Bytes of 8000000, "8000000", "8GB" (powers of 1000) or "8GiB" (powers of 1024).

    Raises:
        PlanError: the text is not an amount of memory.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(amount))
    if match is None or match[2].upper() not in _UNITS:
        raise PlanError(
            "amount of memory",
            got=repr(amount),
            expected="a number with a unit, such as 8GB or 512MiB",
            todo="correct it",
        )
    return round(float(match[1]) * _UNITS[match[2].upper()])


def format_bytes(count: float) -> str:
    """`count` in units of powers of ten: 3.51 GB."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} B"
