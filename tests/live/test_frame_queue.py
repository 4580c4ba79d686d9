"""The frames in the queue while the model is slower than the source."""

import threading

import numpy as np
import pytest

from stdl_events.frames import Frame
from stdl_events.live.frame_queue import FrameQueue

STEPS = 3
EMPTY_CHW = np.zeros((2, 1, 1), np.uint16)


def frame(index: int, session: int = 0) -> Frame:
    return Frame(index, index, index + 1, EMPTY_CHW, STEPS, events=10**index, session=session)


def drain(queue: FrameQueue) -> list[int]:
    queue.close()
    taken = []
    while (item := queue.get()) is not None:
        taken.append(item[0].index)
    return taken


def test_frames_keep_their_order_and_arrival():
    queue = FrameQueue(4, "fresh")
    for index in range(3):
        queue.put(frame(index), arrived_s=index / 10)
    assert [queue.get()[1] for _ in range(3)] == [0.0, 0.1, 0.2]
    assert queue.dropped == 0


def test_the_oldest_clip_that_is_not_begun_is_dropped_whole():
    queue = FrameQueue(2 * STEPS, "fresh")
    for index in range(6):
        queue.put(frame(index), 0.0)
    assert queue.get()[0].index == 0  # clip 0 is in progress
    for index in range(6, 10):
        queue.put(frame(index), 0.0)
    assert (queue.dropped, queue.dropped_events) == (STEPS, 111_000)
    assert drain(queue) == [1, 2, 6, 7, 8, 9]


def test_a_clip_that_is_given_up_while_it_arrives_takes_its_later_frames_along():
    queue = FrameQueue(4, "fresh")  # smaller than two clips
    for index in range(4):
        queue.put(frame(index), 0.0)
    assert queue.get()[0].index == 0
    for index in range(4, 7):
        queue.put(frame(index), 0.0)
    assert drain(queue) == [1, 2, 6]
    assert queue.dropped == 3


def test_with_room_for_less_than_a_clip_the_clip_in_work_is_given_up():
    queue = FrameQueue(1, "fresh")
    queue.put(frame(0), 0.0)
    assert queue.get()[0].index == 0
    for index in range(1, 4):
        queue.put(frame(index), 0.0)
    assert drain(queue) == [3]
    assert queue.dropped == 2


def test_without_clips_the_oldest_frame_is_dropped():
    queue = FrameQueue(3, "fresh", by_clip=False)
    for index in range(5):
        queue.put(frame(index), 0.0)
    assert drain(queue) == [2, 3, 4]
    assert queue.dropped == 2


@pytest.mark.parametrize("consumed_per_arrival", [0.5, 0.2])
def test_a_slow_model_still_completes_clips_near_the_present(consumed_per_arrival):
    queue = FrameQueue(2 * STEPS, "fresh")
    debt, taken, lag = 0.0, [], []
    for index in range(300):
        queue.put(frame(index), 0.0)
        debt += consumed_per_arrival
        if debt >= 1:
            debt -= 1
            taken.append(queue.get()[0].index)
            lag.append(index - taken[-1])
    complete = [n for n in range(100) if all(n * STEPS + step in taken for step in range(STEPS))]
    assert taken == sorted(taken)
    assert len(complete) >= consumed_per_arrival * 100 - 3
    assert max(lag) <= STEPS * (2 + 1 / consumed_per_arrival)
    assert queue.dropped == 300 - len(taken) - len(drain(queue))


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
        taken.append(item[0].index)
    producer.join()
    assert taken == list(range(200))
    assert longest <= 5
    assert queue.dropped == 0


def test_clips_of_the_same_number_in_two_sessions_are_two():
    queue = FrameQueue(2 * STEPS, "fresh")
    for index, session in ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (0, 2)):
        queue.put(frame(index, session), 0.0)
    assert queue.get()[0].session == 0
    for index in (1, 2):
        queue.put(frame(index, 2), 0.0)
    assert queue.dropped == STEPS
    assert queue.get()[0].session == 0
    assert [queue.get()[0].session for _ in range(STEPS)] == [2] * STEPS


def test_closing_frees_a_reader_that_waits():
    queue = FrameQueue(1, "complete")
    queue.put(frame(0), 0.0)
    producer = threading.Thread(target=queue.put, args=(frame(1), 0.0))
    producer.start()
    queue.close(discard=True)
    producer.join(10)
    assert not producer.is_alive()
    assert queue.unread_events == 11
    assert queue.get() is None
    assert queue.closed
