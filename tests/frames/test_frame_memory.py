"""Contiguous frames in shared blocks: each is read-only and keeps its values."""

import threading

import numpy as np
import pytest
from frame_events import loop_counts, random_events, run, stream

from stdl_events.frames import Framer
from stdl_events.frames import memory as frame_memory
from stdl_events.frames.memory import FrameMemory


@pytest.fixture(params=[1, 2, 5])
def small_blocks(request, monkeypatch):
    """Few frames per block, so that blocks are filled and replaced often."""
    monkeypatch.setattr(frame_memory, "BLOCK_FRAMES", request.param)


def loop_windows(events, spec) -> list[np.ndarray]:
    windows = events["t"] // spec.dt_us
    return [loop_counts(events[windows == window], spec) for window in range(windows[0], windows[-1] + 1)]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("chunk", [1, 7, 400])
@pytest.mark.parametrize("kept", [0, 1, 3, 1000])
def test_frames_stay_what_they_are_for_as_long_as_they_are_referenced(chunk, kept):
    spec = stream(dt_us=20)
    framer = Framer(spec)
    for seed in range(4):  # one framer for several recordings
        events = random_events(seed, 400, 900)
        expected = loop_windows(events, spec)
        held, indices = [], []
        first = int(events["t"][0]) // 20
        for start in [*range(0, len(events), chunk), None]:
            frames = framer.finish() if start is None else framer.push(events[start : start + chunk])
            for frame in frames:
                np.testing.assert_array_equal(frame.counts_CHW, expected[frame.index - first])
                indices.append(frame.index)
            held = (
                (held + frames)[len(held) + len(frames) - kept :] if kept < len(held) + len(frames) else held + frames
            )
        assert indices == list(range(first, first + len(expected)))
        for frame in held:
            np.testing.assert_array_equal(frame.counts_CHW, expected[frame.index - first])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("look", [lambda c: c[:, 1:3], lambda c: c.reshape(-1)[3:], memoryview, lambda c: c[0].T])
def test_whatever_looks_into_a_frame_sees_it_unchanged(look):
    spec = stream(dt_us=20)
    framer = Framer(spec)
    events = random_events(1, 300, 900)
    looks = []
    for start in range(0, 300, 10):
        looks += [
            (look(frame.counts_CHW), np.array(look(frame.counts_CHW)))
            for frame in framer.push(events[start : start + 10])
        ]
    assert len(looks) > 30
    for view, copy in looks:
        np.testing.assert_array_equal(np.asarray(view), copy)


def test_nobody_can_make_a_frame_writeable():
    events = random_events(3, 300, 300)
    frames = run(events, stream(dt_us=7))
    for counts_CHW in (frames[0].counts_CHW, frames[1].counts_CHW[0]):
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            counts_CHW.setflags(write=True)


def test_a_kept_frame_keeps_little():
    for shape_CHW in ((2, 4, 4), (2, 100, 100), (2, 720, 1280)):
        memory, frames = FrameMemory(shape_CHW), set()
        for _ in range(3 * frame_memory.BLOCK_FRAMES):
            block = memory.block()
            frames.add(block.frames_BCHW[block.used].__array_interface__["data"][0])
            block.used += 1
            assert len(block.frames_BCHW) <= frame_memory.BLOCK_FRAMES
            assert len(block.frames_BCHW) == 1 or block.counts.nbytes <= frame_memory.BLOCK_BYTES
    assert len(FrameMemory((2, 4096, 4096)).block().frames_BCHW) == 1


@pytest.mark.usefixtures("small_blocks")
def test_frames_dropped_by_another_thread_are_right():
    spec = stream(dt_us=20)
    events = random_events(5, 2_000, 9_000)
    expected, waiting, wrong = loop_windows(events, spec), [], []
    done = threading.Event()

    def consume() -> None:
        while not done.is_set() or waiting:
            if waiting:
                frame = waiting.pop(0)
                if not np.array_equal(frame.counts_CHW, expected[frame.index - int(events["t"][0]) // 20]):
                    wrong.append(frame.index)

    consumer = threading.Thread(target=consume)
    consumer.start()
    framer = Framer(spec)
    for start in range(0, len(events), 13):
        waiting.extend(framer.push(events[start : start + 13]))
    done.set()
    consumer.join()
    assert not wrong
