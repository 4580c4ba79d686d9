"""When compiled loops are loaded to decode files."""

import sys

import pytest

from stdl_events import compiled
from stdl_events.compiled import LOAD_BYTES, Loading


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As in a process that has not loaded it."""
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.setattr(compiled, "_load", lambda: True)
    return monkeypatch


def test_a_small_file_does_not_load_numba_and_a_large_one_does(without_numba: pytest.MonkeyPatch) -> None:
    loading = Loading()
    assert not loading.pays(LOAD_BYTES // 2)
    assert loading.pays(LOAD_BYTES)


def test_many_small_files_count_like_a_large_one(without_numba: pytest.MonkeyPatch) -> None:
    loading = Loading()
    assert [loading.pays(LOAD_BYTES // 4) for _ in range(5)] == [False, False, False, True, True]


def test_what_is_loaded_is_used(without_numba: pytest.MonkeyPatch) -> None:
    without_numba.setitem(sys.modules, "numba", sys)
    assert Loading().pays(0)


def test_a_numba_that_does_not_import_is_none(without_numba: pytest.MonkeyPatch) -> None:
    without_numba.undo()
    without_numba.setitem(sys.modules, "numba", None)
    compiled._load.cache_clear()
    assert not Loading().pays(LOAD_BYTES)
    compiled._load.cache_clear()


def test_that_loops_are_compiled_is_said_once_and_of_loaded_ones_never() -> None:
    numba = pytest.importorskip("numba")
    added, said = numba.njit(lambda x: x + 1), []
    with compiled.compiling_said(said.append):
        assert (added(1), added(1.5), added(2)) == (2, 2.5, 3)
    assert said == [compiled.COMPILING]
    with compiled.compiling_said(said.append):
        assert added(3) == 4
    assert said == [compiled.COMPILING]
