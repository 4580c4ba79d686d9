"""Tonic's data sets by name: on files in Tonic's layout, with its labels, sides and events; never downloaded."""

import multiprocessing
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from published_layouts import make
from tonic_layouts import (
    WORDS,
    asl_dvs_events,
    write_asl_dvs,
    write_cifar10_mirror,
    write_digits,
    write_dvs_lip,
    write_gesture_mirror,
    write_poker,
    write_shd,
)

from stdl_events.errors import DatasetError
from stdl_events.events import open_recording
from stdl_events.frames import FrameSpec
from stdl_events.prepared import workers
from stdl_events.recordings import (
    DATASETS,
    NMnist,
    RecordingSet,
    Split,
    read_cifar10_dvs,
    read_given_split,
    split_dvs_gesture,
    split_nmnist,
)
from stdl_events.recordings.clips import load_readable_clips
from stdl_events.recordings.datasets.samples import OwnFactory, SampleReader, SampleSource
from stdl_events.recordings.datasets.tonic_sets import FAMILY, class_names
from stdl_events.recordings.entry import read_events

datasets = pytest.importorskip("tonic.datasets")
INCOMPLETE = pytest.mark.filterwarnings("ignore:.* where Tonic expects")


def split_of(name: str, root: Path) -> Split:
    split = DATASETS[name].split
    assert split is not None
    found: Split = split(root)
    return found


def read_of(name: str, root: Path, **options: object) -> RecordingSet:
    read = DATASETS[name].read
    assert read is not None
    found: RecordingSet = read(root, **options)
    return found


def test_the_names_are_tonics() -> None:
    assert sorted(class_names()) == sorted(datasets.__all__)
    assert "tonic:DVSLip" not in DATASETS.names
    assert DATASETS.choices[-1] == "tonic:CLASS"
    assert all(name in FAMILY.summary for name in class_names())


def test_an_unknown_class_is_an_error_with_the_nearest() -> None:
    with pytest.raises(DatasetError, match=r"got 'tonic:DVSLips'; expected .*tonic:ASLDVS or .*mean 'tonic:DVSLip'\?"):
        DATASETS.check("tonic:DVSLips")
    with pytest.raises(DatasetError, match=r"did you mean 'tonic:NMNIST'\?"):
        DATASETS.check("tonic:nmnist")
    with pytest.raises(DatasetError, match=r"expected .*nmnist or .* or tonic:CLASS; choose"):
        DATASETS.check("tonics")


