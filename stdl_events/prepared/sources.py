"""Changes since a store was made: of its recordings, and of the requested frames.

Files are compared by size and modification time. If only the time differs, as in a copy, the content decides: a copy
counts as unchanged, and nothing is read without need. A change that restores both is only found with `--verify`, which
reads everything.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import Any

from stdl_events.frames import FrameSpec
from stdl_events.prepared.manifest import SourceFile
from stdl_events.recordings.file_digest import file_digest


def changes_of(
    files: Iterable[SourceFile], root: Path, *, missing_is_change: bool = False, full: bool = False
) -> list[str]:
    """Return the changed files among `files` in the folder `root`, and how they changed, in words.

    Args:
        missing_is_change: count missing files as changed; else they are skipped.
        full: compare the content of all.
    """
    changes = []
    for file in {file.path: file for file in files}.values():
        change = _change(file, root / file.path, missing_is_change, full)
        if change is not None:
            changes.append(f"{file.path} ({change})")
    return changes


def _change(file: SourceFile, path: Path, missing_is_change: bool, full: bool) -> str | None:
    try:
        status = path.stat()
        if status.st_size != file.bytes:
            return f"{file.bytes} bytes, now {status.st_size}"
        if (full or status.st_mtime_ns != file.mtime_ns) and file_digest(path) != file.sha256:
            return "other content of the same size"
    except OSError as error:
        if missing_is_change or not isinstance(error, FileNotFoundError | NotADirectoryError):
            return error.strerror or str(error)
    return None


def frame_changes(before: FrameSpec, now: FrameSpec) -> list[str]:
    """Return the settings that differ between two frame specs, in words."""
    old, new = (spec.model_dump() | {"filters": " ".join(spec.filters.words) or "none"} for spec in (before, now))
    return [f"{key} ({old[key]}, asked for {new[key]})" for key in old if old[key] != new[key]]


def as_settings(stored: FrameSpec, asked: FrameSpec) -> str:
    """Return the options of `train` by which a recipe with the frames `asked` has those that are `stored`."""
    had, wanted = (_flat(spec.model_dump(mode="json", exclude={"sensor_size"})) for spec in (stored, asked))
    changed = (f"frames.{key}={_text(value)}" for key, value in had.items() if value != wanted[key])
    return " ".join(f"--set {quote(word)}" for word in changed)


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in settings.items() if isinstance(value, dict)}
    outer = {key: value for key, value in settings.items() if key not in inner}
    return outer | {f"{key}.{name}": value for key, its in inner.items() for name, value in its.items()}


def _text(value: object) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)
