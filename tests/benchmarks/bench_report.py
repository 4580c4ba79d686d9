"""Facts in every benchmark's result: machine, versions, commit; and the path of its dated result."""

import argparse
import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def environment(packages: Sequence[str]) -> dict[str, Any]:
    """Facts about this machine and the installed `packages`."""
    return {
        "date": datetime.date.today().isoformat(),
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+changes" if _git("status", "--porcelain") else ""),
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def write_result(folder: Path, name: str, document: Mapping[str, Any]) -> Path:
    """Write `document` as <date>_<name>.json into `folder`; the date is the one in its environment."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{document['environment']['date']}_{name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
    return path


def fuzz_arguments(
    description: str, *, count: int, of: str = "files", names: Mapping[str, Any] | None = None
) -> argparse.Namespace:
    """Parse the options of a program that fuzzes: `count`, `seed` and `out`, and the `names` that may be chosen."""
    parser = argparse.ArgumentParser(description=description)
    if names is not None:
        parser.add_argument("names", nargs="*", help=f"of {'; '.join(names)}; all if none is named")
    parser.add_argument("--count", type=int, default=count, help=of)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    asked = parser.parse_args()
    if unknown := [name for name in getattr(asked, "names", []) if name not in (names or {})]:
        parser.error(f"got {unknown[0]!r}; expected {'; '.join(names or {})}")
    return asked


def _git(*arguments: str) -> str:
    ended = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    for line in (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else ()
    ):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"
