"""Commands and environments of this package's child processes."""

import os
import sys
from pathlib import Path


def command(module: str) -> list[str]:
    """The command that runs `python -m module` without the working directory on its path; run it in `environment()`."""
    return [sys.executable, "-P", "-m", module]


def environment() -> dict[str, str]:
    """The environment of this process, with this package on the path wherever it was imported from."""
    package_folder = str(Path(__file__).parents[1])
    path = [entry for entry in (os.environ.get("PYTHONPATH"), package_folder) if entry]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
