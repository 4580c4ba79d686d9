"""GAIT-DAY-DVS and HAR-DVS under Tonic's tools: they are `tonic.Dataset`s, with our events in every result."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from published_layouts import make, write_gait_day, write_har_dvs

from stdl_events.frames import FrameSpec, recording_frames
from stdl_events.recordings import EventDataset, GaitDay, HarDvs

tonic = pytest.importorskip("tonic")


@pytest.fixture(params=["gait_day", "har_dvs"])
def people(request: pytest.FixtureRequest, tmp_path: Path) -> EventDataset:
    """The held-out side, one recording of each class."""
    if request.param == "gait_day":
        write_gait_day(tmp_path)
        return GaitDay(tmp_path, train=False)
    write_har_dvs(tmp_path, "npz")
    return HarDvs(tmp_path, side="test")


def test_they_are_tonics_datasets(people: EventDataset) -> None:
    assert isinstance(people, tonic.Dataset)
    assert people.targets == list(range(len(people)))
    assert all(Path(path).is_file() and path.startswith(people.location_on_system) for path in people.data)
    assert repr(people) == type(people).__name__


def test_tonics_transforms_apply(people: EventDataset) -> None:
    transforms = tonic.transforms
    people.transform = transforms.Compose(
        [transforms.RefractoryPeriod(delta=1), transforms.ToFrame(sensor_size=people.sensor_size, n_event_bins=4)]
    )
    frames, label = people[1]
    assert (frames.shape[0], label) == (4, 1)
    people.transform = transforms.ToFrame(sensor_size=people.sensor_size, n_event_bins=4)
    width, height, _ = people.sensor_size
    spec = FrameSpec(kind="recording", steps=4, by="count", remainder="drop", sensor_size=(width, height))
    for index in range(3):
        frames, _ = people[index]
        ours = recording_frames(EventDataset(people.recordings)[index][0], spec)
        np.testing.assert_array_equal(frames, ours)


def test_a_disk_cache_holds_equal_events(people: EventDataset, tmp_path: Path) -> None:
    cached = tonic.DiskCachedDataset(people, cache_path=str(tmp_path / "cache"))
    assert len(cached) == len(people)
    for _ in ("filled", "read"):
        for index in range(len(people)):
            (events, label), (ours, our_label) = cached[index], people[index]
            assert events.dtype.names == ours.dtype.names
            for name in ours.dtype.names:
                np.testing.assert_array_equal(events[name], ours[name])
            assert label == our_label
    assert len(list((tmp_path / "cache").glob("*.hdf5"))) == len(people)


def test_slices_are_parts_of_the_recordings(people: EventDataset) -> None:
    sliced = tonic.SlicedDataset(people, slicer=tonic.slicers.SliceByEventCount(event_count=20))
    assert len(sliced) == 3 * len(people), "60 events each"
    for index in range(len(sliced)):
        events, label = sliced[index]
        whole, whole_label = people[index // 3]
        np.testing.assert_array_equal(events, whole[20 * (index % 3) : 20 * (index % 3 + 1)])
        assert label == whole_label
    by_time = tonic.SlicedDataset(people, slicer=tonic.slicers.SliceByTime(time_window=500))
    assert len(by_time) > 0


def test_frames_of_different_lengths_are_collated(people: EventDataset) -> None:
    torch = pytest.importorskip("torch")
    people.transform = tonic.transforms.ToFrame(sensor_size=people.sensor_size, time_window=700)
    loader = torch.utils.data.DataLoader(people, batch_size=3, collate_fn=tonic.collation.PadTensors(batch_first=False))
    frames_TBCHW, labels_B = next(iter(loader))
    singles = [people[index][0] for index in range(3)]
    assert frames_TBCHW.shape[:2] == (max(map(len, singles)), 3)
    assert labels_B.tolist() == [0, 1, 2]
    for index, frames in enumerate(singles):
        np.testing.assert_array_equal(frames_TBCHW[: len(frames), index].numpy(), frames)


def test_without_tonic_they_are_plain_datasets(tmp_path: Path) -> None:
    """A process in which Tonic cannot be imported."""
    write_gait_day(tmp_path)
    program = (
        "import sys; sys.modules['tonic'] = None\n"
        "from stdl_events.recordings import GaitDay\n"
        f"dataset = GaitDay({str(tmp_path)!r}, train=False)\n"
        "print(len(dataset), len(dataset[2][0]), 'torch' in sys.modules)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout == f"12 {len(make(2))} False\n", ended.stderr
