"""Report on one training step's memory: peak, breakdown, and lower bound."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import torch

from stdl_events.errors import MissingExtraError
from stdl_events.learning.blueprint import Blueprint, MemoryMode
from stdl_events.memory.allowance import clip_bytes, cpu_allowance_bytes
from stdl_events.memory.cost_store import remembered, whole_number
from stdl_events.memory.describe import plan_note
from stdl_events.memory.footprint import planned_footprint, profile_learner
from stdl_events.memory.meter import metering, tensor_bytes
from stdl_events.memory.moments import Footprint
from stdl_events.plan.plan import Plan

if TYPE_CHECKING:
    from stdl_events.network.layers import Layer

CUDA = torch.device("cuda")
BREAKDOWN = ("weights", "gradients", "optimizer", "membrane", "saved", "input", "other")


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """Memory of one training step.

    Args:
        plan: the network's plan, None for rules that do not plan.
    """

    blueprint: Blueprint
    plan: Plan | None
    footprint: Footprint

    @property
    def floor_bytes(self) -> int:
        """See `floor_bytes`."""
        return floor_bytes(self.blueprint)

    @property
    def input_bytes(self) -> int:
        """Bytes of the clip of T frames as uint8, which is not part of the peak."""
        return clip_bytes(self.blueprint)

    @property
    def cpu_allowance_bytes(self) -> int:
        """See `cpu_allowance_bytes`."""
        return cpu_allowance_bytes(self.footprint.peak_bytes, self._mode)

    @property
    def process_bytes(self) -> int:
        """Expected bytes of a process on the CPU for the step: the clip, the metered bytes, and the allowance."""
        return self.input_bytes + self.footprint.peak_bytes + self.cpu_allowance_bytes

    @property
    def _mode(self) -> MemoryMode:
        """The memory mode that the rule runs in."""
        return self.blueprint.memory if self.blueprint.is_lean else "plain"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready. The breakdown's entries but "input" add up to `peak_bytes`."""
        blueprint, found = self.blueprint, self.footprint
        breakdown: dict[str, int] = dict(found.breakdown) | {"input": self.input_bytes}
        site, (first, last) = found.moment.site, found.moment.steps
        return {
            "peak_bytes": found.peak_bytes,
            "breakdown": {kind: breakdown[kind] for kind in BREAKDOWN},
            "floor_bytes": self.floor_bytes,
            "peak_over_floor": found.peak_bytes / self.floor_bytes,
            "cpu_allowance_bytes": self.cpu_allowance_bytes,
            "cpu_process_bytes": self.process_bytes,
            "moment": {
                "words": str(found.moment),
                "phase": found.moment.phase,
                "block": found.moment.block,
                "layer": None if site is None else str(site),
                "first_step": first,
                "last_step": last,
            },
            "blocks": self._blocks(),
            "note": None if self.plan is None else plan_note(self.plan, blueprint.rule),
            "rule": blueprint.rule.name,
            "network": blueprint.spec.notation,
            "input_shape": list(blueprint.spec.input_shape),
            "batch": blueprint.batch_size,
            "steps": blueprint.steps,
            "metered_steps": found.steps,
            "mode": self._mode,
            "neuron": blueprint.spec.neuron.kind,
            "optimizer": blueprint.optimizer.kind,
            "precision": blueprint.precision,
        }

    def _blocks(self) -> list[dict[str, Any]]:
        cuts = self.blueprint.cuts(self.plan)
        kept = [()] * len(cuts) if self.plan is None else [block.kept for block in self.plan.blocks]
        return [
            {
                "start": cut.start,
                "stop": cut.stop,
                "subnetwork": self.blueprint.spec.slice(cut.start, cut.stop).notation,
                "auxiliary": None if cut.auxiliary is None else cut.auxiliary.notation,
                "kept": list(layers),
                "peak_bytes": peak,
            }
            for cut, layers, peak in zip(cuts, kept, self.footprint.blocks, strict=True)
        ]


