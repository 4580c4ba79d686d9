"""Filters as data: parsed, written, applied in a fixed order, on chunks of any size and on whole recordings."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tonic.functional import refractory_period_numpy

from stdl_events.errors import FrameSpecError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.filter_spec import FILTERS, FilterSpec
from stdl_events.events.filtered import filtered
from stdl_events.events.filters import drop_background_activity, drop_pixels, drop_refractory, no_activity
from stdl_events.events.stream import EventArray, concatenate_events, empty_events

RunCli = Callable[..., tuple[int, str, str]]
SIZE = (9, 7)
ALL = FilterSpec(hot_pixels=((3, 4), (0, 0)), background_us=200, refractory_us=90)


def draw_events(seed: int, count: int = 600, span_us: int = 6_000) -> EventArray:
    """Events from t=1 us on: Tonic's refractory period takes t=0 for a pixel's second event."""
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = np.sort(rng.integers(1, span_us, count))
    events["x"], events["y"] = rng.integers(0, SIZE[0], count), rng.integers(0, SIZE[1], count)
    events["p"] = rng.random(count) < 0.5
    return events


def one_after_the_other(events: EventArray) -> list[EventArray]:
    """Return the events kept after each of the three filters, each applied to all events at once."""
    mask_HW = np.zeros(SIZE[::-1], np.bool_)
    mask_HW[[4, 0], [3, 0]] = True
    kept = [drop_pixels(events, mask_HW)]
    kept.append(drop_background_activity(kept[-1], no_activity(SIZE), SIZE, support_us=200)[0])
    kept.append(drop_refractory(kept[-1], no_activity(SIZE), SIZE, period_us=90)[0])
    return kept


@given(st.integers(0, 10_000), st.integers(1, 400), st.lists(st.integers(0, 10_000), max_size=8))
@settings(max_examples=30)
def test_the_refractory_period_is_tonics_in_chunks_of_any_size(seed: int, period_us: int, cuts: list[int]) -> None:
    events = draw_events(seed, 200)
    expected = refractory_period_numpy(events, period_us)
    kept, last_us_P = [], no_activity(SIZE)
    for start, stop in pairwise([0, *sorted(cut % 201 for cut in cuts), 200]):
        before = last_us_P.copy()
        part, after = drop_refractory(events[start:stop], last_us_P, SIZE, period_us=period_us)
        np.testing.assert_array_equal(last_us_P, before)
        kept.append(part)
        last_us_P = after
    np.testing.assert_array_equal(concatenate_events(kept), expected)


@given(st.integers(0, 10_000), st.lists(st.integers(0, 10_000), max_size=8))
@settings(max_examples=30)
def test_a_chain_applies_its_filters_in_order_to_chunks_of_any_size(seed: int, cuts: list[int]) -> None:
    events = draw_events(seed)
    chain = ALL.start(SIZE)
    edges = [0, *sorted(cut % 601 for cut in cuts), 600]
    kept = concatenate_events(chain(events[start:stop]) for start, stop in pairwise(edges))
    expected = one_after_the_other(events)
    np.testing.assert_array_equal(kept, expected[-1])
    sizes = [len(events), *map(len, expected)]
    assert list(chain.dropped.values()) == [before - after for before, after in pairwise(sizes)]
    assert all(chain.dropped.values()), "or the comparison would prove little"


def test_every_filter_is_a_field_in_the_order_of_the_registry() -> None:
    assert tuple(FilterSpec.model_fields) == FILTERS.names == tuple(ALL.settings)
    assert not FilterSpec()
    assert FilterSpec().words == []


def test_words_and_json_survive() -> None:
    assert ALL.words == ["hot_pixels=0:0+3:4", "background_us=200", "refractory_us=90"]
    assert FilterSpec.parse(ALL.words) == ALL
    assert FilterSpec.parse(reversed(ALL.words)) == ALL
    assert FilterSpec.model_validate_json(ALL.model_dump_json()) == ALL


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["background=5"], r"filter: got 'background'; expected hot_pixels or background_us or refractory_us"),
        (["background_us"], r"--filter: got 'background_us'; expected NAME=VALUE"),
        (["background_us=1", "background_us=2"], r"--filter: got background_us twice"),
        (["background_us=5ms"], r"--filter background_us: got '5ms'; expected a valid integer"),
        (["refractory_us=0"], r"--filter refractory_us: got '0'; expected greater than or equal to 1"),
        (["hot_pixels=3"], r"--filter hot_pixels: got '3'"),
        (["hot_pixels=-1:0"], r"--filter hot_pixels: got '-1:0'; expected greater than or equal to 0"),
    ],
)
def test_wrong_words_are_told(words: list[str], message: str) -> None:
    with pytest.raises(FrameSpecError, match=message):
        FilterSpec.parse(words)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Events with some hot pixels, and an attribute."""
    events = draw_events(5)
    events["x"][::4], events["y"][::4] = 7, 2
    write_recording(tmp_path / "r.h5", events, SIZE, {"who": "nobody"})
    return tmp_path / "r.h5"


