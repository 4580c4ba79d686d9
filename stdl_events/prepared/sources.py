"""What has changed since a store was made: of its recordings, of the frames that are asked for.

Files are compared by size and time of change. Where only the time differs, as in a copy, the content decides: so a copy
is known again, and nothing is read without need. What changes a file and sets both back goes unseen until `--verify`,
which reads everything.
"""

from collections.abc import Iterable
from pathlib import Path

from stdl_events.frames import FrameSpec
from stdl_events.prepared.manifest import SourceFile
from stdl_events.recordings.entry import file_digest


def changes_of(
    files: Iterable[SourceFile], root: Path, *, missing_is_change: bool = False, full: bool = False
) -> list[str]:
    """Which of `files` in the folder `root` are not what they were, and how, in words.

    Args:
        missing_is_change: count files that are not there as changed; else they are passed over.
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
    """Which settings of two frame specs differ, in words."""
    old, new = (spec.model_dump() | {"filters": " ".join(spec.filters.words) or "none"} for spec in (before, now))
    return [f"{key} ({old[key]}, asked for {new[key]})" for key in old if old[key] != new[key]]
