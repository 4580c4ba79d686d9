"""The frames in the queue while the model is slower than the source."""

import threading

import numpy as np
import pytest

from stdl_events.frames import Frame
from stdl_events.live.frame_queue import FrameQueue

STEPS, WINDOW_S = 3, 0.02
EMPTY_CHW = np.zeros((2, 1, 1), np.uint16)


def frame(index: int, steps: int = STEPS, session: int = 0) -> Frame:
    window_us = round(WINDOW_S * 1e6)
    return Frame(
        index, index * window_us, (index + 1) * window_us, EMPTY_CHW, steps, events=2**index % 997, session=session
    )


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def drain(queue: FrameQueue) -> list[int]:
    queue.close()
    taken = []
    while (item := queue.get()) is not None:
        taken.append(item.frame.index)
    return taken


def test_frames_keep_their_order_and_arrival():
    queue = FrameQueue(4, "fresh", clock_s=Clock())
    for index in range(3):
        queue.put(frame(index), arrived_s=index / 10)
    assert [queue.get().arrived_s for _ in range(3)] == [0.0, 0.1, 0.2]
    assert queue.dropped == 0


def test_what_would_be_decided_over_two_windows_late_is_shed_and_counted_for_the_next():
    clock = Clock()
    queue = FrameQueue(100, "fresh", by_clip=False, clock_s=clock)
    queue.put(frame(0), arrived_s=0.0)
    assert queue.get().frame.index == 0
    clock.now_s = 1.2 * WINDOW_S  # a step
    for index in range(1, 5):
        queue.put(frame(index), arrived_s=(index - 1) * WINDOW_S)
    clock.now_s = 3.5 * WINDOW_S
    item = queue.get()  # a step takes 3.5 windows: none is in time, and the newest is taken
    assert (item.frame.index, item.shed, queue.dropped) == (4, 3, 3)
    clock.now_s += 2.0 * WINDOW_S
    for index in range(5, 8):
        queue.put(frame(index), arrived_s=clock.now_s - (8 - index) * 0.5 * WINDOW_S)
    item = queue.get()  # a step takes 2.75 windows, the median
    assert (item.frame.index, item.shed, queue.dropped) == (7, 2, 5)
    assert drain(queue) == []


def test_the_next_window_is_waited_for_where_it_can_be_in_time():
    clock = Clock()
    queue = FrameQueue(100, "fresh", by_clip=False, clock_s=clock)
    taken = []
    for index in range(4):
        queue.put(frame(index), arrived_s=clock.now_s)
        taken.append(queue.get().frame.index)
        clock.now_s += 1.2 * WINDOW_S
    queue.put(frame(4), arrived_s=clock.now_s - 0.9 * WINDOW_S)  # it would be decided after 2.1 windows

    def take():
        taken.append(queue.get())

    taker = threading.Thread(target=take)
    taker.start()
    while not queue.dropped:  # it waits for the next one
        assert taker.is_alive()
    queue.put(frame(5), arrived_s=clock.now_s)
    taker.join(30)
    assert (taken[-1].frame.index, taken[-1].shed) == (5, 1)
    queue.put(frame(6), arrived_s=0.0)
    assert drain(queue) == [6], "at the end there is no next one"


def test_the_last_frame_of_a_clip_is_kept_unless_that_of_a_later_one_waits():
    clock = Clock()
    queue = FrameQueue(100, "fresh", clock_s=clock)
    for index in range(5):  # 2 is the last of its clip
        queue.put(frame(index), arrived_s=0.0)
    clock.now_s = 1.0
    taken = [queue.get(), queue.get()]
    assert [(item.frame.index, item.shed) for item in taken] == [(2, 2), (4, 1)]
    for index in range(5, 10):  # 5 and 8 are
        queue.put(frame(index), arrived_s=0.0)
    clock.now_s = 2.0
    taken = [queue.get(), queue.get()]
    assert [(item.frame.index, item.shed) for item in taken] == [(8, 3), (9, 0)]
    assert queue.dropped == 2 + 1 + 3


def test_a_full_queue_sheds_its_oldest_frame_but_for_the_last_of_a_clip():
    queue = FrameQueue(3, "fresh", clock_s=Clock())
    for index in range(2, 8):
        queue.put(frame(index), arrived_s=0.0)
    assert queue.dropped == 3
    assert drain(queue) == [5, 6, 7]
    assert queue.dropped_events == 4 + 8 + 16
    queue = FrameQueue(2, "fresh", clock_s=Clock())
    for index in range(2, 5):
        queue.put(frame(index), arrived_s=0.0)
    assert drain(queue) == [2, 4]


