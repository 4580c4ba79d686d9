"""The loss of a learner: a name, a function or an object, with the settings that are given."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from stdl_events.errors import RuleError
from stdl_events.learning.losses import Loss, MSETarget, PerStep, StepLoss, needed_classifier
from stdl_events.learning.registries import LOSSES
from stdl_events.network.spec import NetworkSpec


def make_loss(
    loss: str | Loss | StepLoss,
    *,
    threshold: float,
    alpha: float | None = None,
    mse_target: MSETarget | None = None,
    label_smoothing: float | None = None,
    class_weights: Sequence[float] | None = None,
    soft_targets: bool | None = None,
) -> Loss:
    """`loss` or the registered loss of that name, with the given settings.

    The settings of a loss are the fields of its dataclass.

    Args:
        threshold: V_th of the neurons, for a named loss that uses it.
        alpha, mse_target, label_smoothing, class_weights, soft_targets: None for the loss's own.

    Raises:
        RuleError: the name is unknown, the loss has no such setting, or a value is impossible.
    """
    entry: Any = LOSSES[loss] if isinstance(loss, str) else loss
    if isinstance(entry, type):
        raise RuleError(
            "loss", got=f"the class {entry.__name__}", expected="an object of it", todo=f"give {entry.__name__}()"
        )
    if isinstance(entry, Tensor) or not (callable(entry) or hasattr(entry, "chunk")):
        raise RuleError(
            "loss",
            got=repr(entry),
            expected="a name, a function of (logits_BK, targets_B), or an object with `chunk`",
            todo=f"use such an object, or one of the names {', '.join(LOSSES.names)}",
        )
    known = {field.name for field in dataclasses.fields(entry)} if dataclasses.is_dataclass(entry) else set()
    settings = {
        "alpha": alpha,
        "mse_target": mse_target,
        "label_smoothing": label_smoothing,
        "class_weights": _as_weights(class_weights),
        "soft_targets": soft_targets,
    }
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    for name in given.keys() - known:
        raise RuleError(
            f"loss {loss if isinstance(loss, str) else type(entry).__name__}",
            got=f"the setting {name}",
            expected="a loss that has it, such as ce+mse",
            todo=f"leave {name} out, or choose another loss",
        )
    if isinstance(loss, str) and "threshold" in known:
        given["threshold"] = threshold
    entry = dataclasses.replace(entry, **given) if given else entry
    return entry if hasattr(entry, "chunk") else PerStep(entry)


def _as_weights(given: Any) -> Any:
    """Class weights as a tuple, of an array or a tensor too; what is none is left to the loss to refuse."""
    listed = given.tolist() if hasattr(given, "tolist") else given
    return tuple(listed) if isinstance(listed, Sequence) and not isinstance(listed, str) else listed


def spec_for(loss: Loss, spec: NetworkSpec) -> NetworkSpec:
    """`spec`, with a spiking classifier where `loss` needs one."""
    return spec.with_settings({}, classifier="spiking") if needed_classifier(loss) == "spiking" else spec


def check_class_weights(loss: Loss, classes: int) -> None:
    """Raise RuleError if `loss` has class weights, but not one for each of `classes`."""
    weights = getattr(loss, "class_weights", None)
    if weights is not None and len(weights) != classes:
        raise RuleError(
            "class_weights", got=f"{len(weights)} of them", expected=f"{classes}, one for each class in their order",
            todo="give as many as there are classes",
        )  # fmt: skip
