"""Compressed recordings: the same events as the plain file's, and errors that name the compressed file."""

import bz2
import contextlib
import gc
import gzip
import io
import lzma
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import event_files
import numpy as np
import pytest
import zstandard

from stdl_events.errors import RecordingError, TruncatedRecordingError, UnknownFormatError
from stdl_events.events import RecordingWarning, open_recording
from stdl_events.recordings.datasets.folder import read_folder

EVENTS = event_files.make_events(500, 34, 30)


def zipped(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def two_frames(data: bytes) -> bytes:
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in (data[:999], data[999:]))


COMPRESSED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": two_frames}
PLAIN = {
    "a.txt": event_files.text(EVENTS),
    "a.bin": event_files.atis_bin(EVENTS),
    "a.aedat": event_files.aedat2_dvs128(EVENTS),
    "a.npz": event_files.npz_arrays(EVENTS),
}


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("name", PLAIN)
def test_compressed_files_hold_the_same_events(write, name: str, suffix: str) -> None:
    recording = open_recording(write(name + suffix, COMPRESSED[suffix](PLAIN[name])))
    assert (recording.read() == EVENTS).all()
    assert (np.concatenate(list(recording.chunks(77))) == EVENTS).all()
    assert recording.format == open_recording(write(name, PLAIN[name])).format
    assert recording.path.name == name + suffix


@pytest.mark.parametrize("name", PLAIN)
def test_a_zip_of_one_recording_and_notes_is_read(write, name: str) -> None:
    members = [("x/__notes.pdf", b"notes"), (f"x/{name}", PLAIN[name]), (f"__MACOSX/x/._{name}", b"?")]
    assert (open_recording(write("a.zip", zipped(*members))).read() == EVENTS).all()


@pytest.mark.parametrize("format", [None, "nmnist"])
@pytest.mark.parametrize("repair", [False, True])
def test_half_a_zip_is_never_read_as_events(write, format: str | None, repair: bool) -> None:
    path = write("a.zip", zipped(("a.bin", PLAIN["a.bin"]))[:-40])
    with pytest.raises(TruncatedRecordingError, match=r"a\.zip: got a ZIP archive that does not open .*; copy or down"):
        open_recording(path, format=format, repair=repair)


def test_a_zip_without_one_recording_says_what_it_holds(write) -> None:
    for members, got in (
        ([("a.txt", b"1"), ("b.txt", b"1")], r"2 recordings \(a.txt, b.txt\)"),
        ([("readme.md", b"1")], r"0 recordings \(readme.md\)"),
    ):
        with pytest.raises(UnknownFormatError, match=f"got a ZIP archive with {got}; expected one recording"):
            open_recording(write("a.zip", zipped(*members)))


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_a_compressed_file_that_is_cut_off_is_damage(write, suffix: str) -> None:
    random = event_files.make_events(20_000, 34, 30)
    data = COMPRESSED[suffix](event_files.atis_bin(random))
    path = write(f"cut.bin{suffix}", data[: len(data) * 2 // 3])
    with pytest.raises(TruncatedRecordingError, match=rf"cut.bin{suffix}: got compressed data that does not unpack"):
        open_recording(path)
    if suffix == ".bz2":  # loses a whole block, which is all of this file
        return
    with pytest.warns(RecordingWarning, match=f"cut.bin{suffix}: .*kept the "):
        kept = open_recording(path, repair=True).read()
    assert (kept == random[: len(kept)]).all()
    assert len(kept) > 5000 or suffix == ".zst"  # which loses blocks of 128 kB


def test_errors_name_the_compressed_file_and_its_copy_is_removed(write, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    path = write("a.bin.gz", gzip.compress(PLAIN["a.bin"][:-2]))
    recording = open_recording(path)
    assert len(list((tmp_path / "copies").iterdir())) == 1
    with pytest.raises(TruncatedRecordingError) as caught:
        recording.read()
    assert caught.value.subject == str(path)
    with pytest.raises(UnknownFormatError) as caught_too:
        open_recording(write("b.gz", gzip.compress(b"what is this")))
    assert caught_too.value.subject == str(tmp_path / "b.gz")
    del recording, caught, caught_too
    gc.collect()
    assert list((tmp_path / "copies").iterdir()) == []


def test_unpacking_is_bounded_in_memory(write) -> None:
    path = write("ones.bin.gz", gzip.compress(b"\1" * 5 * 10**7))
    tracemalloc.start()
    try:
        opened = open_recording(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert opened.summary.events == 10**7
    assert peak_bytes < 8 << 20


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("order", ["little", "big"])
def test_text_in_utf16_is_text(write, order: str) -> None:
    """As spreadsheets export "Unicode text"."""
    text = "\ufeff" + PLAIN["a.txt"].decode().replace(" ", "\t").replace("\n", "\r\n")
    data = text.encode(f"utf-16-{order[0]}e")
    assert np.array_equal(open_recording(write("a.txt", data)).read(), EVENTS)
    with pytest.raises(TruncatedRecordingError, match="does not unpack after"):
        open_recording(write("b.txt", data[:-1])).read()


@pytest.mark.filterwarnings("error")
def test_a_folder_takes_compressed_recordings(tmp_path: Path) -> None:
    for name in ("walk", "wave"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.txt").write_bytes(PLAIN["a.txt"])
        (tmp_path / name / "1.txt.gz").write_bytes(gzip.compress(PLAIN["a.txt"]))
        (tmp_path / name / "2.zip").write_bytes(zipped(("events.txt", PLAIN["a.txt"])))
    found = read_folder(tmp_path)
    assert [entry.key for entry in found.entries if entry.label == 0] == ["walk/0.txt", "walk/1.txt.gz", "walk/2.zip"]
    assert {len(entry.open().read()) for entry in found.entries} == {500}
    for name in ("run", "walk"):
        (tmp_path / "long").mkdir(exist_ok=True)
        (tmp_path / "long" / f"{name}.txt.gz").write_bytes(gzip.compress(PLAIN["a.txt"]))
    assert read_folder(tmp_path / "long").classes == ("run", "walk")


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
def test_a_damaged_zip_is_read_or_refused(write, seed: int) -> None:
    random = np.random.default_rng(seed)
    data = bytearray(zipped(("events.txt", PLAIN["a.txt"][:600]), ("notes.pdf", b"notes")))
    for place in random.integers(0, len(data), 3):
        data[place] = random.integers(0, 256)
    path = write("a.zip", bytes(data))
    for repair in (False, True):
        with contextlib.suppress(RecordingError):
            open_recording(path, repair=repair).read()


FULL_DISK = """
import resource, signal, sys
from stdl_events.errors import RecordingError
from stdl_events.events import open_recording
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
try:
    open_recording(sys.argv[1])
except RecordingError as error:
    print(error)
"""


def test_no_room_for_the_copy_is_one_line(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"t,x,y,p\n" + b"".join(b"%d,1,2,1\n" % t for t in range(100))))
    ended = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    expected = "expected a folder with room for the unpacked copy; unpack it on another disk, or set TMPDIR\n"
    assert ended.stdout == f"{path}: got File too large; {expected}"
