"""A part of a recording that is replayed is cut as an evaluation cuts it: on the grid of the whole recording."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collectors import LosslessCollector
from onnx_models import LABELS, expected_logits, make_card, stream_spec, write_model

from stdl_events.events import ReplaySource, open_recording, write_recording
from stdl_events.events.stream import empty_events
from stdl_events.live import OnnxSession, Recogniser, run_live
from stdl_events.recordings import Entry, clips_of

SIZE = (8, 6)


@pytest.mark.parametrize("grid", ["recording", "clock"])
@pytest.mark.parametrize("more", [{}, {"filters": {"hot_pixels": ((3, 3),)}}], ids=["all", "filtered"])
@pytest.mark.parametrize("start", [None, "37%"])
def test_live_and_evaluation_cut_alike(tmp_path: Path, grid: str, more: dict[str, Any], start: str | None) -> None:
    rng = np.random.default_rng(3)
    events = empty_events(900)
    events["t"] = 1_234_567 + np.sort(rng.integers(0, 400_000, 900))
    events["x"], events["y"], events["p"] = (rng.integers(0, most, 900) for most in (8, 6, 2))
    events["x"][:5] = events["y"][:5] = 3
    write_recording(tmp_path / "r.h5", events, SIZE)
    spec = stream_spec(SIZE, 4, 10_000, grid=grid, **more)
    frames_NTCHW, t_start_us_N = clips_of(Entry("r", tmp_path / "r.h5", 0, (start, None)), spec)
    session = OnnxSession(write_model(tmp_path / "m.onnx", make_card(spec)))
    collector = LosslessCollector()
    source = ReplaySource(open_recording(tmp_path / "r.h5"), speed=None, start=start)
    run_live(source, Recogniser(session, SIZE), [collector], overload="complete")
    assert [one.t_us for one in collector.predictions] == (t_start_us_N + 40_000).tolist()
    assert len(t_start_us_N) >= 5
    best = [LABELS[int(expected_logits(clip_TCHW).mean(axis=0).argmax())] for clip_TCHW in frames_NTCHW]
    assert [one.label for one in collector.predictions] == best
    first_us = int(events["t"][5 if more else 0])
    zero_us = first_us if grid == "recording" else 0
    assert all((t_us - zero_us) % 40_000 == 0 for t_us in t_start_us_N.tolist())
