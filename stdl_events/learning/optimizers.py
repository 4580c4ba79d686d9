"""The papers' optimisers with small temporaries, and factories of any other."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from stdl_events.arguments import is_number
from stdl_events.errors import RuleError
from stdl_events.learning.registries import DEFAULT_OPTIMIZER, OPTIMIZERS

OptimizerFactory: TypeAlias = Callable[..., torch.optim.Optimizer]
"""(parameters, settings as keywords) -> optimiser whose `step` needs no closure; see `OPTIMIZERS`."""


def sgd(
    parameters: list[nn.Parameter], *, lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """SGD with momentum."""
    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, foreach=False, fused=_fused(parameters)
    )


def adamw(parameters: list[nn.Parameter], *, lr: float = 1e-3, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, arXiv:1711.05101)."""
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, foreach=False, fused=_fused(parameters))


@torch.no_grad()
def clip_gradients(optimizer: torch.optim.Optimizer, limit: float) -> None:
    """Scale all gradients of `optimizer` by one factor, so that their L2 norm together is at most `limit`.

    No value is read on the host. Source: Pascanu et al., arXiv:1211.5063, algorithm 1.
    """
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    if not gradients:
        return
    norms = torch._foreach_norm(gradients)
    norm = torch.linalg.vector_norm(torch.stack(list(norms)))
    torch._foreach_mul_(gradients, (limit / norm).clamp(max=1.0))


def _check_optimizer(name: str, optimizer: object) -> None:
    """Raise RuleError unless `optimizer` is one of torch whose step needs no closure."""
    closure = inspect.signature(optimizer.step).parameters.get("closure") if hasattr(optimizer, "step") else None
    if not isinstance(optimizer, torch.optim.Optimizer):
        got = f"a {type(optimizer).__name__} from {name}"
    elif closure is not None and closure.default is closure.empty:
        got = f"{name}, whose step computes the loss again"
    else:
        return
    raise RuleError(
        "optimizer", got=got, expected="a torch.optim.Optimizer whose step needs no closure", todo="use another one"
    )


def _fused(parameters: list[nn.Parameter]) -> bool | None:
    """Fused kernels on CUDA, one tensor at a time elsewhere; the default on CUDA would copy all gradients at once."""
    return parameters[0].device.type == "cuda" or None


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """An optimiser and its settings.

    Args:
        kind: a name in `OPTIMIZERS`, or a factory.
        lr: learning rate; a schedule may change it later.
        momentum, weight_decay: like the learning rate, None for the optimiser's own default.
        clip_norm: greatest L2 norm of all gradients together at an update; None for no limit. See `clip_gradients`.

    Raises:
        RuleError: the name is unknown, the optimiser has no such setting, a setting is no finite number of at least 0,
            or `clip_norm` is not positive.
    """

    kind: str | OptimizerFactory = DEFAULT_OPTIMIZER
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.clip_norm is not None and not (is_number(self.clip_norm) and self.clip_norm > 0):
            raise RuleError(
                "clip_norm",
                got=repr(self.clip_norm),
                expected="a positive number",
                todo="leave it out to clip nothing",
            )
        self._check_numbers()
        if not callable(self._factory):
            raise RuleError(
                "optimizer", got=repr(self.kind), expected=f"one of {', '.join(OPTIMIZERS.names)}, or a function",
                todo="give a function of the weights that returns a torch.optim.Optimizer",
            )  # fmt: skip
        known = inspect.signature(self._factory).parameters
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
            return
        for name in self._settings:
            if name not in known:
                raise RuleError(
                    f"optimizer {self.name}",
                    got=f"the setting {name}",
                    expected="an optimiser that has it",
                    todo=f"leave {name} out, or choose another optimiser",
                )

    @property
    def name(self) -> str:
        """Name for reports."""
        return self.kind if isinstance(self.kind, str) else getattr(self.kind, "__name__", type(self.kind).__name__)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser over `parameters`, which clips their gradients at the beginning of its `step`."""
        optimizer = self._factory(list(parameters), **self._settings)
        _check_optimizer(self.name, optimizer)
        limit = self.clip_norm
        if limit is not None:
            optimizer.register_step_pre_hook(lambda optimizer, *_: clip_gradients(optimizer, limit))
        return optimizer

    @cached_property
    def slots(self) -> int:
        """Number of state tensors of a weight's shape per weight, measured on one step."""
        weight = nn.Parameter(torch.zeros(2, 3))
        weight.grad = torch.zeros_like(weight, requires_grad=False)
        optimizer = self.build([weight])
        optimizer.step()
        entries = optimizer.state[weight].values()
        return sum(isinstance(entry, Tensor) and entry.shape == weight.shape for entry in entries)

    @property
    def _factory(self) -> OptimizerFactory:
        return OPTIMIZERS[self.kind] if isinstance(self.kind, str) else self.kind

    def _check_numbers(self) -> None:
        for name, value in self._settings.items():
            if not (is_number(value) and value >= 0):
                raise RuleError(name, got=repr(value), expected="a finite number of at least 0", todo=f"change {name}")
        if isinstance(self.kind, str) and OPTIMIZERS.is_built_in(self.kind):
            defaults = inspect.signature(self._factory).parameters
            lr = defaults["lr"].default if self.lr is None else self.lr
            decay = self._settings.get("weight_decay", 0)
            if lr * decay >= 1:
                raise RuleError(
                    "weight_decay", got=f"{decay:g} with lr {lr:g}",
                    expected=f"less than {1 / lr:g}, the inverse of lr, beyond which an update turns the weights round",
                    todo="use a smaller weight_decay or lr",
                )  # fmt: skip

    @property
    def _settings(self) -> dict[str, Any]:
        settings = {"lr": self.lr, "momentum": self.momentum, "weight_decay": self.weight_decay}
        return {name: value for name, value in settings.items() if value is not None}
