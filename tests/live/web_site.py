"""The page of deploy/web, built and served for tests; its one package is fetched once and kept in pytest's cache."""

import fcntl
import functools
import hashlib
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parents[2] / "deploy" / "web"
PACKAGE_FILES = ("package.json", "package-lock.json", ".npmrc")


def build(cache: Path, folder: Path) -> Path:
    """Build the page into `folder`; skip where that cannot be done."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no npm")
    modules = WEB / "node_modules" if _is_current(WEB) else _fetched(cache)
    ended = _run("node", WEB / "build.js", folder, modules, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return folder


def _is_current(folder: Path) -> bool:
    """True if the packages of the lock are in `folder`: npm writes its own lock at the end."""
    own = folder / "node_modules" / ".package-lock.json"
    return own.is_file() and own.stat().st_mtime >= (WEB / "package-lock.json").stat().st_mtime


def _fetched(cache: Path) -> Path:
    name = hashlib.sha256(b"".join((WEB / name).read_bytes() for name in PACKAGE_FILES)).hexdigest()[:16]
    folder = cache / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            for file in PACKAGE_FILES:
                shutil.copy(WEB / file, folder)
            ended = _run("npm", "ci", "--fetch-retries=0", "--fetch-timeout=30000", cwd=folder)
            if ended.returncode:
                pytest.skip(f"npm ci fails: {ended.stderr.strip().splitlines()[:1]}")
            (folder / "ready").touch()
    return folder / "node_modules"


def _run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Requests are not listed."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve `folder` as `python -m http.server` does; yields the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
