"""Fixtures of all tests: the folder of real recordings, if there is one, and the command line run in this process."""

import functools
import gc
import os
import sys
import warnings
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import typer
from hypothesis import HealthCheck, settings

from stdl_events import cli
from stdl_events.live import session

REPOSITORY = Path(__file__).resolve().parent.parent

# A test reads no cache of the user's, and none of another test's: what it checks is metered in its own process.
os.environ["STDL_EVENTS_CACHE"] = "off"

# What hostile models fill before they fail stays in the process.
session.MAX_ARENA_BYTES = 1 << 30

# No test fails because a machine is slow.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests begin first, so that no worker waits for the last of them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests, hundreds of thousands of objects, live to the end: the collector need not look at them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def programs_keep_their_bytecode() -> None:
    """So that the many that tests start compile the library once; not at import, since workers would inherit it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def recordings_dir() -> Path:
    """Return the folder of real event recordings; without it, the tests that need it are skipped with a reason."""
    folder = Path(os.environ.get("STDL_EVENTS_RECORDINGS", REPOSITORY.parent / "shared" / "recordings"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}: set STDL_EVENTS_RECORDINGS to their folder")
    return folder


@pytest.fixture(scope="session")
def cpp_program_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program of `deploy/cpp`, built once; skipped where it cannot be built."""
    from cpp_program import built_program

    return built_program(tmp_path_factory.getbasetemp())


# What torch works out anew at every export, though it is the same in all of a process: module and function.
SAME_AT_EVERY_EXPORT = {
    "the sources of all ONNX operators": (
        "torch.onnx._internal.exporter._registration",
        "onnxscript_apis.get_torchlib_ops",
    ),
    "their signatures": ("torch.onnx._internal.exporter._schemas", "op_signature_from_function"),
    "the composite operators": ("torch._export.utils", "_materialize_cpp_cia_ops"),
}


@pytest.fixture(autouse=True)
def exports_share_what_is_the_same() -> None:
    """In a process of many exports, once will do."""
    for name, path in SAME_AT_EVERY_EXPORT.values():
        if owner := sys.modules.get(name):
            *parts, function = path.split(".")
            for part in parts:
                owner = getattr(owner, part)
            if not hasattr(getattr(owner, function), "cache_info"):
                setattr(owner, function, functools.cache(getattr(owner, function)))


# Typer makes all commands anew at every call, though only a help text may differ: it lists what is registered.
options_of_commands = functools.lru_cache(maxsize=1)(typer.main.get_command)


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run `stdl-events` with the given arguments; returns (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stdl-events", *map(str, arguments)])
        monkeypatch.setattr("stdl_events.plugins._loaded", [])  # as in a process of its own
        if "--help" not in sys.argv:
            monkeypatch.setattr(typer.main, "get_command", options_of_commands)
        code: int | str | None = None
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code
        streams = capsys.readouterr()
        return int(code or 0), streams.out, streams.err

    return run
