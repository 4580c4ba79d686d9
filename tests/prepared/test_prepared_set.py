"""Reading a store: the frames of `clips_of`, from several processes and threads; and errors with their remedies."""

import hashlib
import json
import multiprocessing
import os
import shlex
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from binary_recordings import split_of, write_binary

from stdl_events.errors import DatasetError, FrameSpecError
from stdl_events.frames import FrameSpec
from stdl_events.prepared import Preparation, PreparedSet, prepare
from stdl_events.prepared.sources import as_settings
from stdl_events.recipes import load_recipe
from stdl_events.recordings import RecordingSet, by_time, clips_of, load_clips, read_folder
from stdl_events.training.overrides import apply_overrides

Make = Callable[..., Preparation]
STREAM = FrameSpec(kind="stream", steps=4, dt_us=5_000, sensor_size=(34, 34), downscale=2, cap=3)
BY_TIME = FrameSpec(kind="recording", steps=7, by="time", remainder="drop", sensor_size=(34, 34), cap=255)


@pytest.mark.parametrize("frame_spec", [STREAM, BY_TIME])
def test_frames_are_those_of_clips_of(make: Make, recordings: Path, frame_spec: FrameSpec) -> None:
    prepared = PreparedSet.open(make(frame_spec=frame_spec).store, frames=frame_spec)
    split, seen = split_of(recordings), 0
    for side, of_side in (("train", split.train), ("test", split.test)):
        clips = iter(prepared.side(side))
        for entry in of_side.entries:
            frames_NTCHW, _ = clips_of(entry, frame_spec)
            for expected_TCHW in frames_NTCHW:
                frames_TCHW, label = next(clips)
                assert frames_TCHW.dtype == np.uint8
                assert label == entry.label
                np.testing.assert_array_equal(frames_TCHW, expected_TCHW)
                frames_TCHW[:] = 0  # a new array
                seen += 1
        assert next(clips, None) is None
    assert len(prepared) == seen == (200 if frame_spec is STREAM else 40)


@pytest.mark.parametrize("frame_spec", [STREAM, BY_TIME])
def test_clips_are_those_of_load_clips(make: Make, recordings: Path, frame_spec: FrameSpec) -> None:
    prepared = PreparedSet.open(make(frame_spec=frame_spec).store)
    for recordings_asked in (split_of(recordings).test, prepared.split().test):
        clips, expected = prepared.clips(recordings_asked), load_clips(split_of(recordings).test, frame_spec)
        for name in ("targets_N", "entry_index_N", "t_start_us_N"):
            np.testing.assert_array_equal(getattr(clips, name), getattr(expected, name))
        np.testing.assert_array_equal(clips.frames_NTCHW, expected.frames_NTCHW)
        np.testing.assert_array_equal(clips.frames_NTCHW[[3, 1]], expected.frames_NTCHW[[3, 1]])
        np.testing.assert_array_equal(clips.frames_NTCHW[-1], expected.frames_NTCHW[-1])
        assert (len(clips), clips.incomplete) == (len(expected), expected.incomplete)


@pytest.mark.filterwarnings("ignore:no recordings to train on of 5 of 7 classes")
def test_parts_of_real_recordings(recordings_dir: Path, tmp_path: Path) -> None:
    """Both sides of a split by time; the store finds them by the requested part, without the files."""
    both = read_folder(recordings_dir / "objects")
    two = both.with_entries(both.entries[:2])
    split = by_time(two, held_out=0.3, gap_us=200_000)
    spec = FrameSpec(kind="stream", steps=10, dt_us=20_000, sensor_size=(128, 128), downscale=4, cap=255)
    store = prepare(split, spec, tmp_path / "store", dataset="folder", root=recordings_dir / "objects").store
    prepared = PreparedSet.open(store, data=tmp_path / "nowhere")
    alone = prepared.split()
    assert "2 recordings on both sides, in parts at least 200 ms apart" in alone.check_disjoint()
    for asked, ours in ((split.train, alone.train), (split.test, alone.test)):
        expected = load_clips(asked, spec)
        np.testing.assert_array_equal(prepared.clips(asked).frames_NTCHW, expected.frames_NTCHW)
        np.testing.assert_array_equal(prepared.clips(ours).t_start_us_N, expected.t_start_us_N)
    overlapping = replace(alone, gap_us=10_000_000)
    with pytest.raises(DatasetError, match="apart; expected at least 10000000 us between"):
        overlapping.check_disjoint()


def _digest(prepared: PreparedSet, order: list[int]) -> str:
    digest = hashlib.sha256()
    frames = {number: prepared[number][0].tobytes() for number in order}
    for number in sorted(frames):
        digest.update(frames[number])
    return digest.hexdigest()


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_several_readers_at_once(make: Make, how: str) -> None:
    prepared = PreparedSet.open(make().store)
    forwards = list(range(len(prepared)))
    expected = _digest(prepared, forwards)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(how)) as pool:
        readers = [pool.submit(_digest, prepared, order) for order in (forwards, forwards[::-1]) * 2]
        assert {reader.result() for reader in readers} == {expected}


def test_other_frames_are_refused(make: Make) -> None:
    store = make().store
    asked = FrameSpec(kind="recording", steps=20, by="count", sensor_size=(34, 34), cap=1)
    expected = (
        r"store: got clips with other steps \(5, asked for 20\), cap \(255, asked for 1\); expected clips cut by "
        r"T=20,by=count,cap=1; prepare another store by --frames T=20,by=count,cap=1, or ask for this one's T=5,by=cou"
    )
    with pytest.raises(FrameSpecError, match=expected):
        PreparedSet.open(store, frames=asked)


