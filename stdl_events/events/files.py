"""`open_recording`: which format a file has, and the reader for it.

A file is recognised by its first bytes. Formats without any (N-MNIST, for one) are recognised by suffix, or named by
the caller. Adding a format is one line in `FORMATS` and one module with a function path -> `Decoder`.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stdl_events.errors import RecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events.decoder import Decoder
from stdl_events.events.formats import aedat2, aedat3, aedat4, atis_bin, dat, es, evt, numpy_files, prophesee, text
from stdl_events.events.recording import Recording

_HEAD_BYTES = 4096
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def _is_own_hdf5(path: Path) -> bool:
    from stdl_events.events.formats import hdf5  # h5py takes a tenth of a second to import

    return hdf5.is_own(path)


def _open_own_hdf5(path: Path) -> Decoder:
    from stdl_events.events.formats import hdf5

    return hdf5.open_own(path)


def _open_other_hdf5(path: Path) -> Decoder:
    from stdl_events.events.formats import hdf5_layouts

    return hdf5_layouts.open_hdf5(path)


def _is_evt(version: str) -> Callable[[Path], bool]:
    return lambda path: prophesee.read_header(path).evt == version


def _is_dat(path: Path) -> bool:
    return prophesee.read_header(path).first_line.lower().startswith("data file")


@dataclass(frozen=True)
class Format:
    """A file format: how it is recognised, and its reader.

    Attributes:
        magic: the first bytes of every such file; empty for a format without any, known by `suffixes` alone.
        fits: whether this file can be one, where formats share `magic` or `suffixes`; the first that fits is taken.
    """

    name: str
    open: Callable[[Path], Decoder]
    suffixes: tuple[str, ...]
    magic: bytes = b""
    fits: Callable[[Path], bool] = lambda path: True


FORMATS = (
    Format("aedat2", aedat2.open_aedat2, (".aedat", ".aedat2"), aedat2.MAGIC),
    Format("aedat3", aedat3.open_aedat3, (".aedat", ".aedat3"), aedat3.MAGIC),
    Format("aedat4", aedat4.open_aedat4, (".aedat4",), aedat4.MAGIC),
    Format("evt2", evt.open_evt2, (".raw",), b"%", _is_evt("2.0")),
    Format("evt3", evt.open_evt3, (".raw",), b"%", _is_evt("3.0")),
    Format("dat", dat.open_dat, (".dat",), b"%", _is_dat),
    Format("es", es.open_es, (".es",), es.MAGIC),
    Format("stdl-hdf5", _open_own_hdf5, (".h5", ".hdf5"), _HDF5_MAGIC, _is_own_hdf5),
    Format("hdf5", _open_other_hdf5, (".h5", ".hdf5"), _HDF5_MAGIC),
    Format("npy", numpy_files.open_npy, (".npy",), numpy_files.NPY_MAGIC),
    Format("npz", numpy_files.open_npz, (".npz",), numpy_files.NPZ_MAGIC),
    Format("dat", dat.open_dat, (".dat",)),
    Format("nmnist", atis_bin.open_nmnist, (".bin",), fits=atis_bin.fits_nmnist),
    Format("ncaltech", atis_bin.open_ncaltech, (".bin",)),
    Format("text", text.open_text, (".txt", ".csv", ".tsv")),
)


def open_recording(
    path: str | Path,
    *,
    format: str | None = None,
    sensor_size: tuple[int, int] | None = None,
    stream: int | None = None,
    repair: bool = False,
    strict: bool = False,
) -> Recording:
    """Recognise the file at `path` and read its header.

    Args:
        format: a name of `FORMATS`, for files that have no recognisable content or the wrong suffix.
        sensor_size: (width, height), used where neither the header nor the format says it.
        stream: which of several event streams of an AEDAT 4 file.
        repair: use the events before the first damage, instead of raising.
        strict: raise at a backward time step, instead of sorting.

    Raises:
        RecordingError: there is no such file, it is empty, or it is a folder or a Git LFS pointer.
        UnknownFormatError: nothing recognises the file, or `format` is not a name of one.
        TruncatedRecordingError, CorruptRecordingError: the header is damaged.
    """
    path = Path(path)
    if sensor_size is not None and not (0 < sensor_size[0] <= 65536 and 0 < sensor_size[1] <= 65536):
        raise RecordingError(
            str(path), got=f"the sensor size {sensor_size}", expected="width and height from 1 to 65536",
            todo="pass --sensor WxH, such as 346x260",
        )  # fmt: skip
    head = _read_head(path)
    chosen = _recognise(path, head) if format is None else _named(path, format)
    decoder = chosen.open(path) if stream is None else _open_stream(path, chosen, stream)
    return Recording(path, chosen.name, decoder, sensor_size=sensor_size, repair=repair, strict=strict)


def _read_head(path: Path) -> bytes:
    subject = str(path)
    try:
        mode = path.stat().st_mode
        head = _first_bytes(path) if stat.S_ISREG(mode) else b""
    except FileNotFoundError:
        raise RecordingError(subject, got="no such file", expected="a file of events", todo="check the path") from None
    except OSError as error:
        raise RecordingError(
            subject, got=error.strerror or str(error), expected="a readable file", todo="check its permissions"
        ) from None
    if stat.S_ISDIR(mode):
        raise RecordingError(subject, got="a folder", expected="a file of events", todo="name one of the files in it")
    if not stat.S_ISREG(mode):
        raise RecordingError(
            subject,
            got="something that is no regular file",
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


def _open_stream(path: Path, chosen: Format, stream: int) -> Decoder:
    if chosen.name != "aedat4":
        raise RecordingError(
            str(path), got=f"the stream {stream} of a file in the format {chosen.name}",
            expected="an AEDAT 4 file, the one format with several streams", todo="leave --stream (stream=) out",
        )  # fmt: skip
    return aedat4.open_aedat4(path, stream)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _named(path: Path, name: str) -> Format:
    for candidate in FORMATS:
        if candidate.name == name:
            return candidate
    raise UnknownFormatError(
        str(path), got=f"the format {name!r}", expected=f"one of {_format_names()}", todo="check --format"
    )


def _recognise(path: Path, head: bytes) -> Format:
    suffix = path.suffix.lower()
    of_suffix = [candidate for candidate in FORMATS if suffix in candidate.suffixes]
    for candidate in FORMATS:
        if candidate.magic and head.startswith(candidate.magic) and candidate.fits(path):
            return candidate
    for candidate in of_suffix:
        if not candidate.magic and candidate.fits(path):
            return candidate
        if len(head) < len(candidate.magic) and candidate.magic.startswith(head):
            raise TruncatedRecordingError(
                str(path), got=f"a file that ends at byte {len(head)}, inside its first line",
                expected=f"a recording in the format {candidate.name}", todo="copy or record it again",
            )  # fmt: skip
    raw_header = prophesee.parse_header(head)
    if suffix == ".raw" and raw_header.data_offset:
        raise UnknownFormatError(
            str(path), got=f"a RAW file of EVT {raw_header.evt or 'without a version'}", expected="EVT 2.0 or 3.0",
            todo="name its format with --format evt2 or evt3 if it is one of these",
        )  # fmt: skip
    if of_suffix:
        raise UnknownFormatError(
            str(path), got=f"a file that begins with {_excerpt(head)}",
            expected=f"{suffix} content, which begins with {_excerpt(of_suffix[0].magic)}",
            todo="check what the file is, or name its format with --format",
        )  # fmt: skip
    raise UnknownFormatError(
        str(path), got=f"a file that begins with {_excerpt(head)}", expected=f"one of {_format_names()}",
        todo="name its format with --format if it is one of these",
    )  # fmt: skip


def _excerpt(data: bytes) -> str:
    return repr(data[:16])[1:]


def _format_names() -> str:
    return ", ".join(dict.fromkeys(candidate.name for candidate in FORMATS))
