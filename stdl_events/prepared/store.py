"""`PreparedSet`: a store as a dataset, as a split, and as the clips for training and evaluation.

Shape letters: N clips, T frames of a clip, C=2 polarities, H rows, W columns.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.errors import DatasetError, FrameSpecError
from stdl_events.events.sources.replay import Position
from stdl_events.frames import FrameSpec
from stdl_events.prepared.frames_text import frames_text
from stdl_events.prepared.manifest import Manifest, StoredEntry, read_manifest
from stdl_events.prepared.sources import as_settings, changes_of, frame_changes
from stdl_events.prepared.table import AGAIN, ClipTable, Indices, StoredFrames
from stdl_events.recordings.clips import ClipArray, no_clips
from stdl_events.recordings.entry import WHOLE, Entry, RecordingSet, SideRule, Split
from stdl_events.recordings.splits.sides import SIDES, Side

MAX_NAMED = 5


@dataclass(frozen=True, eq=False)
class PreparedSet:
    """Clips of a store, checked on opening: `len(s)`, `s[i] -> (frames_TCHW uint8, label)`.

    May be forked, pickled, and read by several processes and threads.

    Attributes:
        path: the store's folder.
        root: folder of its recordings, which may be missing.
        number_N: numbers of the clips in `table`.
    """

    path: Path
    manifest: Manifest
    root: Path
    table: ClipTable
    number_N: Indices

    @classmethod
    def open(
        cls, path: str | Path, *, frames: FrameSpec | None = None, data: str | Path | None = None, verify: bool = False
    ) -> "PreparedSet":
        """Open the store in the folder `path`, and check that it is complete and as requested.

        Existing recordings are compared by size and modification time, and by content if only the time differs.

        Args:
            frames: required frame spec of the clips; None accepts any.
            data: folder of the recordings, if it has moved.
            verify: read all clips and all recordings, and compare their content.

        Raises:
            DatasetError: it is not a store, incomplete, damaged, of another version, or its recordings have changed.
            FrameSpecError: its clips have another frame spec.
        """
        path = Path(path)
        manifest = read_manifest(path)
        if not manifest.complete:
            raise DatasetError(
                str(path), got="an incomplete store", expected="a complete one",
                todo="run the same stdl-events prepare again: it resumes",
            )  # fmt: skip
        if frames is not None and frames != manifest.frames:
            raise FrameSpecError(
                str(path), got="clips with other " + ", ".join(frame_changes(manifest.frames, frames)),
                expected=f"clips cut by {frames_text(frames)}",
                todo=f"prepare another store by --frames {frames_text(frames)}, or ask for this one's "
                f"{frames_text(manifest.frames)} with {as_settings(manifest.frames, frames) or 'its sensor size'}",
            )  # fmt: skip
        table = ClipTable.of(path, manifest)
        root = Path(manifest.root if data is None else data)
        changes = changes_of(manifest.files, root, full=verify)
        if changes:
            more = f" and {len(changes) - MAX_NAMED} more" if len(changes) > MAX_NAMED else ""
            raise DatasetError(
                str(path), got=f"recordings in {root} that have changed: {', '.join(changes[:MAX_NAMED])}{more}",
                expected="those that the store was made from", todo=f"{AGAIN} (with --verify)" if verify else AGAIN,
            )  # fmt: skip
        if verify:
            for number in range(manifest.clip_count):
                table.read(number)
        return cls(path, manifest, root, table, np.arange(manifest.clip_count))

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def frame_spec(self) -> FrameSpec:
        return self.manifest.frames

    def __len__(self) -> int:
        return len(self.number_N)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.uint8], int]:
        """Return (frames_TCHW, label) of one clip; the frames are a new array.

        Raises:
            IndexError: the index is out of range.
            DatasetError: the clip is damaged.
        """
        number = int(self.number_N[index])
        return self.table.read(number), int(self.table.label_N[number])

    def side(self, side: Side) -> "PreparedSet":
        """Return only the clips of one side: to train on (`train`), to validate, or held out (`test`)."""
        on_side = np.array([entry.side == side for entry in self.manifest.entries], np.bool_)
        return replace(self, number_N=self.number_N[on_side[self.table.entry_N[self.number_N]]])

    def split(self) -> Split:
        """Return the recordings of all sides as prepared. Their files may be missing."""
        stored = self.manifest.split
        sides = {
            side: RecordingSet(
                self.classes,
                self.manifest.sensor_size,
                tuple(self._entry(entry) for entry in self.manifest.entries if entry.side == side),
            )
            for side in SIDES
        }
        validation = None if stored.validation is None else sides["validation"]
        rule = stored.validation or SideRule()
        return Split(sides["train"], sides["test"], stored.rule, stored.gap_us, stored.apart, validation, rule)

    def clips(self, recordings: RecordingSet) -> ClipArray:
        """Return the clips of `load_clips` for `recordings` from the store; frames are read on access.

        Recordings that were skipped as unreadable have no clips.

        Raises:
            DatasetError: a recording, this part of it, or its class is not in the store; or there is no clip.
        """
        if recordings.classes != self.classes:
            raise self._other(f"the classes {', '.join(self.classes)}", f"{', '.join(recordings.classes)}")
        bad = {entry.key for entry in self.manifest.bad}
        first_E = np.searchsorted(self.table.entry_N, np.arange(len(self.manifest.entries) + 1))
        numbers: list[Indices] = []
        incomplete = 0
        for asked in recordings.entries:
            indices = [] if asked.key in bad else self._stored(asked)
            incomplete += sum(self.manifest.entries[index].incomplete for index in indices)
            its = [np.arange(first_E[index], first_E[index + 1]) for index in indices]
            numbers.append(np.concatenate([np.zeros(0, np.int64), *its]))
        counts = [len(part) for part in numbers]
        number_N = np.concatenate([np.zeros(0, np.int64), *numbers])
        if not len(number_N):
            raise no_clips(recordings.entries, self.frame_spec)
        return ClipArray(
            StoredFrames(self.table, number_N), self.table.label_N[number_N], np.repeat(np.arange(len(counts)), counts),
            self.table.t_start_us_N[number_N], incomplete,
        )  # fmt: skip

    def in_takes(self, recordings: RecordingSet) -> RecordingSet:
        """Return `recordings` with each take as an entry of its own, without those that were skipped as unreadable.

        Raises:
            DatasetError: see `clips`.
        """
        bad = {entry.key for entry in self.manifest.bad}
        entries: list[Entry] = []
        for asked in recordings.entries:
            for index in [] if asked.key in bad else self._stored(asked):
                entry = self.manifest.entries[index]
                is_take = entry.key != asked.key
                taken = {"key": entry.key, "take": entry.take, "span": entry.span, "begin": entry.begin}
                entries.append(replace(asked, **taken) if is_take else asked)  # type: ignore[arg-type]
        return recordings.with_entries(entries)

    def _stored(self, asked: Entry) -> list[int]:
        """Return the indices of the stored entries of one that is asked for: several for a file of several takes."""
        indices = self._indices.get(asked.key)
        if indices is None:
            raise self._other("no such recording", asked.key)
        for index in indices:
            entry = self.manifest.entries[index]
            parts = (entry.span, _absolute(entry)) if entry.key == asked.key else (entry.part,)
            if entry.label != asked.label or asked.span not in parts:
                raise self._other(
                    f"{asked.key} with label {entry.label}, part {parts[0]}", f"label {asked.label}, part {asked.span}"
                )
        return indices

    @cached_property
    def _indices(self) -> dict[str, list[int]]:
        """The indices of the stored entries by their keys and by those of the files of which they are takes."""
        indices: defaultdict[str, list[int]] = defaultdict(list)
        for index, entry in enumerate(self.manifest.entries):
            for key in {entry.key, entry.requested_key or entry.key}:
                indices[key].append(index)
        return dict(indices)

    def _entry(self, entry: StoredEntry) -> Entry:
        file = self.manifest.files[entry.file]
        path = self.root / file.path
        # Recordings in one file were found to differ when they were split.
        key = entry.requested_key or entry.key
        content = f"{file.path}/{key}" if entry.file in self._shared_files else file.sha256
        return Entry(
            entry.key, path, entry.label, _absolute(entry), entry.group, content=content, subject=entry.subject,
            session=entry.session, take=entry.take, begin=entry.begin,
        )  # fmt: skip

    @cached_property
    def _shared_files(self) -> set[int]:
        """Files that hold several whole recordings."""
        whole = {(entry.file, entry.requested_key or entry.key) for entry in self.manifest.entries if _is_whole(entry)}
        counts = Counter(file for file, _ in whole)
        return {file for file, count in counts.items() if count > 1}

    def _other(self, got: str, expected: str) -> DatasetError:
        return DatasetError(
            str(self.path), got=got, expected=f"{expected}, as asked for",
            todo="prepare these recordings, split in this way, into another store",
        )  # fmt: skip


def _is_whole(entry: StoredEntry) -> bool:
    return (entry.span if entry.part is None else entry.part) == WHOLE


def _absolute(entry: StoredEntry) -> tuple[Position, Position]:
    """Return the span as times if it is a part of the recording."""
    return entry.span if entry.span == WHOLE or entry.span_us is None else entry.span_us
