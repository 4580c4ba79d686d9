"""The page of deploy/web, built and served for tests; its one package is fetched once and kept in pytest's cache."""

import fcntl
import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parents[2] / "deploy" / "web"
LOCK = "package-lock.json"
PACKAGE_FILES = ("package.json", LOCK, ".npmrc")


def build(cache: Path, folder: Path) -> Path:
    """Build the page into `folder`; skip where that cannot be done."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no npm")
    modules = WEB / "node_modules" if _is_current(WEB) else _fetched(cache)
    ended = _run("node", WEB / "build.js", folder, modules, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return folder


def _is_current(folder: Path) -> bool:
    """True if the packages of the lock are in `folder`: npm writes what it has put there at its end."""
    own = folder / "node_modules" / ".package-lock.json"
    if not own.is_file():
        return False
    wanted, found = (json.loads(path.read_text(encoding="utf-8"))["packages"] for path in (WEB / LOCK, own))
    return {name: entry.get("integrity") for name, entry in wanted.items() if name} == {
        name: entry.get("integrity") for name, entry in found.items()
    }


def _fetched(cache: Path) -> Path:
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(cache):
            for file in PACKAGE_FILES:
                shutil.copy(WEB / file, cache)
            ended = _run("npm", "ci", "--fetch-retries=0", "--fetch-timeout=30000", cwd=cache)
            if ended.returncode:
                pytest.skip(f"npm ci fails: {ended.stderr.strip().splitlines()[:1]}")
    return cache / "node_modules"


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
