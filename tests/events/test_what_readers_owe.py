"""What every reader owes: events out = events in the file - skipped, and skipped = counted + said."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import event_files
import numpy as np
import pytest
from fuzz_recordings import COMPRESS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stdl_events.errors import CorruptRecordingError, RecordingError, TruncatedRecordingError
from stdl_events.events import FORMATS, RecordingWarning, open_recording

WIDTH, HEIGHT = 40, 30
SIZE = {"width": WIDTH, "height": HEIGHT}


class Written(NamedTuple):
    """A format that the tests can write.

    Attributes:
        write: the bytes of a file of events; the folder is for files that need one.
        size: the sensor that the format or its header gives; None where the caller gives `WIDTH` and `HEIGHT`.
        beyond: it can hold coordinates outside that sensor.
        far: it can hold times that are hours apart.
    """

    suffix: str
    write: Callable[[np.ndarray, Path], bytes]
    size: tuple[int, int] | None = (WIDTH, HEIGHT)
    beyond: bool = True
    far: bool = True


WRITTEN = {
    "aedat1": Written(".aedat", lambda events, _: event_files.aedat1(events), (128, 128), False, False),
    "aedat2": Written(".aedat", lambda events, _: event_files.aedat2_davis(events), (240, 180), False, False),
    "aedat3": Written(".aedat", lambda events, _: event_files.aedat3(events), (128, 128), True, False),
    "aedat4": Written(".aedat4", lambda events, _: event_files.aedat4([(0, WIDTH, HEIGHT, np.array_split(events, 5))])),
    "evt2": Written(".raw", lambda events, _: event_files.evt2(events, **SIZE), far=False),
    "evt21": Written(".raw", lambda events, _: event_files.evt21(events, **SIZE), far=False),
    "evt3": Written(".raw", lambda events, _: event_files.evt3(events, **SIZE), far=False),
    "dat": Written(".dat", lambda events, _: event_files.dat(events, width=None), None, far=False),
    "es": Written(".es", lambda events, _: event_files.es_dvs(events, **SIZE), beyond=False, far=False),
    "mcap": Written(".mcap", lambda events, _: event_files.mcap(events, **SIZE)),
    "stdl-hdf5": Written(".h5", event_files.stdl_hdf5, None, False, False),
    "hdf5": Written(".h5", event_files.hdf5_columns, None),
    "npy": Written(".npy", lambda events, _: event_files.npy_structured(events), None),
    "npz": Written(".npz", lambda events, _: event_files.npz_arrays(events), None),
    "nmnist": Written(".bin", lambda events, _: event_files.atis_bin(events), (34, 34), True, False),
    "ncaltech": Written(".bin", lambda events, _: event_files.atis_bin(events), None, True, False),
    "text": Written(".csv", lambda events, _: event_files.text(events, separator=",", header="t_us,x,y,p"), None),
}


def make_events(written: Written, seed: int, outside: int, strays: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (events, the mask of those outside the sensor, the mask of the stray ones)."""
    width, height = written.size or (WIDTH, HEIGHT)
    random = np.random.default_rng(seed)
    events = event_files.make_events(300, width, height, seed=seed)
    off, stray = np.zeros(300, bool), np.zeros(300, bool)
    if written.beyond:
        off[random.choice(300, outside, replace=False)] = True
        events["x"][off], events["y"][off] = width + random.integers(0, 9, outside), random.integers(0, height, outside)
    if written.far and strays:
        start = int(random.integers(1, 290 - strays))
        stray[start : start + strays] = True
        events["t"][stray] = 20_000_000_000 + np.arange(strays)
    return events, off, stray & ~off


@st.composite
def files(draw: st.DrawFn, damaged: bool) -> tuple[str, str | None, int, int, int, float]:
    name, packed = draw(st.sampled_from(sorted(WRITTEN))), draw(st.sampled_from([None, None, *COMPRESS]))
    cut = draw(st.floats(0.3, 0.999)) if damaged else 1.0
    return name, packed, draw(st.integers(0, 99)), draw(st.integers(0, 60)), draw(st.sampled_from([0, 0, 1, 2])), cut


def put(folder: Path, written: Written, packed: str | None, events: np.ndarray, cut: float) -> Path:
    """Write the first part of the file of `events`, compressed unless `packed` is None."""
    path, data = folder / f"a{written.suffix}", written.write(events, folder)
    if packed is not None:
        path, data = folder / f"{path.name}.{packed}", COMPRESS[packed](path.name, data)
    path.write_bytes(data[: int(cut * len(data))])
    return path


def counts_said(said: list[warnings.WarningMessage], pattern: str) -> int:
    """The sum of the counts that the warnings state; the counts of events, not those of kinds of defects."""
    texts = [str(each.message) for each in said if issubclass(each.category, RecordingWarning)]
    return sum(int(found[1]) for text in texts for found in re.finditer(pattern, text))


def test_every_format_is_written() -> None:
    assert WRITTEN.keys() == set(FORMATS)


@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=files(damaged=False))
def test_what_is_not_read_is_counted_and_said(
    tmp_path: Path, file: tuple[str, str | None, int, int, int, float]
) -> None:
    name, packed, seed, outside, strays, cut = file
    written = WRITTEN[name]
    events, off, stray = make_events(written, seed, outside, strays)
    path = put(tmp_path, written, packed, events, cut)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        recording = open_recording(path, format=name, sensor_size=None if written.size else (WIDTH, HEIGHT))
        found, summary = recording.read(), recording.summary
    assert (found == events[~off & ~stray]).all()
    assert (np.concatenate([found[:0], *recording.chunks(77)]) == found).all()
    assert (summary.events, summary.outside, summary.strays) == (len(found), off.sum(), stray.sum())
    assert len(events) == summary.events + summary.outside + summary.strays
    assert counts_said(said, r"(\d+) events? \(\S+ of all\) outside") == summary.outside
    assert counts_said(said, r"(\d+) stray events?") == summary.strays
    if off.any():
        with pytest.raises(RecordingError, match=r"event \d+ at (x=\d|\d+ us)"):
            open_recording(path, format=name, sensor_size=recording.sensor_size, strict=True).read()


@pytest.mark.filterwarnings("ignore::stdl_events.events.RecordingWarning")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=files(damaged=True))
def test_repair_keeps_what_comes_before_the_damage(
    tmp_path: Path, file: tuple[str, str | None, int, int, int, float]
) -> None:
    name, packed, seed, outside, _, cut = file
    written = WRITTEN[name]
    events, off, _ = make_events(written, seed, outside, 0)
    path = put(tmp_path, written, packed, events, cut)
    size = None if written.size else (WIDTH, HEIGHT)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            recording = open_recording(path, format=name, sensor_size=size, repair=True)
            found, summary = recording.read(), recording.summary
        except (TruncatedRecordingError, CorruptRecordingError):
            return  # of its header: nothing of it can be used, which the error says
    read = summary.events + summary.outside
    assert (found == events[:read][~off[:read]]).all()
    assert counts_said(said, r"(\d+) events? \(\S+ of all\) outside") == summary.outside
    if any("does not unpack" in str(each.message) for each in said):
        with pytest.raises(TruncatedRecordingError, match="does not unpack"):
            open_recording(path, format=name, sensor_size=size)
        return
    if summary.damage is None:
        assert (open_recording(path, format=name, sensor_size=size).read() == found).all()
        return
    assert counts_said(said, r"kept the (\d+) events? before it") == len(found)
    with pytest.raises((TruncatedRecordingError, CorruptRecordingError)):
        open_recording(path, format=name, sensor_size=size).read()
