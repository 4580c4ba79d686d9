"""The public names of the package and of every stage: sorted, complete, importable, listed without importing torch."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import stdl_events

ROOT = Path(stdl_events.__file__).parent
# Packages inside a stage are not public.
PACKAGES = sorted(
    ".".join(("stdl_events", *path.parent.relative_to(ROOT).parts))
    for path in (ROOT / "__init__.py", *ROOT.glob("*/__init__.py"))
    if "__all__" in path.read_text(encoding="utf-8")
)


def own_names(package: str) -> set[str]:
    """Return the names without an underscore that a package defines or imports from its own modules."""
    return {
        name
        for name, value in vars(import_module(package)).items()
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith(f"{package}.")
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_names_are_sorted_complete_and_there(package: str) -> None:
    module = import_module(package)
    # Ruff's order: constants, classes, functions.
    order = sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert module.__all__ == order
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert set(module.__all__) <= set(dir(module))
    assert own_names(package) - {"lazy_names"} <= set(module.__all__)


def test_packages_are_imported_without_torch() -> None:
    assert {"stdl_events", *(f"stdl_events.{stage}" for stage in ("events", "frames", "recordings"))} <= set(PACKAGES)
    program = f"import sys, {', '.join(PACKAGES)}\nassert 'torch' not in sys.modules"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_an_unlisted_name_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "guilty").mkdir()
    (tmp_path / "guilty" / "inner.py").write_text("class Hidden: ...\n")
    (tmp_path / "guilty" / "__init__.py").write_text("from guilty.inner import Hidden\n__all__ = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert own_names("guilty") == {"Hidden"}
