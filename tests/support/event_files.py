"""Small files of every format, written literally from the formats' descriptions, one event at a time.

Nothing here uses the library: the events that its readers decode are compared with the arguments of these functions.
"""

import base64
import io
import json
import struct
import zlib
from collections.abc import Sequence

import h5py
import lz4.frame
import numpy as np
import zstandard

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
JAER_HEADER = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n"


def make_events(count: int, width: int, height: int, *, seed: int = 0, t0_us: int = 1000, step_us: int = 50):
    """`count` events in order of time, spread over the whole sensor."""
    random = np.random.default_rng(seed)
    events = np.zeros(count, EVENT_DTYPE)
    events["t"] = t0_us + np.cumsum(random.integers(0, step_us, count))
    events["x"] = random.integers(0, width, count)
    events["y"] = random.integers(0, height, count)
    events["p"] = random.integers(0, 2, count)
    if count >= 2:
        events["x"][:2], events["y"][:2] = (0, width - 1), (0, height - 1)
    return events


def aedat2_dvs128(events, *, chip: bool = True) -> bytes:
    data = JAER_HEADER
    if chip:
        data += b"# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"
    for t, x, y, p in events.tolist():
        address = (127 - x) << 1 | (127 - y) << 8 | (0 if p else 1)
        data += struct.pack(">II", address, t % 2**32)
    return data


def aedat1(events) -> bytes:
    data = b"#!AER-DAT1.0\r\n# This is a raw AE data file - do not edit\r\n"
    for t, x, y, p in events.tolist():
        data += struct.pack(">HI", (127 - x) << 1 | (127 - y) << 8 | (0 if p else 1), t % 2**32)
    return data


def aedat2_davis(events, *, width: int = 240, height: int = 180, chip: bool = True, other_words: bool = True) -> bytes:
    data = JAER_HEADER
    if chip:
        data += b"# AEChip: eu.seebetter.ini.chips.davis.DAVIS%dC\r\n" % width
    for index, (t, x, y, p) in enumerate(events.tolist()):
        if other_words and index % 3 == 0:
            data += struct.pack(">II", 1 << 31 | index, t % 2**32)
        if other_words and index % 5 == 0:
            data += struct.pack(">II", 1 << 10 | 7 << 12 | 9 << 22, t % 2**32)
        address = (width - 1 - x) << 12 | (height - 1 - y) << 22 | p << 11
        data += struct.pack(">II", address, t % 2**32)
    return data


def atis_bin(events) -> bytes:
    data = b""
    for t, x, y, p in events.tolist():
        data += bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])
    return data


def npy_structured(events) -> bytes:
    file = io.BytesIO()
    np.save(file, events)
    return file.getvalue()


def npy_table(events, *, order: str = "txyp", fortran: bool = False) -> bytes:
    table = np.stack([events[name].astype(np.int64) for name in order], axis=1)
    file = io.BytesIO()
    np.save(file, np.asfortranarray(table) if fortran else table)
    return file.getvalue()


def npz_arrays(events, *, compressed: bool = True) -> bytes:
    file = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(file, t=events["t"], x=events["x"], y=events["y"], p=events["p"].astype(np.int64))
    return file.getvalue()


def _compress(data: bytes, compression: str) -> bytes:
    if compression == "lz4":
        return lz4.frame.compress(data)
    return zstandard.ZstdCompressor().compress(data) if compression == "zstd" else data


def aedat4_packet(events, *, identifier: bytes = b"EVTS") -> bytes:
    """One packet's buffer: size, root offset, identifier, vtable at 8, table at 16, vector at 28, events at 32."""
    structs = b"".join(struct.pack("<qhhB3x", t, x, y, p) for t, x, y, p in events.tolist())
    body = struct.pack("<I4sHHHHiIII", 16, identifier, 6, 8, 4, 0, 8, 8, 0, len(events)) + structs
    return struct.pack("<I", len(body)) + body


