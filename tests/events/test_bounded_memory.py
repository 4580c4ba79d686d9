"""Reading a long recording in chunks holds only a small part of it in memory."""

import struct
import tracemalloc
from pathlib import Path

import event_files
import numpy as np
import pytest

from stdl_events.compiled import Loading
from stdl_events.events import RecordingWarning, open_recording, write_recording
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.filtered import filtered

EVENTS = 1_500_000
# All events take 19.5 MB; a decoded block of any reader with its temporaries takes a few MB.
PEAK_BYTES = 8 << 20


def long_events() -> np.ndarray:
    events = np.zeros(EVENTS, event_files.EVENT_DTYPE)
    events["t"] = 3 * np.arange(EVENTS)
    events["x"], events["y"], events["p"] = np.arange(EVENTS) % 128, np.arange(EVENTS) // 7 % 128, np.arange(EVENTS) % 2
    return events


def aedat2(events: np.ndarray) -> bytes:
    records = np.zeros(len(events), [("address", ">u4"), ("t", ">u4")])
    records["address"] = (127 - events["x"].astype(int)) << 1 | (127 - events["y"].astype(int)) << 8 | ~events["p"]
    records["t"] = events["t"]
    return event_files.JAER_HEADER + records.tobytes()


def aedat4(events: np.ndarray) -> bytes:
    parts = np.array_split(np.arange(len(events)), 300)
    data = event_files.aedat4([(0, 128, 128, [])], table=False)
    for part in parts:
        stored = np.zeros(len(part), {"names": list("txyp"), "formats": ["i8", "i2", "i2", "u1"], "itemsize": 16})
        for name in "txyp":
            stored[name] = events[part][name]
        empty = event_files.aedat4_packet(events[:0])[4:-4]
        body = empty + struct.pack("<I", len(part)) + stored.tobytes()
        packet = event_files._compress(struct.pack("<I", len(body)) + body, "lz4")
        data += struct.pack("<iI", 0, len(packet)) + packet
    return data


def evt2(events: np.ndarray) -> bytes:
    words = np.zeros((len(events), 2), "<u4")
    words[:, 0] = 8 << 28 | events["t"] >> 6
    words[:, 1] = (
        events["p"].astype("u4") << 28 | (events["t"] & 63) << 22 | events["x"].astype("u4") << 11 | events["y"]
    )
    return b"% evt 2.0\n% geometry 128x128\n" + words.tobytes()


def write_as(name: str, folder: Path) -> Path:
    events, path = long_events(), folder / name
    if name == "a.h5":
        write_recording(path, events, (128, 128))
    elif name == "a.npy":
        np.save(path, events)
    elif name == "a.npz":
        np.savez_compressed(path, **{field: events[field] for field in "txyp"})
    else:
        path.write_bytes({"a.aedat": aedat2, "a.aedat4": aedat4, "a.raw": evt2}[name](events))
    return path


def read_in_chunks(path: Path, filters: FilterSpec | None = None) -> tuple[int, int]:
    """Return (peak bytes, number of events) of a pass in chunks."""
    tracemalloc.start()
    try:
        count = sum(len(chunk) for chunk in filtered(open_recording(path), filters or FilterSpec()).chunks())
        return tracemalloc.get_traced_memory()[1], count
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.aedat", "a.aedat4", "a.raw", "a.npy", "a.npz", "a.h5"])
def test_chunks_take_little_memory(tmp_path: Path, name: str) -> None:
    peak_bytes, count = read_in_chunks(write_as(name, tmp_path))
    assert count == EVENTS
    assert peak_bytes < PEAK_BYTES


def test_compiled_loops_take_little_memory(write, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed: it compiles loops that decode")
    monkeypatch.setattr(Loading, "pays", lambda loading, file_bytes: True)
    lines = "".join(f"{t},{x},{y},{p:d}\n" for t, x, y, p in long_events()[: EVENTS // 2].tolist())
    path = write("a.csv", b"t,x,y,p\n" + lines.encode())
    read_in_chunks(path)  # what numba keeps
    peak_bytes, count = read_in_chunks(path)
    assert count == EVENTS // 2
    assert peak_bytes < PEAK_BYTES * 3 // 4


def test_filters_take_little_memory(tmp_path: Path) -> None:
    """Their state is a time per pixel; a chunk's temporaries are some numbers per event."""
    filters = FilterSpec(hot_pixels=((3, 4),), background_us=50, refractory_us=10)
    peak_bytes, count = read_in_chunks(write_as("a.npy", tmp_path), filters)
    assert 0.9 * EVENTS < count < EVENTS
    assert peak_bytes < PEAK_BYTES


def test_sorting_late_events_takes_little_memory(tmp_path: Path) -> None:
    events = long_events()
    events["t"][5::1000] -= 12
    np.save(tmp_path / "a.npy", events)
    with pytest.warns(RecordingWarning, match="1500 backward time steps, by at most 9 us"):
        peak_bytes, count = read_in_chunks(tmp_path / "a.npy")
    assert count == EVENTS
    assert peak_bytes < PEAK_BYTES


def test_the_measure_sees_a_whole_recording(tmp_path: Path) -> None:
    path = write_as("a.npy", tmp_path)
    tracemalloc.start()
    events = open_recording(path).read()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes > events.nbytes > PEAK_BYTES
