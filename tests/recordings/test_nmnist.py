"""N-MNIST: the supported layouts, and the real recordings."""

from pathlib import Path

import numpy as np
import pytest
from small_recordings import keys

from stdl_events.errors import DatasetError
from stdl_events.recordings import read_nmnist, split_nmnist

ONE_EVENT = bytes([3, 4, 0x80, 0, 7])


def digits(root: Path, per_digit: int) -> None:
    for number in range(10 * per_digit):
        path = root / str(number % 10) / f"{number:05d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ONE_EVENT * (1 + number))


def test_plain_folders_are_split_by_file_number(tmp_path: Path) -> None:
    digits(tmp_path / "train", 2)
    split = split_nmnist(tmp_path)
    assert keys(split.train) == [f"{number % 10}/{number:05d}.bin" for number in range(16)]
    assert keys(split.test) == [f"{number % 10}/{number:05d}.bin" for number in range(16, 20)]
    assert split.train.classes == tuple("0123456789")
    assert keys(read_nmnist(tmp_path / "train")) == keys(read_nmnist(tmp_path))


def test_the_official_split_is_taken_where_it_is(tmp_path: Path) -> None:
    digits(tmp_path / "train", 2)
    digits(tmp_path / "test", 1)
    split = split_nmnist(tmp_path)
    assert (len(split.train), len(split.test)) == (20, 10)


def test_a_missing_digit_is_named(tmp_path: Path) -> None:
    digits(tmp_path / "train", 1)
    (tmp_path / "train" / "7" / "00007.bin").unlink()
    (tmp_path / "train" / "7").rmdir()
    with pytest.raises(DatasetError, match="got the folders 0, 1, 2, 3, 4, 5, 6, 8, 9; expected one folder per digit"):
        read_nmnist(tmp_path)


@pytest.mark.filterwarnings("ignore:.* where Tonic expects")
def test_tonic_layout_is_read_through_tonic(tmp_path: Path) -> None:
    """Ten recordings of each digit on both sides, beside the archives."""
    pytest.importorskip("tonic")
    for side in ("Train", "Test"):
        archive = tmp_path / "NMNIST" / f"{side.lower()}.zip"
        archive.parent.mkdir(exist_ok=True)
        archive.touch()
        for digit in range(10):
            folder = tmp_path / "NMNIST" / side / str(digit)
            folder.mkdir(parents=True)
            for number in range(10):
                (folder / f"{number:05d}.bin").touch()
    (tmp_path / "NMNIST" / "Train" / "4" / "00002.bin").write_bytes(ONE_EVENT)
    split = split_nmnist(tmp_path)
    assert (len(split.train), len(split.test), split.rule) == (100, 100, "N-MNIST's own")
    entry = next(entry for entry in split.train.entries if entry.key == "NMNIST/Train/4/00002.bin")
    assert entry.label == 4
    assert entry.open().read().tolist() == [(7, 3, 4, True)]


@pytest.mark.filterwarnings("ignore:.* where Tonic expects", "ignore:.*left out. 2 of another kind")
@pytest.mark.parametrize("suffix", [".bin", ".BIN"])
def test_tonics_layout_in_other_case_and_with_hidden_files(tmp_path: Path, suffix: str) -> None:
    """Tonic passes over .BIN, and takes ._00000.bin for a recording."""
    pytest.importorskip("tonic")
    for side in ("Train", "Test"):
        digits(tmp_path / "NMNIST" / side, 2)
        (tmp_path / "NMNIST" / f"{side.lower()}.zip").touch()
        first = min((tmp_path / "NMNIST" / side / "0").iterdir())
        first.with_name("._" + first.name).write_bytes(b"x")
        first.rename(first.with_suffix(suffix))
    split = split_nmnist(tmp_path)
    assert (len(split.train), len(split.test)) == (20, 20)


@pytest.mark.filterwarnings("ignore:.* where Tonic expects")
def test_half_of_tonic_layout_is_an_error_not_a_download(tmp_path: Path) -> None:
    pytest.importorskip("tonic")
    digits(tmp_path / "NMNIST" / "Train", 1)
    with pytest.raises(DatasetError, match=r"got Train/; expected the recordings of test\.zip in Test/;"):
        split_nmnist(tmp_path)


def test_the_real_recordings(recordings_dir: Path) -> None:
    split = split_nmnist(recordings_dir / "nmnist")
    numbers = [[int(entry.path.stem) for entry in side.entries] for side in (split.train, split.test)]
    assert [len(side) for side in numbers] == [800, 200]
    assert max(numbers[0]) < min(numbers[1])
    assert sorted(numbers[0] + numbers[1]) == numbers[0] + numbers[1]
    assert set(np.bincount([entry.label for entry in split.test.entries], minlength=10) > 5) == {True}
    assert "no recording on both sides" in split.check_disjoint()
    assert split.train.entries[0].open().sensor_size == (34, 34)
