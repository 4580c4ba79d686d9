"""Folders of odd recordings against clips that are counted here with numpy alone: from files to a store."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from stdl_events.events.stream import EventArray, empty_events
from stdl_events.prepared import PreparedSet

RunCli = Callable[..., tuple[int, str, str]]
SIZE, STEPS, DT_US = (13, 9), 5, 20_000
DEFECTS = ("none", "stray", "impossible", "outside", "shuffled", "reset", "offset")
LATER_US = 5_000_000


class Options(NamedTuple):
    """How a folder is labelled and prepared; `times` is None where folders are the classes."""

    times: str | None
    turned: bool
    hot: bool
    cropped: bool

    @property
    def words(self) -> list[str]:
        words = [] if self.times is None else ["--label-times", self.times]
        words += ["--orientation", "a:rotate=180"] * self.turned
        words += ["--filter", "hot_pixels=3:4"] * self.hot
        return words + ["--crop", f"1,2,{SIZE[0] - 3}x{SIZE[1] - 3}"] * self.cropped


def drawn(rng: np.random.Generator, t0_us: int) -> EventArray:
    events = empty_events(int(rng.integers(600, 1_200)))
    events["t"] = t0_us + np.sort(rng.integers(0, rng.integers(150_000, 600_000), len(events)))
    events["x"], events["y"] = (rng.integers(0, side, len(events)) for side in SIZE)
    events["p"] = rng.random(len(events)) < 0.5
    return events


def with_defect(rng: np.random.Generator, events: EventArray, defect: str) -> tuple[npt.NDArray[np.int64], int]:
    """Return the rows (t, x, y, p) of a file in whose middle something is odd, and the offset that it states."""
    rows = np.stack([events[name].astype(np.int64) for name in ("t", "x", "y", "p")], axis=1)
    at, offset_us = int(rng.integers(1, len(rows))), 0
    added = {"stray": (10**12, 1, 1, 1), "impossible": (2**62 + at, 1, 1, 1), "outside": (rows[at, 0], 60_000, 1, 1)}
    if defect in added:
        rows = np.insert(rows, at, added[defect], axis=0)
    elif defect == "shuffled":
        rows = rows[np.argsort(rows[:, 0] + rng.integers(0, 3_000, len(rows)), kind="stable")]
    elif defect == "offset":
        offset_us = 7_000_000
        rows[:, 0] -= offset_us
    return rows, offset_us


def write(path: Path, rows: npt.NDArray[np.int64], offset_us: int, kind: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if offset_us or kind == 0:
        with h5py.File(path.with_suffix(".h5"), "w") as file:
            for index, name in enumerate("txyp"):
                file[f"events/{name}"] = rows[:, index]
            if offset_us:
                file["events"].attrs["t_offset"] = offset_us
        return path.with_suffix(".h5")
    if kind == 1:
        np.save(path.with_suffix(".npy"), rows.T)
        return path.with_suffix(".npy")
    path.with_suffix(".csv").write_text("\n".join(["t_us,x,y,p", *(",".join(map(str, row)) for row in rows.tolist())]))
    return path.with_suffix(".csv")


def clips_of(events: EventArray, name: str, options: Options, part: tuple[int, int] | None) -> npt.NDArray[np.int64]:
    """Count the clips of one take or one labelled part."""
    t, x, y, p = (events[field].astype(np.int64) for field in ("t", "x", "y", "p"))
    if options.turned and name == "a":
        x, y = SIZE[0] - 1 - x, SIZE[1] - 1 - y
    kept = np.ones(len(t), bool) if part is None else (t >= part[0]) & (t < part[1])
    if options.hot:
        kept &= (x != 3) | (y != 4)
    width, height = SIZE
    if options.cropped:
        width, height, x, y = width - 3, height - 3, x - 1, y - 2
        kept &= (x >= 0) & (x < width) & (y >= 0) & (y < height)
    t, x, y, p = t[kept] - t[kept].min(), x[kept], y[kept], p[kept]
    length_us = STEPS * DT_US
    clips = np.zeros((t.max() // length_us + 1, STEPS, 2, height, width), np.int64)
    np.add.at(clips, (t // length_us, t % length_us // DT_US, p, y, x), 1)
    is_last_whole = t.max() % length_us >= length_us - DT_US
    return clips if is_last_whole else clips[:-1]


@pytest.mark.parametrize("seed", range(12))
def test_clips_of_odd_recordings_are_those_counted_by_hand(seed: int, tmp_path: Path, run_cli: RunCli) -> None:
    rng = np.random.default_rng(seed)
    turned, hot, cropped = (rng.random(3) < 0.5).tolist()
    options = Options((None, "clock", "recording")[seed % 3], turned, hot, cropped)
    expected: dict[str, npt.NDArray[np.int64]] = {}
    labels = ["recording,label,t_start,t_end"]
    for name in "ab":
        for number in range(3):
            defect = str(rng.choice(DEFECTS))
            events = drawn(rng, LATER_US + int(rng.integers(0, 1_000)))
            rows, offset_us = with_defect(rng, events, defect)
            takes = [events]
            if defect == "reset":
                takes.append(drawn(rng, 0))
                rows = np.concatenate([rows, with_defect(rng, takes[1], "none")[0]])
            path = write(tmp_path / "data" / name / str(number), rows, offset_us, int(rng.integers(3)))
            key, part = f"{name}/{path.name}", None
            if options.times is not None and defect != "reset":
                first_us = int(events["t"].min())
                part = first_us + int(rng.integers(0, 9_000)), first_us + int(rng.integers(110_000, 150_000))
                shift_us = first_us if options.times == "recording" else 0
                labels.append(f"{key},{name},{part[0] - shift_us},{part[1] - shift_us}")
            else:
                labels.append(f"{key},{name},,")
            for index, take in enumerate(takes, start=1):
                its_key = f"{key}:{len(labels)}" if part else key
                its_key = f"{key}:take{index}" if len(takes) > 1 else its_key
                expected[its_key] = clips_of(take, name, options, part)
    if options.times is not None:
        (tmp_path / "data" / "labels.csv").write_text("\n".join(labels))
    asked = ["--frames", f"T={STEPS},dt={DT_US}us", "--sensor", "{}x{}".format(*SIZE), *options.words]
    data, store_path = tmp_path / "data", tmp_path / "store"
    code, _, err = run_cli("prepare", "folder", "--data", data, "--out", store_path, "--workers", 1, *asked)
    assert code == 0, err
    store, found = PreparedSet.open(store_path), {}
    for recordings in store.split().sides.values():
        clips = store.clips(recordings)
        for index, entry in enumerate(recordings.entries):
            found[entry.key] = np.asarray(clips.frames_NTCHW)[clips.entry_index_N == index]
    assert found.keys() == expected.keys()
    for key, frames_NTCHW in found.items():
        assert np.array_equal(frames_NTCHW, expected[key]), key
