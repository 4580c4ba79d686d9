"""The recordings that the rows of a label file name by their paths."""

import posixpath
from collections.abc import Iterator
from pathlib import Path

from stdl_events.errors import DatasetError
from stdl_events.recordings.found_files import same_form
from stdl_events.recordings.labels.label_file import LabelFile, LabelRow
from stdl_events.recordings.labels.label_source import without_suffix

RowsOf = dict[str, list[LabelRow]]
Renamed = dict[str, str]


class RecordingNames:
    """The recordings of a folder by the names that rows may have for them.

    A name is compared as it is, then without its suffix, then in any case.
    """

    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files
        self._by_name: dict[str, set[str]] = {}
        self._by_folded: dict[str, set[str]] = {}
        for key, path in files.items():
            stem = without_suffix(key, path)
            self._by_name.setdefault(stem, set()).add(key)
            for name in (key, stem):
                self._by_folded.setdefault(name.casefold(), set()).add(key)

    def keys(self, name: str) -> set[str]:
        """Return the relative paths of the recordings that `name` may mean."""
        if name in self._files:
            return {name}
        return self._by_name.get(name) or self._by_folded.get(name.casefold()) or set()


def match_rows(file: LabelFile, files: dict[str, Path]) -> tuple[RowsOf, list[LabelRow], str]:
    """Return (the rows of each recording, rows whose recording is missing, what was left out of all paths, in words).

    Paths are relative to the folder of the recordings. Where none of them is, they are absolute, relative to the label
    file, begin with folders in front of that of the recordings, or lack the folders in it.

    Raises:
        DatasetError: a row may name several recordings.
    """
    names = RecordingNames(files)
    renamed, said = {row.recording: row.recording for row in file.rows}, ""
    if files and not any(names.keys(name) for name in renamed):
        ways = dict(_ways(file.path, files, list(renamed)))
        counts = {text: sum(bool(names.keys(name)) for name in ways[text].values()) for text in ways}
        best = [text for text, count in counts.items() if count and count == max(counts.values())]
        if best and all(ways[text] == ways[best[0]] for text in best):
            renamed, said = ways[best[0]], best[0]
    rows_of: RowsOf = {}
    missing: list[LabelRow] = []
    for row in file.rows:
        keys = names.keys(renamed[row.recording])
        if len(keys) > 1:
            raise DatasetError(
                f"{file.path}, line {row.line}", got=f"{row.recording}, which may be {' or '.join(sorted(keys)[:3])}",
                expected="the path of one recording", todo="write the suffix, and upper and lower case as in the name",
            )  # fmt: skip
        if keys:
            rows_of.setdefault(next(iter(keys)), []).append(row)
        else:
            missing.append(row)
    return {key: rows_of[key] for key in files if key in rows_of}, missing, said


def _ways(path: Path, files: dict[str, Path], names: list[str]) -> Iterator[tuple[str, Renamed]]:
    """Yield (in words, names relative to the folder of the recordings by those in rows) for each way to read them."""
    key, first = next(iter(files.items()))
    root = first.parents[key.count("/")].absolute()
    for base, text in (
        (path.parent.absolute(), "the folder of the label file"),
        (root, "the folder of the recordings"),
    ):
        for inside in (root, root.resolve()):
            folder = same_form(inside.as_posix()) + "/"
            whole = {name: same_form(posixpath.normpath(posixpath.join(base.as_posix(), name))) for name in names}
            renamed = {name: path.removeprefix(folder) for name, path in whole.items()}
            yield f"paths of rows are absolute, or relative to {text}", renamed
    try:
        common = posixpath.commonpath([posixpath.dirname(name) for name in names])
    except ValueError:  # absolute and relative ones
        common = ""
    while common.strip("/"):
        prefix = common + "/"
        yield f"{prefix} in front of the paths of rows is left out", {name: name.removeprefix(prefix) for name in names}
        common = posixpath.dirname(common)
    by_name = {key.rpartition("/")[2]: key for key in files}
    if len(by_name) == len(files):
        by_name |= {without_suffix(name, files[key]): key for name, key in by_name.items()}
        yield "rows name recordings without their folders", {name: by_name.get(name, name) for name in names}
