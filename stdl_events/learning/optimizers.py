"""The papers' optimisers with small temporaries, and factories of any other."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

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

    Raises:
        RuleError: the name is unknown, or the optimiser has no such setting.
    """

    kind: str | OptimizerFactory = DEFAULT_OPTIMIZER
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
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
        """The optimiser over `parameters`."""
        return self._factory(list(parameters), **self._settings)

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

    @property
    def _settings(self) -> dict[str, Any]:
        settings = {"lr": self.lr, "momentum": self.momentum, "weight_decay": self.weight_decay}
        return {name: value for name, value in settings.items() if value is not None}
