"""Each file of the package is there as a whole or not at all, whatever the system refuses, and readable by all."""

import os
import re
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from written_files import SIZE, FileWriter, events, write_bundle, writers

import stdl_events
from stdl_events.errors import DatasetError, RunError, StdlEventsError, UserError
from stdl_events.events import write_recording
from stdl_events.recordings.simulated.synthetic import generate_walkers
from stdl_events.whole_file import (
    make_folder,
    remove_leftovers,
    require_place,
    whole_file,
    whole_folder,
    whole_path,
)

PACKAGE = Path(stdl_events.__file__).parent
NAMES = [writer.name for writer in writers(Path())]


@pytest.fixture
def writer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FileWriter:
    return next(w for w in writers(tmp_path_factory.mktemp("sources")) if w.name == request.param)


every_writer = pytest.mark.parametrize("writer", NAMES, indirect=True)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def bits(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@every_writer
def test_a_file_is_written_with_ordinary_permissions_and_through_links(writer: FileWriter, tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / writer.name
    folder.mkdir()
    link.symlink_to(folder / writer.name)
    with umask(0o027):
        writer.write(link, 1)
    assert link.is_symlink()
    assert bits(folder / writer.name) == 0o640
    before = (folder / writer.name).read_bytes()
    with umask(0o022):
        writer.write(folder / writer.name, 2)
    assert bits(folder / writer.name) == 0o644
    assert (folder / writer.name).read_bytes() != before
    assert os.listdir(folder) == [writer.name]
    assert sorted(os.listdir(tmp_path)) == sorted([writer.name, "folder"])


@every_writer
def test_what_the_system_refuses_is_one_line_that_names_the_file(writer: FileWriter, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / writer.name).mkdir(parents=True)
    places = {
        tmp_path / "none" / writer.name: "got No such file or directory; expected a folder that exists; ",
        tmp_path / "file" / writer.name: "got Not a directory; expected a folder, not a file, in the path; ",
        tmp_path / "taken" / writer.name: "got Is a directory; expected the name of a file; ",
    }
    if writer.name != "manifest.json":
        long = tmp_path / f"{'n' * 250}.{writer.name}"
        places[long] = "got File name too long; expected a shorter name; "
    for path, text in places.items():
        with pytest.raises(UserError) as caught:
            writer.write(path, 1)
        assert type(caught.value) is writer.error
        assert caught.value.exit_code == 2
        assert str(caught.value).startswith(f"{path}: {text}")
        assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "taken"]
    assert os.listdir(tmp_path / "taken") == [writer.name]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A limit on the size of files: writes beyond it fail with EFBIG, as Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_on_a_full_disk_the_old_file_stays_and_nothing_else(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: writes fail at the first byte or later."""
    (tmp_path / "sources").mkdir()
    jobs = [(w.name, w.write, w.error) for w in writers(tmp_path / "sources")] + [("bundle", write_bundle, RunError)]
    (tmp_path / "nowhere").write_text("")
    for name, write, _ in jobs:
        (tmp_path / "old" / name).mkdir(parents=True)
        write(tmp_path / "old" / name / name, 1)
        with suppress(StdlEventsError):
            write(tmp_path / "nowhere" / name, 2)  # sources and caches of the second content
    for limit in (0, 100):
        shutil.copytree(tmp_path / "old", tmp_path / str(limit))
        for name, write, error in jobs:
            path = tmp_path / str(limit) / name / name
            with largest_file(limit), pytest.raises(error) as caught:
                write(path, 2)
            assert type(caught.value) is error
            text = str(caught.value)
            assert text.startswith(f"{path}: ")
            assert re.search(r"got (File too large|a file that was cut short); expected a folder with room for", text)
            assert "\n" not in text
            assert os.listdir(path.parent) == [name]


def test_the_list_of_writers_is_whole() -> None:
    """What writes a file goes through `whole_file`, and what goes through it is listed."""
    direct = re.compile(
        r"os\.(replace|rename)\(|mkstemp|NamedTemporaryFile|\.write_(text|bytes)\(|\.mkdir\(|makedirs|open\([^)]*[\"'][wx]"
    )
    allowed = {
        "whole_file.py": "the writer",
        "cli/streams.py": "/dev/null in place of streams that the caller closed",
        "events/formats/npz.py": "members of an archive in a file of the writer's",
        "events/formats/text.py": "lines in a file of the writer's",
        "events/formats/hdf5.py": "HDF5 in a file of the writer's",
        "events/compressed.py": "an unpacked copy, in a temporary folder",
        "growing_file.py": "a new file that grows while a live run records",
        "events/formats/aedat4_child.py": "answers of a child process, in a temporary folder",
        "events/formats/aedat4_extras.py": "questions to a child process, in a temporary folder",
        "export/onnx.py": "into a temporary file of the writer's",
        "memory/process.py": "the kernel's own files about this process",
        "prepared/cluster.py": "a temporary file that shows workers the store",
        "prepared/make_store.py": "the folder of a store",
        "prepared/tar_shards.py": "into a temporary folder of the writer's",
        "training/bundle.py": "into a temporary folder of the writer's",
    }
    users = set()
    for path in PACKAGE.rglob("*.py"):
        text, name = path.read_text(), path.relative_to(PACKAGE).as_posix()
        found = direct.search(text)
        assert found is None or name in allowed, f"{name}: {found}"
        if re.search(r"import .*\b(whole_file|whole_path|whole_folder|write_whole|store_file)\b", text):
            users.add(name.removesuffix(".py").replace("/", "."))
    listed = {module for writer in writers(Path()) for module in writer.modules}
    elsewhere = {
        "analysis.memory_trace": "stdl-events memory --trace, below",
        "analysis.robustness": "tests/training/test_robustness.py",
        "export.nir": "tests/export/test_nir.py",
        "export.proof": "tests/export/test_proof.py",
        "export.variants": "tests/export/test_variants.py",
        "export.whole_clip": "tests/export/test_whole_clip.py",
        "live.signature": "tests/live/test_signature.py",
        "memory.cost_store": "tests/memory/test_cost_store.py",
        "models.__init__": "tests/test_models.py",
        "prepared.tar_shards": "tests/prepared/test_webdataset.py",
        "recordings.simulated.synthetic": "below",
        "training.bundle": "below",
    }
    assert users == listed | elsewhere.keys()


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    bundle = tmp_path / "run" / "bundle"
    with umask(0o027):
        write_bundle(bundle, 1)
    assert [bits(bundle), *map(bits, bundle.iterdir())] == [0o750, 0o640, 0o640, 0o640]
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    with pytest.raises(KeyError), whole_folder(bundle, room_for="network") as partial:  # noqa: PT012 - it is the point
        (partial / "half").touch()
        raise KeyError("the caller's own error")
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    write_bundle(bundle, 2)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} != before
    assert os.listdir(bundle.parent) == ["bundle"]
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below" / "bundle"):
        with pytest.raises(RunError, match="Not a directory"):
            write_bundle(path, 1)
    assert sorted(os.listdir(tmp_path)) == ["file", "run"]


@pytest.mark.parametrize("kind", [whole_file, whole_path])
def test_an_error_in_the_middle_leaves_the_old_file_and_no_other(kind, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    for error in (KeyError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error), kind(path, room_for="test") as made:  # noqa: PT012 - the error inside is the point
            assert len(os.listdir(tmp_path)) == 2
            made.write(b"half") if kind is whole_file else made.write_bytes(b"half")
            raise error
        assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a"])


def test_a_place_is_checked_without_a_trace(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"old")
    for path in (old, tmp_path / "new"):
        require_place(path, room_for="numbers")
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == b"old"
    with pytest.raises(UserError, match="expected a folder that exists"):
        require_place(tmp_path / "absent" / "new", room_for="numbers")


def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UserError, match=f"{path}: got a device or a pipe"), whole_file(path, room_for="test"):
            pass
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_name_as_long_as_the_system_takes_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    with whole_file(path, room_for="test") as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_writes_is_not(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from stdl_events.whole_file import whole_file, whole_folder
with whole_file(Path(sys.argv[1]) / "a.json", room_for="test"), whole_folder(Path(sys.argv[1]) / "b", room_for="test"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    assert len(os.listdir(tmp_path)) == 3
    with whole_file(tmp_path / "c", room_for="test") as file:
        remove_leftovers(tmp_path)
        assert len(os.listdir(tmp_path)) == 1
        file.write(b"whole")
    assert os.listdir(tmp_path) == ["c"]


def test_a_folder_that_cannot_be_made_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="below: got Not a directory; expected a folder, not a file, in the path"):
        make_folder(tmp_path / "file" / "below", error=RunError)
    with pytest.raises(UserError, match="file: got File exists; expected a name that is not taken; choose another"):
        make_folder(tmp_path / "file")


def test_the_request_of_simulated_walkers_is_written_like_every_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    request = {"people": 2, "per_person": 2, "sensor_size": (16, 16), "duration_us": 20_000}
    with pytest.raises(DatasetError, match="walkers: got Not a directory; expected a folder, not a file"):
        generate_walkers(tmp_path / "file" / "walkers", **request)
    with umask(0o027):
        generate_walkers(tmp_path / "walkers", **request)
    assert {bits(path) for path in (tmp_path / "walkers").rglob("*") if path.is_file()} == {0o640}
    assert not list((tmp_path / "walkers").rglob("*.part"))


NETWORK = ["--network", "4C3-4C3", "--input", "2x8x8", "--classes", "2", "--batch", "2"]
COMMANDS = {
    "frames": (["frames", "r.h5", "--frame-us", "5000", "--out"], "o.npy"),
    "show": (["show", "r.h5", "--out"], "o.gif"),
    "convert": (["convert", "r.h5"], "o.npz"),
    "plan": (["plan", *NETWORK, "--chart"], "o.png"),
    "memory": (["memory", *NETWORK, "--steps", "2", "--trace"], "o.png"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_says_in_one_line_why_a_file_cannot_be_written(
    command, tmp_path, monkeypatch, run_cli
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recording(tmp_path / "r.h5", events(1), SIZE)
    options, name = COMMANDS[command]
    (tmp_path / name).mkdir()
    code, _, err = run_cli(*options, *(["--force"] if command == "convert" else []), name)
    lines = [line for line in err.splitlines() if line.startswith("stdl-events: error: ")]
    assert code == 2
    assert lines == [
        f"stdl-events: error: {name}: got Is a directory; expected the name of a file; choose another name"
    ]
    assert err.splitlines()[-1] == lines[0]
    assert sorted(os.listdir(tmp_path)) == sorted(["r.h5", name])
