"""Fixtures of the tests of recordings: files written from bytes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stdl_events.compiled import Loading


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write bytes to a file of the given name in a fresh folder."""

    def write_bytes(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write_bytes


@pytest.fixture(params=["numpy", "compiled"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Decode without compiled loops, then with them, whatever pays."""
    if request.param == "compiled":
        pytest.importorskip("numba", reason="numba is not installed: it compiles loops that decode")
    monkeypatch.setattr(Loading, "pays", lambda loading, file_bytes: request.param == "compiled")
    return request.param
