"""Room in memory for clips, and windows with hardly any event: both are known before a recording is cut."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

from stdl_events.errors import RecipeError
from stdl_events.events import Recording
from stdl_events.events.defects import count_of
from stdl_events.events.sources.replay import span_us
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import Clip, FrameSpec
from stdl_events.memory.process import available_bytes
from stdl_events.recordings.coverage import length
from stdl_events.recordings.cutting import EntryClips
from stdl_events.recordings.entry import WHOLE, Entry
from stdl_events.recordings.framers import Cut
from stdl_events.sizes import format_bytes

# So many empty windows are made and trained on for minutes.
_MANY_WINDOWS = 100_000


@dataclass
class RoomForClips:
    """Cuts recordings as `cut` does, as long as the clips of all of them have room in memory.

    The clips of one side are joined in the end, so that each is there twice for a moment.

    Attributes:
        left_bytes: memory for clips; None if the system does not say.
    """

    cut: Cut
    left_bytes: int | None = field(default_factory=available_bytes)
    _clips: int = 0
    _recordings: int = 0
    _is_told: bool = False

    def __call__(self, entry: Entry, recording: Recording, frame_spec: FrameSpec) -> EntryClips:
        clips = self.cut(entry, recording, frame_spec)
        if frame_spec.dt_us is None:
            return clips
        return _Announced(clips, lambda: self._announce(entry, recording, frame_spec))

    def _announce(self, entry: Entry, recording: Recording, frame_spec: FrameSpec) -> None:
        """Take a recording into account that is to be cut.

        Raises:
            RecipeError: its clips and those before have no room.
        """
        summary = recording.summary
        if summary.t_first_us is None or summary.t_last_us is None or frame_spec.dt_us is None:
            return
        whole_us = max(1, summary.t_last_us - summary.t_first_us)
        start_us, stop_us = span_us(recording, *entry.span) if entry.span != WHOLE else (0, whole_us)
        windows = (stop_us - start_us) // frame_spec.dt_us
        self._clips, self._recordings = self._clips + windows // frame_spec.steps, self._recordings + 1
        channels, height, width = frame_spec.frame_shape_CHW
        bytes_ = self._clips * frame_spec.steps * channels * height * width
        if self.left_bytes is not None and 2 * bytes_ > self.left_bytes:
            raise RecipeError(
                "frames", got=f"{self._clips} clips of {length(frame_spec)} in the first "
                f"{count_of(self._recordings, 'recording')}, {format_bytes(2 * bytes_)} with one copy",
                expected=f"clips that fit into the {format_bytes(self.left_bytes)} that this machine has left",
                todo="use longer windows (frames.dt_us) or smaller frames, or train on a store (stdl-events prepare)",
            )  # fmt: skip
        events = summary.events * (stop_us - start_us) / whole_us
        if windows > max(events, _MANY_WINDOWS) and not self._is_told:
            self._is_told = True
            text = f"{entry.key}: {windows} windows of {frame_spec.dt_us} µs for {events:.0f} events"
            todo = "check frames.dt_us and the unit of the recordings' times"
            warnings.warn(f"{text}; {todo}", RecordingWarning, stacklevel=2)


class _Announced(EntryClips):
    """Clips of which something is said before the first one."""

    def __init__(self, clips: EntryClips, announce: Callable[[], None]) -> None:
        super().__init__(clips)
        self._inner, self._announce = clips, announce
        self._is_announced = False

    @property
    def incomplete(self) -> int:
        return self._inner.incomplete

    def __next__(self) -> Clip:
        if not self._is_announced:
            self._is_announced = True
            self._announce()
        return next(self._inner)
