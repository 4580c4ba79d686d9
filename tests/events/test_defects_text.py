"""Counts in words."""

import pytest

from stdl_events.events.defects import count_of


@pytest.mark.parametrize(
    ("number", "what", "text"),
    [(0, "event", "0 events"), (1, "epoch", "1 epoch"), (2, "epoch", "2 epochs"), (2, "class", "2 classes"),
     (1, "batch", "1 batch"), (3, "batch", "3 batches"), (1234, "held-out clip", "1,234 held-out clips")],
)  # fmt: skip
def test_counts_have_their_plural(number: int, what: str, text: str) -> None:
    assert count_of(number, what, ",") == text
