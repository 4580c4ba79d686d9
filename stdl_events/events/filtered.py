"""A recording as its filters leave it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from stdl_events.events.decoder import Block, Header
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.recording import Recording


@dataclass(frozen=True)
class _Filtered:
    """Decoder of what the filters keep of a recording; reads it again for every pass, in bounded memory."""

    recording: Recording
    filters: FilterSpec
    header: Header

    def blocks(self) -> Iterator[Block]:
        keep = self.filters.start(self.recording.sensor_size)
        for events in self.recording.chunks():
            yield Block(keep(events), 0)


def filtered(recording: Recording, filters: FilterSpec) -> Recording:
    """What `filters` keep of `recording`, as a recording: with a summary, chunks and a sensor size of its own.

    Its summary takes one more pass over the file, which nothing pays for where no filter is on.

    Raises:
        RecordingError: see `Recording.sensor_size`.
    """
    if not filters:
        return recording
    origin = recording.sensor_size_from
    # A size that was inferred from all events is not inferred again from those that are kept.
    header = Header(attributes=recording.attributes)
    if origin == "header" or origin == "format":
        header = replace(header, sensor_size=recording.sensor_size, sensor_size_from=origin)
    decoder = _Filtered(recording, filters, header)
    return Recording(recording.path, recording.format, decoder, sensor_size=recording.sensor_size)
