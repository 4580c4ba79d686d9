"""AEDAT 2.0, as jAER writes it: `#` header lines, then records of a big-endian u32 address and u32 microseconds.

AEDAT 1.0, of older logs, differs in its first line and in addresses of 16 bits, those of a DVS128.

| chip | x | y | p | upright picture | left out |
|---|---|---|---|---|---|
| DVS128 | bits 1-7 | bits 8-14 | bit 0 clear | (127-x, 127-y) | bit 15: special events, or the second eye |
| DAVIS | bits 12-21 | bits 22-30 | bit 11 set | (W-1-x, H-1-y) | bit 31: APS and IMU words; bit 10: external events |

The sources of the layout are jAER's chip classes (`DVS128`, `DavisBaseCamera`) and its documentation of AEDAT 2.0.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.errors import UnknownFormatError
from stdl_events.events.decoder import Decoder, Header, Records, RecordsDecoder, corrupt, read_records
from stdl_events.events.formats.clock import UnwrappedClock
from stdl_events.events.formats.format import Format, Signature
from stdl_events.events.formats.pieces import Pieces, follow_records
from stdl_events.events.stream import EVENT_DTYPE, EventArray

MAGIC = b"#!AER-DAT2.0"
MAGIC_1 = b"#!AER-DAT1.0"
RECORD_DTYPE = np.dtype([("address", ">u4"), ("t", ">u4")])
RECORD_DTYPE_1 = np.dtype([("address", ">u2"), ("t", ">u4")])
DVS128_SIZE = (128, 128)
DAVIS_SIZES = {"240": (240, 180), "346": (346, 260), "640": (640, 480)}
# Sensor size -> chip.
CHIPS = {DVS128_SIZE: "DVS128", **{size: f"DAVIS{name}" for name, size in DAVIS_SIZES.items()}}
_NO_DAVIS_EVENT = 0x8000_0400
_MOST_OFF = 0.01  # of the first addresses; real files have some outside the chip
_MAX_HEADER_BYTES = 1 << 22
# A header line has no control characters; a first binary record that happens to begin with "#" has.
_HEADER_LINE = re.compile(rb"#[^\x00-\x08\x0a-\x0c\x0e-\x1f]*\n")
_CHIP = re.compile(rb"^#\s*AEChip:\s*(\S+)", re.MULTILINE)


def open_aedat2(path: Path) -> RecordsDecoder:
    """Read the header of an AEDAT 2.0 file.

    The header's `AEChip` line names the chip. Without that line it is the smallest one that holds the first addresses:
    a DVS128, unless most of them need more than 16 bits.

    Raises:
        CorruptRecordingError: the file does not begin with the format's first line.
        UnknownFormatError: the address layout of the named chip is not supported.
    """
    data_offset, named = _read_header(path, MAGIC, "AEDAT 2.0")
    if named:
        sensor_size, is_davis = _chip_layout(path, named.group(1).decode("latin-1"))
    else:
        sensor_size = _size_by_addresses(path, data_offset)
        is_davis = sensor_size != DVS128_SIZE
    header = Header(sensor_size, "header" if named else "format")
    make_decode = _make_decoder(_decode_davis if is_davis else _decode_dvs128, sensor_size)
    return RecordsDecoder(path, header, RECORD_DTYPE, data_offset, make_decode)


def open_aedat1(path: Path) -> RecordsDecoder:
    """Read the header of an AEDAT 1.0 file, which is of a DVS128.

    Raises:
        CorruptRecordingError: the file does not begin with the format's first line.
        UnknownFormatError: the header names another chip.
    """
    data_offset, named = _read_header(path, MAGIC_1, "AEDAT 1.0")
    if named and _chip_layout(path, named.group(1).decode("latin-1"))[1]:
        raise UnknownFormatError(
            str(path), got="AEDAT 1.0, which has addresses of 16 bits, of a DAVIS", expected="a DVS128",
            todo="convert it with jAER to AEDAT 4 or text",
        )  # fmt: skip
    header = Header(DVS128_SIZE, "header" if named else "format")
    return RecordsDecoder(path, header, RECORD_DTYPE_1, data_offset, _make_decoder(_decode_dvs128, DVS128_SIZE))


def _read_header(path: Path, magic: bytes, version: str) -> tuple[int, re.Match[bytes] | None]:
    """Return the offset of the data, and the match of the line that names the chip."""
    with path.open("rb") as file:
        head = file.read(_MAX_HEADER_BYTES)
    if not head.startswith(magic):
        raise corrupt(path, 0, f"{head[:12]!r}", f"the first line of {version}, {magic.decode()}")
    data_offset = _header_length(head)
    return data_offset, _CHIP.search(head[:data_offset])


def _make_decoder(
    decode_addresses: Callable[[npt.NDArray[np.uint32], npt.NDArray[np.int64], tuple[int, int]], EventArray],
    sensor_size: tuple[int, int],
) -> Callable[[], Callable[[Records], EventArray]]:
    """Return the `make_decode` of a `RecordsDecoder`."""

    def make_decode() -> Callable[[Records], EventArray]:
        clock = UnwrappedClock()

        def decode(records: Records) -> EventArray:
            return decode_addresses(records["address"].astype(np.uint32), clock.unwrap(records["t"]), sensor_size)

        return decode

    return make_decode


def decoder_of_chip(sensor_size: tuple[int, int]) -> Callable[[Records], EventArray]:
    """Return the decoder of a stream of records of the chip with this size, one of `CHIPS`."""
    return _make_decoder(_decode_dvs128 if sensor_size == DVS128_SIZE else _decode_davis, sensor_size)()


def _header_length(head: bytes) -> int:
    offset = 0
    while line := _HEADER_LINE.match(head, offset):
        offset = line.end()
        if line.group().strip() == b"#End Of ASCII Header":
            break
    return offset


def _chip_layout(path: Path, chip: str) -> tuple[tuple[int, int], bool]:
    """Return ((width, height), True for the addresses of a DAVIS) of the chip class in the header."""
    class_name = chip.rsplit(".", 1)[-1]
    if re.fullmatch(r"DVS128\w*|Tmpdiff128\w*", class_name):
        return DVS128_SIZE, False
    davis = re.fullmatch(r"(?i:davis)(240|346|640)\w*", class_name)
    if davis:
        return DAVIS_SIZES[davis.group(1)], True
    raise UnknownFormatError(
        str(path),
        got=f"AEDAT 2.0 of the chip {chip}",
        expected="DVS128, DAVIS240, DAVIS346 or DAVIS640",
        todo="convert it with jAER to AEDAT 4 or text",
    )


def _size_by_addresses(path: Path, data_offset: int) -> tuple[int, int]:
    for records, _ in read_records(path, data_offset, RECORD_DTYPE):
        address = records["address"]
        if np.count_nonzero(address > 0xFFFF) * 2 <= len(records):
            break
        address = address[address & _NO_DAVIS_EVENT == 0]
        x, y = address >> 12 & 1023, address >> 22 & 511
        for width, height in DAVIS_SIZES.values():
            if np.count_nonzero((x >= width) | (y >= height)) <= _MOST_OFF * len(address):
                return width, height
        return DAVIS_SIZES["240"]
    return DVS128_SIZE


def _decode_dvs128(
    address: npt.NDArray[np.uint32], t_us: npt.NDArray[np.int64], sensor_size: tuple[int, int]
) -> EventArray:
    is_event = address & 0x8000 == 0
    if not is_event.all():
        address, t_us = address[is_event], t_us[is_event]
    width, height = sensor_size
    events = np.empty(len(address), EVENT_DTYPE)
    events["t"] = t_us
    events["x"] = width - 1 - (address >> 1 & 127)
    events["y"] = height - 1 - (address >> 8 & 127)
    events["p"] = address & 1 == 0
    return events


def _decode_davis(
    address: npt.NDArray[np.uint32], t_us: npt.NDArray[np.int64], sensor_size: tuple[int, int]
) -> EventArray:
    is_event = address & _NO_DAVIS_EVENT == 0
    address, t_us = address[is_event], t_us[is_event]
    width, height = sensor_size
    events = np.empty(len(address), EVENT_DTYPE)
    events["t"] = t_us
    # Addresses outside the chip underflow to large numbers, which the range check of `Recording` reports.
    events["x"] = np.uint32(width - 1) - (address >> 12 & 1023)
    events["y"] = np.uint32(height - 1) - (address >> 22 & 511)
    events["p"] = address >> 11 & 1 == 1
    return events


def _follow(decoder: Decoder, stream: int | None) -> Pieces:
    return follow_records(decoder, least_bytes=RECORD_DTYPE.itemsize, header_mark=b"#")


FORMAT = Format("AEDAT 2.0, as jAER writes it", open_aedat2, (".aedat", ".aedat2"), (Signature(MAGIC),), follow=_follow)
FORMAT_1 = Format("AEDAT 1.0, of older jAER logs", open_aedat1, (".aedat",), (Signature(MAGIC_1),), follow=_follow)
