"""Files beside recordings that look like their labels, and that nothing reads."""

import warnings
from collections.abc import Iterable
from pathlib import Path

from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.labels.label_columns import HEADER
from stdl_events.recordings.labels.label_file import LABEL_FILES, has_label_columns

_LABEL_STEMS = ("label", "annotation", "segment")
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")


def may_be_labels(path: Path) -> bool:
    """True if the name of a file says that it labels recordings, or its first line does."""
    is_named = path.stem.casefold().startswith(_LABEL_STEMS)
    return is_named or (path.suffix.lower() in _TEXT_SUFFIXES and has_label_columns(path))


def say_unread(root: Path, others: Iterable[Path], labels: str | None) -> None:
    """Warn of files beside folders of classes that may label the recordings.

    Args:
        others: the files in `root` that are no recordings.
        labels: as asked for; with None nothing is said, since no label file is wanted.
    """
    names = [path.name for path in others if path.is_file() and may_be_labels(path)] if labels is not None else []
    if names:
        warnings.warn(
            f"{root}: {', '.join(names[:3])} may label the recordings, and is not read: the folders are the classes, "
            f"since a label file is named {LABEL_FILES[0]}; give a first line such as {HEADER} and "
            f"--labels {names[0]} (data.labels) to use it, or --labels none to say that it is not used",
            RecordingWarning, stacklevel=4,
        )  # fmt: skip
