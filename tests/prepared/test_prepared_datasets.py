"""Every published dataset, on small files in its layout, through a store: the clips are those of the recordings.

Helpers make some of the shards, so that all that opens a recording must travel to them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from published_layouts import write_cifar10_dvs, write_dvs_gesture, write_gait_day, write_har_dvs

from stdl_events.frames import FrameSpec
from stdl_events.prepared import PreparedSet, jobs, prepare
from stdl_events.recordings import (
    Split,
    load_clips,
    split_cifar10_dvs,
    split_dvs_gesture,
    split_gait_day,
    split_har_dvs,
)


def write_gesture_mirror(root: Path) -> None:
    """Tonic's: columns x, y, p and t in milliseconds, which the dataset's own reader converts to microseconds."""
    rng = np.random.default_rng(0)
    for side, user in (("Train", "user01"), ("Train", "user02"), ("Test", "user24")):
        for label in range(3):
            columns = [rng.integers(0, high, 50) for high in (128, 128, 2)] + [np.sort(rng.integers(0, 500, 50))]
            path = root / "DVSGesture" / f"ibmGesture{side}" / f"{user}_led" / f"{label}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.stack(columns, axis=1).astype(np.float64))


CASES: dict[str, tuple[Callable[[Path], None], Callable[[Path], Split]]] = {
    "cifar10_dvs": (
        lambda root: write_cifar10_dvs(root, "original", 2),
        lambda root: split_cifar10_dvs(root, train=1, test=1),
    ),
    "dvs_gesture": (write_dvs_gesture, split_dvs_gesture),
    "dvs_gesture mirror": (write_gesture_mirror, split_dvs_gesture),
    "gait_day": (write_gait_day, split_gait_day),
    "har_dvs": (lambda root: write_har_dvs(root, "npz"), split_har_dvs),
}


@pytest.mark.filterwarnings("ignore:no recordings to train on of . of 11 classes")
@pytest.mark.filterwarnings("ignore:.* where Tonic expects")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("idle_parent")
def test_clips_are_those_of_the_recordings(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write, split_of = CASES[name]
    write(tmp_path / "data")
    split = split_of(tmp_path / "data")
    spec = FrameSpec(kind="recording", steps=5, by="count", sensor_size=split.train.sensor_size, downscale=4, cap=255)
    monkeypatch.setattr(jobs, "MAX_ENTRIES", 1)
    options = {"dataset": name, "root": tmp_path / "data", "workers": 2}
    made = prepare(split, spec, tmp_path / "store", **options)
    assert made.manifest.bad == ()
    prepared = PreparedSet.open(tmp_path / "store", frames=spec, verify=True)
    alone = prepared.split()
    assert alone.check_disjoint() == split.check_disjoint()
    for asked, stored in ((split.train, alone.train), (split.test, alone.test)):
        expected = load_clips(asked, spec)
        assert [entry.group for entry in stored.entries] == [entry.group for entry in asked.entries]
        for recordings in (asked, stored):
            clips = prepared.clips(recordings)
            np.testing.assert_array_equal(clips.frames_NTCHW, expected.frames_NTCHW)
            np.testing.assert_array_equal(clips.targets_N, expected.targets_N)
    assert prepare(split, spec, tmp_path / "store", **options).made == 0
