"""The registries of formats and of sources: lists without imports, and the capabilities of each entry."""

import subprocess
import sys
from pathlib import Path

import event_files
import fuzz_readers
import pytest

from stdl_events.errors import RecordingError
from stdl_events.events import FORMATS, SOURCES, WRITERS, ReplaySource, open_recording, open_source, write_recording

HEAVY = ("h5py", "torch", "faery", "aedat", "hdf5plugin")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_its_own_files(name: str, tmp_path: Path) -> None:
    for number, (suffix, data) in enumerate(fuzz_readers.FORMATS[name](tmp_path)):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(data)
        assert open_recording(path).format == name
        assert open_recording(path, format=name).read().size == 300
        assert suffix in FORMATS[name].suffixes
    assert FORMATS[name].description


def test_writers_write_formats_that_are_read() -> None:
    assert set(WRITERS) <= set(FORMATS)
    for name, writer in WRITERS.items():
        assert set(writer.suffixes) <= set(FORMATS[name].suffixes)


def test_listing_formats_imports_nothing_heavy() -> None:
    program = (
        "import sys, stdl_events.events as events\n"
        "assert 'numpy' not in sys.modules\n"
        "names, found = events.FORMATS.names, [f.suffixes for f in events.FORMATS.values()]\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    write_recording(tmp_path / "a.h5", event_files.make_events(100, 34, 30), (34, 30))
    return tmp_path / "a.h5"


def test_a_source_is_a_path_or_a_scheme_and_an_address(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recording.parent)
    (recording.parent / "take:1.h5").write_bytes(recording.read_bytes())
    for source in (recording, str(recording), f"file:{recording}", "file:a.h5", "a.h5", "take:1.h5"):
        opened = open_source(source, speed=None)
        assert isinstance(opened, ReplaySource)
        assert opened.sensor_size == (34, 30)
        assert sum(len(events) for events in opened.chunks()) == 100


def test_an_unknown_scheme_lists_the_schemes() -> None:
    with pytest.raises(
        RecordingError,
        match=r"source: got 'serial'; expected file or follow or tcp or jaer or jaer\+tcp or udp or stdin or eventcv",
    ):
        open_source("serial:127.0.0.1:3333")


def test_a_registered_source_is_opened_by_its_scheme(recording: Path) -> None:
    SOURCES.register("half", lambda address, **options: open_source(address, stop="50%", **options))
    try:
        assert sum(len(events) for events in open_source(f"half:{recording}", speed=None).chunks()) < 60
    finally:
        SOURCES.unregister("half")


@pytest.mark.parametrize(("default", "size"), [(None, (34, 30)), ((40, 50), (40, 50))])
def test_a_default_size_stands_in_for_one_inferred(write, default, size) -> None:
    path = write("a.npy", event_files.npy_structured(event_files.make_events(100, 34, 30)))
    assert open_source(path, default_sensor_size=default).sensor_size == size
    assert open_source(path, sensor_size=(60, 60), default_sensor_size=default).sensor_size == (60, 60)
