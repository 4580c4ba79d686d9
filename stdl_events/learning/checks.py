"""Checks of a batch before its first step, so that a refused batch changes no state.

T time, B batch, C channels, H height, W width, K classes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from stdl_events.errors import BatchError, LossError, ShapeError
from stdl_events.events.defects import count_of
from stdl_events.learning.targets import as_soft_targets, not_a_tensor, soft_targets_test
from stdl_events.network.spec import NetworkSpec


def check_any(
    frames: Tensor | Iterable[Tensor], targets_B: Tensor, spec: NetworkSpec, steps: int, *, collect: bool, soft: bool
) -> tuple[Iterable[Tensor], Tensor, int, bool]:
    """Check a batch in any form, as `check_batch` does; frames of an iterable are checked one by one.

    Args:
        collect: collect the frames of an iterable first, to check them all beforehand.
        soft: True for a loss of targets_BK, weights of the classes.

    Returns:
        The frames, the targets as int64 or soft, T, and True if the frames will be checked as they are read.
    """
    if collect and not isinstance(frames, Tensor | Sequence):
        frames = list(islice(frames, steps + 1))
    if isinstance(frames, Tensor | Sequence):
        found, targets_B = check_batch(frames, targets_B, spec, steps, soft=soft)
        return frames, targets_B, found, False
    targets_B = check_targets(targets_B, spec, soft=soft)
    return checked_frames(frames, len(targets_B), spec, steps), targets_B, steps, True


def check_batch(
    frames_TBCHW: Tensor | Sequence[Tensor], targets_B: Tensor, spec: NetworkSpec, steps: int, *, soft: bool = False
) -> tuple[int, Tensor]:
    """Refuse a batch that a network of `spec` cannot learn from.

    Values are read before the first step, with one synchronisation per device that holds tensors. Those of integer
    frames are not read. Frames and targets on the host cause no synchronisation.

    Args:
        steps: T of a sequence of frames; a tensor may have another.
        soft: True for a loss of targets_BK, weights of the classes.

    Returns:
        T, and the targets as int64; soft ones as they are.

    Raises:
        ShapeError: shapes or the number of frames do not match.
        BatchError: targets are not class indices, or frames are not finite real numbers.
    """
    targets_B = as_soft_targets(targets_B, spec) if soft else _as_indices(targets_B)
    if not isinstance(frames_TBCHW, Tensor):
        if len(frames_TBCHW) != steps:
            raise _wrong_steps(str(len(frames_TBCHW)), steps)
    elif frames_TBCHW.ndim != 5 or frames_TBCHW.shape[0] == 0 or frames_TBCHW.shape[1] != len(targets_B):
        raise ShapeError(
            "training frames",
            got=f"shape {tuple(frames_TBCHW.shape)} with {count_of(len(targets_B), 'target')}",
            expected="(T, B, C, H, W) with T >= 1 and one target for each of the B sequences",
            todo="stack the clips along the second dimension",
        )
    for frame_BCHW in frames_TBCHW:
        _check_frame(frame_BCHW, len(targets_B), spec)
    frames = [frames_TBCHW] if isinstance(frames_TBCHW, Tensor) else frames_TBCHW
    _check_values([*_targets_test(targets_B, spec), *_frames_tests(frames)])
    return len(frames_TBCHW), targets_B


def checked_frames(frames: Iterable[Tensor], batch: int, spec: NetworkSpec, steps: int) -> Iterator[Tensor]:
    """Yield `frames`, each checked at its step; there must be `steps` of them.

    Values of a frame on a device are not read, since that would synchronise within the sequence.
    """
    count = 0
    for count, frame_BCHW in enumerate(frames, start=1):
        if count > steps:
            raise _wrong_steps(f"more than {steps}", steps)
        _check_frame(frame_BCHW, batch, spec)
        if frame_BCHW.device.type == "cpu":
            _check_values(_frames_tests([frame_BCHW]))
        yield frame_BCHW
    if count < steps:
        raise _wrong_steps(str(count), steps)


def checked_to_predict(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield `frames`, each checked at its step; values of a frame on a device are not read.

    Raises:
        BatchError: a frame is no tensor of real numbers, or is not finite: neurons would not fire, and say nothing.
    """
    for frame_BCHW in frames:
        _check_numbers(frame_BCHW, "frame")
        if frame_BCHW.device.type == "cpu":
            _check_values(_frames_tests([frame_BCHW], "frames"))
        yield frame_BCHW


