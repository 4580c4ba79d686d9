"""Windows per second of this package beside other packages' loops, as fast as each goes."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stdl_events.events import open_recording
from stdl_events.events.formats.aedat4_append import Aedat4Appender
from stdl_events.events.stream import EventArray
from stdl_events.frames import Framer
from stdl_events.live import OnnxSession, Recogniser
from stdl_events.live.loop import run_frames
from stdl_events.live.synthetic import SyntheticSource

TURNS = 7
AT_ONCE: dict[str, Any] = {"behind_s": float("inf"), "clock_s": lambda: 0.0, "sleep_s": lambda _: None}


def against_tonic_and_norse(model: Path, window_us: int, rate: float, windows: int) -> dict[str, Any]:
    """Return windows per second of this package and of Tonic with Norse, on the same events, one thread."""
    import torch
    from live_contenders import tonic_and_norse

    torch.set_num_threads(1)
    session = OnnxSession(model)
    size = session.card.frame.sensor_size
    chunks = chunks_at_once(size, rate, windows * window_us * 1e-6)
    events = np.concatenate(chunks)
    recogniser = Recogniser(session, size, frame_us=window_us)

    def ours() -> None:
        framer = Framer(recogniser.spec)
        frames = (frame for chunk in chunks for frame in framer.push(chunk))
        run_frames(frames, recogniser, [])

    step = tonic_and_norse(session.card.network, size)
    cuts = np.searchsorted(events["t"], np.arange(window_us, windows * window_us, window_us))

    def theirs() -> None:
        for window in np.split(events, cuts):
            step(window)

    return compared({"ours": ours, "tonic and norse": theirs}, windows)


def against_eventcv(model: Path, window_us: int, rate: float, windows: int) -> dict[str, Any]:
    """Return windows per second of this package and of eventcv's own loop, over the same AEDAT 4 file."""
    from live_contenders import eventcv_loop

    session = OnnxSession(model)
    size = session.card.frame.sensor_size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.aedat4"
        file = Aedat4Appender(path, size)
        for chunk in chunks_at_once(size, rate, windows * window_us * 1e-6):
            file.append(chunk)
        file.close()
        recogniser = Recogniser(session, size, frame_us=window_us)

        def ours() -> None:
            framer = Framer(recogniser.spec)
            chunks = open_recording(path).chunks()
            run_frames((frame for chunk in chunks for frame in framer.push(chunk)), recogniser, [])

        return compared({"ours": ours, "eventcv": lambda: eventcv_loop(path, session, window_us)}, windows)


def chunks_at_once(size: tuple[int, int], rate: float, seconds: float) -> list[EventArray]:
    return [chunk.copy() for chunk in SyntheticSource(size, rate, seconds, **AT_ONCE).chunks()]


def compared(runs: dict[str, Callable[[], None]], windows: int) -> dict[str, Any]:
    """Return the windows per second of two runs, by medians of turns after one to warm up, and their ratio."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 + TURNS):
        for name, run in runs.items():
            began_s = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began_s)
    speeds = {name: windows / statistics.median(each[1:]) for name, each in seconds.items()}
    first, second = speeds.values()
    return {"windows_per_s": speeds, "ratio": first / second, "turns": TURNS}
