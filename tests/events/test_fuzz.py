"""Damaged files of every format, read in child processes: read or an error, never a crash, a hang or out of memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_readers import FORMATS

FUZZER = Path(__file__).with_name("fuzz_readers.py")


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_are_read_or_refused(format: str) -> None:
    child = subprocess.run(
        [sys.executable, FUZZER, format, "--count", "300", "--seed", "7"], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stdout[-2000:] + child.stderr[-2000:]
    outcomes = dict(word.split("=") for word in child.stdout.split())
    assert sum(map(int, outcomes.values())) == 300
    assert "read" in outcomes or "repaired" in outcomes
    assert any(name.endswith("Error") for name in outcomes)


@pytest.mark.parametrize(
    "fault",
    ["os.abort()", "sum(1 for _ in iter(int, 1))", "numpy.ones(1 << 27)", "{}['missing']"],
    ids=["abort", "hang", "memory", "other exception"],
)
def test_the_fuzzer_sees_faults(fault: str) -> None:
    # The first files are undamaged and read without a fault, so that the fault happens on damaged files.
    program = f"""
import itertools, os, sys, time
import fuzz_readers, numpy
calls, real = itertools.count(), fuzz_readers.open_recording
def faulty(*arguments, **options):
    return {fault} if next(calls) >= 10 else real(*arguments, **options)
fuzz_readers.open_recording, fuzz_readers.MAX_SECONDS = faulty, 1
sys.argv = ["fuzz", "nmnist", "--count", "20"]
fuzz_readers.main()
"""
    child = subprocess.run([sys.executable, "-c", program], cwd=FUZZER.parent, capture_output=True, check=False)
    assert child.returncode != 0