def meter_step(blueprint: Blueprint, plan: Plan | None, *, every_step: bool = False) -> StepMemory:
    """Meter one training step, on fake tensors.

    Args:
        every_step: meter all T steps of the sequence, for a trace; else the fewest with the same peak.
    """
    if not every_step:
        return StepMemory(blueprint, plan, planned_footprint(blueprint, plan))
    host = blueprint.on_host()
    footprint = profile_learner(lambda: host.build(plan), batch_size=host.batch_size, steps=host.steps)
    return StepMemory(blueprint, plan, footprint)


@remembered(int, whole_number, most=64)
def floor_bytes(blueprint: Blueprint) -> int:
    """Lower bound for every way of training the network: parameters, membrane states, one layer's working set.

    Parameters are weights, running statistics, gradients and optimiser states; auxiliary networks are not counted, an
    averaged copy is. Frozen weights have neither gradients nor states. One layer's working set is the input current of
    its neurons, and its input at one bit per spike (frames as they are).
    """
    from stdl_events.learning.frozen import freeze_named
    from stdl_events.network.network import SpikingNetwork

    with metering():
        network = SpikingNetwork.build(blueprint.spec, dtype=blueprint.dtype)
        freeze_named(network, (), blueprint.freeze)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        copies = 1 if blueprint.average_decay is None else 2
        kept = (
            copies * tensor_bytes([*network.parameters(), *network.buffers()])
            + tensor_bytes(trained) * (1 + blueprint.optimizer.slots)
            + tensor_bytes(network.initial_state(blueprint.batch_size, dtype=blueprint.flowing))
        )
        first, *others = network.layers_in_order()
        bits = [_working_bits(first, blueprint.flowing, input_bits=8 * blueprint.flowing.itemsize)]
        bits += [_working_bits(layer, blueprint.flowing, input_bits=1) for layer in others]
        return kept + -(-max(bits) * blueprint.batch_size // 8)


def _working_bits(layer: "Layer", dtype: torch.dtype, *, input_bits: int) -> int:
    """Bits per sequence: the largest current of the layer, and its input."""
    current = max(math.prod(shape) for shape in (*layer.state_shapes, layer.spec.output_shape))
    return current * dtype.itemsize * 8 + math.prod(layer.spec.input_shape) * input_bits


@dataclasses.dataclass(frozen=True)
class CudaMemory:
    """Peak memory of a real training step on a GPU.

    Args:
        allocated_bytes: `torch.cuda.max_memory_allocated`.
        requested_bytes: the same without the allocator's rounding.
        reserved_bytes: reserved by the allocator on the device, unused memory included.
        metered_bytes: the meter's peak.
    """

    device: str
    allocated_bytes: int
    requested_bytes: int
    reserved_bytes: int
    metered_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready. The libraries' workspaces are the requested bytes beyond the metered ones."""
        workspaces = self.requested_bytes - self.metered_bytes
        ratio = self.metered_bytes / self.allocated_bytes
        return dataclasses.asdict(self) | {"workspace_bytes": workspaces, "metered_over_allocated": ratio}


def require_cuda() -> None:
    """Check that there is a GPU.

    Raises:
        MissingExtraError: torch sees none.
    """
    if not torch.cuda.is_available():
        raise MissingExtraError(
            "device 'cuda'",
            got="no CUDA device that this torch can use",
            expected="a CUDA device and a CUDA build of torch",
            todo="leave --device out: the meter itself needs no GPU",
        )


def measure_on_cuda(blueprint: Blueprint, plan: Plan | None, metered_bytes: int) -> CudaMemory:
    """Run two training steps on the GPU, and measure the second, when the optimiser has its states.

    Raises:
        MissingExtraError: there is no GPU.
    """
    from stdl_events.memory.measure_real import example_batch, train_once

    require_cuda()
    learner = dataclasses.replace(blueprint, device=CUDA).build(plan)
    # Frames stay on the host, as in training; a clip is not part of the peak.
    frames_TBCHW, targets = example_batch(blueprint)
    train_once(learner, frames_TBCHW, targets)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    train_once(learner, frames_TBCHW, targets)
    torch.cuda.synchronize()
    return CudaMemory(
        torch.cuda.get_device_name(),
        torch.cuda.max_memory_allocated(),
        torch.cuda.memory_stats()["requested_bytes.all.peak"],
        torch.cuda.max_memory_reserved(),
        metered_bytes,
    )
