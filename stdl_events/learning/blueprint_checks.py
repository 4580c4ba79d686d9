"""What the settings of a learner must satisfy together."""

import torch

from stdl_events.errors import RuleError
from stdl_events.learning.registries import STEP_PRECISIONS
from stdl_events.network.neurons.eight_bits import EightBits
from stdl_events.network.spec import NetworkSpec


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
    """Raise RuleError if a count is not positive."""
    for name, count in counts.items():
        if count < 1:
            raise RuleError(name, got=str(count), expected="a positive number", todo=f"change {name}")


def check_decay(decay: float) -> None:
    """Raise RuleError unless `decay` is one of an average."""
    if not 0 <= decay < 1:
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
