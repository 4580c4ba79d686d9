"""Slow decoders, one record or word at a time, from the formats' descriptions; (t, x, y, p) in file order."""

import struct

Events = list[tuple[int, int, int, bool]]


def evt2(words: list[int]) -> Events:
    found: Events = []
    high, wraps = None, 0
    for word in words:
        kind = word >> 28
        if kind == 8:
            new = word & 0xFFFFFFF
            if high is not None and new < high - 3 * 2**26:
                wraps += 1
            if high is not None and wraps and new > high + 2**27:
                wraps -= 1
            high = new
        elif kind in (0, 1) and high is not None:
            t = (wraps * 2**28 + high) * 64 + (word >> 22) % 64
            found.append((t, (word >> 11) % 2048, word % 2048, kind == 1))
    return found


def evt21(words: list[int]) -> Events:
    """Words of 64 bits."""
    found: Events = []
    high, wraps = None, 0
    for word in words:
        kind = word >> 60
        if kind == 8:
            new = (word >> 32) % 2**28
            if high is not None and new < high - 3 * 2**26:
                wraps += 1
            if high is not None and wraps and new > high + 2**27:
                wraps -= 1
            high = new
        elif kind in (0, 1) and high is not None:
            t = (wraps * 2**28 + high) * 64 + (word >> 54) % 64
            for bit in range(32):
                if word >> bit & 1:
                    found.append((t, (word >> 43) % 2048 + bit, (word >> 32) % 2048, kind == 1))
    return found


def evt3(words: list[int]) -> Events:
    found: Events = []
    raw_high, wraps, low = None, 0, 0
    high = row = base = None
    base_is_on = False
    for word in words:
        kind, value = word >> 12, word & 0xFFF
        if kind == 8:
            if raw_high is not None and value < raw_high - 2048:
                wraps += 1
            if raw_high is not None and wraps and value > raw_high + 2048:
                wraps -= 1
            raw_high = value
            if high != wraps * 4096 + value:
                high, low = wraps * 4096 + value, 0
        elif kind == 6 and high is not None:
            low = value
        elif kind == 0:
            row = value % 2048
        elif kind == 3:
            base, base_is_on = value % 2048, value >= 2048
        elif kind == 2:
            if high is not None and row is not None:
                found.append((high * 4096 + low, value % 2048, row, value >= 2048))
        elif kind in (4, 5) and base is not None:
            width = 12 if kind == 4 else 8
            if high is not None and row is not None:
                for bit in range(width):
                    if value >> bit & 1:
                        found.append((high * 4096 + low, base + bit, row, base_is_on))
            base += width
    return found


def es(data: bytes) -> Events:
    """Rows as stored, bottom up."""
    found: Events = []
    is_atis = data[15] == 2
    position, t = 20, 0
    while position < len(data):
        first = data[position]
        if first >= (252 if is_atis else 254):
            t += 63 * (first - 252) if is_atis else 127 * (first - 254)
            position += 1
            continue
        if position + 5 > len(data):
            break
        t += first >> 2 if is_atis else first >> 1
        x, y = struct.unpack_from("<HH", data, position + 1)
        if not is_atis:
            found.append((t, x, y, first % 2 == 1))
        elif first % 2 == 0:
            found.append((t, x, y, first & 2 == 2))
        position += 5
    return found


def dat(data: bytes, version: int) -> Events:
    """Records without a header."""
    found: Events = []
    for t, word in struct.iter_unpack("<II", data):
        if version == 2:
            found.append((t, word % 2**14, (word >> 14) % 2**14, bool(word >> 28 & 1)))
        else:
            found.append((t, word % 512, (word >> 9) % 256, bool(word >> 17 & 1)))
    return found
