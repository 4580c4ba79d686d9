"""Steps and leaps of a source's clock, at which a live session ends and another one begins."""

import warnings

import numpy as np

from stdl_events.events.stream import MAX_TIME_US, EventArray, RecordingWarning

# A source whose events are this much older than its newest one has reset its clock; other late events are late.
CLOCK_RESET_US = 1_000_000
# Even in a still scene a sensor has noise or its source ticks: so long without either, the clock has leapt.
CLOCK_LEAP_US = 10_000_000
LEAP_CLIPS = 10
# A source of noise has a new time in each packet, and each line would be kept by Python too.
MOST_SAID = 10


class ClockWatch:
    """Compares each chunk of a source with the newest time before it.

    Args:
        clip_us: length of a clip, None if clips have no fixed length: up to `LEAP_CLIPS` empty ones are no leap.
        most_us: a longer pause is a leap in any case, since its empty windows would be too many.
        is_recording: the source replays a recording, whose pauses were found to be none of these.

    Attributes:
        resets: number of sessions that the clock has ended.
    """

    def __init__(self, clip_us: int | None, *, is_recording: bool, most_us: int = MAX_TIME_US) -> None:
        self.resets = 0
        self._leap_us = min(max(CLOCK_LEAP_US, LEAP_CLIPS * (clip_us or 0)), most_us)
        self._is_recording = is_recording
        self._newest_us: int | None = None

    def sessions(self, events: EventArray) -> list[EventArray]:
        """Return the events, ordered by time, before and after each leap forward inside them."""
        if self._is_recording or len(events) < 2 or events["t"][-1] - events["t"][0] <= self._leap_us:
            return [events]
        return np.split(events, np.flatnonzero(np.diff(events["t"]) > self._leap_us) + 1)

    def ends_session(self, events: EventArray) -> bool:
        """Return True, the first times with a warning, if the clock of `events` is not that of the events before."""
        return bool(len(events)) and self._moves(int(events["t"][0]), int(events["t"][-1]), can_reset=True)

    def ends_session_at(self, t_now_us: int) -> bool:
        """Return True, the first times with a warning, if the clock has leapt to `t_now_us` without an event."""
        return self._newest_us is not None and self._moves(t_now_us, t_now_us, can_reset=False)

    def _moves(self, first_us: int, last_us: int, *, can_reset: bool) -> bool:
        before_us = first_us if self._newest_us is None else self._newest_us
        is_reset = can_reset and first_us < before_us - CLOCK_RESET_US
        is_leap = not self._is_recording and first_us > before_us + self._leap_us
        self._newest_us = last_us if is_reset else max(before_us, last_us)
        if not is_reset and not is_leap:
            return False
        self.resets += 1
        if self.resets <= MOST_SAID:
            how = "went back" if is_reset else "leapt forward"
            last = "; more of these are counted alone" if self.resets == MOST_SAID else ""
            warnings.warn(
                f"the source's clock {how} by {abs(first_us - before_us) / 1e6:.3f} s: windows and clips begin again"
                + last,
                RecordingWarning,
                stacklevel=4,
            )
        return True
