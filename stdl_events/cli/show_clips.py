"""`show` of single clips: the N-th of a recording, or those that a network recognised worst."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stdl_events.cli.output import print_json, results
from stdl_events.errors import RecordingError
from stdl_events.events.defects import count_of

if TYPE_CHECKING:
    from stdl_events.analysis.camera_pictures import CameraPictures
    from stdl_events.analysis.said_clips import SaidClip
    from stdl_events.events.recording import Recording
    from stdl_events.frames import Clip, FrameSpec
    from stdl_events.recordings.predicted_clips import PredictedClip, Predictions
    from stdl_events.recordings.splits.split_list import Reader

# Clips listed where nothing is drawn.
LISTED = 12


@dataclass(frozen=True)
class Told:
    """A clip with its facts, for people and for machines."""

    title: str
    facts: dict[str, Any]
    clip: "Clip"
    pictures: "CameraPictures | None" = None


def show_clip(
    whole: "Recording", recording: "Recording", spec: "FrameSpec", number: int, out: Path | None, json: bool
) -> None:
    """Show the clip `number`, from 1, of `recording`, which is `whole` or a part of it, with what was said of it live.

    Raises:
        RecordingError: there is no such clip, or the file of predictions beside the recording is unreadable.
        UserError: `out` is not writable.
    """
    from stdl_events.analysis.said_clips import clips_said, runs_said
    from stdl_events.live.sinks.lines import short

    found = next(islice(_clips(recording, spec), number - 1, None), None)
    if found is None:
        raise RecordingError(
            str(recording.path), got=f"no clip {number}", expected=f"1 to {sum(1 for _ in _clips(recording, spec))}",
            todo="choose one of them, or shorter clips with --steps or --frame-us",
        )  # fmt: skip
    said = clips_said(recording.path, found.t_start_us, found.t_end_us)
    facts: dict[str, Any] = {"clip": number, "t_start_us": found.t_start_us, "t_end_us": found.t_end_us}
    facts["predictions"] = [asdict(each) for each in said]
    title = f"clip {number}: {_seconds(found.t_start_us)} to {_seconds(found.t_end_us)} of the recording's clock"
    title += "".join(f"; said: {short(run.word)} {run.probability:.2f}" for run, _ in runs_said(said))
    pictures = None if out is None else _pictures_of(whole, found, spec)
    caption = (
        [] if pictures is None else ["below each frame the picture nearest in time, and how much later it was taken"]
    )
    _show([Told(title, facts, found, pictures)], recording.path.name, spec, caption, out, json)


def _pictures_of(whole: "Recording", clip: "Clip", spec: "FrameSpec") -> "CameraPictures | None":
    """Return the camera's picture nearest to each frame; None without any, and for frames of unknown times."""
    import numpy as np

    from stdl_events.analysis.camera_pictures import nearest_pictures
    from stdl_events.events.other_streams import read_other_streams

    if spec.dt_us is None and spec.by != "time":
        return None
    step_us = (clip.t_end_us - clip.t_start_us) / spec.steps
    middle_us_N = np.rint(clip.t_start_us + step_us * (np.arange(spec.steps) + 0.5)).astype(np.int64)
    return nearest_pictures(whole, read_other_streams(whole), spec, middle_us_N)


def say_clips(said: "Sequence[SaidClip]", zero_us: int) -> None:
    """Print what was said of the clips of a recording, those that follow each other and say the same in one line."""
    from stdl_events.analysis.said_clips import runs_said
    from stdl_events.live.sinks.lines import short

    runs = runs_said(said)
    if runs:
        results.print(f"predictions of {count_of(len(said), 'clip', ',')}, seconds from the first event:")
    for run, count in runs[:LISTED]:
        times = f"{(run.t_start_us - zero_us) / 1e6:9.3f} to {(run.t_end_us - zero_us) / 1e6:9.3f}"
        results.print(
            f"{times}  {short(run.word)} {run.probability:.2f}, {count_of(count, 'clip', ',')}",
            markup=False,
        )
    if len(runs) > LISTED:
        results.print(f"and {count_of(len(runs) - LISTED, 'more change', ',')}; --json has all clips")


