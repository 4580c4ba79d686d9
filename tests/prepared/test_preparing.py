"""Making a store: complete, independent of the workers, resumed, updated, with errors for unreadable recordings."""

import errno
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from binary_recordings import CLASSES, content, read_binaries, split_of, write_binary

from stdl_events.errors import DatasetError, FrameSpecError, SplitError
from stdl_events.folder_lock import locked
from stdl_events.frames import FrameSpec
from stdl_events.prepared import Preparation, PreparedSet, make_store, prepare, shards, workers
from stdl_events.prepared.jobs import ShardJob
from stdl_events.recordings import Entry, Split
from stdl_events.recordings.clips import cut_takes

Make = Callable[..., Preparation]


def test_the_manifest_says_from_what_and_how(make: Make, recordings: Path) -> None:
    made = make(split_settings={"rule": "recording", "held_out": 0.25, "seed": 0})
    assert (made.made, made.kept) == (40, 0)
    facts = json.loads((made.store / "manifest.json").read_text())
    assert facts["complete"]
    assert facts["root"] == str(recordings)
    assert (facts["dataset"], facts["classes"], facts["sensor_size"]) == ("folder", list(CLASSES), [34, 34])
    assert facts["frames"]["by"] == "count"
    assert facts["split"]["settings"]["rule"] == "recording"
    assert "30 to train, 10 held out; checked: no recording on both sides" in facts["split"]["checked"]
    assert len(facts["files"]) == len(facts["entries"]) == 40
    source = facts["files"][0]
    path = recordings / source["path"]
    assert (source["bytes"], source["mtime_ns"]) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert len(source["sha256"]) == 64
    entry = facts["entries"][0]
    assert (entry["key"], entry["side"], entry["label"]) == (source["path"], "train", 0)
    assert [clip[0] for clip in entry["clips"]] == [0]
    assert [shard["bytes"] for shard in facts["shards"]] == [
        (made.store / shard["file"]).stat().st_size for shard in facts["shards"]
    ]
    assert len(facts["shards"]) == 3


