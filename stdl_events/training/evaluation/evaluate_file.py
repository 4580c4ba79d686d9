"""Evaluation of an exported file without its run, on labelled recordings. No torch.

The clips are those that `held_out.evaluate` cuts of the same recordings, so that both give the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stdl_events.errors import DatasetError
from stdl_events.frames import FrameSpec
from stdl_events.live.providers import CPU
from stdl_events.live.session import OnnxSession
from stdl_events.recordings.clips import ClipArray, load_readable_clips, no_clips
from stdl_events.recordings.coverage import require_every_class, say_too_short, unreadable
from stdl_events.recordings.entry import RecordingSet
from stdl_events.recordings.pictures import load_readable_pictures
from stdl_events.recordings.registry import DATASETS
from stdl_events.recordings.splits.sides import Side
from stdl_events.recordings.takes import say_takes
from stdl_events.training.bad_recordings import say_left_out, todo_bad
from stdl_events.training.data_settings import DataSettings
from stdl_events.training.evaluation.evaluate_clips import Evaluation, decided_by, evaluate_clips, session_logits
from stdl_events.training.load_recordings import dataset_options, opened_as, recordings_folder

BATCH_SIZE = 32
MAX_NAMED = 5
TO_EVALUATE = "to evaluate"


def evaluate_file(
    model: Path | str, data: DataSettings, *, side: Side | None = None, threads: int = 1, provider: str = CPU
) -> tuple[Evaluation, Side | None]:
    """Evaluate the exported file `model` on labelled recordings.

    Args:
        data: the dataset, its folder, and how its files and labels are read.
        side: of a given split; None is the held-out one, or all recordings of a folder without a split.
        threads: within one step of the model.
        provider: a name in `PROVIDERS`.

    Returns:
        The evaluation, whose labels are those of the model; and the side, None if there is no given split.

    Raises:
        ModelError: the file is unusable.
        DatasetError: there are no labelled recordings, a label is none of the model's, or some are unreadable.
        FrameSpecError: recordings have another sensor size than the model's.
    """
    session = OnnxSession(model, threads=threads, provider=provider, whole_clips=True)
    found, used = labelled_recordings(data, side)
    recordings = with_labels_of(found, session.card.labels, str(data.path))
    readable, clips = _readable(data, recordings, session.card.frame)
    evaluation = evaluate_clips(
        session_logits(session, over_time=True), readable, clips, batch_size=BATCH_SIZE, over_time=True,
        temperature=session.card.temperature, keep_logits=session.card.decision is not None,
    )  # fmt: skip
    decided = decided_by(evaluation, session.card)
    return replace(evaluation, frame_spec=session.card.frame, decided=decided, running_logits_TNK=None), used


def labelled_recordings(data: DataSettings, side: Side | None) -> tuple[RecordingSet, Side | None]:
    """Return the recordings of a side of a given split; or all of a folder without one, and None.

    Raises:
        DatasetError: the folder has another layout, or no such side.
    """
    chosen, root, options = DATASETS[data.dataset], recordings_folder(data, "evaluate"), dataset_options(data)
    one_class = {"one_class": True} if chosen.takes_one_class else {}
    if chosen.split is not None and (chosen.read is None or chosen.is_split(root, **options)):
        sides = chosen.split(root, **options, **one_class).sides
        used = side or "test"
        if used not in sides:
            raise DatasetError(
                str(root), got=f"no recordings for --side {used}", expected=f"one of {', '.join(sides)}",
                todo="correct --side, or leave it out",
            )  # fmt: skip
        return opened_as(sides[used], data), used
    if side is not None:
        raise DatasetError(
            str(root), got=f"--side {side}, and recordings without a given split", expected="folders train and test",
            todo="leave --side out: all its recordings are evaluated",
        )  # fmt: skip
    assert chosen.read is not None, "a dataset is read or split"
    return opened_as(chosen.read(root, **options, **one_class), data), None


def with_labels_of(recordings: RecordingSet, labels: tuple[str, ...], data: str) -> RecordingSet:
    """Return the recordings with the labels of a model, in the order of its logits; some of them may be absent.

    Raises:
        DatasetError: a recording has a label that the model does not know.
    """
    present = {recordings.classes[entry.label] for entry in recordings.entries}
    unknown = sorted(present - set(labels))
    if unknown:
        raise DatasetError(
            data, got=f"the {'labels' if len(unknown) > 1 else 'label'} {_named(unknown)}",
            expected=f"labels of the model: {_named(labels)}",
            todo="rename them, leave their recordings out, or give the model that was trained for them",
        )  # fmt: skip
    index_of: Mapping[str, int] = {label: index for index, label in enumerate(labels)}
    entries = (replace(entry, label=index_of[recordings.classes[entry.label]]) for entry in recordings.entries)
    return RecordingSet(labels, recordings.sensor_size, tuple(entries))


def _readable(data: DataSettings, recordings: RecordingSet, frame: FrameSpec) -> tuple[RecordingSet, ClipArray]:
    """Return the recordings in takes and their clips."""
    pictures = DATASETS[data.dataset].pictures
    if (pictures is not None) != (frame.kind == "picture"):
        raise DatasetError(
            data.dataset, got="static pictures" if pictures is not None else "events",
            expected=f"what the model was trained on: frames of kind {frame.kind}", todo="give another --dataset",
        )  # fmt: skip
    if pictures is None:
        readable, clips, bad = load_readable_clips(recordings, frame)
    else:
        readable, clips, bad = load_readable_pictures(pictures, recordings, frame)
    if bad:
        if not data.skip_bad:
            raise unreadable(str(data.path), bad, len(recordings), todo_bad(data, bad))
        say_left_out(bad, len(recordings))
    if not len(clips):
        raise no_clips(readable.entries, frame)
    counts = np.bincount(clips.entry_index_N, minlength=len(readable)).tolist()
    bad_labels = {one.entry.label for one in bad}
    require_every_class(TO_EVALUATE, readable, counts, frame, bad_labels=bad_labels)
    say_too_short(TO_EVALUATE, readable, counts, frame)
    say_takes(TO_EVALUATE, readable.entries)
    return readable, clips


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MAX_NAMED} more" if len(labels) > MAX_NAMED else ""
    return ", ".join(labels[:MAX_NAMED]) + more
