"""Every third-party package that reads or writes files is imported in one module."""

import ast
from functools import cache
from pathlib import Path

import pytest

import stdl_events

LIBRARY = Path(stdl_events.__file__).parent


@cache
def packages_by_module() -> dict[str, set[str]]:
    """Return the packages that each module of the library imports, anywhere in it."""
    found = {}
    for path in LIBRARY.rglob("*.py"):
        names: list[str] = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
        found[path.relative_to(LIBRARY).as_posix()] = {name.split(".")[0] for name in names}
    return found


def modules_that_import(package: str) -> set[str]:
    return {module for module, packages in packages_by_module().items() if package in packages}


@pytest.mark.parametrize(
    ("package", "doors"),
    [
        ("aedat", {"events/formats/aedat4_child.py"}),
        ("cryptography", {"live/signature.py"}),
        ("eventcv", {"events/sources/eventcv_driver.py"}),
        ("google", {"live/onnx_messages.py"}),
        ("fastapi", {"live/monitor/server.py"}),
        ("h5py", {"events/formats/hdf5.py"}),
        ("faery", {"events/formats/with_faery.py"}),
        ("hdf5plugin", {"events/formats/hdf5_layouts.py"}),
        ("jinja2", {"report/page.py"}),
        ("lz4", {"events/formats/aedat4.py"}),
        ("mcap", {"live/sinks/mcap_recording.py"}),
        ("paho", {"live/sinks/mqtt.py"}),
        ("prometheus_client", {"live/sinks/prometheus.py"}),
        ("uvicorn", {"live/monitor/server.py"}),
        # A file format in one, special functions and a root finder in the other: two submodules that share nothing.
        ("scipy", {"analysis/thresholds.py", "recordings/datasets/svhn.py"}),
        ("backports", {"events/zstd.py"}),
        ("compression", {"events/zstd.py"}),
    ],
)
def test_one_door_per_package(package: str, doors: set[str]) -> None:
    assert modules_that_import(package) == doors


def test_no_module_unpickles() -> None:
    assert modules_that_import("pickle") == set()
