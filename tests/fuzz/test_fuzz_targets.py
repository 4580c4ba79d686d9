"""The seeds of every fuzz target pass through it, and every kind of input has one."""

from importlib import import_module
from pathlib import Path

import fuzz_sources
import pytest
from fuzz_documents import LISTS, WITHOUT_LISTS
from fuzz_recordings import COMPRESS
from fuzz_sources import NOT_HERE
from fuzz_targets import Target, module_of_targets, outcome

from stdl_events.errors import RecordingError
from stdl_events.events import FORMATS, SOURCES
from stdl_events.events.compressions import COMPRESSIONS
from stdl_events.recordings import DATASETS

TARGETS = {name: import_module(module).TARGETS[name] for name, module in module_of_targets().items()}


@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken(name: str, tmp_path: Path) -> None:
    seeds = TARGETS[name].seeds(tmp_path)
    assert seeds
    outcomes = [outcome(TARGETS[name], tmp_path, seed) for seed in seeds]
    assert not [word for word in outcomes if word.endswith("Error")], outcomes


def test_every_kind_of_input_has_a_target() -> None:
    assert {f".{suffix}" for suffix in COMPRESS} == {*(known.suffix for known in COMPRESSIONS if known.suffix), ".zip"}
    assert {*FORMATS, *COMPRESS, "utf16", *LISTS} < TARGETS.keys()
    assert set(fuzz_sources.TARGETS) ^ NOT_HERE == set(SOURCES)
    assert LISTS.keys() ^ WITHOUT_LISTS == set(DATASETS)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (RecordingError("a", got="b", expected="c", todo="d"), True),
        (RecordingError("a", got="b", expected="c", todo=""), False),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "?"), False),
        (MemoryError(), False),
    ],
)
def test_only_whole_errors_of_the_package_are_answers(tmp_path: Path, error: Exception, passes: bool) -> None:
    def take(folder: Path, data: bytes) -> str:
        raise error

    target = Target(lambda folder: [b""], take)
    if passes:
        assert outcome(target, tmp_path, b"") == "RecordingError"
    else:
        with pytest.raises((type(error), AssertionError)):
            outcome(target, tmp_path, b"")
