"""Recognition of a file's format: by its first bytes, or by its suffix if the format has no magic.

A suffix never decides what the content contradicts: lines of numbers are text under every name, and a format without a
magic may look at the records (`Signature.fits`).
"""

import re
from pathlib import Path

from stdl_events.errors import RecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events.formats import FORMATS, prophesee

# Enough for every magic, and for the version in an unsupported RAW file's header.
HEAD_BYTES = 4096
# Shorter ones may be the first events of a format without a magic.
_SURE_MAGIC_BYTES = 6
_NUMBERS = rb"[-+]?[\d.][-+.\deE]*([ \t]*[,;\t ][ \t]*[-+]?[\d.][-+.\deE]*){3,}"
_TEXT = re.compile(rb"(\xef\xbb\xbf)?([^\0\n]*\n)??" + _NUMBERS + rb"[ \t]*\r?\n" + _NUMBERS)
# Files of other kinds, which people open as recordings.
_OTHER_KINDS = {
    b"#!AER-DAT": "AEDAT of another version",
    b"#ROSBAG": "a ROS bag",
    b"SQLite format 3\0": "an SQLite database, as ROS 2 bags are",
    b"MATLAB 5.0": "a MATLAB file",
    b"PAR1": "a Parquet table",
    b"ARROW1": "an Arrow table (Feather)",
    b"FEA1": "a Feather table",
    b"\x80\x04\x95": "a Python pickle",
    b"\x80\x05\x95": "a Python pickle",
    b"<?xml": "an XML document",
    b'{"': "JSON",
    b'[{"': "JSON",
    b"RIFF": "a RIFF file (AVI or WAV)",
    b"\x1a\x45\xdf\xa3": "a Matroska video",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
}
_WEB_PAGE = re.compile(rb"(?i)\s*<(!doctype html|html|head)\b")
_ARCHIVES = {
    b"7z\xbc\xaf": "a 7z",
    b"Rar!": "a RAR",
    b"\x1f\x8b": "a gzip",  # within another one
    b"]\0\0\x80\0\xff\xff\xff\xff": "an LZMA",
    b"\x04\x22\x4d\x18": "an LZ4",
    b"PK\x05\x06": "an empty ZIP",
}
_TAR, _TAR_OFFSET = b"ustar", 257
# One test for all of them: what is a recording costs no more.
_OTHER_MAGICS, _ARCHIVE_MAGICS = tuple(_OTHER_KINDS), tuple(_ARCHIVES)


def recognise(path: Path, head: bytes) -> str:
    """Return the name of the format of the file at `path`, whose first `HEAD_BYTES` are `head`.

    Raises:
        TruncatedRecordingError: the file ends inside the magic of the format of its suffix.
        UnknownFormatError: no format accepts it.
    """
    suffix = path.suffix.lower()
    order = FORMATS.order
    if head.startswith(order.magics):
        for name, signature in order.with_magic:
            if head.startswith(signature.magic) and signature.takes(path):
                return name
    if _is_text(head):
        return "text"
    _refuse_other_kinds(path, head)
    of_suffix = order.of_suffix.get(suffix, ())
    for name, signature in of_suffix:
        if not signature.magic and signature.takes(path):
            return name
        if len(head) < len(signature.magic) and signature.magic.startswith(head):
            raise TruncatedRecordingError(
                str(path), got=f"a file that ends at byte {len(head)}, inside its first line",
                expected=f"a recording in the format {name}", todo="copy or record it again",
            )  # fmt: skip
    raw_header = prophesee.parse_header(head)
    if suffix == ".raw" and raw_header.data_offset:
        raise _unknown_raw(path, raw_header)
    if of_suffix:
        magic = of_suffix[0][1].magic
        raise UnknownFormatError(
            str(path), got=f"a file that begins with {_excerpt(head)}",
            expected=f"{suffix} content, which " + (f"begins with {_excerpt(magic)}" if magic else "this is not"),
            todo="check what the file is, or name its format with --format",
        )  # fmt: skip
    raise UnknownFormatError(
        str(path), got=f"a file that begins with {_excerpt(head)}", expected=f"one of {', '.join(FORMATS)}",
        todo="name its format with --format if it is one of these",
    )  # fmt: skip


def _refuse_other_kinds(path: Path, head: bytes) -> None:
    """Raise for files of other kinds that people open as recordings.

    Raises:
        UnknownFormatError: it is one.
    """
    is_tar = head.startswith(_TAR, _TAR_OFFSET)
    if is_tar or head.startswith(_ARCHIVE_MAGICS):
        archive = "a tar" if is_tar else next(name for magic, name in _ARCHIVES.items() if head.startswith(magic))
        raise UnknownFormatError(
            str(path), got=f"{archive} archive", expected="a recording, alone or in a .zip", todo="unpack it"
        )
    if _WEB_PAGE.match(head):
        raise UnknownFormatError(
            str(path), got="a web page, as downloads are that need a login", expected="a recording",
            todo="download the recording itself",
        )  # fmt: skip
    if head.startswith(_OTHER_MAGICS):
        kind = next(kind for magic, kind in _OTHER_KINDS.items() if head.startswith(magic))
        raise UnknownFormatError(
            str(path), got=f"{kind}, which begins with {_excerpt(head)}", expected=f"one of {', '.join(FORMATS)}",
            todo="convert it to one of these with the software that wrote it",
        )  # fmt: skip


def require_uncontradicted(path: Path, head: bytes, name: str) -> str:
    """Return the name of the format that the caller chose.

    Raises:
        RecordingError: the file begins with the magic of another one.
    """
    if not head.startswith(FORMATS.order.magics):
        return name
    if any(known.magic and head.startswith(known.magic) for known in FORMATS[name].signatures):
        return name
    for other, known in FORMATS.order.with_magic:
        if len(known.magic) >= _SURE_MAGIC_BYTES and head.startswith(known.magic) and known.takes(path):
            raise RecordingError(
                str(path), got=f"a file in the format {other}, to be read as {name}", expected=f"the format {name}",
                todo="leave --format (format=) out",
            )  # fmt: skip
    return name


def _unknown_raw(path: Path, header: prophesee.TextHeader) -> UnknownFormatError:
    stated = f"EVT {header.evt}" if header.evt else header.values.get("format", "").partition(";")[0]
    return UnknownFormatError(
        str(path), got=f"a RAW file of {stated or 'EVT without a version'}", expected="EVT 2.0, 2.1 or 3.0",
        todo="convert it to one of these with Prophesee's tools" if stated
        else "name its format with --format evt2, evt21 or evt3 if it is one of these",
    )  # fmt: skip


def _excerpt(data: bytes) -> str:
    return repr(data[:16])[1:]


def _is_text(head: bytes) -> bool:
    """True for two lines of at least four numbers each, after at most one other line."""
    return _TEXT.match(head) is not None
