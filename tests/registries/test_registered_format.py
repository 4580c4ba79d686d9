"""A format registered as one object: recognised, named on the command line, in help and in errors, and trained on."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stdl_events.errors import UnknownFormatError
from stdl_events.events import FORMATS, WRITERS, EventArray, Format, Recording, Signature, Writer, open_recording
from stdl_events.events.decoder import Header, Records, RecordsDecoder
from stdl_events.events.stream import EVENT_DTYPE, empty_events
from stdl_events.prepared import workers

MAGIC = b"MINE 1\n"
SIZE = (8, 6)
RECORD = np.dtype([("t", ">u4"), ("x", "u1"), ("y", "u1"), ("p", "u1")])
CLASSES = ("left", "right")

Cli = Callable[..., tuple[int, str, str]]


def decode(records: Records) -> EventArray:
    events = np.empty(len(records), EVENT_DTYPE)
    for name in RECORD.names:
        events[name] = records[name]
    return events


def open_mine(path: Path) -> RecordsDecoder:
    return RecordsDecoder(path, Header(SIZE, "format"), RECORD, len(MAGIC), lambda: decode)


def write_mine(path: Path, recording: Recording) -> None:
    path.write_bytes(MAGIC + recording.read().astype(RECORD).tobytes())


MINE = Format("a format of this test", open_mine, (".mine",), (Signature(MAGIC),))


@pytest.fixture
def mine() -> Iterator[Format]:
    yield FORMATS.register("mine", MINE)
    FORMATS.unregister("mine")


def some_events(label: int, seed: int, count: int = 400) -> EventArray:
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(0, 200_000, count))
    events["t"][[0, -1]] = 0, 199_999
    events["x"], events["y"] = 4 * label + rng.integers(0, 4, count), rng.integers(0, 6, count)
    events["p"] = rng.integers(0, 2, count)
    return events


def write(path: Path, events: EventArray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MAGIC + events.astype(RECORD).tobytes())
    return path


def test_commands_read_a_registered_format(mine: Format, tmp_path: Path, run_cli: Cli) -> None:
    events = some_events(0, 0)
    path = write(tmp_path / "a.mine", events)
    for options in ((), ("--format", "mine")):
        code, out, err = run_cli("info", path, "--json", *options)
        assert (code, err) == (0, "")
        facts = json.loads(out)
        assert (facts["format"], facts["width"], facts["events"]) == ("mine", 8, 400)
    code, out, err = run_cli("show", path)
    assert (code, err) == (0, "")
    code, out, err = run_cli("frames", path, "--frame-us", 20_000, "--out", tmp_path / "a.npy")
    assert (code, np.load(tmp_path / "a.npy").sum()) == (0, 400)
    code, out, err = run_cli("convert", path, tmp_path / "a.h5")
    assert code == 0, err
    assert (open_recording(tmp_path / "a.h5").read() == events).all()


def test_help_and_errors_list_a_registered_format(mine: Format, tmp_path: Path, run_cli: Cli) -> None:
    assert ",text,mine." in "".join(run_cli("info", "--help")[1].split())
    code, _, err = run_cli("info", write(tmp_path / "a.mine", some_events(0, 0)), "--format", "mime")
    assert code == 2
    assert err.endswith("or text or mine; did you mean 'mine'?\n")
    (tmp_path / "a.xyz").write_bytes(b"something else")
    code, _, err = run_cli("info", tmp_path / "a.xyz")
    assert code == 2
    assert ", text, mine; name its format" in err
    (tmp_path / "a.mine").write_bytes(MAGIC[:3])
    assert "expected a recording in the format mine" in run_cli("info", tmp_path / "a.mine")[2]


@pytest.mark.parametrize("options", [(), ("--set", "data.format=mine")], ids=["recognised", "named"])
def test_training_reads_a_registered_format(mine: Format, tmp_path: Path, run_cli: Cli, options: tuple[str]) -> None:
    for label, name in enumerate(CLASSES):
        for seed in range(4):
            write(tmp_path / "data" / name / f"{seed}.mine", some_events(label, 10 * label + seed))
    settings = {"epochs": 1, "network.notation": "4C3", "frames.steps": 5, "batch_size": 4, "augment.shift_px": 0}
    arguments = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = ("train", "folder", "--data", tmp_path / "data", "--out", tmp_path / "run", "--device", "cpu")
    code, out, err = run_cli(*command, *arguments, *options, "--json")
    assert code == 0, err
    assert json.loads(out)["n"] > 0


def test_training_refuses_the_name_of_no_format(tmp_path: Path, run_cli: Cli) -> None:
    command = ("train", "folder", "--data", tmp_path, "--out", tmp_path / "run", "--set", "data.format=mime")
    code, _, err = run_cli(*command)
    assert code == 2
    assert err.startswith("stdl-events: error: setting 'data.format': got 'mime'; expected aedat2 or ")
    assert err.count("\n") == 1


def test_a_registered_writer_is_an_output_format(mine: Format, tmp_path: Path, run_cli: Cli) -> None:
    path = write(tmp_path / "a.mine", some_events(1, 5))
    WRITERS.register("mine", Writer(write_mine, (".mine",)))
    try:
        assert "evt2|mine" in "".join(run_cli("convert", "--help")[1].split())
        for options in ((), ("--to", "mine")):
            code, _, err = run_cli("convert", path, tmp_path / "b.mine", "--force", *options)
            assert code == 0, err
            assert (tmp_path / "b.mine").read_bytes() == path.read_bytes()
    finally:
        WRITERS.unregister("mine")
    code, _, err = run_cli("convert", path, tmp_path / "c.h5", "--to", "mine")
    assert code == 2
    assert err.startswith("stdl-events: error: output format: got 'mine'; expected stdl-hdf5 or npz or ")


def test_helpers_do_not_know_a_registered_format(mine: Format) -> None:
    assert workers.stays_here([]) == "the registered format mine"
    FORMATS.unregister("mine")
    assert workers.stays_here([]) is None
    FORMATS.register("mine", MINE)


@pytest.mark.parametrize(
    ("suffixes", "signature", "text"),
    [
        ((".mine",), Signature(b"#!AER"), "the magic b'#!AER', which the files of the format 'aedat2' have too"),
        ((".mine",), Signature(b"PK\x03\x04"), "the format 'npz' have too"),
        ((".bin",), Signature(), "the suffix .bin alone, which the files of the format 'nmnist' have too"),
        ((".mine", ".dat"), Signature(), "the suffix .dat alone, which the files of the format 'dat' have too"),
    ],
)
def test_a_format_that_would_take_the_files_of_another_needs_fits(suffixes, signature, text) -> None:
    with pytest.raises(UnknownFormatError, match=f"format 'mine': got .*{text}.*a function `fits`"):
        FORMATS.register("mine", Format("greedy", open_mine, suffixes, (signature,)))
    assert "mine" not in FORMATS


def test_fits_takes_some_files_of_a_built_in_format(tmp_path: Path) -> None:
    events = some_events(0, 0, 40)
    np.savez(tmp_path / "ours.npz", **{name: events[name] for name in "txyp"})
    np.savez(tmp_path / "theirs.npz", **{name: events[name] for name in "txyp"}, marked=np.zeros(1))
    fits = Signature(b"PK\x03\x04", lambda path: "marked" in np.load(path).files)
    FORMATS.register("marked", Format("an archive with a mark", lambda path: FORMATS["npz"].open(path), (), (fits,)))
    try:
        assert open_recording(tmp_path / "ours.npz").format == "npz"
        assert open_recording(tmp_path / "theirs.npz").format == "marked"
    finally:
        FORMATS.unregister("marked")
    assert open_recording(tmp_path / "theirs.npz").format == "npz"


def test_the_latest_registered_format_is_tried_first(mine: Format, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mine", some_events(0, 0))
    longer = Signature(MAGIC + b"\xff" * 3)
    FORMATS.register("longer", Format("a longer magic", open_mine, (".mine",), (longer,)))
    try:
        assert FORMATS.registered == ("mine", "longer")
        assert open_recording(path).format == "mine"
        path.write_bytes(MAGIC + b"\xff" * 7)
        assert open_recording(path).format == "longer"
    finally:
        FORMATS.unregister("longer")
