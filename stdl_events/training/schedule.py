"""The learning rate as a function of the step; a resumed run has no schedule state to restore."""

import math

from stdl_events.events.defects import count_of
from stdl_events.training.settings import TrainConfig
from stdl_events.training.update_settings import ScheduleSettings


def learning_rate(settings: ScheduleSettings, base_lr: float, step: int, *, steps_per_epoch: int, epochs: int) -> float:
    """Learning rate of the update number `step` (from 0) of a run of `epochs * steps_per_epoch` updates.

    The warm-up rises linearly to `base_lr`, reaching it with its last update; the cosine falls from there to
    `settings.final * base_lr`, which it would reach right after the last update. One-cycle is that of
    `torch.optim.lr_scheduler.OneCycleLR` without its cycle of the momentum: half a cosine up and half a cosine down,
    whose end is the last update (Smith & Topin, arXiv:1708.07120). Steps count from the start of the run.
    """
    if settings.kind == "one-cycle":
        last = epochs * steps_per_epoch - 1
        top = max(0.0, settings.rise * (last + 1) - 1)
        if step <= top:
            return base_lr * _half_cosine(settings.rise_from, 1.0, step / top if top else 1.0)
        return base_lr * _half_cosine(1.0, settings.final, (step - top) / (last - top))
    warmup_steps = round(settings.warmup_epochs * steps_per_epoch)
    if step < warmup_steps:
        return base_lr * (step + 1) / warmup_steps
    if settings.kind == "constant":
        return base_lr
    if settings.kind == "step":
        changes: int = step // (settings.step_epochs * steps_per_epoch)
        return base_lr * float(settings.step_factor**changes)
    progress = (step - warmup_steps) / max(1, epochs * steps_per_epoch - warmup_steps)
    return base_lr * _half_cosine(1.0, settings.final, progress)


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def other_schedule(old: TrainConfig, new: TrainConfig, epoch: int) -> str | None:
    """Return what more or fewer epochs change for a run that goes on after `epoch`, in words."""
    if old.epochs == new.epochs or new.schedule.kind == "constant":
        return None
    return (
        f"epochs={new.epochs} instead of {old.epochs}: after epoch {epoch} the learning rate follows its "
        f"{new.schedule.kind} schedule over {count_of(new.epochs, 'epoch')}"
    )
