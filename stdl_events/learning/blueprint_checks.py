"""What the settings of a learner must satisfy together."""

from collections.abc import Sequence
from numbers import Integral

import torch

from stdl_events.arguments import is_number
from stdl_events.errors import RuleError
from stdl_events.learning.registries import STEP_PRECISIONS
from stdl_events.network.neurons.eight_bits import EightBits
from stdl_events.network.spec import NetworkSpec

# Tensors of a step are counted in 64 bits, a clip of several million values times this many included.
LARGEST_COUNT = 1 << 31


def check_network(spec: NetworkSpec) -> int:
    """The number of classes.

    Raises:
        RuleError: there are none.
    """
    if spec.classes is None:
        raise RuleError(
            "network",
            got=f"{spec.notation}, which ends in spikes",
            expected="a classifier at its end",
            todo="end the notation with the number of classes and FC, such as 10FC",
        )
    return spec.classes


def check_device(device: torch.device, dtype: torch.dtype, *, cuda_graphs: bool) -> None:
    """Raise RuleError if there is no device to replay on, or the dtype of the weights is no floating point type."""
    if cuda_graphs and device.type != "cuda":
        raise RuleError("cuda_graphs", got=f"the device {device}", expected="a CUDA device", todo="train without them")
    if not dtype.is_floating_point:
        raise RuleError(
            "dtype",
            got=str(dtype),
            expected="a floating point type: membrane potentials are compared with a threshold",
            todo="use torch.float32 or torch.float64",
        )


def check_counts(**counts: int) -> None:
    """Raise RuleError if a count is no positive whole number."""
    for name, count in counts.items():
        if not _is_whole(count) or count < 1:
            raise RuleError(name, got=repr(count), expected="a positive whole number", todo=f"change {name}")
        if count > LARGEST_COUNT:
            raise RuleError(name, got=str(count), expected=f"at most {LARGEST_COUNT}", todo=f"use a smaller {name}")


def check_switches(**switches: bool | None) -> None:
    """Raise RuleError if one is not True, False or None."""
    for name, value in switches.items():
        if value is not None and not isinstance(value, bool):
            raise RuleError(name, got=repr(value), expected="True or False", todo=f"change {name}")


def check_target_rate(penalty: float | None, target: object) -> None:
    """Raise RuleError if there is a target of firing rates and no penalty on them is given; one of 0 may be meant."""
    if target is not None and penalty is None:
        raise RuleError(
            "target_rate", got=f"{target!r} without a rate_penalty", expected="both, or neither",
            todo="give rate_penalty too, such as 1, or leave target_rate out",
        )  # fmt: skip


def names_of(freeze: object) -> tuple[str, ...]:
    """The names of what is frozen: of one name or number of layers, or several.

    Raises:
        RuleError: it is neither.
    """
    given = (freeze,) if isinstance(freeze, str | int) else freeze
    if not isinstance(given, Sequence) or not all(isinstance(name, str | int) for name in given):
        raise RuleError(
            "freeze", got=repr(freeze), expected="a number of first layers, a name, or several of them",
            todo='write for example freeze=["layers.0"]',
        )  # fmt: skip
    return tuple(map(str, given))


def check_seed(seed: int) -> None:
    """Raise RuleError unless torch and numpy both take `seed`."""
    if not _is_whole(seed) or not 0 <= seed < 2**63:
        raise RuleError("seed", got=repr(seed), expected="a whole number from 0 to 2**63 - 1", todo="change seed")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_decay(decay: float) -> None:
    """Raise RuleError unless `decay` is one of an average."""
    if not (is_number(decay) and 0 <= decay < 1):
        raise RuleError(
            "average_decay", got=repr(decay), expected="0 <= average_decay < 1", todo="leave it out to average nothing"
        )


def spec_in_precision(spec: NetworkSpec, precision: str) -> NetworkSpec:
    """`spec`, whose neurons have the number format of the states of `precision`.

    Raises:
        RuleError: the precision has another one than the network, which keeps eight bits.
        NotationError: the neurons need more than eight bits.
    """
    kept = STEP_PRECISIONS[precision].state
    if kept != spec.neuron.state:
        if spec.neuron.state != "float":
            fitting = (name for name, its in STEP_PRECISIONS.items() if its.state == spec.neuron.state)
            raise RuleError(
                f"precision {precision}",
                got=f"a network with membrane potentials in {spec.neuron.state}",
                expected=f"precision {' or '.join(fitting)}",
                todo="choose one of these, or build the network anew with state float",
            )
        spec = spec.with_settings({"state": kept})
    EightBits.of(spec.neuron)
    return spec
