"""SVHN and folders of pictures: layouts, sizes after Pillow's own operations, random windows, unreadable files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published_layouts import put, write_image_folder, write_svhn

from stdl_events.errors import DatasetError, FrameSpecError, RecordingError, UserError
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import FrameSpec
from stdl_events.recordings.datasets.image_folder import read_image_folder, split_image_folder
from stdl_events.recordings.datasets.picture_files import PictureFiles
from stdl_events.recordings.datasets.svhn import split_svhn
from stdl_events.recordings.pictures import load_pictures, load_readable_pictures
from stdl_events.recordings.registry import DATASETS
from stdl_events.training.data import batch_of
from stdl_events.training.settings import AugmentSettings

SMALL = pytest.mark.filterwarnings("ignore:.* where the published file has")
FOLDER, SVHN = DATASETS["image_folder"].pictures, DATASETS["svhn"].pictures


def resized(resize: int | None, crop: tuple[int, int] | None, size: tuple[int, int] = (50, 50)) -> FrameSpec:
    return FrameSpec(kind="picture", steps=2, sensor_size=size, center_crop=crop, picture={"resize": resize})


@SMALL
@pytest.mark.parametrize("compress", [True, False])
def test_svhn_is_read_as_its_page_says(tmp_path: Path, compress: bool) -> None:
    sides = write_svhn(tmp_path, (12, 10), compress=compress)
    split = split_svhn(tmp_path)
    for side, pixels_HWCN in zip((split.train, split.test), sides, strict=True):
        clips = load_pictures(SVHN, side, resized(None, None, (32, 32)))
        assert clips.targets_N[:11].tolist() == [*range(1, 10), 0, 1][: len(clips)]
        for number in (0, len(clips) - 1):
            for colour in range(3):
                assert (clips.frames_NTCHW[number][1, colour] == pixels_HWCN[:, :, colour, number]).all()


def no_test_file(root: Path) -> None:
    (root / "test_32x32.mat").unlink()


def cut_short(root: Path) -> None:
    path = root / "train_32x32.mat"
    put(path, path.read_bytes()[:2000])


def text(root: Path) -> None:
    put(root / "train_32x32.mat", "no MATLAB file at all" * 20)


def labels_from_0(root: Path) -> None:
    from scipy.io import savemat

    savemat(root / "train_32x32.mat", {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.zeros((2, 1))})


@SMALL
@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (no_test_file, DatasetError, r"without test_32x32\.mat; .*download train_32x32\.mat from http://ufldl"),
        (cut_short, RecordingError, r"train_32x32\.mat: got \w+ while reading the array [Xy]"),
        (text, RecordingError, r"train_32x32\.mat: got \w+ while reading the array y"),
        (labels_from_0, DatasetError, "got labels that are not 1 to 10; expected digits, and 10 for 0"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, damage: Callable[[Path], None], error: type[UserError], message: str
) -> None:
    write_svhn(tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=message):
        load_pictures(SVHN, split_svhn(tmp_path).train, resized(None, None, (32, 32)))


def test_a_folder_of_pictures_is_split_as_its_folders_say(tmp_path: Path) -> None:
    write_image_folder(tmp_path, per_class=3)
    put(tmp_path / "train" / "n01440764" / "notes.txt", "hm")
    put(tmp_path / "val" / ".hidden" / "a.png", b"")
    with pytest.warns(RecordingWarning, match=r"1 of another kind \(train/n01440764/notes\.txt\), 1 hidden"):
        split = split_image_folder(tmp_path)
    assert split.train.classes == ("n01440764", "n02102040", "n03000684")
    assert [entry.key for entry in split.test.entries[:2]] == [
        "val/n01440764/images/n01440764_1.JPEG", "val/n01440764/n01440764_0.JPEG"
    ]  # fmt: skip
    (tmp_path / "train" / "n01440764" / "notes.txt").unlink()
    assert len(read_image_folder(tmp_path / "train")) == 9
    assert split.check_disjoint().startswith("split as given by the folders train and val: 9 to train, 6 held out")
    for name in ("n02102040", "n03000684"):
        (tmp_path / "val" / name).rename(tmp_path / name)
    with pytest.raises(DatasetError, match="sort the pictures into a folder for each class"):
        split_image_folder(tmp_path)


@pytest.mark.parametrize(("width", "height"), [(31, 57), (57, 31), (24, 24), (40, 24)])
def test_sizes_follow_pillow(tmp_path: Path, width: int, height: int) -> None:
    """Shorter side to 24, bilinearly; the middle 20x16 of that."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    pictures = PictureFiles([tmp_path / "a.png"] * 2, resized(24, (20, 16)))
    share = 24 / min(width, height)
    new_width, new_height = int(width * share + 1e-9), int(height * share + 1e-9)
    small = np.asarray(Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.BILINEAR))
    left, top = round((new_width - 20) / 2), round((new_height - 16) / 2)
    expected = small[top : top + 16, left : left + 20].transpose(2, 0, 1)
    assert pictures[0].tolist() == expected.tolist()
    assert pictures[:].tolist() == pictures[np.array([1, 0])].tolist() == [expected.tolist()] * 2


