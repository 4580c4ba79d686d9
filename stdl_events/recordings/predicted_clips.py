"""The predictions of an evaluation as a file: each clip with its recording, so that it can be cut again and looked at.

{"labels": [...], "frames": <frame spec>, "root": <folder>, "data": <settings of the recordings>,
 "recordings": [<row of a split's list>, ...],
 "clips": [{"key": ..., "t_start_us": ..., "label": ..., "predicted": ..., "probabilities": [...]}, ...]}
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from stdl_events.errors import DatasetError
from stdl_events.frames import Clip, FrameSpec
from stdl_events.frames.spec import StoredFrameSpec
from stdl_events.recordings.cutting import cut_clips
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.splits.split_list import ListedRecording, Reader, SplitList
from stdl_events.validation import first_problem

TODO_WRITE = "write it with stdl-events evaluate RUN --predictions FILE"


class PredictedClip(BaseModel):
    """A clip, its class and the predicted one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    t_start_us: int
    label: str
    predicted: str
    probabilities: tuple[float, ...]


# The readers of the recordings in a folder, by their keys.
ReadersIn: TypeAlias = "Callable[[Predictions, Path], Mapping[str, Reader | None]]"


class Predictions(BaseModel):
    """The file; see the module.

    Attributes:
        data: settings of the section `data`, for datasets with readers of their own; None in files of older versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...]
    frames: StoredFrameSpec
    root: str
    data: dict[str, Any] | None = None
    recordings: tuple[ListedRecording, ...]
    clips: tuple[PredictedClip, ...]

    @model_validator(mode="after")
    def _check_clips(self) -> "Predictions":
        """Check that recordings and labels are those of the file, and that there is a probability for each label."""
        missing = {clip.key for clip in self.clips} - {row.key for row in self.recordings}
        if missing:
            raise DatasetError(
                "clips", got=f"the recording {min(missing)!r}", expected="one of the recordings listed", todo=TODO_WRITE
            )
        unknown = {clip.label for clip in self.clips} | {clip.predicted for clip in self.clips}
        unknown |= {row.class_name for row in self.recordings}
        unknown -= set(self.labels)
        if unknown:
            raise DatasetError(
                "clips", got=f"the class {min(unknown)!r}", expected=f"one of {', '.join(self.labels)}", todo=TODO_WRITE
            )
        counts = {len(clip.probabilities) for clip in self.clips} - {len(self.labels)}
        if counts:
            raise DatasetError(
                "clips", got=f"{min(counts)} probabilities", expected=f"{len(self.labels)}, one per label",
                todo=TODO_WRITE,
            )  # fmt: skip
        return self

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read the file.

        Raises:
            DatasetError: it is missing, or it is no such file.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DatasetError(
                str(path), got=error.strerror or str(error), expected="a file of predictions", todo=TODO_WRITE
            ) from None
        except ValidationError as error:
            problem = first_problem(error)
            raise DatasetError(
                str(path), got=f"{problem.where} {problem.got}".strip(),
                expected=f"a file of predictions ({problem.expected})", todo=TODO_WRITE,
            ) from None  # fmt: skip

    def worst(self) -> list[PredictedClip]:
        """Return the clips in order: wrong ones first, and of both kinds those least likely to be of their class."""

        def badness(clip: PredictedClip) -> tuple[bool, float]:
            return clip.predicted == clip.label, clip.probabilities[self.labels.index(clip.label)]

        return sorted(self.clips, key=badness)

    def entries(self, root: Path, readers_in: "ReadersIn | None" = None) -> dict[str, Entry]:
        """Return the recordings by key; their files are in the folder `root`, or it is one of these files.

        Args:
            readers_in: finds the readers of a dataset's own in its folder; called if the recordings have some.

        Raises:
            DatasetError: none of the recordings is there; or the dataset reads them by a function of its own, and the
                file, of an older version, does not say which dataset that is.
        """
        folder = root if root.is_dir() else Path(self.root)
        own = next((row for row in self.recordings if row.own_reader), None)
        readers: Mapping[str, Reader | None] = {}
        if own is not None:
            if self.data is None or readers_in is None:
                raise DatasetError(
                    own.path, got="a recording that its dataset reads by a function of its own",
                    expected="a file of predictions that names the dataset", todo=TODO_WRITE,
                )  # fmt: skip
            readers = readers_in(self, folder)
        listed = SplitList(
            schema_version=1, made_by="", dataset="", root="", rule="", gap_us=0, classes=self.labels,
            sensor_size=self.frames.sensor_size, recordings=self.recordings,
        )  # fmt: skip
        found = {entry.key: entry for entry in listed.split(folder, lambda key: readers.get(key)).test.entries}
        if not root.is_dir():
            found = {key: entry for key, entry in found.items() if entry.path.resolve() == root.resolve()}
        if not any(entry.path.exists() for entry in found.values()):
            expected = ", ".join(row.path for row in self.recordings[:3])
            raise DatasetError(
                str(root), got="none of the recordings of the predictions", expected=f"a folder with {expected}",
                todo="give the folder of the recordings that were evaluated",
            )  # fmt: skip
        return found


def predictions_of(
    clips: Sequence[dict[str, Any]],
    recordings: RecordingSet,
    frames: FrameSpec,
    root: Path | None,
    data: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the file's content, JSON-ready.

    Args:
        clips: as `Evaluation.predictions` returns them.
        recordings: those of the clips.
        root: folder of the recordings; None takes the deepest that holds all.
        data: settings of the section `data`, JSON-ready.
    """
    root = root or Path(os.path.commonpath([entry.path.parent for entry in recordings.entries]))
    listed = SplitList.of(Split(recordings, recordings, ""), root, {}, dataset="")
    rows = [row.model_dump(mode="json", exclude_defaults=True) for row in listed.side("test")]
    return {
        "labels": list(recordings.classes),
        "frames": frames.model_dump(mode="json"),
        "root": listed.root,
        "data": data,
        "recordings": rows,
        "clips": list(clips),
    }


def frames_of(clips: Iterable[PredictedClip], entries: dict[str, Entry], spec: FrameSpec) -> Iterator[Clip]:
    """Yield each clip, cut again; a recording is read once per run of its clips.

    Raises:
        DatasetError: a recording has no such clip any more.
        RecordingError: it is not readable.
    """
    for clip in clips:
        entry = entries[clip.key]
        cut = cut_clips(entry, entry.open(), spec)
        found = next((one for one in cut if one.t_start_us == clip.t_start_us), None)
        if found is None:
            raise DatasetError(
                str(entry.path), got=f"no clip at {clip.t_start_us} us", expected="the recording that was evaluated",
                todo="evaluate again",
            )  # fmt: skip
        yield found
