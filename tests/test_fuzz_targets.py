"""The seeds of every fuzz target pass through it, and every kind of input has one."""

from importlib import import_module
from pathlib import Path

import fuzz_sources
import pytest
from fuzz_documents import LISTS, WITHOUT_LISTS
from fuzz_recordings import COMPRESS
from fuzz_sources import NOT_HERE
from fuzz_targets import module_of_targets, outcome

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
    assert {f".{suffix}" for suffix in COMPRESS} == {*(known.suffix for known in COMPRESSIONS), ".zip"}
    assert {*FORMATS, *COMPRESS, *LISTS} < TARGETS.keys()
    assert set(fuzz_sources.TARGETS) ^ NOT_HERE == set(SOURCES)
    assert LISTS.keys() ^ WITHOUT_LISTS == set(DATASETS)
