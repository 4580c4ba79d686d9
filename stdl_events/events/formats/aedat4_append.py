"""Writing AEDAT 4 packet by packet: the file is whole after each, so that a crash or a full disk loses little.

The header declares one stream of events and no table of packets, as in the files of a recorder that was not closed; our
reader and dv-processing walk its packets. Sources as for `aedat4`, and the alignment of size-prefixed FlatBuffers.
"""

import struct
from pathlib import Path

import numpy as np

from stdl_events.errors import RecordingError
from stdl_events.events.formats.aedat4 import STORED_DTYPE, compress_lz4
from stdl_events.events.formats.aedat4_layout import MAGIC, PACKET_HEADER
from stdl_events.events.formats.format import require_sides
from stdl_events.events.stream import EventArray
from stdl_events.growing_file import GrowingFile

MAX_PIXELS = 32768
_LZ4 = 1
_STREAM = 0
_PACKET_EVENTS = 1 << 18
# Of a table behind its vtable, each value at a multiple of its size, the size prefix included.
_HEADER = struct.Struct("<I4sHHHHH10xiiqII")
_EVENTS = struct.Struct("<I4sHHH2xiII")
_SIZE = struct.Struct("<I")


class Aedat4Appender:
    """A new AEDAT 4 file.

    Attributes:
        events: number of events in the file.

    Raises:
        RecordingError: the file exists, cannot be made, or the sensor is larger than the format can store.
    """

    def __init__(self, path: Path, sensor_size: tuple[int, int]) -> None:
        require_sides(path, sensor_size, MAX_PIXELS)
        self.events = 0
        self._file = GrowingFile(path, room_for="events", error=RecordingError)
        self._file.write(MAGIC + _header(sensor_size))

    def append(self, events: EventArray) -> None:
        """Write `events`, in order, behind the others.

        Raises:
            OSError: they cannot be written; the file holds the packets before.
        """
        for start in range(0, len(events), _PACKET_EVENTS):
            part = events[start : start + _PACKET_EVENTS]
            data = compress_lz4(_packet(part))
            self._file.write(PACKET_HEADER.pack(_STREAM, len(data)) + data)
            self.events += len(part)

    def close(self) -> None:
        self._file.close()


def _header(sensor_size: tuple[int, int]) -> bytes:
    width, height = sensor_size
    place = "/mainloop/Recorder/outInfo/"
    stream = {
        "compression": "LZ4", "originalModuleName": "stdl-events", "originalOutputName": "events",
        "typeDescription": "Array of events (polarity ON/OFF).", "typeIdentifier": "EVTS",
    }  # fmt: skip
    attributes = "".join(f'<attr key="{key}" type="string">{value}</attr>' for key, value in stream.items())
    info = (
        f'<attr key="sizeX" type="int">{width}</attr><attr key="sizeY" type="int">{height}</attr>'
        '<attr key="source" type="string">stdl-events</attr>'
    )
    xml = (
        f'<dv version="2.0"><node name="outInfo" path="{place}"><node name="{_STREAM}" path="{place}{_STREAM}/">'
        f'{attributes}<node name="info" path="{place}{_STREAM}/info/">{info}</node></node></node></dv>'
    ).encode()
    # Root table at byte 28 and its vtable at 8; compression, position of the table of packets, the string behind it.
    body = _HEADER.pack(28, b"IOHE", 10, 20, 4, 8, 16, 20, _LZ4, -1, 4, len(xml)) + xml
    body += bytes(4 - len(body) % 4)
    return _SIZE.pack(len(body)) + body


def _packet(events: EventArray) -> bytes:
    stored = np.zeros(len(events), STORED_DTYPE)
    for name in ("t", "x", "y", "p"):
        stored[name] = events[name]
    # Root table at byte 16 and its vtable at 8; its field is the offset of the vector behind it.
    body = _EVENTS.pack(16, b"EVTS", 6, 8, 4, 8, 4, len(events)) + stored.tobytes()
    return _SIZE.pack(len(body)) + body
