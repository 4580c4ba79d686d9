"""The predictions of an evaluation as a file: each clip with its recording, so that it can be cut again and looked at.

{"labels": [...], "frames": <frame spec>, "root": <folder>, "recordings": [<row of a split's list>, ...],
 "clips": [{"key": ..., "t_start_us": ..., "label": ..., "predicted": ..., "probabilities": [...]}, ...]}
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from stdl_events.errors import DatasetError
from stdl_events.frames import Clip, FrameSpec
from stdl_events.recordings.clips import cut_clips
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.split_list import ListedRecording, SplitList
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


class Predictions(BaseModel):
    """The file; see the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...]
    frames: FrameSpec
    root: str
    recordings: tuple[ListedRecording, ...]
    clips: tuple[PredictedClip, ...]

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

    def entries(self, root: Path) -> dict[str, Entry]:
        """Return the recordings by key; their files are in the folder `root`, or it is one of these files.

        Raises:
            DatasetError: none of the recordings is there, or the dataset reads them by a function of its own.
        """
        own = next((row for row in self.recordings if row.own_reader), None)
        if own is not None:
            raise DatasetError(
                own.path, got="a recording that its dataset reads by a function of its own",
                expected="files that are read by their format", todo="look at one file with show FILE --clip N",
            )  # fmt: skip
        listed = SplitList(
            schema_version=1, made_by="", dataset="", root="", rule="", gap_us=0, classes=self.labels,
            sensor_size=self.frames.sensor_size, recordings=self.recordings,
        )  # fmt: skip
        folder = root if root.is_dir() else Path(self.root)
        found = {entry.key: entry for entry in listed.split(folder, lambda key: None).test.entries}
        if not root.is_dir():
            found = {key: entry for key, entry in found.items() if entry.path.resolve() == root.resolve()}
        if not any(entry.path.is_file() for entry in found.values()):
            expected = ", ".join(row.path for row in self.recordings[:3])
            raise DatasetError(
                str(root), got="none of the recordings of the predictions", expected=f"a folder with {expected}",
                todo="give the folder of the recordings that were evaluated",
            )  # fmt: skip
        return found


def predictions_of(
    clips: Sequence[dict[str, Any]], recordings: RecordingSet, frames: FrameSpec, root: Path | None
) -> dict[str, Any]:
    """Return the file's content, JSON-ready.

    Args:
        clips: as `Evaluation.predictions` returns them.
        recordings: those of the clips.
        root: folder of the recordings; None takes the deepest that holds all.
    """
    root = root or Path(os.path.commonpath([entry.path.parent for entry in recordings.entries]))
    listed = SplitList.of(Split(recordings, recordings, ""), root, {}, dataset="")
    rows = [row.model_dump(mode="json", exclude_defaults=True) for row in listed.side("test")]
    return {
        "labels": list(recordings.classes),
        "frames": frames.model_dump(mode="json"),
        "root": listed.root,
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
