"""The zero of the grid of windows that parts of a recording share."""

from collections.abc import Iterable

from stdl_events.events.recording import Recording
from stdl_events.events.sources.replay import Position, ReplaySource
from stdl_events.events.stream import EventArray
from stdl_events.frames.selection import Selection
from stdl_events.frames.spec import FrameSpec


def grid_origin_us(
    recording: Recording, spec: FrameSpec, *, begin: Position = None, before: Selection | None = None
) -> int | None:
    """Return the time of the first event of the whole recording after the filters, at which its grid begins.

    The recording is read only as far as its filters drop events.

    Args:
        recording: the whole, or a part.
        begin: start of a part with a grid of its own.
        before: what else is applied to the events, before the filters of `spec`.

    Returns:
        None if the windows of `spec` have another grid, or there is no event.
    """
    if spec.dt_us is None or spec.grid != "recording":
        return None
    whole = recording.whole
    if not whole.summary.events:
        return None
    if begin is None and before is None and not spec.filters and spec.geometry.keeps_all:
        return whole.t_first_us
    chunks: Iterable[EventArray] = ReplaySource(whole, speed=None, start=begin).chunks()
    select, before = Selection.of(spec), before and before.anew()
    for events in chunks:
        kept = select(events if before is None else before(events))
        if len(kept):
            return int(kept["t"][0])
    return None
