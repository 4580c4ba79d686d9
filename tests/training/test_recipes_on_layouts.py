"""Each recipe takes two steps on small recordings in its dataset's layout, with its own frames, rule and loss."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from class_recordings import SENSOR_SIZE, draw_events
from published_layouts import (
    make,
    put,
    write_cifar10,
    write_cifar10_dvs,
    write_cifar100,
    write_dvs_gesture,
    write_gait_day,
    write_har_dvs,
    write_image_folder,
    write_svhn,
)

from stdl_events.events import write_recording
from stdl_events.recipes import RECIPES
from stdl_events.recipes.resolve import resolve
from stdl_events.training.fit import fit
from stdl_events.training.load_recordings import load_split
from stdl_events.training.metrics import read_metrics

# A small network without a published plan, short clips; two epochs of one step each.
SMALL = ["network.notation=4C3-AP2-4C3", "learning.plan=none", "frames.steps=3", "epochs=2", "batch_size=1000"]


def write_late(path: Path, label: int, duration_us: int) -> None:
    """A recording of a class, stretched to a length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    events = draw_events(label, np.random.default_rng(hash_of(path)), 300)
    events["t"] = events["t"] * duration_us // (int(events["t"][-1]) + 1)
    write_recording(path, events, SENSOR_SIZE)


def hash_of(path: Path) -> list[int]:
    return list(f"{path.parent.name}/{path.name}".encode())


def write_folder(root: Path) -> None:
    for label, name in enumerate(("left", "right")):
        for number in range(5):
            write_late(root / name / f"{number}.h5", label, 450_000)


def write_objects(root: Path) -> None:
    for label, name in enumerate(("box", "scissors")):
        write_late(root / f"{name}.h5", label, 2_000_000)


def write_activities(root: Path) -> None:
    """Three recordings of two movements each, labelled in segments.tsv, and one that has no label."""
    rows = ["file\tsubject\tt_start_us\tt_end_us\tlabel"]
    for number in range(3):
        write_late(root / "sit_stand" / f"person_1_{number}.h5", number % 2, 900_000)
        rows += [f"sit_stand/person_1_{number}.h5\tperson_1\t{start}\t{start + 440_000}\t{label}"
                 for start, label in ((0, "stand_up"), (450_000, "sit_down"))]  # fmt: skip
    write_late(root / "walk_away" / "person_1_1.h5", 0, 900_000)
    put(root / "segments.tsv", "\n".join(rows) + "\n")


def write_nmnist(root: Path) -> None:
    for number in range(20):
        events = make(number, 34, 34, count=30)
        t_us, brighter = events["t"], events["p"].astype(int)
        words = [events["x"], events["y"], brighter << 7 | t_us >> 16 & 127, t_us >> 8 & 255, t_us & 255]
        put(root / "train" / str(number % 10) / f"{number:05d}.bin", np.stack(words, 1).astype(np.uint8).tobytes())


LAYOUTS: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "activities": (write_activities, []),
    "cifar10": (write_cifar10, ["network.notation=4C3(s2)-AP2-4C3"]),
    "cifar100": (write_cifar100, ["network.notation=4C3(s2)-AP2-4C3"]),
    "cifar10_dvs": (partial(write_cifar10_dvs, kind="mirror", per_class=2), [
        "frames.downscale=8", "data.split.rule=order", "data.split.train=10", "data.split.test=10",
    ]),
    "demo_walkers": (lambda root: None, [
        "data.walkers.people=2", "data.walkers.per_person=3", "data.walkers.duration_us=801000",
    ]),
    "dvs_gesture": (write_dvs_gesture, ["frames.downscale=8"]),
    "folder": (write_folder, []),
    "gait_day": (write_gait_day, ["frames.downscale=8"]),
    "har_dvs": (partial(write_har_dvs, kind="npz"), ["frames.downscale=16", "augment.shift_px=1"]),
    "imagenet": (write_image_folder, [
        "network.notation=4C3(s2)-AP2-4C3", "frames.picture.resize=20", "frames.center_crop=16x16",
    ]),
    "svhn": (write_svhn, ["network.notation=4C3(s2)-AP2-4C3"]),
    "nmnist_small": (write_nmnist, []),
    "objects": (write_objects, ["augment.shift_px=1"]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::stdl_events.events.stream.RecordingWarning")
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_takes_two_steps_on_its_layout(tmp_path: Path, name: str) -> None:
    write, changes = LAYOUTS[name]
    write(tmp_path / "data")
    assignments = [*SMALL, "device=cpu", *changes, f"data.path={tmp_path / 'data'}"]
    config = resolve(name, assignments=assignments).config
    result = fit(config, tmp_path / "run", quiet=True)
    *_, last = (row for row in read_metrics(tmp_path / "run") if row["kind"] == "epoch")
    assert last["step"] == 2
    assert np.isfinite(last["loss"])
    assert len(result.evaluation.clips)


def test_digits_with_both_official_sides_keep_them(tmp_path: Path) -> None:
    write_nmnist(tmp_path)
    (tmp_path / "train").rename(tmp_path / "Train")
    for digit in range(10):
        put(
            tmp_path / "Test" / str(digit) / "00020.bin", (tmp_path / f"Train/{digit}/{digit:05d}.bin").read_bytes()[5:]
        )
    split = load_split(resolve("nmnist_small", assignments=[f"data.path={tmp_path}"]).config)
    assert (len(split.train), len(split.test)) == (20, 10)
    assert {entry.path.parts[-3] for entry in split.test.entries} == {"Test"}