def test_random_windows(tmp_path: Path) -> None:
    """A pixel's red is its column and its green its row, so that each window tells its place."""
    columns, rows = np.meshgrid(np.arange(200), np.arange(120))
    ramp = np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    spec = resized(120, (118, 118))
    clips = load_pictures(lambda entries, spec: PictureFiles([tmp_path / "a.png"], spec), one_entry(tmp_path), spec)
    rng, many = np.random.default_rng(0), np.zeros(40, np.intp)
    random, _ = batch_of(clips, many, AugmentSettings(crop="random"), rng)
    random_BCHW = np.rint(random[1] * 255)
    assert (random_BCHW[:, :2, 0, 0].max(0) <= (82, 2)).all()
    assert random_BCHW[:, 0, 0, 0].std() > 15
    assert set(random_BCHW[:, 1, 0, 0]) == {0, 1, 2}
    assert (random_BCHW[:, 0, 0, -1] - random_BCHW[:, 0, 0, 0] == 117).all()
    drawn, _ = batch_of(clips, many, AugmentSettings(crop="resized"), rng)
    drawn_BCHW = drawn[0] * 255
    wide = (drawn_BCHW[:, 0, :, -1] - drawn_BCHW[:, 0, :, 0]).mean(1) + 1
    high = (drawn_BCHW[:, 1, -1] - drawn_BCHW[:, 1, 0]).mean(1) + 1
    assert (wide / high).min() > 0.7
    assert (wide / high).max() < 1.4
    shares = wide * high / (200 * 120)
    assert 0.07 < shares.min() < 0.2
    assert 0.4 < shares.max() <= 1
    again, _ = batch_of(clips, many, AugmentSettings(crop="resized"), np.random.default_rng(1))
    assert (again == batch_of(clips, many, AugmentSettings(crop="resized"), np.random.default_rng(1))[0]).all()


def one_entry(root: Path):
    from stdl_events.recordings import Entry, RecordingSet

    return RecordingSet(("a",), (200, 120), (Entry("a", root / "a.png", 0, picture=0),))


def test_pictures_of_several_sizes_need_a_rule(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    split = split_image_folder(tmp_path)
    with pytest.raises(FrameSpecError, match=r"got a picture of .*; expected .*, as the first one, or a rule of size"):
        load_pictures(FOLDER, split.train, resized(None, None, split.train.sensor_size))


def test_all_unreadable_files_are_named(tmp_path: Path) -> None:
    write_image_folder(tmp_path)
    split = split_image_folder(tmp_path)
    for entry in split.train.entries[1:3]:
        put(entry.path, b"no picture")
    readable, clips, bad = load_readable_pictures(FOLDER, split.train, resized(24, (20, 20)))
    assert [one.entry.key for one in bad] == [entry.key for entry in split.train.entries[1:3]]
    assert (len(readable), len(clips)) == (16, 16)
    whole = readable.entries[0].path
    put(whole, whole.read_bytes()[:-400])
    with pytest.raises(RecordingError, match=r"while decoding: .*; expected a picture; replace or remove"):
        clips.frames_NTCHW[0]
    with pytest.raises(RecordingError, match="UnidentifiedImageError"):
        load_pictures(FOLDER, split.train, resized(24, (20, 20)))


def test_gray_of_16_bits_is_scaled_and_of_unknown_range_refused(tmp_path: Path) -> None:
    """It was white above 255, without a word."""
    gray_HW = (np.arange(64).reshape(8, 8) * 1040).astype(np.uint16)
    Image.fromarray(gray_HW).save(tmp_path / "a.png")
    Image.fromarray(gray_HW.astype(np.float32) / 65535).save(tmp_path / "b.tiff")
    files = PictureFiles([tmp_path / "a.png", tmp_path / "b.tiff"], resized(None, None, (8, 8)))
    np.testing.assert_array_equal(files[0], np.broadcast_to(gray_HW // 257, (3, 8, 8)))
    with pytest.raises(RecordingError, match="gray values of the mode F, of unknown range; save it with 8 or 16 bits"):
        files[1]
