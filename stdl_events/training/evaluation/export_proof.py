"""What an exported file is proven on: held-out recordings of its run, as far as they are there; and its accuracy there.

Held-out recordings choose nothing here: a file agrees with its network on them or is not kept.

N clips, T time steps, C channels, H height, W width.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from stdl_events.errors import RunError, UserError
from stdl_events.export.onnx import state_in_card
from stdl_events.export.sequences import clips_needed
from stdl_events.export.verify import STEPS
from stdl_events.frames import FrameSpec
from stdl_events.live import OnnxSession
from stdl_events.model_card import MAX_LABEL, FileAccuracy
from stdl_events.recordings.clips import ClipArray
from stdl_events.recordings.coverage import HELD_OUT
from stdl_events.recordings.entry import RecordingSet
from stdl_events.recordings.labels.label_source import LabelSource
from stdl_events.recordings.registry import DATASETS
from stdl_events.recordings.splits.split_list import SPLIT_FILE, SplitList, read_split_list
from stdl_events.training.data_settings import DataSettings
from stdl_events.training.evaluation.evaluate_clips import evaluate_clips, session_logits
from stdl_events.training.evaluation.evaluate_run import evenly_chosen
from stdl_events.training.load_recordings import load_config_clips, load_sides
from stdl_events.training.run_folder import load_config
from stdl_events.training.run_split import recordings_of_run, root_of_run

HeldOutUse = Literal["all", "some", "none"]
USES: tuple[HeldOutUse, ...] = ("all", "some", "none")
SOME_RECORDINGS = 24
# Recordings of as many bytes are read in seconds.
MAX_FILE_BYTES = 200 * 10**6


@dataclass(frozen=True)
class HeldOutProof:
    """The held-out recordings of a run on which a file of it is proven.

    Attributes:
        of: the dataset, in words.
        left_out: why not all of them are there; empty if they are.
        recordings, clips: those that are; None without any.
        labels_by: what names their classes.
        split: how they were held out.
        batch_size: of an evaluation.
    """

    of: str = ""
    left_out: str = ""
    recordings: RecordingSet | None = None
    clips: ClipArray | None = None
    labels_by: str = ""
    split: str = ""
    batch_size: int = 1

    def frames(self, steps: int = STEPS) -> npt.NDArray[Any] | None:
        """Return clips for a comparison over `steps`, [N, T, C, H, W] as the network takes them; None without any."""
        if self.clips is None:
            return None
        return evenly_chosen(self.clips, clips_needed(steps, self.clips.frames_NTCHW[0].shape[0]))

    def evaluate(self, path: Path) -> FileAccuracy | None:
        """Evaluate the file at `path` in onnxruntime on all held-out recordings, and state its accuracy in its card.

        Returns:
            None if not all of them are there.

        Raises:
            ModelError: the file does not run, or cannot be replaced.
        """
        if self.recordings is None or self.clips is None or self.left_out:
            return None
        session = OnnxSession(path, whole_clips=True)
        evaluation = evaluate_clips(
            session_logits(session), self.recordings, self.clips, batch_size=self.batch_size,
            temperature=session.card.temperature,
        )  # fmt: skip
        accuracy = FileAccuracy(
            accuracy=evaluation.accuracy, clips=len(self.clips), recordings=len(evaluation.recording_is_right_R),
            data=_short(self.of), labels_by=_short(self.labels_by), split=_short(self.split),
        )  # fmt: skip
        state_in_card(path, accuracy=accuracy)
        return accuracy


def held_out_proof(
    folder: Path, frame: FrameSpec, use: HeldOutUse | None = None, data: Path | None = None
) -> HeldOutProof:
    """Read held-out recordings of the finished run in `folder`.

    Args:
        frame: of its network.
        use: "all", which the accuracy needs; "some" for the comparison alone; "none". None is as many as are there and
            take seconds.
        data: current folder of the recordings.

    Raises:
        UserError: the recordings are missing, have changed or are unreadable, and `use` or `data` asks for them.
    """
    if use == "none":
        return HeldOutProof(left_out="none were asked for")
    try:
        return _read(folder, frame, use, data)
    except UserError as error:
        if use is not None or data is not None:
            raise
        return HeldOutProof(left_out=f"{error.subject}: {error.got}")


def parse_use(text: str | None) -> HeldOutUse | None:
    """Return the value of the option.

    Raises:
        UserError: it is another word.
    """
    for use in USES:
        if text == use:
            return use
    if text is None:
        return None
    raise UserError("--held-out", got=repr(text), expected=" or ".join(USES), todo="correct the option")


def described(data: DataSettings) -> str:
    """Name a dataset; one that is simulated is called so."""
    return f"{data.dataset} (simulated)" if DATASETS[data.dataset].default_folder is not None else data.dataset


def _read(folder: Path, frame: FrameSpec, use: HeldOutUse | None, data: Path | None) -> HeldOutProof:
    config, listed = load_config(folder), read_split_list(folder / SPLIT_FILE)
    if data is not None:
        config = config.derive(data={"path": str(data)})
    if listed is None:
        raise RunError(
            str(folder), got=f"no {SPLIT_FILE}, since an older version trained it", expected="a list of its recordings",
            todo="leave --held-out and --data out, or train it again",
        )  # fmt: skip
    root = None if config.data.prepared is not None else root_of_run(config, folder, listed, data)
    if use is None:
        use = "all" if root is None or _bytes(listed) <= MAX_FILE_BYTES else "some"
    at_most, left_out = SOME_RECORDINGS if use == "some" else None, ""
    recordings = recordings_of_run(config, folder, "test", data=data, at_most=at_most)
    if use == "some":
        clips = load_config_clips(config, recordings, frame)
        left_out = f"{len(recordings)} of {len(listed.side('test'))} recordings were read"
    else:
        [(recordings, clips)] = load_sides(config, {HELD_OUT: recordings}, frame)
    by = "the dataset" if root is None else labels_named_by(config.data, root)
    return HeldOutProof(described(config.data), left_out, recordings, clips, by, listed.rule, config.batch_size)


def labels_named_by(data: DataSettings, root: Path) -> str:
    """Say what names the class of a recording in `root`: its folder, a label file, the path, or the dataset."""
    if "labels" not in DATASETS[data.dataset].options:
        return "the dataset"
    source = LabelSource.find(root, labels=data.labels, label_times=data.label_times, layout=data.layout)
    return "folders" if source is None else source.name


def _bytes(listed: SplitList) -> int:
    return sum({row.path: row.bytes or 0 for row in listed.side("test")}.values())


def _short(text: str) -> str:
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 3] + "..."
