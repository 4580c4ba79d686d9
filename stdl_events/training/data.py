"""Order and augmentation of the training clips.

Counts stay uint8 on the host; a learner casts one time step at a time. Pictures are augmented as uint8 and scaled to
float32; a clip of T equal frames is one in memory. Order and augmentation are functions of
(seed, epoch, batch), so a resumed run trains on the same batches as an uninterrupted one.

Shape letters: N clips, B clips of a batch, T time steps, C channels, H rows, W columns.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecipeError, UserError
from stdl_events.events.defects import count_of
from stdl_events.events.stream import RecordingWarning
from stdl_events.events.transform_spec import bind_transform
from stdl_events.frames.picture import is_repeated, repeated
from stdl_events.frames.transform_registry import TRANSFORMS
from stdl_events.frames.transforms import event_drop, random_flip_x, random_roll, random_shift, random_zoom
from stdl_events.recordings.clips import MAX_UINT8, ClipArray
from stdl_events.recordings.pictures import RepeatedPictures
from stdl_events.training.settings import AugmentSettings

Counts = npt.NDArray[np.uint8]
_TRIED = 32
# On average in a frame; with fewer hardly a neuron fires.
_FEW_EVENTS = 3


def batch_of(
    clips: ClipArray,
    indices: npt.NDArray[np.intp],
    settings: AugmentSettings | None = None,
    rng: np.random.Generator | None = None,
    cap: int = MAX_UINT8,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """(frames_TBCHW, targets_B) of the clips `indices`, as the network takes them.

    Args:
        settings: augmentation, with `rng`; None for none.
        cap: of the frames; augmented counts saturate at it too.
    """
    frames_NTCHW = clips.frames_NTCHW
    if settings is None:
        return clips.to_input(frames_NTCHW[indices].swapaxes(0, 1)), clips.targets_N[indices]
    assert rng is not None
    if settings.crop != "none" and isinstance(frames_NTCHW, RepeatedPictures):
        chosen = frames_NTCHW.drawn(indices, settings.crop, rng)
    else:
        chosen = frames_NTCHW[indices]
    frames_TBCHW = augment(chosen.swapaxes(0, 1), settings, rng, cap)
    return clips.to_input(frames_TBCHW), clips.targets_N[indices]


def epoch_batches(
    clip_count: int, batch_size: int, *, seed: int, epoch: int, balance: npt.NDArray[np.int64] | None = None
) -> list[npt.NDArray[np.intp]]:
    """The shuffled clip indices of one epoch in batches of nearly equal size, none above `batch_size`.

    A last batch of one clip would distort batch norm's statistics.

    Args:
        balance: labels of the clips, for equally many of each class; see `balanced_order`.
    """
    if balance is None:
        order = np.random.default_rng((seed, epoch)).permutation(clip_count)
    else:
        order = balanced_order(balance, seed=seed, epoch=epoch)
    return np.array_split(order, -(-clip_count // batch_size))


def balanced_order(targets_N: npt.NDArray[np.int64], *, seed: int, epoch: int) -> npt.NDArray[np.intp]:
    """The clip indices of one epoch with equally many of each class, as many in all as there are clips.

    Of a large class a random part is taken. Of a small one every clip is repeated, one as often as another but for one.
    """
    rng = np.random.default_rng((seed, epoch))
    classes = np.unique(targets_N)
    counts = np.full(len(classes), len(targets_N) // len(classes))
    counts[rng.permutation(len(classes))[: len(targets_N) % len(classes)]] += 1
    chosen = []
    for label, count in zip(classes, counts, strict=True):
        own = np.flatnonzero(targets_N == label)
        rounds = [rng.permutation(own) for _ in range(-(-count // len(own)))]
        chosen.append(np.concatenate([own[:0], *rounds])[:count])
    return rng.permutation(np.concatenate(chosen))


def ordered_batches(clip_count: int, batch_size: int) -> Iterator[npt.NDArray[np.intp]]:
    """All clip indices in order, for evaluation."""
    for start in range(0, clip_count, batch_size):
        yield np.arange(start, min(start + batch_size, clip_count))


def augment(frames_TBCHW: Counts, settings: AugmentSettings, rng: np.random.Generator, cap: int = MAX_UINT8) -> Counts:
    """Augment each clip of a batch by one draw for all its frames. The input is not changed."""
    changes = _changes(settings, rng, cap)
    if not changes:
        return frames_TBCHW
    if is_repeated(frames_TBCHW) and len(frames_TBCHW) > 1:
        return repeated(augment(frames_TBCHW[:1], settings, rng, cap)[0], len(frames_TBCHW))
    changed = np.empty_like(frames_TBCHW)
    for index in range(frames_TBCHW.shape[1]):
        clip_TCHW = frames_TBCHW[:, index]
        for change in changes:
            clip_TCHW = change(clip_TCHW)
        if clip_TCHW.shape != changed[:, index].shape:
            raise _other_shape(clip_TCHW, changed[:, index])
        changed[:, index] = clip_TCHW
    return changed


def check_augmentation(clips: ClipArray, settings: AugmentSettings, *, seed: int, cap: int = MAX_UINT8) -> None:
    """Augment some clips for trial, so that settings that leave nothing of them are refused before a training.

    Raises:
        RecipeError: half of the clips with events have none after it; or numbers are too large for a transform.
    """
    rng = np.random.default_rng(seed)
    indices = rng.permutation(len(clips))[:_TRIED]
    before_TBCHW = clips.frames_NTCHW[indices].swapaxes(0, 1)
    try:
        after_TBCHW = augment(before_TBCHW, settings, rng, cap)
    except (ValueError, ArithmeticError, MemoryError) as error:
        if isinstance(error, UserError):
            raise
        raise RecipeError(
            "augment", got=f"settings that cannot be applied ({error})", expected="such that can",
            todo="use smaller numbers",
        ) from error  # fmt: skip
    counted, left = (int(frames.any(axis=(0, 2, 3, 4)).sum()) for frames in (before_TBCHW, after_TBCHW))
    if counted and left <= counted / 2:
        changed = settings.model_dump(exclude_defaults=True)
        raise RecipeError(
            "augment", got=f"{counted - left} of {count_of(counted, 'clip')} without any event after {changed}",
            expected=f"changes of frames of {before_TBCHW.shape[-1]}x{before_TBCHW.shape[-2]} pixels that leave events",
            todo="use smaller shifts, and drop smaller shares",
        )  # fmt: skip


def warn_of_few_events(clips: ClipArray, *, seed: int) -> None:
    """Warn where frames hold hardly any event: filters, short windows and a wrong unit of time leave such frames."""
    if clips.picture is not None:
        return
    indices = np.random.default_rng(seed).permutation(len(clips))[:_TRIED]
    frames_NTCHW = clips.frames_NTCHW[indices]
    mean = frames_NTCHW.sum(dtype=np.int64) / (frames_NTCHW.shape[0] * frames_NTCHW.shape[1])
    if mean < _FEW_EVENTS:
        warnings.warn(
            f"the frames to train on hold {mean:.2g} events on average; check frames.filters, frames.dt_us and "
            f"the unit of the recordings' times",
            RecordingWarning,
            stacklevel=2,
        )


def _other_shape(clip_TCHW: Counts, expected_TCHW: Counts) -> RecipeError:
    return RecipeError(
        "augment.transforms", got=f"a clip of {clip_TCHW.shape}", expected=f"{expected_TCHW.shape}, its own shape",
        todo="use transforms that keep the size, such as random_zoom and random_shift",
    )  # fmt: skip


def _changes(settings: AugmentSettings, rng: np.random.Generator, cap: int) -> list[Callable[[Counts], Counts]]:
    """The enabled augmentations, in the order of application."""
    changes: list[Callable[[Counts], Counts]] = []
    if settings.shift_px:
        changes.append(partial(random_shift, reach_px=settings.shift_px, rng=rng))
    if settings.roll_px:
        changes.append(partial(random_roll, reach_px=settings.roll_px, rng=rng))
    if settings.zoom:
        changes.append(partial(random_zoom, least=1 - settings.zoom, rng=rng))
    if settings.flip:
        changes.append(partial(random_flip_x, rng=rng))
    if settings.event_drop:
        changes.append(partial(event_drop, rng=rng))
    return [*changes, *(bind_transform(spec, TRANSFORMS, rng, cap=cap) for spec in settings.transforms)]