def check_losses(losses: Sequence[Tensor]) -> None:
    """Read the losses of all blocks, which synchronises with their device.

    Raises:
        LossError: one is NaN or infinite.
    """
    if not all(map(_has_values, losses)):
        return
    for index, value in enumerate(torch.stack(list(losses)).tolist()):
        if not math.isfinite(value):
            raise LossError(
                "loss", got=f"{value} of block {index}", expected="a finite number",
                todo="use a smaller learning rate, or correct the loss if it is one of your own",
            )  # fmt: skip


def check_targets(targets: Tensor, spec: NetworkSpec, *, soft: bool = False) -> Tensor:
    """`targets` as int64, soft ones as they are; their values are read. Raises as `check_batch`."""
    targets = as_soft_targets(targets, spec) if soft else _as_indices(targets)
    _check_values(_targets_test(targets, spec))
    return targets


def _as_indices(targets_B: Tensor) -> Tensor:
    if not isinstance(targets_B, Tensor):
        raise not_a_tensor("training targets", targets_B)
    if targets_B.dtype == torch.bool or targets_B.is_floating_point() or targets_B.is_complex():
        raise BatchError(
            "training targets",
            got=str(targets_B.dtype),
            expected="class indices of an integer dtype",
            todo="convert one-hot targets with argmax(1), others with .to(torch.int64)",
        )
    if targets_B.ndim != 1 or len(targets_B) == 0:
        raise ShapeError(
            "training targets",
            got=f"shape {tuple(targets_B.shape)}",
            expected="one class index for each of B >= 1 sequences, shape (B,)",
            todo="convert one-hot targets with argmax(1)" if targets_B.ndim == 2 else "give each sequence one target",
        )
    return targets_B.to(torch.int64)


_Test = tuple[Tensor, BatchError]
"""A 0-d tensor that must be true, and the error if it is not."""


def _check_values(tests: Iterable[_Test]) -> None:
    by_device = sorted(tests, key=lambda test: str(test[0].device))
    for _, group in groupby(by_device, key=lambda test: test[0].device):
        own = list(group)
        for fine, (_, error) in zip(torch.stack([test[0] for test in own]).tolist(), own, strict=True):
            if not fine:
                raise error


def _targets_test(targets_B: Tensor, spec: NetworkSpec) -> Iterator[_Test]:
    if not _has_values(targets_B):
        return
    if targets_B.ndim == 2:
        yield soft_targets_test(targets_B)
    else:
        classes = spec.classes or 0
        least, most = torch.aminmax(targets_B)
        yield (
            (least >= 0) & (most < classes),
            BatchError(
                "training targets",
                got="a target that is no class of the network",
                expected=f"class indices from 0 to {classes - 1}",
                todo="number the classes from 0, or build the network with as many classes as there are",
            ),
        )


def _frames_tests(frames: Iterable[Tensor], subject: str = "training frames") -> Iterator[_Test]:
    for frame in frames:
        if frame.is_floating_point() and frame.numel() and _has_values(frame):
            # Minimum and maximum propagate NaN.
            yield (
                torch.isfinite(torch.stack(torch.aminmax(frame))).all(),
                BatchError(
                    subject,
                    got="a value that is NaN or infinite",
                    expected="finite numbers",
                    todo="correct what makes the frames, such as a division by the sum of an empty frame",
                ),
            )


def _has_values(tensor: Tensor) -> bool:
    return not isinstance(tensor, FakeTensor) and not tensor.is_meta


def _check_frame(frame_BCHW: object, batch: int, spec: NetworkSpec) -> None:
    frame_BCHW = _check_numbers(frame_BCHW, "training frame")
    if tuple(frame_BCHW.shape) != (batch, *spec.input_shape):
        raise ShapeError(
            "training frame",
            got=f"shape {tuple(frame_BCHW.shape)}",
            expected=f"({batch}, {', '.join(map(str, spec.input_shape))}), one frame of the network's size per target",
            todo="frame the events at the size that the network was built for",
        )


def _check_numbers(frame: object, subject: str) -> Tensor:
    if not isinstance(frame, Tensor):
        raise not_a_tensor(subject, frame)
    if frame.is_complex():
        raise BatchError(subject, got=str(frame.dtype), expected="real numbers", todo="give counts, such as uint8")
    return frame


def _wrong_steps(got: str, steps: int) -> ShapeError:
    """The error for a wrong number of steps, with which the mean over time would be wrong."""
    return ShapeError(
        "training frames",
        got=f"an iterable of {got} steps",
        expected=f"{steps}, the steps that the learner was built for",
        todo="give one frame per step, or build the learner for another number of steps",
    )
