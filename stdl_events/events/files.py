"""`open_recording`: opens an event file of any format as a `Recording`."""

import stat
from pathlib import Path

from stdl_events.errors import RecordingError, TruncatedRecordingError
from stdl_events.events.compressed import unpack
from stdl_events.events.decoder import TODO_DAMAGE, Decoder, read_beginning
from stdl_events.events.formats import FORMATS
from stdl_events.events.formats.columns import parse_columns
from stdl_events.events.formats.recognise import HEAD_BYTES, recognise, require_uncontradicted
from stdl_events.events.recording import Recording
from stdl_events.events.time_units import TIME_UNITS

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def open_recording(
    path: str | Path,
    *,
    format: str | None = None,
    sensor_size: tuple[int, int] | None = None,
    stream: int | None = None,
    time_unit: str | None = None,
    repair: bool = False,
    strict: bool = False,
    take: int | None = None,
    columns: str | None = None,
) -> Recording:
    """Recognise the file at `path` and read its header.

    A compressed file (.gz, .bz2, .xz, .zst, or a .zip with one recording) is unpacked to a temporary folder.

    Args:
        format: a name of `FORMATS`, for files without recognisable content or with a wrong suffix.
        sensor_size: (width, height), used if neither the header nor the format gives it.
        stream: the number of one of several event streams, in a format that can hold them (AEDAT 4, HDF5); 0 is the
            only one of others.
        time_unit: of the file's times, a name of `TIME_UNITS`, in a format that leaves it open (text, NPY, NPZ, HDF5).
        repair: use the events before the first damage instead of raising.
        strict: raise at a backward time step instead of sorting, and at an event outside the sensor or far from all
            others in time instead of skipping it.
        columns: the fields of the columns of a table (text, NPY, NPZ, HDF5) by their place, such as "x,y,t,p", whatever
            their names; "-" is a column of something else.
        take: the number, from 1, of one take of a recording whose clock was reset; None for all, one after another.

    Raises:
        RecordingError: the file is missing or empty, or it is a folder or a Git LFS pointer.
        UnknownFormatError: no format accepts the file, or `format` is not a name of `FORMATS`.
        TruncatedRecordingError, CorruptRecordingError: the header is damaged.
    """
    if not isinstance(path, Path):  # a path of a path takes as long as opening the file
        path = Path(path)
    if sensor_size is not None and not (0 < sensor_size[0] <= 65536 and 0 < sensor_size[1] <= 65536):
        raise RecordingError(
            str(path), got=f"the sensor size {sensor_size}", expected="width and height from 1 to 65536",
            todo="pass --sensor WxH, such as 346x260",
        )  # fmt: skip
    if time_unit is not None:
        TIME_UNITS.check(time_unit)
    asked = None if columns is None else parse_columns(columns)
    head = read_head(path)
    unpacked = unpack(path, head, repair=repair)
    if unpacked is None:
        name, decoder = open_decoder(path, head, format, stream, asked)
        data_path = path
    else:
        data_path = unpacked.path
        with unpacked.naming_original():
            name, decoder = open_decoder(data_path, read_head(data_path), format, stream, asked)
        decoder = unpacked.decoder(decoder)
    recording = Recording(
        path, name, decoder, sensor_size=sensor_size, time_unit=time_unit, repair=repair, strict=strict, take=take
    )
    recording.data_path = data_path
    return recording


def open_decoder(
    path: Path, head: bytes, format: str | None, stream: int | None, asked: tuple[str, ...] | None
) -> tuple[str, Decoder]:
    """Return (name of the format, decoder) of the file at `path`, which begins with `head`; see `open_recording`."""
    chosen = None if format is None else FORMATS.check(format)
    name = recognise(path, head) if chosen is None else require_uncontradicted(path, head, chosen)
    try:
        if asked is not None:
            return name, _open_columns(path, name, asked, stream)
        return name, FORMATS[name].open(path) if stream is None else _open_stream(path, name, stream)
    except RecordingError as error:
        if error.todo == TODO_DAMAGE:  # in front of the first event, so that repair would keep none
            error.todo = "copy or save the file again; no event is in front of the damage"
        raise


def read_head(path: Path) -> bytes:
    """Return the first bytes of the file at `path`.

    Raises:
        RecordingError: see `open_recording`.
    """
    subject = str(path)
    try:
        mode = path.stat().st_mode
        head = read_beginning(path, HEAD_BYTES) if stat.S_ISREG(mode) else b""
    except FileNotFoundError:
        raise RecordingError(subject, got="no such file", expected="a file of events", todo="check the path") from None
    except OSError as error:
        raise RecordingError(
            subject,
            got=error.strerror or str(error),
            expected="a readable file",
            todo="check the path and its permissions",
        ) from None
    if stat.S_ISDIR(mode):
        raise RecordingError(subject, got="a folder", expected="a file of events", todo="name one of the files in it")
    if not stat.S_ISREG(mode):
        raise RecordingError(
            subject,
            got="not a regular file",
            expected="a file of events",
            todo="save it to a file first",
        )
    if not head:
        raise TruncatedRecordingError(
            subject, got="an empty file (0 bytes)", expected="a file of events", todo="copy or record it again"
        )
    if head.startswith(_LFS_POINTER):
        raise RecordingError(
            subject, got="a Git LFS pointer, not the recording itself", expected="a file of events",
            todo="run `git lfs pull` where it came from",
        )  # fmt: skip
    return head


def _open_columns(path: Path, name: str, asked: tuple[str, ...], stream: int | None) -> Decoder:
    open_columns = FORMATS[name].open_columns
    if open_columns is None:
        tables = [name for name, format in FORMATS.items() if format.open_columns is not None]
        raise RecordingError(
            str(path), got=f"the columns {','.join(asked)} of a file in the format {name}",
            expected=f"a table, which is {' or '.join(tables)}", todo="leave --columns (columns=) out",
        )  # fmt: skip
    if stream and FORMATS[name].open_stream is None:
        return _open_stream(path, name, stream)
    return open_columns(path, asked, stream)


def _open_stream(path: Path, name: str, stream: int) -> Decoder:
    open_stream = FORMATS[name].open_stream
    if open_stream is None and stream == 0:  # the only one, as in files of other formats beside
        return FORMATS[name].open(path)
    if open_stream is None:
        several = [name for name, format in FORMATS.items() if format.open_stream is not None]
        raise RecordingError(
            str(path), got=f"the stream {stream} of a file in the format {name}",
            expected=f"a format with several streams, which is {' or '.join(several)}",
            todo="leave --stream (stream=) out",
        )  # fmt: skip
    return open_stream(path, stream)
