"""Amounts of memory as text."""

import pytest

from stdl_events.errors import PlanError
from stdl_events.sizes import parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (8_000_000, 8_000_000),
        ("8000000", 8_000_000),
        ("512B", 512),
        ("3kB", 3_000),
        ("8GB", 8_000_000_000),
        ("8 GiB", 8 * 2**30),
        ("1.5MiB", 3 * 2**19),
        (" 0.5 tb ", 500_000_000_000),
        ("2TiB", 2**41),
        ("7kib", 7 * 2**10),
    ],
)
def test_amounts_read(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "8 bananas", "8Gb/s", "1e9", "8,5GB", "8PB", "nan", -5])
def test_other_texts_are_told(text):
    with pytest.raises(PlanError) as caught:
        parse_bytes(text)
    assert str(caught.value) == (
        f"amount of memory: got {text!r}; expected a number with a unit, such as 8GB or 512MiB; correct it"
    )
