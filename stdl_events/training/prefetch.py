"""Batches made ahead of the training step, by one thread: it reads, augments and pins while the step runs."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stdl_events.events.defects import count_of
from stdl_events.frames import FrameSpec
from stdl_events.frames.picture import is_repeated
from stdl_events.recordings.clips import MAX_UINT8, ClipArray
from stdl_events.sizes import format_bytes
from stdl_events.training.data import batch_of
from stdl_events.training.mixing import mixed
from stdl_events.training.position import Position
from stdl_events.training.settings import TrainConfig

Made = TypeVar("Made")


def batches_ahead(
    config: TrainConfig,
    clips: ClipArray,
    batches: Sequence[npt.NDArray[np.intp]],
    position: Position,
    device: torch.device,
    classes: int,
) -> AbstractContextManager[Iterator[tuple[Tensor, Tensor]]]:
    """The batches of an epoch from `position` on, (frames_TBCHW, targets_B) as tensors on the host.

    Each is a function of (seed, epoch, batch), whatever was made before it.

    Args:
        batches: the indices of the clips of each batch of the epoch.
        classes: K; with `augment.mix` targets are weights of the classes, targets_BK.
    """
    epoch = position.epoch

    def make(batch: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((config.seed, epoch, batch))
        cap = config.frames.cap or MAX_UINT8
        frames_TBCHW, targets = batch_of(clips, batches[batch], config.augment, rng, cap)
        if config.augment.mix is None:
            return _as_tensors(frames_TBCHW, targets, device)
        mix = config.augment.mix
        return _as_tensors(*mixed(frames_TBCHW, targets, mix, classes=classes, cap=cap, rng=rng), device)

    return made_ahead(make, range(position.batch, len(batches)), ahead=config.prefetch)


def ahead_bytes(config: TrainConfig, frame_spec: FrameSpec) -> int:
    """Host bytes of the batches that wait, beside the one that trains: a byte for a count, float32 for a pixel."""
    clip_bytes = math.prod(frame_spec.frame_shape_CHW) * (4 if frame_spec.kind == "picture" else frame_spec.steps)
    return config.prefetch * config.batch_size * clip_bytes


def describe_ahead(config: TrainConfig, frame_spec: FrameSpec) -> str:
    """Return a line of text: how many batches wait, and their bytes."""
    waiting = count_of(config.prefetch, "batch")
    return f"made ahead of the step: {waiting}, {format_bytes(ahead_bytes(config, frame_spec))} more"


@contextmanager
def made_ahead(make: Callable[[int], Made], numbers: Iterable[int], *, ahead: int) -> Iterator[Iterator[Made]]:
    """Context of an iterator of `make(number)` in the order of `numbers`; its end is that of the thread as well.

    An error of `make` is raised where its result is asked for, after all results before it. When the context ends, by
    an error or early too, results not asked for are dropped, and the one being made is waited for.

    Args:
        make: called in the thread, one number after the other.
        ahead: results that may be made or being made before they are asked for; 0 makes each when it is asked for,
            without a thread.
    """
    if ahead == 0:
        yield map(make, numbers)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        try:
            yield _in_order(thread, make, iter(numbers), ahead)
        finally:
            thread.shutdown(cancel_futures=True)


def _in_order(
    thread: ThreadPoolExecutor, make: Callable[[int], Made], numbers: Iterator[int], ahead: int
) -> Iterator[Made]:
    waiting: deque[Future[Made]] = deque(thread.submit(make, number) for number in islice(numbers, ahead))
    while waiting:
        made = waiting.popleft().result()
        waiting.extend(thread.submit(make, number) for number in islice(numbers, 1))
        yield made


def _as_tensors(
    frames_TBCHW: npt.NDArray[Any], targets_of_clips: npt.NDArray[Any], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return tensors; for a CUDA device in pinned memory, from which the learner copies without waiting.

    A frame that is repeated stays one in memory.
    """
    frames, targets = torch.from_numpy(frames_TBCHW), torch.from_numpy(targets_of_clips)
    if device.type != "cuda":
        return frames, targets
    if is_repeated(frames_TBCHW):
        return frames[:1].pin_memory().expand_as(frames), targets.pin_memory()
    return frames.pin_memory(), targets.pin_memory()
