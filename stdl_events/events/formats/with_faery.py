"""Writers of AEDAT 4, EVT 2 and EVT 3 through the package faery; the only door to it.

faery starts EVT files at time 0 and stores the first time as `t0`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from stdl_events.errors import MissingExtraError, RecordingError
from stdl_events.events.formats.format import Writer
from stdl_events.events.recording import Recording
from stdl_events.events.stream import EventArray
from stdl_events.whole_file import as_os_error


def _with_faery(file_type: str, version: str | None = None) -> Callable[[Path, Recording], None]:
    def write(path: Path, recording: Recording) -> None:
        try:
            import faery
        except ImportError:
            raise MissingExtraError(
                str(path), got="no package that writes this format", expected="faery",
                todo="pip install 'stdl-events[formats]'",
            ) from None  # fmt: skip
        if (recording.t_first_us or 0) < 0:
            raise RecordingError(
                str(recording.path), got=f"an event at {recording.t_first_us} us", expected="times from 0",
                todo="write it as .h5 or .npz",
            )  # fmt: skip

        def chunks() -> Iterator[EventArray]:
            for events in recording.chunks():
                yield events.view(faery.EVENTS_DTYPE)

        try:
            faery.file_encoder.events_to_file(
                chunks(), path, recording.sensor_size, version=version, file_type=file_type, use_write_suffix=False
            )
        except RuntimeError as error:
            raise as_os_error(error) from None

    return write


AEDAT4_WRITER = Writer(_with_faery("aedat"), (".aedat4",), max_pixels=32768)
EVT3_WRITER = Writer(_with_faery("evt", "evt3"), (".raw",), max_pixels=2048)
EVT2_WRITER = Writer(_with_faery("evt", "evt2"), (".raw",), max_pixels=2048)
