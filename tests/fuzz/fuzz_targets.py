"""What untrusted bytes reach, as functions of bytes: every reader, what compresses, label files, models and documents.

A target's function takes bytes and returns an outcome in a word. Bytes are read, or refused with an error of the
package; any other exception, a crash, a hang or a lack of memory is a fault. `tests/benchmarks/run_fuzz_coverage.py`
searches for one; `tests/fuzz/test_fuzz_targets.py` passes the seeds through.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from stdl_events.errors import StdlEventsError

# Each has a dictionary TARGETS.
MODULES = ("fuzz_recordings", "fuzz_sources", "fuzz_documents")


@dataclass(frozen=True)
class Target:
    """Something that takes untrusted bytes.

    Attributes:
        seeds: (folder) -> bytes that are taken; files that they need are made in the folder.
        take: (folder, bytes) -> a word; the folder is the one of `seeds`.
    """

    seeds: Callable[[Path], list[bytes]]
    take: Callable[[Path, bytes], str]


def module_of_targets() -> dict[str, str]:
    """Return the module of every target by its name."""
    return {name: module for module in MODULES for name in import_module(module).TARGETS}


def outcome(target: Target, folder: Path, data: bytes) -> str:
    """Return what became of `data`: the word of the target, or the class of the error that refuses it."""
    try:
        return target.take(folder, data)
    except StdlEventsError as error:
        refusal = error
    assert all((refusal.got, refusal.expected, refusal.todo)), f"an error without a part: {refusal!r}"
    return type(refusal).__name__
