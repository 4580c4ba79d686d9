"""Import of Python files and modules that register entries: recipe files, and the plugins given by `--plugin`."""

import functools
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from stdl_events.errors import RecipeError

_loaded: list[str] = []


def loaded_plugins() -> tuple[str, ...]:
    """The plugins that this process has loaded, in order, for a process that has to load them too."""
    return tuple(_loaded)


def load_plugin(plugin: str) -> None:
    """Import a `.py` file by its path, or an installed module by its dotted name; the import registers its entries.

    Raises:
        RecipeError: there is no such file or module, or importing it fails.
    """
    if plugin.endswith(".py"):
        import_file(Path(plugin))
    else:
        try:
            importlib.import_module(plugin)
        except (Exception, SystemExit) as error:
            raise _fails(plugin, error, "an importable module, or the path of a .py file") from error
    if plugin not in _loaded:
        _loaded.append(plugin)


def import_file(path: Path, expected: str = "a Python file") -> ModuleType:
    """Run a Python file as a module of its own name, without its `if __name__ == "__main__"` part.

    An unchanged file runs once per process, so its entries are registered once.

    Raises:
        RecipeError: there is no such file, or running it fails.
    """
    if not path.is_file():
        raise RecipeError(str(path), got="no such file", expected=expected, todo="check the path")
    return _import_file(path.resolve(), path.stat().st_mtime_ns)


@functools.cache
def _import_file(path: Path, changed_ns: int) -> ModuleType:
    del changed_ns  # part of the cache's key
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _fails(str(path), error, "a Python file that can be imported") from error
    return module


def _fails(plugin: str, error: BaseException, expected: str) -> RecipeError:
    got = f"{type(error).__name__} while importing it: {error}"
    return RecipeError(plugin, got=got, expected=expected, todo="correct it")