@pytest.mark.parametrize("name", datasets.__all__)
def test_nothing_is_downloaded(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every class, on an empty folder, is one error before any connection is opened."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("opens a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    dataset = DATASETS[f"tonic:{name}"]
    options = {} if dataset.sensor_size else {"sensor_size": (8, 8)}
    find = dataset.split or dataset.read
    assert find is not None
    with pytest.raises(DatasetError) as caught:
        find(tmp_path, **options)
    assert "connection" not in str(caught.value)
    assert name in str(caught.value)
    assert list(tmp_path.rglob("*")) == [], "and leaves nothing"


def test_a_missing_set_says_where_its_files_go(tmp_path: Path) -> None:
    where = tmp_path / "DVSLip"
    with pytest.raises(DatasetError) as caught:
        split_of("tonic:DVSLip", tmp_path)
    assert str(caught.value) == (
        f"{where}: got no such folder; expected the recordings of DVS-Lip.zip in DVS-Lip/train/; download DVS-Lip.zip "
        "from https://drive.google.com/file/d/1dBEgtmctTTWJlWnuWxFtk8gfOdVVpkQ0/view "
        f"(md5 2dcb959255122d4cdeb6094ca282494b) and unpack it into {where}"
    )


def test_less_than_the_whole_is_used_and_said(tmp_path: Path) -> None:
    write_dvs_lip(tmp_path)
    with pytest.warns(
        UserWarning, match=r"DVS-Lip/(train|test): \d recordings \(\.npy\) where Tonic expects 100 or more"
    ):
        split_of("tonic:DVSLip", tmp_path)


@INCOMPLETE
def test_dvs_lip(tmp_path: Path) -> None:
    write_dvs_lip(tmp_path)
    split = split_of("tonic:DVSLip", tmp_path)
    assert (len(split.train), len(split.test), split.train.sensor_size) == (6, 3, (128, 128))
    assert split.train.classes == tuple(datasets.DVSLip.classes)
    [last] = [entry for entry in split.test.entries if entry.key == "DVSLip/DVS-Lip/test/young/2.npy"]
    assert last.label == 99
    np.testing.assert_array_equal(read_events(last), make(3 * 2 + 2))
    assert "no recording on both sides" in split.check_disjoint()
    assert split_of("tonic:DVSLip", tmp_path / "DVSLip").train.entries[0].path.is_file(), "its own folder is found too"


@INCOMPLETE
def test_a_recording_on_both_sides_is_found(tmp_path: Path) -> None:
    write_dvs_lip(tmp_path)
    sides = tmp_path / "DVSLip" / "DVS-Lip"
    shutil.copy(sides / "train" / "young" / "0.npy", sides / "test" / "young" / "9.npy")
    with pytest.raises(DatasetError, match="on both sides"):
        split_of("tonic:DVSLip", tmp_path).check_disjoint()


@INCOMPLETE
def test_asl_dvs(tmp_path: Path) -> None:
    write_asl_dvs(tmp_path)
    recordings = read_of("tonic:ASLDVS", tmp_path)
    assert (len(recordings), recordings.sensor_size, len(recordings.classes)) == (12, (240, 180), 26)
    for entry in recordings.entries:
        letter, take = entry.path.parent.name, int(entry.path.stem[-4:])
        assert recordings.classes[entry.label] == letter
        np.testing.assert_array_equal(read_events(entry), asl_dvs_events("aby".index(letter), take))


@INCOMPLETE
def test_dvs_gesture_is_that_of_our_reader(tmp_path: Path) -> None:
    write_gesture_mirror(tmp_path)
    check_equal(split_of("tonic:DVSGesture", tmp_path), split_dvs_gesture(tmp_path))


@INCOMPLETE
def test_cifar10_dvs_is_that_of_our_reader(tmp_path: Path) -> None:
    write_cifar10_mirror(tmp_path)
    theirs, ours = read_of("tonic:CIFAR10DVS", tmp_path), read_cifar10_dvs(tmp_path)
    assert len(theirs) == 50
    check_equal_sets(theirs, ours)


@INCOMPLETE
@pytest.mark.parametrize("name", ["CIFAR10DVS", "DVSGesture", "NMNIST"])
def test_sets_with_a_reader_of_ours_ask_tonics_class(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its labels are taken where its layout is there; without Tonic, the recordings are the same."""
    write = {"CIFAR10DVS": write_cifar10_mirror, "DVSGesture": write_gesture_mirror, "NMNIST": write_digits}[name]
    write(tmp_path)

    def found() -> list[RecordingSet]:
        if name == "CIFAR10DVS":
            return [read_cifar10_dvs(tmp_path)]
        split = (split_dvs_gesture if name == "DVSGesture" else split_nmnist)(tmp_path)
        return [split.train, split.test]

    ours = found()
    theirs = [getattr(datasets, name)] * len(ours)
    sides = [{}] if name == "CIFAR10DVS" else [{"train": True}, {"train": False}]
    monkeypatch.setattr(getattr(datasets, name), "_check_exists", lambda self: True)
    for side, make_set, recordings in zip(sides, theirs, ours, strict=True):
        samples = make_set(str(tmp_path), **side)
        assert len(samples) == len(recordings) > 0
        label_of = {
            Path(file): (label, index)
            for index, (file, label) in enumerate(zip(samples.data, samples.targets, strict=True))
        }
        for entry in recordings.entries:
            label, index = label_of[entry.path]
            assert entry.label == label
            check_same_events(read_events(entry), samples[index][0])

    def refuse(self: object, save_to: str, train: bool = True) -> None:
        raise OSError("asked")

    monkeypatch.setattr(getattr(datasets, name), "__init__", refuse)
    with pytest.raises(DatasetError, match=f"OSError while opening tonic:{name}: asked"):
        found()
    if name != "NMNIST":
        monkeypatch.setitem(sys.modules, "tonic.datasets", None)
        monkeypatch.setitem(sys.modules, "tonic", None)
        assert [side.entries for side in found()] == [side.entries for side in ours]


def check_same_events(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert len(ours) == len(theirs) > 0
    for field in "txyp":
        np.testing.assert_array_equal(ours[field].astype(np.int64), theirs[field].astype(np.int64).ravel())


@INCOMPLETE
def test_dvs_lip_is_that_of_tonics_class_and_of_our_own_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class called directly, `tonic:DVSLip`, and the same folder without Tonic."""
    write_dvs_lip(tmp_path)
    split, plain = split_of("tonic:DVSLip", tmp_path), read_given_split(tmp_path / "DVSLip" / "DVS-Lip")
    assert plain.train.classes == WORDS
    monkeypatch.setattr(datasets.DVSLip, "_check_exists", lambda self: True)
    for train, ours, own in ((True, split.train, plain.train), (False, split.test, plain.test)):
        samples = datasets.DVSLip(str(tmp_path), train=train)
        by_path = {Path(file): index for index, file in enumerate(samples.data)}
        assert by_path.keys() == {entry.path for entry in ours.entries} == {entry.path for entry in own.entries}
        for side in (ours, own):
            for entry in side.entries:
                events, label = samples[by_path[entry.path]]
                assert side.classes[entry.label] == samples.classes[label]
                check_same_events(read_events(entry), events)


@INCOMPLETE
def test_asl_dvs_is_that_of_tonics_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_asl_dvs(tmp_path)
    recordings = read_of("tonic:ASLDVS", tmp_path)
    monkeypatch.setattr(datasets.ASLDVS, "_check_exists", lambda self: True)
    samples = datasets.ASLDVS(str(tmp_path))
    by_path = {Path(file): index for index, file in enumerate(samples.data)}
    assert len(by_path) == len(recordings) == 12
    for entry in recordings.entries:
        events, label = samples[by_path[entry.path]]
        assert entry.label == label
        check_same_events(read_events(entry), events)


@INCOMPLETE
def test_real_digits_are_those_of_our_reader(tmp_path: Path, recordings_dir: Path) -> None:
    """Tonic's layout of the real recordings: the first ten of each digit to train, the next five to test."""
    for digit in map(str, range(10)):
        paths = sorted((recordings_dir / "nmnist" / "train" / digit).glob("*.bin"))
        for side, chosen in (("Train", paths[:10]), ("Test", paths[10:15])):
            folder = tmp_path / "NMNIST" / side / digit
            folder.mkdir(parents=True)
            for path in chosen:
                (folder / path.name).symlink_to(path)
    split = split_of("tonic:NMNIST", tmp_path)
    assert (len(split.train), len(split.test)) == (100, 50)
    for train, side in ((True, split.train), (False, split.test)):
        ours = NMnist(tmp_path, train=train).recordings
        check_equal_sets(side, RecordingSet(side.classes, ours.sensor_size, ours.entries))


@INCOMPLETE
def test_real_cards_are_those_of_the_published_files(tmp_path: Path, recordings_dir: Path) -> None:
    """Tonic's tables hold the upright events of the files."""
    suits = {
        suit: sorted((recordings_dir / "poker_dvs" / "aedat2" / suit).glob("*.aedat"))[:4] for suit in ("cl", "sp")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        takes = {suit: [open_recording(path).read() for path in paths] for suit, paths in suits.items()}
    inside = {
        suit: [events[(events["x"] < 35) & (events["y"] < 35)] for events in list_] for suit, list_ in takes.items()
    }
    write_poker(tmp_path, inside)
    split = split_of("tonic:POKERDVS", tmp_path)
    assert (split.train.classes, len(split.train), len(split.test)) == (("cl", "he", "di", "sp"), 6, 2)
    for suit in inside:
        label = split.train.classes.index(suit)
        found = [entry for entry in (*split.train.entries, *split.test.entries) if entry.label == label]
        for entry, events in zip(found, inside[suit], strict=True):
            np.testing.assert_array_equal(read_events(entry), events)
    assert "no recording on both sides" in split.check_disjoint()


@INCOMPLETE
def test_spikes_of_a_cochlea_are_events_of_one_row(tmp_path: Path) -> None:
    write_shd(tmp_path)
    split = split_of("tonic:SHD", tmp_path)
    assert (split.train.sensor_size, split.train.classes) == ((700, 1), ("null", "eins"))
    assert [entry.label for entry in split.train.entries] == [0, 1, 0, 1]
    assert "no recording on both sides" in split.check_disjoint()
    events = [read_events(entry) for entry in split.train.entries]
    assert all(set(part["y"]) == {0} and part["p"].all() and len(part) == 50 for part in events)
    assert len({part.tobytes() for part in events}) == 4
    assert 0 <= events[0]["t"][0] <= events[0]["t"][-1] <= 1_000_000


@INCOMPLETE
def test_readers_travel_to_helper_processes_where_their_set_can_be_imported(tmp_path: Path) -> None:
    write_dvs_lip(tmp_path)
    split = split_of("tonic:DVSLip", tmp_path)
    entry = split.train.entries[3]
    assert workers._is_importable(entry.reader)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(read_events, (entry,)).tolist() == read_events(entry).tolist()
    for make_set, travels in ((datasets.DVSLip, True), (lambda root: datasets.DVSLip(root), False)):
        reader = SampleReader(SampleSource(OwnFactory(make_set), tmp_path, None), 0, (8, 8, 2), None)
        assert workers._is_importable(reader) == travels


@INCOMPLETE
def test_a_damaged_sample_is_one_bad_recording(tmp_path: Path) -> None:
    write_dvs_lip(tmp_path)
    split = split_of("tonic:DVSLip", tmp_path)
    broken = split.train.entries[0]
    broken.path.write_bytes(broken.path.read_bytes()[:100])
    spec = FrameSpec(kind="recording", steps=2, by="count", sensor_size=(128, 128), cap=255)
    readable, _, bad = load_readable_clips(split.train, spec)
    assert (len(readable), [one.entry.key for one in bad]) == (5, [broken.key])
    assert "while reading sample" in str(bad[0])


def test_a_side_that_is_missing_is_named(tmp_path: Path) -> None:
    write_shd(tmp_path)
    (tmp_path / "SHD" / "shd_test.h5").unlink()
    with pytest.raises(DatasetError, match=r"FileNotFoundError while opening tonic:SHD: .*shd_test\.h5"):
        split_of("tonic:SHD", tmp_path)


def check_equal(theirs: Split, ours: Split) -> None:
    check_equal_sets(theirs.train, ours.train)
    check_equal_sets(theirs.test, ours.test)


def check_equal_sets(theirs: RecordingSet, ours: RecordingSet) -> None:
    """The same files with the same labels, groups and events."""
    assert theirs.sensor_size == ours.sensor_size
    assert len(theirs.classes) == len(ours.classes)
    their_entries, our_entries = ({entry.path: entry for entry in side.entries} for side in (theirs, ours))
    assert their_entries.keys() == our_entries.keys()
    for path, entry in their_entries.items():
        assert (entry.label, entry.group) == (our_entries[path].label, our_entries[path].group)
        np.testing.assert_array_equal(read_events(entry), read_events(our_entries[path]))