class SlowModel:
    """A model with steps of `step_s`, and a source of `windows` windows, both on one clock."""

    def __init__(self, step_s: float, steps: int, windows: int) -> None:
        self.now_s, self._put = 0.0, 0
        self._step_s, self._steps, self._windows = step_s, steps, windows
        self.queue = FrameQueue(100, "fresh", clock_s=lambda: self.now_s)
        self.queue._changed.wait_for = self._wait_for
        self.taken, self.latencies_s = [], []

    def run(self) -> None:
        while (item := self.queue.get()) is not None:
            self._go_on(self.now_s + self._step_s)
            self.taken.append(item.frame.index)
            self.latencies_s.append(self.now_s - item.arrived_s)

    def _go_on(self, until_s: float) -> None:
        while self._put < self._windows and self._put * WINDOW_S <= until_s:
            self.now_s = self._put * WINDOW_S
            self.queue.put(frame(self._put, self._steps), arrived_s=self.now_s)
            self._put += 1
        self.now_s = until_s

    def _wait_for(self, condition, timeout_s=None) -> bool:
        if not condition():
            if self._put == self._windows:
                self.queue.close()
            else:
                self._go_on(self._put * WINDOW_S)
        return True


@pytest.mark.parametrize("windows_per_step", [1.001, 1.015, 1.2, 2.03, 2.9])
def test_a_slow_model_decides_every_clip_near_the_present(windows_per_step):
    steps = 20
    model = SlowModel(windows_per_step * WINDOW_S, steps, windows=2_000)
    model.run()
    taken, queue = model.taken, model.queue
    assert taken == sorted(set(taken))
    assert queue.dropped == 2_000 - len(taken) > 0
    assert len(taken) >= 0.95 * 2_000 / windows_per_step, "the model is hardly ever idle"
    assert [index for index in taken if index % steps == steps - 1] == list(range(steps - 1, 2_000, steps))
    p99 = np.quantile(model.latencies_s, 0.99) / WINDOW_S
    assert p99 <= (2 if windows_per_step < 1.02 else 1 + 2 * windows_per_step)


def test_a_model_that_keeps_up_sheds_nothing_after_a_pause_of_its_source():
    clock = Clock()
    queue = FrameQueue(100, "fresh", clock_s=clock)
    taken = []
    for burst in range(20):
        clock.now_s = burst * 10 * WINDOW_S
        for index in range(burst * 10, burst * 10 + 10):
            queue.put(frame(index), arrived_s=clock.now_s)
        while len(queue):
            taken.append(queue.get().frame.index)
            clock.now_s += 0.19 * WINDOW_S
    assert taken == list(range(200))
    assert queue.dropped == 0


def test_waiting_loses_nothing_and_never_exceeds_the_capacity():
    queue, taken, longest = FrameQueue(4, "complete"), [], 0

    def produce():
        for index in range(200):
            queue.put(frame(index), 0.0)
        queue.close()

    producer = threading.Thread(target=produce)
    producer.start()
    while (item := queue.get()) is not None:
        longest = max(longest, len(queue._frames) + 1)
        taken.append(item.frame.index)
    producer.join()
    assert taken == list(range(200))
    assert longest <= 5
    assert queue.dropped == 0


def test_frames_shed_in_another_session_are_none_of_this_one():
    queue = FrameQueue(3, "fresh", clock_s=Clock())
    for index, session in ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (0, 2)):
        queue.put(frame(index, session=session), arrived_s=0.0)
    queue.close()
    taken = [queue.get() for _ in range(3)]
    assert [(item.frame.session, item.frame.index, item.shed) for item in taken] == [(1, 1, 1), (1, 2, 0), (2, 0, 0)]


def test_closing_frees_a_reader_that_waits():
    queue = FrameQueue(1, "complete")
    queue.put(frame(0), 0.0)
    producer = threading.Thread(target=queue.put, args=(frame(1), 0.0))
    producer.start()
    queue.close(discard=True)
    producer.join(10)
    assert not producer.is_alive()
    assert queue.unread_events == 1 + 2
    assert queue.get() is None
    assert queue.closed
