"""Metered costs, remembered in the process and in the user's cache folder.

A cost depends on the settings that it was metered with, on this package's code and on torch. The settings are the key
in a JSON file; the rest is in the name of the file's folder. Files are written as a whole and hold numbers alone. If
one is damaged or missing, its costs are metered again. Settings with objects of the caller's own, such as functions
or registered neurons, are not kept on the disk, since their code may change.
"""

import atexit
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import torch

from stdl_events.errors import UserError
from stdl_events.learning.blueprint import Blueprint
from stdl_events.learning.late_construction import construction
from stdl_events.learning.lean import current_part_sizes
from stdl_events.learning.optimizers import OptimizerSpec
from stdl_events.learning.registries import OPTIMIZERS, STEP_PRECISIONS
from stdl_events.network.registries import NEURONS, NORMS, SURROGATES
from stdl_events.network.spec import NetworkSpec, NeuronSpec
from stdl_events.registry import Registry
from stdl_events.whole_file import make_folder, remove_leftovers, whole_file

SWITCH = "STDL_EVENTS_CACHE"
"""Environment variable: another folder, or "off" to keep nothing on the disk."""

_PACKAGE = Path(__file__).resolve().parents[1]
_METERED = ("network", "plan", "learning", "memory")
_PACKAGES = ("torch", "norse", "numba")
_DIGITS = 16
_MOST_FILES, _MOST_VERSIONS = 400, 4
_NAMED: dict[tuple[type, str], Registry[Any]] = {
    (NeuronSpec, "kind"): NEURONS,
    (NeuronSpec, "surrogate"): SURROGATES,
    (NetworkSpec, "norm"): NORMS,
    (OptimizerSpec, "kind"): OPTIMIZERS,
    (Blueprint, "precision"): STEP_PRECISIONS,
}

Inputs = ParamSpec("Inputs")
Cost = TypeVar("Cost")


class CostsWarning(UserWarning):
    """The cache of metered costs cannot be read or written; what is computed stays the same."""


def costs_folder() -> Path | None:
    """The folder of this version's costs; None if it is switched off, or there is no place for it.

    `STDL_EVENTS_CACHE` or else `stdl-events` in the folder for caches: `$XDG_CACHE_HOME`, by default `~/.cache`, on
    macOS `~/Library/Caches`.
    """
    asked = os.environ.get(SWITCH, "")
    if asked == "off":
        return None
    if asked:
        folder = Path(asked).absolute()
    else:
        xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
        usual = Path(os.path.expanduser("~/Library/Caches" if sys.platform == "darwin" else "~/.cache"))
        folder = (xdg if xdg.is_absolute() else usual) / "stdl-events"
    return folder / "costs" / _version_digest() if folder.is_absolute() else None


class Remembered(Generic[Inputs, Cost]):
    """A function that meters, called once per process for the same inputs, or not at all where the disk has the cost.

    Inputs that cannot be hashed are metered every time.
    """

    def __init__(
        self, meter: Callable[Inputs, Cost], to_json: Callable[[Cost], Any], from_json: Callable[[Any], Cost], most: int
    ) -> None:
        self._meter, self._to_json, self._from_json = meter, to_json, from_json
        known: Any = functools.lru_cache(most)(self._stored)
        self._known: Callable[Inputs, Cost] = known
        self.forget: Callable[[], None] = known.cache_clear
        """Forget the costs of this process."""
        functools.update_wrapper(self, meter)

    def _metered(self, *args: Inputs.args, **named: Inputs.kwargs) -> Cost:
        construction()  # of all that is metered, before the meter counts
        return self._meter(*args, **named)

    def __call__(self, *args: Inputs.args, **named: Inputs.kwargs) -> Cost:
        try:
            hash((args, tuple(named.values())))
        except TypeError:
            return self._metered(*args, **named)
        return self._known(*args, **named)

    def _stored(self, *args: Inputs.args, **named: Inputs.kwargs) -> Cost:
        group, key = _group_of(self._meter.__qualname__, args[0]), _text([args[1:], named])
        if group is None or key is None:
            return self._metered(*args, **named)
        if key in group.costs:
            try:
                return self._from_json(group.costs[key])
            except (ValueError, TypeError, KeyError):
                _say(f"{group.path} is damaged: its costs are metered again")
        found = self._metered(*args, **named)
        group.add(key, self._to_json(found))
        return found


def remembered(
    to_json: Callable[[Cost], Any], from_json: Callable[[Any], Cost], *, most: int
) -> Callable[[Callable[Inputs, Cost]], Remembered[Inputs, Cost]]:
    """Decorator of a function that meters, see `Remembered`; its first input decides the file.

    Args:
        to_json, from_json: a cost as JSON and back; the latter raises ValueError, TypeError or KeyError for others.
        most: number of costs that are kept in the process.
    """
    return lambda meter: Remembered(meter, to_json, from_json, most)


