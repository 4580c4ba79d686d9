"""Static pictures: the published files against their literal bytes, one picture in memory for all T, and refusals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from published_layouts import put, write_cifar10, write_cifar100

from stdl_events.errors import DatasetError, FrameSpecError, RecordingError, UserError
from stdl_events.events.stream import RecordingWarning
from stdl_events.frames import Framer, FrameSpec
from stdl_events.recordings.pictures import RepeatedPictures, load_pictures, say_equal_pictures
from stdl_events.recordings.registry import DATASETS
from stdl_events.training.data import batch_of
from stdl_events.training.settings import AugmentSettings

SMALL = pytest.mark.filterwarnings("ignore:.* where the archive has")
SPEC = FrameSpec(kind="picture", steps=5, sensor_size=(32, 32))
MEAN, STD = (0.5, 0.25, 0.125), (0.2, 0.3, 0.4)


def clips_of(name: str, root: Path, spec: FrameSpec = SPEC):
    dataset = DATASETS[name]
    split = dataset.split(root)
    return split, [load_pictures(dataset.pictures, side, spec) for side in (split.train, split.test)]


@SMALL
def test_cifar10_is_read_as_its_page_says(tmp_path: Path) -> None:
    pictures = write_cifar10(tmp_path, per_file=3)
    split, (train, test) = clips_of("cifar10", tmp_path)
    assert split.train.classes[:3] == ("airplane", "automobile", "bird")
    assert train.targets_N.tolist() == [0, 1, 2] * 5
    assert [entry.key for entry in split.train.entries][2:5] == ["data_batch_1/00002", "data_batch_2/00000",
                                                                "data_batch_2/00001"]  # fmt: skip
    for clips, own in ((train, pictures[:15]), (test, pictures[15:])):
        assert np.asarray(clips.frames_NTCHW).tolist() == np.stack([own] * 5, axis=1).tolist()
    inner, _ = clips_of("cifar10", tmp_path / "cifar-10-batches-bin")
    assert [entry.key for entry in inner.test.entries] == [entry.key for entry in split.test.entries]
    assert split.check_disjoint().startswith("split of CIFAR-10: 15 to train, 3 held out")


@SMALL
def test_cifar100_has_the_fine_classes(tmp_path: Path) -> None:
    write_cifar100(tmp_path, train=3, test=2)
    split, (train, _) = clips_of("cifar100", tmp_path)
    assert [split.train.classes[label] for label in train.targets_N] == ["kind99", "kind98", "kind97"]
    stored = (tmp_path / "cifar-100-binary" / "train.bin").read_bytes()
    second = np.frombuffer(stored, np.uint8)[3074 + 2 : 2 * 3074].reshape(3, 32, 32)
    assert (train.frames_NTCHW[1] == second).all()


@SMALL
def test_a_picture_is_in_memory_once(tmp_path: Path) -> None:
    write_cifar10(tmp_path, per_file=4)
    _, (train, _) = clips_of("cifar10", tmp_path, replace_steps(1000))
    frames = train.frames_NTCHW
    assert isinstance(frames, RepeatedPictures)
    assert np.shares_memory(frames[3], frames.pictures_NCHW)
    assert frames[3].shape == (1000, 3, 32, 32)
    settings = AugmentSettings(shift_px=4, flip=True, zoom=0.5)
    for augmented in (None, settings):
        frames_TBCHW, _ = batch_of(train, np.array([3, 0, 7]), augmented, np.random.default_rng(0))
        tensor = torch.from_numpy(frames_TBCHW)
        assert tensor.shape == (1000, 3, 3, 32, 32)
        assert tensor.untyped_storage().nbytes() == 3 * 3 * 32 * 32 * 4, "one float32 picture for each clip"
        assert (tensor == tensor[0]).all()


def replace_steps(steps: int) -> FrameSpec:
    return SPEC.model_copy(update={"steps": steps})


@SMALL
def test_pixels_are_scaled_for_each_colour_and_cut_in_the_middle(tmp_path: Path) -> None:
    pictures = write_cifar10(tmp_path, per_file=2)
    spec = FrameSpec.parse(
        {"kind": "picture", "steps": 2, "sensor_size": (32, 32), "center_crop": "20x12",
         "picture": {"mean": "0.5,0.25,0.125", "std": [0.2, 0.3, 0.4]}}
    )  # fmt: skip
    assert spec.frame_shape_CHW == (3, 12, 20)
    assert FrameSpec.parse(spec.model_dump(mode="json")) == spec
    _, (train, _) = clips_of("cifar10", tmp_path, spec)
    frames_TBCHW, targets_B = batch_of(train, np.array([9, 0]))
    assert (frames_TBCHW.dtype, targets_B.tolist()) == (np.float32, [1, 0])
    for colour in range(3):
        expected = (pictures[[9, 0], colour, 10:22, 6:26] / 255 - MEAN[colour]) / STD[colour]
        np.testing.assert_allclose(frames_TBCHW[1, :, colour], expected, rtol=1e-6, atol=1e-6)


@SMALL
def test_shifts_are_crops_of_the_padded_picture(tmp_path: Path) -> None:
    """The papers pad 4 pixels on each side and crop 32x32 anywhere: 81 crops, and 81 mirrored ones."""
    pictures = write_cifar10(tmp_path, per_file=1)
    _, (train, _) = clips_of("cifar10", tmp_path)
    padded = np.pad(pictures[0], ((0, 0), (4, 4), (4, 4)))
    crops = [padded[:, top : top + 32, left : left + 32] for top in range(9) for left in range(9)]
    possible = {np.ascontiguousarray(crop[..., ::step]).tobytes(): (n, step) for n, crop in enumerate(crops)
                for step in (1, -1)}  # fmt: skip
    rng, seen = np.random.default_rng(0), set()
    for _ in range(40):
        frames_TBCHW, _ = batch_of(train, np.array([0] * 50), AugmentSettings(shift_px=4, flip=True), rng)
        pixels_BCHW = np.rint(frames_TBCHW[0] * 255).astype(np.uint8)
        seen |= {possible[picture.tobytes()] for picture in pixels_BCHW}
    assert len(seen) == 162


def no_file(folder: Path) -> None:
    (folder / "data_batch_3.bin").unlink()


def cut_short(folder: Path) -> None:
    put(folder / "test_batch.bin", (folder / "test_batch.bin").read_bytes()[:-1])


def odd_label(folder: Path) -> None:
    put(folder / "data_batch_2.bin", b"\x00" + bytes(3072) + b"\x0a" + bytes(3072))


def names_of_latin_1(folder: Path) -> None:
    put(folder / "batches.meta.txt", "a\xe9ro\n".encode("latin-1"))


def nine_names(folder: Path) -> None:
    put(folder / "batches.meta.txt", "a\nb\n")


def only_pickles(folder: Path) -> None:
    folder.rename(folder.parent / "cifar-10-batches-py")


@SMALL
@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (no_file, DatasetError, r"got no data_batch_3\.bin; .*cifar-10-binary\.tar\.gz from https:.*c32a1d4a"),
        (cut_short, RecordingError, r"test_batch\.bin: got 6145 bytes; expected records of 3073 bytes"),
        (odd_label, DatasetError, r"data_batch_2\.bin: got the class 10 of record 1; expected 0 to 9"),
        (names_of_latin_1, DatasetError, r"batches\.meta\.txt: got the byte 0xe9 at 1; expected text in UTF-8"),
        (nine_names, DatasetError, r"batches\.meta\.txt: got 2 names; expected 10"),
        (only_pickles, DatasetError, r"the Python version, which is a pickle; .* download cifar-10-binary\.tar\.gz"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, damage: Callable[[Path], None], error: type[UserError], message: str
) -> None:
    write_cifar10(tmp_path, per_file=2)
    damage(tmp_path / "cifar-10-batches-bin")
    with pytest.raises(error, match=message):
        clips_of("cifar10", tmp_path)


def test_an_incomplete_set_is_said(tmp_path: Path) -> None:
    write_cifar10(tmp_path, per_file=2)
    with pytest.warns(RecordingWarning, match="where the archive has") as said:
        clips_of("cifar10", tmp_path)
    assert ["10 pictures in data_batch_1" in str(said[0].message), "2 pictures in test_b" in str(said[1].message)] == [
        True, True
    ]  # fmt: skip


@SMALL
def test_equal_pictures_on_both_sides_are_counted(tmp_path: Path) -> None:
    write_cifar10(tmp_path, per_file=2)
    folder = tmp_path / "cifar-10-batches-bin"
    say_equal_pictures(*clips_of("cifar10", tmp_path)[1])
    first, second = (folder / f"data_batch_{n}.bin" for n in (4, 1))
    put(folder / "test_batch.bin", b"\x09" + first.read_bytes()[1:3073] + second.read_bytes()[:3073])
    with pytest.warns(RecordingWarning, match="2 of 2 pictures held out equal one to train on"):
        say_equal_pictures(*clips_of("cifar10", tmp_path)[1])


@SMALL
def test_pictures_have_no_events(tmp_path: Path) -> None:
    write_cifar10(tmp_path, per_file=1)
    split, _ = clips_of("cifar10", tmp_path)
    with pytest.raises(RecordingError, match="got static pictures; expected events"):
        split.train.entries[0].open()
    with pytest.raises(FrameSpecError):
        Framer(SPEC)
    other = replace(split.train, sensor_size=(16, 16))
    with pytest.raises(FrameSpecError, match="got pictures of 32x32; expected 16x16"):
        load_pictures(DATASETS["cifar10"].pictures, other, SPEC.model_copy(update={"sensor_size": (16, 16)}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dt_us": 5}, "kind picture: got dt_us; expected only settings of kind picture"),
        ({"by": "count", "downscale": 2, "rotate": 90}, "kind picture: got by and downscale and rotate"),
        ({"filters": {"background_us": 5}, "cap": 1}, "kind picture: got filters and cap"),
        ({"center_crop": "33x8"}, "center_crop|window|picture"),
        ({"picture": {"resize": 16}}, "center_crop: got none, of pictures whose shorter side has 16"),
        ({"picture": {"resize": 16}, "center_crop": "17x8"}, "center_crop: got 17x8"),
        ({"picture": {"std": "0"}}, "picture.std"),
        ({"kind": "recording", "by": "count", "picture": {"mean": 0.5}}, "kind recording: got picture"),
    ],
)
def test_settings_of_events_and_of_pictures_do_not_mix(settings: dict[str, object], message: str) -> None:
    with pytest.raises(FrameSpecError, match=message):
        FrameSpec.parse({"kind": "picture", "steps": 2, "sensor_size": (32, 32)} | settings)