def test_a_killed_run_is_finished(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content(make("whole").store)
    calls = []

    def die_at_the_second(job: ShardJob) -> tuple[shards.Shard, Callable[[], None]]:
        calls.append(job)
        if len(calls) == 2:
            job.path.with_name(f".{job.path.name}.1-0.part").write_bytes(b"half")
            raise KeyboardInterrupt
        return shards.cut_shard(job)

    with monkeypatch.context() as dying:
        dying.setattr(workers, "cut_shard", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            make()
    store = calls[0].path.parent
    with pytest.raises(DatasetError, match=r"store: got an incomplete store; .* same .* again"):
        PreparedSet.open(store)
    seen: list[tuple[int, int]] = []
    finished = make(progress=lambda done, total: seen.append((done, total)))
    assert (finished.made, finished.kept) == (24, 16)
    assert seen == [(16, 40), (32, 40), (40, 40)]
    assert content(store) == whole


def test_a_disk_that_fills_up_behind_the_cutting_is_an_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(job: ShardJob) -> tuple[shards.Shard, Callable[[], None]]:
        shard, complete = shards.cut_shard(job)

        def refuse() -> None:
            complete()
            raise DatasetError(str(job.path), got="no room", expected="room", todo="make room")

        return shard, refuse

    with monkeypatch.context() as filling:
        filling.setattr(workers, "cut_shard", full)
        with pytest.raises(DatasetError, match="got no room"):
            make()
    assert make().manifest.complete


def test_a_finished_store_is_left_alone(make: Make) -> None:
    store = make().store
    before = {path: path.stat().st_mtime_ns for path in store.iterdir() if path.name != ".lock"}
    again = make()
    assert (again.made, again.kept) == (0, 40)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damaged_shards_are_made_again(make: Make, damage: str) -> None:
    store = make().store
    whole = content(store)
    shard = store / "00001.clips"
    data = bytearray(shard.read_bytes())
    if damage == "cut":
        shard.write_bytes(data[:-1])
    elif damage == "flip":
        data[20] ^= 1
        shard.write_bytes(data)
    else:
        shard.unlink()
    again = make()
    assert (again.made, again.kept) == (16, 24)
    assert content(store) == whole


def test_what_changed_is_made_again(make: Make, recordings: Path) -> None:
    store = make().store
    before = content(store)
    write_binary(recordings / "left" / "003.bin", seed=77)
    assert (make().made, PreparedSet.open(store).manifest.clip_count) == (16, 40)
    assert content(store) != before
    assert content(store) == content(make("anew").store)


def test_a_copy_of_the_recordings_is_known_again(make: Make, recordings: Path) -> None:
    store = make().store
    for path in recordings.rglob("*.bin"):
        os.utime(path, ns=(5, 5))
    assert make().made == 0
    assert {file.mtime_ns for file in PreparedSet.open(store).manifest.files} == {5}


def test_verify_sees_what_hides_behind_an_old_time(make: Make, recordings: Path) -> None:
    make()
    path = recordings / "left" / "003.bin"
    status = path.stat()
    write_binary(path, seed=77)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert make().made == 0
    assert make(verify=True).made == 16


def test_fewer_recordings_leave_no_shard_behind(make: Make, recordings: Path) -> None:
    store = make().store
    for number in range(5, 20):
        for name in CLASSES:
            (recordings / name / f"{number:03d}.bin").unlink()
    make()
    assert sorted(content(store)) == ["00000.clips", "manifest.json", "split.json"]
    assert len(PreparedSet.open(store)) == 10


def test_another_request_needs_another_store(make: Make, recordings: Path, tmp_path: Path) -> None:
    store = make().store
    other = FrameSpec(kind="recording", steps=6, by="time", sensor_size=(34, 34), cap=255)
    expected = (
        r"store: got a store with other steps \(5, asked for 6\), by \(count, asked for time\); "
        r"expected a store of the same request; choose another --out, or remove this store"
    )
    with pytest.raises(DatasetError, match=expected):
        make(frame_spec=other)
    with pytest.raises(DatasetError, match=r"other dataset \(folder, asked for nmnist\)"):
        make(dataset="nmnist")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(recordings, elsewhere)
    assert prepare(split_of(elsewhere), other.model_copy(update={"steps": 5, "by": "count"}), store,
                   dataset="folder", root=elsewhere).made == 0  # fmt: skip
    write_binary(recordings / "left" / "000.bin", seed=78)
    with pytest.raises(DatasetError, match=r"other recordings, those of .*elsewhere; expected"):
        make()


def test_a_folder_with_other_things_is_not_touched(make: Make, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("chapter 1")
    with pytest.raises(DatasetError, match="got something that is already there; expected a new folder"):
        make()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["thesis.tex"]


def test_bad_recordings_fail_the_run_and_are_all_named(make: Make, recordings: Path, tmp_path: Path) -> None:
    truncated, outside = recordings / "left" / "003.bin", recordings / "right" / "011.bin"
    truncated.write_bytes(truncated.read_bytes()[:-2])
    outside.write_bytes(b"\x40\x40\0\0\0" * 4)
    with pytest.raises(DatasetError) as caught:
        make()
    text = str(caught.value)
    assert "got 2 of 40 unreadable recordings: " in text
    assert f"{truncated}: got 3 of 5 bytes of a record, which starts at byte 1495" in text
    assert f"{outside}: got event 0 at x=64, y=64, in the block from byte 0" in text
    assert text.endswith("skip them with --skip-bad; finished clips are kept")
    with pytest.raises(DatasetError, match="an incomplete store"):
        PreparedSet.open(tmp_path / "store")
    made = make(skip_bad=True)
    assert (made.made, made.kept) == (0, 40), "what was read is not read again"
    assert {bad.key for bad in made.manifest.bad} == {"left/003.bin", "right/011.bin"}
    assert "byte 1495" in str(made.manifest.bad[0])
    assert len(PreparedSet.open(made.store)) == 38
    write_binary(truncated, 3)
    write_binary(outside, 1011)
    assert make().manifest.bad == ()
    assert len(PreparedSet.open(made.store)) == 40


def test_one_at_a_time(make: Make, tmp_path: Path) -> None:
    store = make().store
    used = "a store that process {} is preparing"
    with locked(store, used=used, error=DatasetError), pytest.raises(DatasetError) as caught:
        make()
    expected = f"{store}: got a store that process {os.getpid()} is preparing; expected one at a time; wait"
    assert str(caught.value).startswith(expected)
    assert make().kept == 40


def test_a_split_that_leaks_is_refused(recordings: Path, tmp_path: Path) -> None:
    both = read_binaries(recordings)
    spec = FrameSpec(kind="recording", steps=5, by="count", sensor_size=(34, 34), cap=255)
    with pytest.raises(SplitError, match="on both sides"):
        prepare(Split(both, both, "none"), spec, tmp_path / "store", dataset="folder", root=recordings)
    assert not (tmp_path / "store").exists()


def test_counts_must_fit_a_byte(make: Make) -> None:
    with pytest.raises(FrameSpecError, match="got 256; expected at most 255"):
        make(frame_spec=FrameSpec(kind="recording", steps=5, by="count", sensor_size=(34, 34), cap=256))


def test_no_clip_at_all_is_an_error(make: Make) -> None:
    long = FrameSpec(kind="stream", steps=50, dt_us=5_000, sensor_size=(34, 34), cap=255)
    with pytest.raises(DatasetError, match=r"got 40 without one complete clip"):
        make(frame_spec=long)


def test_warnings_of_recordings_are_handed_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(job: ShardJob) -> tuple[shards.Shard, Callable[[], None]]:
        shard, complete = shards.cut_shard(job)
        entries = tuple(entry.model_copy(update={"warnings": ("odd",)}) for entry in shard.entries)
        return shard.model_copy(update={"entries": entries}), complete

    monkeypatch.setattr(workers, "cut_shard", warned)
    with pytest.warns(make_store.RecordingWarning) as caught:
        make()
    assert [str(warning.message) for warning in caught] == ["odd"] * 5 + ["35 more such warnings about recordings"]


def test_what_the_garbage_collector_says_is_not_stored(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It depends on what else the process did."""
    alone = content(make("alone").store)

    def cut(*arguments: Any, **watch: Any) -> Any:
        warnings.warn("unclosed file", ResourceWarning, stacklevel=2)
        return cut_takes(*arguments, **watch)

    monkeypatch.setattr(shards, "cut_takes", cut)
    assert content(make("beside").store) == alone


def test_a_full_disk_is_one_error_and_no_bad_recording(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(DatasetError, match=r"manifest.json: got No space left on device; .* make room"):
            make(skip_bad=True)
    store, calls = tmp_path / "store", []

    def full_at_the_second(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    rename = os.replace
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full_at_the_second)
        with pytest.raises(
            DatasetError, match=r"00000.clips: got No space left on device; expected a folder with room"
        ):
            make(skip_bad=True)
    assert not list(store.glob(".*.part"))
    mended = make()
    # The shard that was being cut when the disk refused the first one may be there.
    assert (mended.made, mended.kept) in ((40, 0), (24, 16))
    assert make().kept == 40


def test_a_store_below_a_file_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"file/store: got Not a directory; expected a folder that can be made"):
        make("file/store")


def test_a_recording_that_changes_while_it_is_read_is_bad(
    make: Make, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recordings / "left" / "003.bin"
    cut = shards.cut_takes

    def cut_and_write(entry: Entry, *others: Any, **watch: Any) -> Any:
        if entry.path == path:
            os.utime(path, ns=(7, 7))
        return cut(entry, *others, **watch)

    monkeypatch.setattr(shards, "cut_takes", cut_and_write)
    with pytest.raises(DatasetError, match=r"left/003.bin: got a file that changed while it was read"):
        make()
    monkeypatch.undo()
    assert make().manifest.bad == ()