def whole_number(value: Any) -> int:
    """`value`, a number of bytes or operations from a file.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int:
        raise ValueError(f"{value!r} is no whole number")
    return value


@contextlib.contextmanager
def costs_kept() -> Iterator[None]:
    """Write the costs that were metered to the disk at the end, as at the end of the process."""
    try:
        yield
    finally:
        save_costs()


def save_costs() -> None:
    """Write the costs that were metered since the last call to the disk; a refusal is said once per process."""
    for group in list(_groups.values()):
        group.save()


class _Group:
    """The costs of one setting, in one file."""

    def __init__(self, path: Path) -> None:
        self.path, self.costs = path, _read(path)
        self._new: dict[str, Any] = {}

    def add(self, key: str, cost: Any) -> None:
        self.costs[key] = self._new[key] = cost

    def save(self) -> None:
        """Write the new costs beside those that other processes have written meanwhile."""
        new, self._new = self._new, {}
        if not new:
            return
        try:
            make_folder(self.path.parent)
            with whole_file(self.path, room_for="costs of layers") as file:
                file.write(json.dumps({"costs": _read(self.path) | new}).encode())
        except UserError as error:
            _say(f"metered costs are not kept for the next time: {error}")
        else:
            _tidy(self.path.parent)


_groups: dict[Path, _Group] = {}
atexit.register(save_costs)


def _group_of(name: str, setting: Any) -> _Group | None:
    folder, text = costs_folder(), _text([name, _context(), setting])
    if folder is None or text is None:
        return None
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    if path not in _groups:
        _groups[path] = _Group(path)
    return _groups[path]


def _read(path: Path) -> dict[str, Any]:
    try:
        costs = json.loads(path.read_bytes())["costs"]
    except FileNotFoundError:
        return {}
    except OSError as error:
        _say(f"{path} cannot be read, so its costs are metered again: {error.strerror}")
        return {}
    except (ValueError, TypeError, KeyError, RecursionError):
        costs = None
    if isinstance(costs, dict):
        return costs
    _say(f"{path} is damaged: its costs are metered again")
    return {}


def _tidy(folder: Path) -> None:
    """Remove leftovers of killed processes, the oldest files of many, and the oldest versions of several."""
    with contextlib.suppress(OSError):
        remove_leftovers(folder)
        for path in _all_but_newest(folder.glob("*.json"), _MOST_FILES):
            path.unlink(missing_ok=True)
        versions = (path for path in folder.parent.iterdir() if re.fullmatch(f"[0-9a-f]{{{_DIGITS}}}", path.name))
        for path in _all_but_newest(versions, _MOST_VERSIONS):
            shutil.rmtree(path, ignore_errors=True)


def _all_but_newest(paths: Iterable[Path], count: int) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)[count:]


@functools.cache
def _version_digest() -> str:
    """Of everything but the settings that a cost may depend on: this package's code, torch, and the processor."""
    digest = hashlib.sha256()
    for room in _METERED:
        for path in sorted((_PACKAGE / room).rglob("*.py")):
            digest.update(f"{path.relative_to(_PACKAGE)}\n".encode() + path.read_bytes())
    facts = [platform.python_version(), platform.machine(), torch.backends.cpu.get_cpu_capability()]
    digest.update(repr(facts + [_version(name) for name in _PACKAGES]).encode())
    return digest.hexdigest()[:_DIGITS]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _context() -> tuple[Any, ...]:
    """What may change within a process and decides what is allocated."""
    return current_part_sizes(), torch.get_default_dtype(), torch.backends.mkldnn.enabled


def _text(value: Any) -> str | None:
    """`value` as a key; None if it holds what is not known by its value."""
    try:
        return json.dumps(_described(value), separators=(",", ":"))
    except TypeError:
        return None


def _described(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    if isinstance(value, list | tuple):
        return [_described(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _described(entry) for name, entry in value.items()}
    kind = type(value)
    if not dataclasses.is_dataclass(value) or not kind.__module__.startswith("stdl_events."):
        raise TypeError(f"{value!r} is not known by its value")
    found = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for name, entry in found.items():
        registry = _NAMED.get((kind, name))
        if registry is not None and isinstance(entry, str) and not registry.is_built_in(entry):
            raise TypeError(f"{entry} is not this package's own")
    return {"": kind.__qualname__} | {name: _described(entry) for name, entry in found.items()}


def _say(message: str) -> None:
    if not _said:
        _said.append(message)
        warnings.warn(f"{message} ({SWITCH}=off switches the cache off)", CostsWarning, stacklevel=2)


_said: list[str] = []
