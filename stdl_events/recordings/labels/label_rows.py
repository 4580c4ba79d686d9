"""The rows of a label file, with their recordings and parts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdl_events.errors import DatasetError, RecordingError
from stdl_events.events.defects import count_of
from stdl_events.events.geometry import Geometry
from stdl_events.events.takes import GAP_US, shifts_of
from stdl_events.recordings.coverage import MAX_BAD_NAMED
from stdl_events.recordings.entry import Entry
from stdl_events.recordings.labels.label_file import LabelFile, LabelRow
from stdl_events.recordings.labels.label_paths import match_rows
from stdl_events.recordings.labels.label_times import TOLERANCE_US, Ends, TimedRow, choose_times
from stdl_events.recordings.orientation import in_words

# Hardly a label that was set by hand in microseconds.
_SHORT_US = 10_000


@dataclass(frozen=True)
class Segment:
    """A row, the recording that it names, and its part in that recording's clock; None is the whole.

    Attributes:
        orientation: of the recording, if one of its rows states it.
    """

    key: str
    row: LabelRow
    span: Ends | None
    orientation: Geometry | None = None


def segments_of(
    file: LabelFile, files: dict[str, Path], times: str, options: dict[str, Any]
) -> tuple[list[Segment], list[str]]:
    """Return (segments, by recording and in the order of time; what was found out or left out, in words).

    Args:
        files: all recordings, by their relative paths.
        times: how times count, one of `LABEL_TIMES`.
        options: with which a recording is opened; those with times are.

    Raises:
        DatasetError: no row names a recording, or labels contradict each other or lie outside their recordings.
    """
    rows_of, missing, way = match_rows(file, files)
    said = [way] * bool(way) + _say_missing(file, files, rows_of, missing)
    timed: dict[int, TimedRow] = {}
    reset: list[str] = []
    for key, rows in rows_of.items():
        with_times = [row for row in rows if (row.t_start_us, row.t_end_us) != (None, None)]
        ends, takes = _ends(files[key], options) if with_times else (None, ())
        if len(takes) > 1:
            reset.append(f"{key}: take 2 of {len(takes)} begins at {takes[1]} us of its clock")
        timed |= {row.line: TimedRow(row, ends) for row in with_times}
    if timed:
        times, how = choose_times(file.path, list(timed.values()), times)
        said = [how, *said] if how else said
        if reset:
            said.append(
                f"where a clock was reset, labels count as if the takes followed one another, {GAP_US // 10**6} s "
                f"apart: {few(reset)}"
            )
        late = sum(one.ends_late(times) for one in timed.values())
        if late:
            said.append(f"{late} labels end up to {TOLERANCE_US // 1000} ms after the last event of their recording")
        longest_us = max(stop_us - start_us for start_us, stop_us in (one.span_us(times) for one in timed.values()))
        if longest_us < _SHORT_US and not file.unit_named:
            said.append(
                f"the longest label takes {longest_us / 1000:g} ms: times that are not microseconds need their unit in "
                "the header, such as t_start_ms"
            )
    segments: list[Segment] = []
    for key, rows in rows_of.items():
        spans = [timed[row.line].span_us(times) if row.line in timed else None for row in rows]
        turned = _orientation_of(file.path, rows)
        parts = [Segment(key, row, span, turned) for row, span in zip(rows, spans, strict=True)]
        segments += _in_order(file.path, parts)
    twice = sum(map(len, rows_of.values())) - len(segments)
    if twice:
        said.append(f"{count_of(twice, 'repeated row')} counted once")
    shared = _overlapping(segments)
    if shared:
        said.append(f"rows that overlap another one of their label, whose common part counts in both: {shared}")
    return segments, said


def _orientation_of(path: Path, rows: list[LabelRow]) -> Geometry | None:
    """Return the orientation that the rows of one recording state; None if none does.

    Raises:
        DatasetError: two state different ones.
    """
    stated = [(row.line, row.orientation) for row in rows if row.orientation is not None]
    for line, orientation in stated[1:]:
        if orientation != stated[0][1]:
            got = f"{in_words(orientation)}, after {in_words(stated[0][1])} in line {stated[0][0]}"
            raise DatasetError(
                f"{path}, line {line}", got=got, expected="one orientation of a recording",
                todo="correct rotate and flip in one of the two",
            )  # fmt: skip
    return stated[0][1] if stated else None


def _say_missing(
    file: LabelFile, files: dict[str, Path], rows_of: dict[str, list[LabelRow]], missing: list[LabelRow]
) -> list[str]:
    """Describe what lacks a recording or a row.

    Raises:
        DatasetError: nothing is left.
    """
    if not rows_of:
        there = f", such as {next(iter(files))}" if files else "; it holds no recording"
        raise DatasetError(
            str(file.path), got=f"{len(missing)} rows, none of which names a recording, such as {missing[0].recording}",
            expected=f"paths relative to the folder of the recordings{there}",
            todo="correct the paths, or give the folder that they are relative to with --data",
        )  # fmt: skip
    said = []
    if missing:
        more = f" and {len(missing) - MAX_BAD_NAMED} more" if len(missing) > MAX_BAD_NAMED else ""
        lines = ", ".join(f"{row.recording} (line {row.line})" for row in missing[:MAX_BAD_NAMED])
        said.append(f"{len(missing)} of {len(file.rows)} rows name recordings that are missing: {lines}{more}")
    unnamed = [key for key in files if key not in rows_of]
    if unnamed:
        said.append(f"left out, since no row names them: {count_of(len(unnamed), 'recording')}: {few(unnamed)}")
    if file.unused:
        said.append(f"columns not used: {', '.join(file.unused)}")
    return said


def _ends(path: Path, options: dict[str, Any]) -> tuple[Ends | None, tuple[int, ...]]:
    """Return (the times of the first and the last event, the first of each take, one behind another).

    Of a recording that is not readable or empty there are none.
    """
    try:
        recording = Entry(path.name, path, 0, **options).open()
        first_us, last_us = recording.t_first_us, recording.t_last_us
    except RecordingError:
        return None, ()  # It is named with all unreadable ones when clips are cut.
    if first_us is None or last_us is None:
        return None, ()
    takes = recording.summary.takes
    shifts_us = shifts_of([(take.t_first_us, take.t_last_us) for take in takes])
    return (first_us, last_us), tuple(take.t_first_us + shift for take, shift in zip(takes, shifts_us, strict=True))


def _in_order(path: Path, segments: list[Segment]) -> list[Segment]:
    """Return the segments of one recording in the order of time, without repeated ones.

    Raises:
        DatasetError: two with different labels overlap, or one repeats another with another subject, session or side.
    """
    kept: list[Segment] = []
    # The one that ends last: whatever overlaps an earlier one overlaps it too.
    latest: Segment | None = None
    for segment in sorted(segments, key=lambda segment: (*_times(segment), segment.row.line)):
        if latest is not None and _times(segment)[0] < _times(latest)[1] and segment.row.label != latest.row.label:
            first, second = sorted((latest.row, segment.row), key=lambda row: row.line)
            raise DatasetError(
                f"{path}, line {second.line}", got=f"{second.label} during {first.label} of line {first.line}",
                expected="one label at a time", todo="correct the times of one of the two",
            )  # fmt: skip
        if kept and _times(kept[-1]) == _times(segment):
            _require_same(path, kept[-1].row, segment.row)
            continue
        kept.append(segment)
        if latest is None or _times(segment)[1] > _times(latest)[1]:
            latest = segment
    return kept


def _overlapping(segments: list[Segment]) -> int:
    """Return the number of segments, by recording and in the order of time, that begin before an earlier one ends."""
    count, ends = 0, dict[str, float]()
    for segment in segments:
        start, end = _times(segment)
        count += start < ends.get(segment.key, float("-inf"))
        ends[segment.key] = max(end, ends.get(segment.key, end))
    return count


def _require_same(path: Path, first: LabelRow, second: LabelRow) -> None:
    """Check that a row that repeats another one names the same subject, session and side.

    Raises:
        DatasetError: it does not.
    """
    for column, said, repeated in (
        ("subject", first.subject, second.subject),
        ("session", first.session, second.session),
        ("split", first.side, second.side),
    ):
        if said != repeated:
            raise DatasetError(
                f"{path}, line {second.line}",
                got=f"{repeated or 'nothing'} as {column}, and {said or 'nothing'} for this part in line {first.line}",
                expected=f"one {column} of a part", todo="correct or remove one of the two",
            )  # fmt: skip


def _times(segment: Segment) -> tuple[float, float]:
    return (float("-inf"), float("inf")) if segment.span is None else segment.span


def few(names: list[str]) -> str:
    """Name the first few."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