def test_changed_recordings_are_refused(make: Make, recordings: Path) -> None:
    store = make().store
    larger, other = recordings / "left" / "001.bin", recordings / "right" / "002.bin"
    write_binary(larger, 1, events=301)
    write_binary(other, 77)
    expected = (
        rf"store: got recordings in {recordings} that have changed: left/001.bin \(1500 bytes, now 1505\), "
        r"right/002.bin \(other content of the same size\); expected those that the store was made from; run the same"
    )
    with pytest.raises(DatasetError, match=expected):
        PreparedSet.open(store)


def test_recordings_may_be_elsewhere_or_nowhere(make: Make, recordings: Path, tmp_path: Path) -> None:
    store = make().store
    moved = tmp_path / "moved"
    shutil.move(recordings, moved)
    assert len(PreparedSet.open(store)) == 40
    assert len(PreparedSet.open(store, data=moved, verify=True)) == 40
    write_binary(moved / "left" / "001.bin", 77)
    assert len(PreparedSet.open(store)) == 40
    with pytest.raises(DatasetError, match=r"moved that have changed: left/001.bin"):
        PreparedSet.open(store, data=moved)


def test_verify_reads_everything(make: Make, recordings: Path) -> None:
    store = make().store
    path = recordings / "left" / "001.bin"
    status = path.stat()
    write_binary(path, 77)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(PreparedSet.open(store)) == 40
    with pytest.raises(DatasetError, match=r"left/001.bin \(other content of the same size\).*\(with --verify\)"):
        PreparedSet.open(store, verify=True)


def test_a_missing_or_truncated_shard_is_refused(make: Make) -> None:
    store = make().store
    shard = store / "00001.clips"
    data = shard.read_bytes()
    shard.write_bytes(data[:-100])
    expected = rf"{shard}: got {len(data) - 100} bytes; expected {len(data)} bytes, as prepare wrote it; run the same"
    with pytest.raises(DatasetError, match=expected):
        PreparedSet.open(store)
    shard.unlink()
    with pytest.raises(DatasetError, match=rf"{shard}: got no such file; expected {len(data)} bytes"):
        PreparedSet.open(store)


def test_a_damaged_clip_names_its_file_and_offset(make: Make) -> None:
    store = make().store
    clip_bytes = PreparedSet.open(store).manifest.entries[0].clips[0][1]
    shard = store / "00000.clips"
    data = bytearray(shard.read_bytes())
    data[8 + clip_bytes + 5] ^= 4
    shard.write_bytes(data)
    prepared = PreparedSet.open(store)
    prepared[0]
    with pytest.raises(DatasetError, match=rf"{shard}: got a damaged clip of \d+ bytes at byte {8 + clip_bytes} \(its"):
        prepared[1]
    with pytest.raises(DatasetError, match="damaged clip"):
        PreparedSet.open(store, verify=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema_version": 2}, r"got schema 2 and framing 2, written by stdl-events .*; expected schema 1 and fra"),
        ({"framing": 1}, r"got schema 1 and framing 1, .* prepare the recordings again into another folder"),
        ({"files": 3}, r"manifest.json: got files: 3; expected .*remove the store and prepare the recordings again"),
        ({"codec": None}, r"manifest.json: got codec: None; expected a valid string"),
        ({"mystery": 1}, r"manifest.json: got mystery: an unknown key"),
    ],
)
def test_other_manifests_are_refused(make: Make, change: dict[str, object], expected: str) -> None:
    store = make().store
    path = store / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DatasetError, match=expected):
        PreparedSet.open(store)


def test_what_is_no_store_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"nowhere: got no manifest.json; expected a folder that stdl-events prepare"
    ):
        PreparedSet.open(tmp_path / "nowhere")
    store = make().store
    (store / "manifest.json").write_text("{")
    with pytest.raises(DatasetError, match=r"manifest.json: got text that is no JSON .*; expected a JSON document"):
        PreparedSet.open(store)


def test_recordings_that_are_not_in_the_store_are_refused(make: Make, recordings: Path) -> None:
    prepared = PreparedSet.open(make().store)
    train = split_of(recordings).train
    first = train.entries[0]
    cases = {
        r"got no such recording; expected left/new.bin, as asked for; prepare": replace(first, key="left/new.bin"),
        r"with label 0, part \(None, None\); expected label 1": replace(first, label=1),
        r"expected label 0, part \(0.5, None\)": replace(first, span=(0.5, None)),
    }
    for expected, entry in cases.items():
        with pytest.raises(DatasetError, match=expected):
            prepared.clips(train.with_entries([entry]))
    with pytest.raises(DatasetError, match=r"got the classes left, right; expected a, b, as asked for"):
        prepared.clips(RecordingSet(("a", "b"), (34, 34), train.entries))


def test_clips_have_numbers(make: Make) -> None:
    prepared = PreparedSet.open(make().store)
    np.testing.assert_array_equal(prepared[-1][0], prepared[39][0])
    with pytest.raises(IndexError):
        prepared[40]


def test_a_recipe_gets_the_frames_of_a_store_by_the_options_that_are_named() -> None:
    stored = FrameSpec.parse({"sensor_size": (8, 8), "kind": "recording", "steps": 3, "by": "count", "cap": 1})
    recipe = load_recipe("folder").derive(frames={"filters": {"background_us": 5}})
    words = shlex.split(as_settings(stored, recipe.frames.spec((8, 8))))
    assert apply_overrides(recipe, words[1::2]).frames.spec((8, 8)) == stored
    assert words[::2] == ["--set"] * len(words[1::2])
