"""The clock of a label file: the recordings' own, or the time after each recording's first event."""

from dataclasses import dataclass
from pathlib import Path

from stdl_events.errors import DatasetError, RecipeError
from stdl_events.recordings.labels.label_file import LabelRow
from stdl_events.registry import Registry

AUTO, CLOCK, AFTER_FIRST = "auto", "clock", "recording"
# Labels are set by hand, and end where a film of the same scene ends.
TOLERANCE_US = 100_000
# Less than labels are exact to.
SAME_US = 1_000
SAY_WHICH = "say which with --set data.label_times=recording or clock (--label-times)"


@dataclass(frozen=True)
class LabelTimes:
    """How times of a label file count.

    Attributes:
        summary: one line.
    """

    summary: str


LABEL_TIMES: Registry[LabelTimes] = Registry(
    "label times",
    RecipeError,
    {
        AUTO: LabelTimes("the one of the two that fits all labels"),
        CLOCK: LabelTimes("times of the recordings' own clock"),
        AFTER_FIRST: LabelTimes("times after the first event of each recording"),
    },
)

Ends = tuple[int, int]


@dataclass(frozen=True)
class TimedRow:
    """A row with times, and the (first, last) event of its recording; None if that is not readable."""

    row: LabelRow
    ends_us: Ends | None

    def fits(self, times: str) -> bool:
        """True if the part lies in the recording, up to `TOLERANCE_US`; of an unreadable one, always."""
        if self.ends_us is None:
            return True
        first_us, last_us = self._bounds(times)
        start_us, stop_us = self.row.t_start_us, self.row.t_end_us
        least_us = first_us if times == AFTER_FIRST else first_us - TOLERANCE_US
        inside = start_us is None or least_us <= start_us <= last_us
        return inside and (stop_us is None or first_us < stop_us <= last_us + 1 + TOLERANCE_US)

    def ends_late(self, times: str) -> bool:
        """True if the part ends after the last event, by more than `SAME_US`."""
        return self.ends_us is not None and (self.row.t_end_us or 0) > self._bounds(times)[1] + 1 + SAME_US

    def span_us(self, times: str) -> Ends:
        """Return [start, stop) in the recording's own clock."""
        first_us, last_us = self.ends_us or (0, 0)
        shift_us = first_us if times == AFTER_FIRST else 0
        start_us = first_us if self.row.t_start_us is None else self.row.t_start_us + shift_us
        stop_us = last_us + 1 if self.row.t_end_us is None else self.row.t_end_us + shift_us
        return start_us, max(start_us, stop_us)

    def beyond(self, path: Path, times: str) -> DatasetError:
        """Return the error for a part outside its recording."""
        first_us, last_us = self._bounds(times)
        counted = "after its first event" if times == AFTER_FIRST else "in its own clock"
        start = "the start" if self.row.t_start_us is None else self.row.t_start_us
        stop = "the end" if self.row.t_end_us is None else self.row.t_end_us
        return DatasetError(
            f"{path}, line {self.row.line}", got=f"a part from {start} to {stop} us",
            expected=f"a part of {self.row.recording}, {first_us} to {last_us} us {counted}",
            todo="correct the times, name their unit in the header, such as t_start_ms, or say how they count with "
            "--set data.label_times=recording or clock (--label-times)",
        )  # fmt: skip

    def _bounds(self, times: str) -> Ends:
        first_us, last_us = self.ends_us or (0, 0)
        return (0, last_us - first_us) if times == AFTER_FIRST else (first_us, last_us)


def choose_times(path: Path, rows: list[TimedRow], asked: str) -> tuple[str, str]:
    """Return (how the times of a label file count, a line that says so where it was found out).

    Args:
        asked: one of `LABEL_TIMES`.

    Raises:
        DatasetError: a part is outside its recording, or both ways fit all labels and differ.
    """
    fits = {times: sum(row.fits(times) for row in rows) for times in (AFTER_FIRST, CLOCK)}
    whole = [times for times, count in fits.items() if count == len(rows)]
    shift_us = max((abs(row.ends_us[0]) for row in rows if row.ends_us is not None), default=0)
    if asked == AUTO and len(whole) == 2 and shift_us > SAME_US:
        raise DatasetError(
            str(path), got=f"times that fit both clocks, which differ by up to {shift_us / 1e6:g} s",
            expected="times that fit one: the recordings' own, or the time after their first event", todo=SAY_WHICH,
        )  # fmt: skip
    # Where both fit they are the same, up to `SAME_US`.
    times = asked if asked != AUTO else (whole[-1] if whole else max(fits, key=lambda times: fits[times]))
    outside = next((row for row in rows if not row.fits(times)), None)
    if outside is not None:
        raise outside.beyond(path, times)
    if asked != AUTO or len(whole) == 2:
        return times, ""
    said = {AFTER_FIRST: "after each recording's first event", CLOCK: "in the recordings' own clock"}
    return times, f"times count {said[times]}, since only so do all of them fit (data.label_times={times})"
