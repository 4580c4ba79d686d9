"""Training on a fake device other than the host."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_all_of_a_step_is_on_the_device_and_nothing_waits_for_it():
    """Every rule in lean and plain mode: only uncast frames and targets are copied to the device, and nothing back."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("accelerator.py")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.endswith(" learners trained\n")