def test_a_filtered_recording_is_a_recording(recording: Path) -> None:
    whole = open_recording(recording)
    expected = one_after_the_other(whole.read())[-1]
    kept = filtered(whole, ALL)
    assert kept.summary.events == len(expected) < whole.summary.events
    assert (kept.t_first_us, kept.t_last_us) == (expected["t"][0], expected["t"][-1])
    assert (kept.sensor_size, kept.sensor_size_from, kept.attributes) == (SIZE, "header", {"who": "nobody"})
    for read in (kept.read(), concatenate_events(kept.chunks()), concatenate_events(kept.chunks(7))):
        np.testing.assert_array_equal(read, expected)
    assert filtered(whole, FilterSpec()) is whole


def words_of(spec: FilterSpec) -> list[str]:
    return [part for word in spec.words for part in ("--filter", word)]


def test_info_says_how_many_events_each_filter_would_drop(run_cli: RunCli, recording: Path) -> None:
    events = open_recording(recording).read()
    sizes = [len(events), *map(len, one_after_the_other(events))]
    code, out, err = run_cli("info", recording, *words_of(ALL), "--find-hot-pixels", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["events"] == 600, "the recording's own"
    drops = (before - after for before, after in pairwise(sizes))
    assert facts["dropped"] == dict(zip(ALL.words, drops, strict=True))
    assert facts["hot_pixels"] == "7:2"
    out = run_cli("info", recording, "--filter", "hot_pixels=7:2", "--find-hot-pixels")[1]
    dropped = np.count_nonzero((events["x"] == 7) & (events["y"] == 2))
    assert f"drops {dropped} events ({dropped / 600:.1%})" in " ".join(out.split())
    assert "dropped" not in json.loads(run_cli("info", recording, "--json")[1])


def test_convert_writes_what_is_kept(run_cli: RunCli, recording: Path, tmp_path: Path) -> None:
    expected = one_after_the_other(open_recording(recording).read())[-1]
    for name in ("kept.h5", "kept.npz"):
        code, out, err = run_cli("convert", recording, tmp_path / name, *words_of(ALL), "--json")
        assert code == 0, err
        assert json.loads(out)["events"] == len(expected)
        np.testing.assert_array_equal(open_recording(tmp_path / name).read(), expected)


@pytest.mark.parametrize("command", ["info", "convert", "frames", "show", "prepare"])
def test_help_lists_every_filter(run_cli: RunCli, command: str) -> None:
    words = " ".join(run_cli(command, "--help")[1].split())
    assert all(f"{name}: {kind.summary}" in words for name, kind in FILTERS.items())


def test_a_wrong_filter_is_one_line(run_cli: RunCli, recording: Path) -> None:
    for command, *more in (["info"], ["frames", "--bins", "3", "--out", "f.npy"], ["show"], ["convert", "x.h5"]):
        code, out, err = run_cli(command, recording, *more, "--filter", "noise=3")
        assert (code, out) == (2, "")
        assert err.startswith("stdl-events: error: filter: got 'noise'; expected hot_pixels or background_us or")


def test_a_hot_pixel_outside_the_sensor_is_refused():
    with pytest.raises(FrameSpecError, match="got the pixel 8:2; expected pixels inside 8x6"):
        FilterSpec.parse(["hot_pixels=7:2+8:2"]).start((8, 6))
