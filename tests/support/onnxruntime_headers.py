"""The headers of onnxruntime for the tests of `deploy/cpp`, which the Python package of onnxruntime does not hold.

    python tests/support/onnxruntime_headers.py

puts them into the virtual environment. They are taken from a package of npm that brings onnxruntime to Unity: the same
headers as in onnxruntime's release archives. Without npm nothing is done, and the tests are skipped.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HEADER = "onnxruntime_cxx_api.h"
PACKAGE = "com.github.asus4.onnxruntime@0.4.9"  # onnxruntime 1.29
SHA256 = "e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d"
_FOLDER = "ios-arm64_x86_64-simulator/onnxruntime.framework/Headers"
_OURS = Path(sys.prefix) / "onnxruntime"


def header_root() -> Path | None:
    """Return a folder for `-DONNXRUNTIME_ROOT` whose headers are there; None if there is none."""
    given = os.environ.get("ONNXRUNTIME_ROOT")
    for root in map(Path, filter(None, (given, _OURS, "/opt/onnxruntime", "/usr/local", "/usr"))):
        for folder in ("include", "include/onnxruntime", "include/onnxruntime/core/session"):
            if (root / folder / HEADER).is_file():
                return root
    return None


def fetch() -> str:
    """Get the headers if there are none; return what was done."""
    if root := header_root():
        return f"headers of onnxruntime in {root}"
    if (npm := shutil.which("npm")) is None:
        return "no headers of onnxruntime and no npm: the tests of deploy/cpp are skipped"
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            [npm, "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, check=False
        )
        if packed.returncode:
            return f"npm has no {PACKAGE}: the tests of deploy/cpp are skipped"
        (archive,) = Path(folder).glob("*.tgz")
        if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
            raise SystemExit(f"{PACKAGE}: got another SHA-256; expected {SHA256}; look at the package")
        _extract(archive, _OURS / "include")
    return f"headers of onnxruntime from {PACKAGE} in {_OURS}"


def _extract(archive: Path, target: Path) -> None:
    """Extract the headers; the one of that name comes last, since it says that all are there."""
    target.mkdir(parents=True, exist_ok=True)
    texts = {}
    with tarfile.open(archive) as package:
        for member in package:
            if f"/{_FOLDER}/" in member.name and (file := package.extractfile(member)):
                texts[Path(member.name).name] = file.read()
    for name in sorted(texts, key=lambda name: name == HEADER):
        (target / name).write_bytes(texts[name])


if __name__ == "__main__":
    print(fetch())