def show_predictions(file: Path, predictions: Path, number: int | None, out: Path | None, json: bool) -> None:
    """Show the clips of a file of predictions, the worst first, or only the one with this `number` in that order.

    Args:
        file: folder of the recordings, or one of them.

    Raises:
        DatasetError: the file is none of predictions, or its recordings are not there.
        RecordingError: there is no such clip.
        UserError: `out` is not writable.
    """
    from stdl_events.analysis.clip_pictures import clips_to_show
    from stdl_events.recordings.predicted_clips import Predictions, frames_of

    most = LISTED if out is None else clips_to_show(out)
    read = Predictions.read(predictions)
    entries = read.entries(file, _readers_in)
    ranked = [(rank, clip) for rank, clip in enumerate(read.worst(), start=1) if clip.key in entries]
    if number is not None:
        chosen = [(rank, clip) for rank, clip in ranked if rank == number]
        if not chosen:
            raise RecordingError(
                "--clip", got=str(number), expected=f"1 to {len(read.clips)}, a clip of {file}", todo="choose another"
            )
    else:
        chosen = ranked[:most]
    clips = frames_of([clip for _, clip in chosen], entries, read.frames)
    told = [
        Told(f"{rank}. {_title(clip, read.labels)}", {"rank": rank, **clip.model_dump(mode="json")}, cut)
        for (rank, clip), cut in zip(chosen, clips, strict=True)
    ]
    wrong = sum(clip.predicted != clip.label for clip in read.clips)
    caption = [f"recognised as another class: {wrong} of {count_of(len(read.clips), 'clip')}; the worst come first"]
    _show(told, predictions.name, read.frames, caption, out, json)


def _readers_in(predictions: "Predictions", folder: Path) -> "dict[str, Reader | None]":
    """Return the readers of the recordings in `folder`, found as the evaluation found them."""
    from stdl_events.training.data_settings import DataSettings, FrameSettings
    from stdl_events.training.load_recordings import split_recordings

    data = DataSettings.model_validate((predictions.data or {}) | {"path": str(folder), "prepared": None})
    frames = FrameSettings.model_validate(predictions.frames.model_dump(mode="json", exclude={"sensor_size"}))
    return {entry.file_key: entry.reader for entry in split_recordings(data, frames, "show").entries}


def _show(
    clips: Sequence[Told], title: str, spec: "FrameSpec", caption: Sequence[str], out: Path | None, json: bool
) -> None:
    if out is not None:
        from stdl_events.analysis.clip_pictures import ShownClip, clips_to_show, draw_clips

        clips_to_show(out)
        drawn = [ShownClip(told.title, told.clip.frames_TCHW, told.pictures) for told in clips]
        draw_clips(out, title, [*caption, *_how(spec)], drawn)
    if json:
        facts = [told.facts | {"events": int(told.clip.frames_TCHW.sum())} for told in clips]
        print_json({"clips": facts, "frames": spec.model_dump(mode="json"), "out": None if out is None else str(out)})
    elif out is None:
        for line in [*caption, *(told.title for told in clips)]:
            results.print(line, soft_wrap=True)
    else:
        results.print(f"{out}: {count_of(len(clips), 'clip')} of {count_of(spec.steps, 'frame')}", soft_wrap=True)


def _how(spec: "FrameSpec") -> Iterator[str]:
    channels, height, width = spec.frame_shape_CHW
    yield f"clips of {count_of(spec.steps, 'frame')} of {channels} x {height} x {width}"
    for name, value in spec.geometry.words:
        yield f"{name} {value}"
    yield from spec.filters.words


def _title(clip: "PredictedClip", labels: Sequence[str]) -> str:
    sure = clip.probabilities[labels.index(clip.predicted)]
    true = clip.probabilities[labels.index(clip.label)]
    verdict = "right" if clip.predicted == clip.label else "WRONG"
    where = f"{clip.key} from {_seconds(clip.t_start_us)}"
    return f"{verdict}: is {clip.label} ({true:.2f}), recognised as {clip.predicted} ({sure:.2f}); {where}"


def _clips(recording: "Recording", spec: "FrameSpec") -> "Iterator[Clip]":
    """Yield the clips of all takes."""
    from stdl_events.recordings.cutting import cut_takes
    from stdl_events.recordings.entry import Entry

    for _, _, cut in cut_takes(Entry(recording.path.name, recording.path, 0), recording, spec):
        yield from cut


def _seconds(t_us: int) -> str:
    return f"{t_us / 1e6:.3f} s"
