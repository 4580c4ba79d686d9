"""Which variant of an exported file is kept: the quickest that loses at most a bound of accuracy.

Clips that validate a run choose, or clips to train where it has none; held-out recordings choose nothing.

N clips, T time steps, C channels, H height, W width.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.errors import ModelError, VerificationError
from stdl_events.export.precisions import PRECISIONS, ClipsNTCHW
from stdl_events.export.variants import CLIPS, clip_logits, write_variant
from stdl_events.frames import FrameSpec
from stdl_events.live.session import OnnxSession
from stdl_events.live.step_times import time_steps
from stdl_events.recordings.clips import ClipArray
from stdl_events.recordings.coverage import SIDE_TEXT
from stdl_events.recordings.splits.sides import Side
from stdl_events.recordings.splits.split_list import SPLIT_FILE, read_split_list
from stdl_events.training.load_recordings import load_sides
from stdl_events.training.run_folder import load_config
from stdl_events.training.run_split import recordings_of_run

CHOOSING_CLIPS = 512
STEPS = 200
# Medians that differ by less are equally quick; the smaller file is kept then.
EQUALLY_QUICK = 1.03
BASE = "float32"


@dataclass(frozen=True)
class Candidate:
    """One variant.

    Attributes:
        precision: a name of `PRECISIONS`.
        problem: why it is no choice; empty if it is one.
        bytes, p50_ms, p99_ms, accuracy: of its file, where there is one.
    """

    precision: str
    problem: str = ""
    bytes: int | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True)
class Choice:
    """The variants and the one that is kept.

    Attributes:
        kept: its precision.
        within: points of accuracy that it may lose against float32.
        side: of the run's split whose clips chose.
        clips: number of them.
        candidates: all variants, in the order of `PRECISIONS`.
    """

    kept: str
    within: float
    side: Side
    clips: int
    candidates: tuple[Candidate, ...]

    def lines(self) -> list[str]:
        """Return the table of variants, and what chose, in words."""
        head = f"{'variant':9} {'MB':>8} {'p50 ms':>8} {'p99 ms':>8} {'accuracy':>8}"
        rows = [_row(each, "kept" if each.precision == self.kept else each.problem) for each in self.candidates]
        said = (
            f"{self.kept} is kept: the quickest within {self.within:g} points of float32 on {self.clips} clips "
            f"{SIDE_TEXT[self.side]}; one thread, timed in turns"
        )
        return [head, *rows, said]


@dataclass(frozen=True)
class VariantClips:
    """Clips of a run that calibrate and choose.

    Attributes:
        calibration_NTCHW: clips to train.
        side: that of the clips that choose.
        choosing_NTCHW, targets_N: these, as the network takes them, and their classes.
    """

    calibration_NTCHW: ClipsNTCHW
    side: Side
    choosing_NTCHW: ClipsNTCHW = field(repr=False)
    targets_N: npt.NDArray[np.int64]


def clips_of_run(folder: Path, frame: FrameSpec, data: Path | None = None) -> VariantClips:
    """Read the clips of the finished run in `folder` that calibrate its variants and choose among them.

    Args:
        frame: of its network.
        data: current folder of the recordings.

    Raises:
        RunError: there is no finished run.
        DatasetError: recordings are missing, have changed or cannot be read.
    """
    listed = read_split_list(folder / SPLIT_FILE)
    validated = listed is not None and bool(listed.side("validation"))
    sides: dict[Side, ClipArray] = {side: _load(folder, side, frame, data) for side in _sides(validated)}
    side: Side = "validation" if validated else "train"
    choosing_NTCHW, targets_N = _evenly(sides[side], CHOOSING_CLIPS)
    return VariantClips(_evenly(sides["train"], CLIPS)[0], side, choosing_NTCHW, targets_N)


def choose_variant(
    source: Path,
    clips: VariantClips,
    folder: Path,
    *,
    within: float = 0.5,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Choice, Path]:
    """Make all variants of a file, measure them, and choose the quickest that is no slower than float32.

    Args:
        source: a verified float32 file.
        folder: for the files of other formats.
        within: points of accuracy that a variant may lose.
        progress: called with what is done next.

    Returns:
        The choice, and its file: `source`, or one in `folder`.
    """
    files: dict[str, Path] = {}
    problems: dict[str, str] = {}
    for precision in PRECISIONS.names:
        progress(f"making and comparing {precision}")
        if PRECISIONS[precision].convert is None:
            files[precision] = source
            continue
        path = folder / f"{precision}.onnx"
        try:
            write_variant(precision, source, clips.calibration_NTCHW, path)
            files[precision] = path
        except (ModelError, VerificationError) as error:
            problems[precision] = f"refused: {error.got}"
    progress("timing the variants")
    times = dict(zip(files, time_steps(list(files.values()), threads=[1], steps=STEPS), strict=True))
    rows = []
    for precision in PRECISIONS.names:
        if precision not in files:
            rows.append(Candidate(precision, problems[precision]))
            continue
        progress(f"evaluating {precision}")
        accuracy = _accuracy(files[precision], clips)
        time = times[precision]
        rows.append(Candidate(precision, "", time.bytes, time.p50_ms, time.p99_ms, accuracy))
    judged = judge(rows, within)
    kept = choose(judged)
    return Choice(kept, within, clips.side, len(clips.targets_N), tuple(judged)), files[kept]


def judge(rows: Sequence[Candidate], within: float) -> list[Candidate]:
    """Return the candidates, with the problem of each that is slower than float32 or loses more than the bound."""
    base = next(row for row in rows if row.precision == BASE)
    assert base.p50_ms is not None
    assert base.accuracy is not None
    return [row if row.problem else dataclasses.replace(row, problem=_problem(row, base, within)) for row in rows]


def choose(judged: Sequence[Candidate]) -> str:
    """Return the quickest candidate without a problem; of equally quick ones the smallest."""
    choices = [(row.p50_ms, row.bytes, row.precision) for row in judged if not row.problem]
    quickest = min(p50_ms for p50_ms, _, _ in choices if p50_ms is not None)
    return min((size or 0, name) for p50_ms, size, name in choices if (p50_ms or 0) <= quickest * EQUALLY_QUICK)[1]


def _problem(row: Candidate, base: Candidate, within: float) -> str:
    lost = 100 * ((base.accuracy or 0) - (row.accuracy or 0))
    if lost > within + 1e-9:
        return f"loses {lost:.2g} points"
    return "slower than float32" if (row.p50_ms or 0) > (base.p50_ms or 0) else ""


def _row(candidate: Candidate, remark: str) -> str:
    if candidate.bytes is None:
        return f"{candidate.precision:9} {remark}"
    return (
        f"{candidate.precision:9} {candidate.bytes / 1e6:8.3f} {candidate.p50_ms:8.3f} {candidate.p99_ms:8.3f} "
        f"{candidate.accuracy:8.4f} {remark}"
    ).rstrip()


def _accuracy(path: Path, clips: VariantClips) -> float:
    session = OnnxSession(path)
    batches_NTCHW = np.array_split(clips.choosing_NTCHW, -(-len(clips.targets_N) // CLIPS))
    predicted_N = np.concatenate([clip_logits(session, batch_NTCHW).argmax(1) for batch_NTCHW in batches_NTCHW])
    return float((predicted_N == clips.targets_N).mean())


def _sides(validated: bool) -> tuple[Side, ...]:
    return ("train", "validation") if validated else ("train",)


def _load(folder: Path, side: Side, frame: FrameSpec, data: Path | None) -> ClipArray:
    config = load_config(folder)
    if data is not None:
        config = config.derive(data={"path": str(data)})
    recordings = recordings_of_run(config, folder, side, data=data)
    [(_, clips)] = load_sides(config, {SIDE_TEXT[side]: recordings}, frame)
    return clips


def _evenly(clips: ClipArray, count: int) -> tuple[ClipsNTCHW, npt.NDArray[np.int64]]:
    """Return up to `count` clips as the network takes them, evenly spaced, and their classes."""
    chosen_N = np.unique(np.linspace(0, len(clips) - 1, count).astype(int))
    frames_TNCHW = np.stack([clips.frames_NTCHW[index] for index in chosen_N], axis=1)
    return np.ascontiguousarray(clips.to_input(frames_TNCHW).swapaxes(0, 1)), clips.targets_N[chosen_N]
