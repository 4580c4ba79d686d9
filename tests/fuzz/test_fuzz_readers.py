"""Damaged files of every format, read in child processes: read or an error, never a crash, a hang or out of memory."""

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import fuzz_readers
import numpy as np
import pytest
from forked import ended, forked

FAULTS: dict[str, Callable[[], object]] = {
    "abort": os.abort,
    "hang": lambda: sum(1 for _ in iter(int, 1)),
    "memory": lambda: np.ones(1 << 27),
    "other exception": lambda: {}["missing"],
}


def fuzz(*words: str) -> None:
    sys.argv = ["fuzz", *words]
    fuzz_readers.main()


@pytest.mark.parametrize("format", fuzz_readers.FORMATS)
def test_damaged_files_are_read_or_refused(format: str, tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    code = ended(forked(fuzz, format, "--count", "300", "--seed", "7", messages=said))
    text = said.read_text(encoding="utf-8")
    assert code == 0, text[-4000:]
    outcomes = dict(word.split("=") for word in text.split())
    assert sum(map(int, outcomes.values())) == 300
    assert "read" in outcomes or "repaired" in outcomes
    assert any(name.endswith("Error") for name in outcomes)


def fuzz_with(fault: Callable[[], object]) -> None:
    # The first files are undamaged and read without a fault, so that the fault happens on damaged files.
    calls, real = itertools.count(), fuzz_readers.open_recording

    def faulty(*arguments: object, **options: object) -> object:
        return fault() if next(calls) >= 10 else real(*arguments, **options)

    fuzz_readers.open_recording, fuzz_readers.MAX_SECONDS = faulty, 1
    fuzz("nmnist", "--count", "20")


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fuzzer_sees_faults(fault: str, tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    code = ended(forked(fuzz_with, FAULTS[fault], messages=said))
    assert code != 0
    if fault in ("memory", "other exception"):
        assert {"memory": "MemoryError", "other exception": "KeyError"}[fault] in said.read_text(encoding="utf-8")
