"""Attributes of HDF5 files: those that h5py reads, and an error where damage makes HDF5 hang or take gigabytes."""

import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stdl_events.errors import CorruptRecordingError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.formats.hdf5 import attribute
from stdl_events.events.formats.hdf5_attributes import value_of
from stdl_events.events.stream import empty_events

VALUES: dict[str, Any] = {
    "units": "us", "umlaut": "Gehen über Straße", "nothing": "", "long": "x" * 3000, "whole": 7, "real": 0.5,
    "sides": np.array([34, 30]), "fixed": np.bytes_("fixed"), "flag": True,
}  # fmt: skip


def write(path: Path, count: int, **options: Any) -> None:
    with h5py.File(path, "w", **options) as file:
        group = file.create_group("events/left")
        dataset = group.create_dataset("t", data=np.arange(20))
        for item in (file, group, dataset):
            for number in range(count):
                item.attrs[f"more {number}"] = f"text {number}"
            for name, value in VALUES.items():
                item.attrs[name] = value
            item.attrs["two"] = ["34", "thirty"]
        group["size"], group["sizes"] = "34x30", ["34", "30"]


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("userblock_size", [0, 512])
@pytest.mark.parametrize("count", [0, 300])
def test_they_are_those_of_h5py(tmp_path: Path, libver: str, userblock_size: int, count: int) -> None:
    write(tmp_path / "a.h5", count, libver=libver, userblock_size=userblock_size)
    with h5py.File(tmp_path / "a.h5") as file:
        for item in (file, file["events/left"], file["events/left/t"]):
            assert len(item.attrs) == len(VALUES) + count + 1
            for name in item.attrs:
                np.testing.assert_array_equal(attribute(item, name), item.attrs[name])
            assert attribute(item, "absent", "x") == "x"
        assert value_of(file["events/left/size"]) in ("34x30", b"34x30")
        assert np.asarray(value_of(file["events/left/sizes"])).tolist() in (["34", "30"], [b"34", b"30"])


@pytest.mark.parametrize("libver", ["earliest", ("earliest", "v110")])
def test_few_attributes_of_newer_formats_are_beside_their_object(tmp_path: Path, libver: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=libver, track_order=True) as file:
        for number in range(6):
            file.attrs[f"name {number}"] = f"text {number}"
    with h5py.File(tmp_path / "a.h5") as file:
        assert [attribute(file, name) for name in file.attrs] == [f"text {number}" for number in range(6)]


def test_what_is_neither_a_number_nor_text_is_passed_over(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs.create("rows", np.array([np.arange(3), np.arange(2)], object), dtype=h5py.vlen_dtype(int))
        file.attrs["where"] = file.ref
        file.attrs["none"] = h5py.Empty("f")
        assert attribute(file, "rows", "other") == "other"
        assert attribute(file, "where", "other") == "other"


def table(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, values in {"t": np.arange(50) * 1000, "x": np.arange(50) % 30, "y": np.arange(50) % 20}.items():
            file[f"events/{name}"] = values
        file["events/p"] = np.arange(50) % 2
        file["events/t"].attrs["units"] = "us"
        file.attrs["sensor_size"] = "30x20"


def own(path: Path) -> None:
    events = empty_events(50)
    events["t"] = np.arange(50)
    write_recording(path, events, (30, 20), {"name": "anna", "place": "hall"})


def damages(data: bytes) -> dict[str, bytes]:
    """The file with other lengths, places and numbers of text of variable length."""
    heap = data.index(b"GCOL")
    reference = data.index(struct.pack("<IQI", len("us"), heap, 1))
    changes = {
        "no heap": (heap, b"\0"),
        "size of the heap": (heap + 8, b"\xff" * 8),
        "size of its first object": (heap + 24, b"\xff" * 8),
        "endless objects": (heap + 24, struct.pack("<q", -16)),
        "length of 4 GB": (reference, b"\xff" * 4),
        "longer by one": (reference, bytes([data[reference] + 9])),
        "place beyond the file": (reference + 4, b"\xff" * 8),
        "number of no object": (reference + 12, b"\xff\xff"),
    }
    return {name: data[:at] + new + data[at + len(new) :] for name, (at, new) in changes.items()}


NAMES = ("no heap", "size of the heap", "size of its first object", "endless objects", "length of 4 GB",
         "longer by one", "place beyond the file", "number of no object")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_damaged_text_of_variable_length_is_an_error(tmp_path: Path, name: str) -> None:
    """HDF5 2.0 went round for ever at the size of an object, and took 4 GB for 20 s at the length of a text."""
    table(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes(damages((tmp_path / "a.h5").read_bytes())[name])
    if name == "size of the heap":
        assert len(open_recording(tmp_path / "b.h5").read()) == 50
        return
    with pytest.raises(CorruptRecordingError, match="got an unreadable HDF5 file"):
        open_recording(tmp_path / "b.h5").read()


def test_damaged_attributes_of_our_own_files_are_an_error(tmp_path: Path) -> None:
    own(tmp_path / "a.h5")
    assert open_recording(tmp_path / "a.h5").attributes == {"name": "anna", "place": "hall"}
    data = (tmp_path / "a.h5").read_bytes()
    heap = data.index(b"GCOL")
    (tmp_path / "b.h5").write_bytes(data[: heap + 24] + b"\xff" * 8 + data[heap + 32 :])
    with pytest.raises(CorruptRecordingError, match="got an unreadable HDF5 file"):
        open_recording(tmp_path / "b.h5")