def _flat_table(layout: str, values: Sequence[float], start: int) -> tuple[int, bytes]:
    """(position of the table, bytes) of a vtable at `start` and the table behind it, all fields aligned."""
    table = -(-(start + 4 + 2 * len(layout)) // 8) * 8
    body, places = struct.pack("<i", table - start), []
    for kind, value in zip(layout, values, strict=True):
        body += bytes(-len(body) % struct.calcsize(kind))
        places.append(len(body))
        body += struct.pack(f"<{kind}", value)
    vtable = struct.pack(f"<{2 + len(places)}H", 4 + 2 * len(places), len(body), *places)
    return table, vtable.ljust(table - start, b"\0") + body


def _flat_buffer(identifier: bytes, layout: str, values: Sequence[float]) -> bytes:
    """A buffer up to the end of its root table, whose last field is the offset of a vector that follows there."""
    table, data = _flat_table(f"{layout}I", [*values, 4], 12)
    return struct.pack("<I4s", table - 4, identifier) + data


def _with_size(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def aedat4_picture(times: Sequence[int], code: int, pixels: np.ndarray, *, offset: tuple[int, int] = (0, 0)) -> bytes:
    """The packet of a picture: five times, OpenCV's code of its type, and [H, W] or [H, W, channels] in file order."""
    height, width = pixels.shape[:2]
    head = _flat_buffer(b"FRME", "qqqqqbhhhh", [*times, code, width, height, *offset])
    return _with_size(head + struct.pack("<I", pixels.nbytes) + pixels.tobytes())


def aedat4_rows(identifier: bytes, layout: str, rows: Sequence[Sequence[float]]) -> bytes:
    """A packet of IMU samples ("q" and ten "f") or triggers ("qb"): a vector of offsets, and the tables behind it."""
    head = _flat_buffer(identifier, "", [])
    first = 4 + len(head) + 4
    offsets, tables = b"", b""
    for index, row in enumerate(rows):
        start = first + 4 * len(rows) + len(tables)
        position, table = _flat_table(layout, row, start)
        offsets += struct.pack("<I", position - (first + 4 * index))
        tables += table + bytes(-len(table) % 4)
    return _with_size(head + struct.pack("<I", len(rows)) + offsets + tables)


def aedat4(
    streams: Sequence[tuple[int, int, int, Sequence[np.ndarray | bytes]]],
    *,
    compression: str = "lz4",
    table: bool = True,
    identifiers: Sequence[str] | None = None,
) -> bytes:
    """A file of `streams`, each (id, width, height, packets), where a packet is events, or the bytes of its buffer.

    `identifiers` are the streams' types.
    """
    nodes = ""
    for index, (stream_id, width, height, _) in enumerate(streams):
        identifier = identifiers[index] if identifiers else "EVTS"
        nodes += (
            f'<node name="{stream_id}"><attr key="compression" type="string">{compression.upper()}</attr>'
            f'<attr key="typeIdentifier" type="string">{identifier}</attr><node name="info">'
            f'<attr key="sizeX" type="int">{width}</attr><attr key="sizeY" type="int">{height}</attr></node></node>'
        )
    xml = f'<dv version="2.0"><node name="outInfo" path="/outInfo/">{nodes}</node></dv>'.encode()
    packets = b""
    for position in range(max((len(parts) for *_, parts in streams), default=0)):
        for index, (stream_id, _, _, parts) in enumerate(streams):
            if position < len(parts):
                identifier = identifiers[index].encode() if identifiers else b"EVTS"
                part = parts[position]
                packet = part if isinstance(part, bytes) else aedat4_packet(part, identifier=identifier)
                data = _compress(packet, compression)
                packets += struct.pack("<iI", stream_id, len(data)) + data
    code = {"none": 0, "lz4": 1, "zstd": 3}[compression]
    header_bytes = 4 + 48 + len(xml) + 1
    table_offset = 14 + header_bytes + len(packets) if table else -1
    head = struct.pack("<I4sHHHHH6x", 24, b"IOHE", 10, 20, 4, 8, 16)
    head += struct.pack("<iiqII", 16, code, table_offset, 4, len(xml)) + xml + b"\0"
    assert len(head) + 4 == header_bytes
    table_bytes = _compress(b"a table of packets, which nobody reads", compression) if table else b""
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(head)) + head + packets + table_bytes


def stdl_hdf5(events, folder) -> bytes:
    from stdl_events.events import write_recording

    size = (int(events["x"].max()) + 1, int(events["y"].max()) + 1) if len(events) else (1, 1)
    write_recording(folder / "built.h5", events, size)
    return (folder / "built.h5").read_bytes()


def aedat3(events, *, packet_events: int = 64, overflow_from_us: int | None = None, source: str = "DVS128") -> bytes:
    """Polarity packets, each followed by an IMU packet; from `overflow_from_us` on, times have an overflow."""
    data = f"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: {source}\r\n#Start-Time: 2017\r\n#!END-HEADER\r\n".encode()
    for start in range(0, len(events), packet_events):
        part = events[start : start + packet_events].tolist()
        overflows = [int(overflow_from_us is not None and t >= overflow_from_us) for t, *_ in part]
        for overflow in sorted(set(overflows)):
            group = [event for event, its in zip(part, overflows, strict=True) if its == overflow]
            invalid = [(group[0][0], 1, 1, 1)]
            data += struct.pack("<hhiiiiii", 1, 1, 8, 4, overflow, len(group) + 1, len(group) + 1, len(group))
            for valid, (t, x, y, p) in [(0, invalid[0]), *((1, event) for event in group)]:
                data += struct.pack("<Ii", valid | p << 1 | y << 2 | x << 17, t - (overflow << 31))
        data += struct.pack("<hhiiiiii", 3, 1, 36, 4, 0, 2, 2, 2) + bytes(72)
    return data


def evt2(events, *, width: int = 640, height: int = 480) -> bytes:
    words = []
    high = None
    for index, (t, x, y, p) in enumerate(events.tolist()):
        if t >> 6 != high or index % 7 == 0:
            high = t >> 6
            words.append(8 << 28 | high & 0xFFFFFFF)
        if index % 5 == 0:
            words.append(10 << 28 | 1)  # a trigger
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    return f"% evt 2.0\n% geometry {width}x{height}\n% end\n".encode() + struct.pack(f"<{len(words)}I", *words)


def evt21(events, *, width: int = 640, height: int = 480, order: str | None = "little") -> bytes:
    """Events of equal time, row and polarity that follow each other to the right are one word of up to 32 pixels."""
    words = []
    high, last = None, None
    for index, (t, x, y, p) in enumerate(events.tolist()):
        if t >> 6 != high or index % 7 == 0:
            high, last = t >> 6, None
            words.append((8 << 28 | high & 0xFFFFFFF) << 32)
        if index % 5 == 0:
            words.append((10 << 28 | 1) << 32 | 0xFFFFFFFF)  # a trigger
            last = None
        if last is not None and last[:3] == (t, y, p):
            step = x - last[3]
            if 0 <= step < 32 and (words[-1] & 0xFFFFFFFF) >> step == 0:  # to the right of all before
                words[-1] |= 1 << step
                continue
        base = x - index % (1 + min(x, 31))
        last = t, y, p, base
        words.append((p << 28 | (t & 63) << 22 | base << 11 | y) << 32 | 1 << x - base)
    said = "" if order is None else f"% format EVT21;endianness={order};height={height};width={width}\n"
    data = b"".join(struct.pack("<II", word >> 32, word & 0xFFFFFFFF) for word in words)
    if order != "legacy":
        data = struct.pack(f"<{len(words)}Q", *words)
    return f"% evt 2.1\n{said}% geometry {width}x{height}\n% end\n".encode() + data


def evt3(events, *, width: int = 640, height: int = 480) -> bytes:
    """Every event as a single one or, every third, as a vector of its own."""
    words = []
    high = None
    for index, (t, x, y, p) in enumerate(events.tolist()):
        if t >> 12 != high:
            high = t >> 12
            words.append(8 << 12 | high & 0xFFF)
        words.append(6 << 12 | t & 0xFFF)
        words.append(y)
        if index % 3:
            words.append(2 << 12 | p << 11 | x)
        else:
            bit = min(index % 12, x)
            words += [3 << 12 | p << 11 | x - bit, 4 << 12 | 1 << bit]
    return f"% evt 3.0\n% format EVT3;height={height};width={width}\n".encode() + struct.pack(f"<{len(words)}H", *words)


def dat(events, *, version: int | None = 2, width: int | None = 640) -> bytes:
    """Version 1 or 2 with a header; None: version 1 without any."""
    data = b""
    if version is not None:
        data = b"% Data file containing CD events.\n% Version " + str(version).encode() + b"\n"
        data += b"% Width 640\n% Height 480\n" if width else b""
        data += b"\x0c\x08"
    for t, x, y, p in events.tolist():
        word = x | y << 14 | p << 28 if version == 2 else x | y << 9 | p << 17
        data += struct.pack("<II", t % 2**32, word)
    return data


def es_dvs(events, *, width: int, height: int) -> bytes:
    data = b"Event Stream\x02\x00\x00\x01" + struct.pack("<HH", width, height)
    now = 0
    for t, x, y, p in events.tolist():
        overflows, rest = divmod(t - now, 127)
        data += b"\xff" * overflows + b"\xfe" * (x % 2) + bytes([rest << 1 | p]) + struct.pack("<HH", x, height - 1 - y)
        now = t
    return data


def es_atis(events, *, width: int, height: int) -> bytes:
    """With an exposure measurement after every third event."""
    data = b"Event Stream\x02\x00\x00\x02" + struct.pack("<HH", width, height)
    now = 0
    for index, (t, x, y, p) in enumerate(events.tolist()):
        counts, rest = divmod(t - now, 63)
        data += b"\xff" * (counts // 3) + (bytes([252 + counts % 3]) if counts % 3 else b"")
        data += bytes([rest << 2 | p << 1]) + struct.pack("<HH", x, height - 1 - y)
        now = t
        if index % 3 == 0:
            data += bytes([1]) + struct.pack("<HH", 5, 5)
    return data


def _mcap_record(opcode: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack("<BQ", opcode, len(content)) + content


def mcap(
    events, *, width: int = 30, height: int = 30, compression: str = "lz4", schema: str = "stdl_events.Events"
) -> bytes:
    """Events in JSON: some in a message of their own, the others in two of a chunk, which another topic precedes."""

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value)) + value.encode()

    def message(channel: int, part) -> bytes:
        packed = base64.b64encode(b"".join(struct.pack("<qHHB", t, x, y, p) for t, x, y, p in part.tolist())).decode()
        content = {"width": width, "height": height, "count": len(part), "events": packed}
        return _mcap_record(5, struct.pack("<HIQQ", channel, 0, 0, 0), json.dumps(content).encode())

    first, *others = np.array_split(events, 3)
    declared = b""
    for number, name in ((1, "other.Picture"), (2, schema)):
        declared += _mcap_record(3, struct.pack("<H", number), text(name), text("jsonschema"), text("{}"))
        declared += _mcap_record(4, struct.pack("<HH", number, number), text(f"/{name}"), text("json"), bytes(4))
    inner = message(1, events[:2]) + b"".join(message(2, part) for part in others)
    packed = _compress(inner, compression)
    chunk = struct.pack("<QQQI", 0, 0, len(inner), zlib.crc32(inner))
    chunk += text("" if compression == "none" else compression) + struct.pack("<Q", len(packed)) + packed
    magic = b"\x89MCAP0\r\n"
    return b"".join(
        [
            magic, _mcap_record(1, text(""), text("test")), declared, message(2, first), _mcap_record(6, chunk),
            _mcap_record(15, bytes(4)), _mcap_record(2, bytes(20)), magic,
        ]
    )  # fmt: skip


def text(events, *, order: str = "txyp", separator: str = " ", header: str = "", seconds: bool = False) -> bytes:
    lines = [header] if header else []
    for t, x, y, p in events.tolist():
        value = {"t": f"{t / 1e6:.6f}" if seconds else str(t), "x": str(x), "y": str(y), "p": str(int(p))}
        lines.append(separator.join(value[name] for name in order))
    return ("\n".join(lines) + "\n").encode()


def hdf5_columns(events, folder) -> bytes:
    with h5py.File(folder / "columns.h5", "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", data=events[name], compression="gzip", chunks=(64,))
    return (folder / "columns.h5").read_bytes()


def hdf5_records(events, folder) -> bytes:
    with h5py.File(folder / "records.h5", "w") as file:
        file["CD/events"] = events
    return (folder / "records.h5").read_bytes()
