"""The energy of one clip's inference in three numbers: spikes, an estimate with memory traffic, and the crossover.

Additions alone, the figure that is often published, leave most of the energy out. Transfers are counted by the model
of `analysis.cost`: every weight is read, and every membrane potential read and written, once per step.

Source: energies per operation at 45 nm, M. Horowitz, ISSCC 2014, as in table 1 of Han et al., arXiv:1506.02626;
crossover: Yan et al., arXiv:2409.08290.
"""

import dataclasses
from collections.abc import Sequence

from stdl_events.analysis.cost import Block, Schedule, Unit, training_cost

ADDITION_PJ = 0.9
"""Of one addition of 32-bit floats."""
ON_CHIP_PJ, OFF_CHIP_PJ = 5.0, 640.0
"""Of one access to 32 bits in on-chip memory (32 kB of SRAM), and in off-chip memory (DRAM)."""
CROSSOVER = 0.064
"""Spikes per neuron and step below which a spiking network of 5 to 10 steps needs less energy than a quantised one."""


@dataclasses.dataclass(frozen=True)
class Energy:
    """Of one clip.

    Attributes:
        additions: synaptic operations: one per spike and synapse.
        accesses: of 32 bits, reads and writes of weights and membrane potentials together.
    """

    additions: float
    accesses: float

    @property
    def additions_uj(self) -> float:
        """Energy of the additions alone, in microjoules."""
        return self.additions * ADDITION_PJ / 1e6

    @property
    def on_chip_uj(self) -> float:
        """With all transfers in on-chip memory, in microjoules."""
        return self.additions_uj + self.accesses * ON_CHIP_PJ / 1e6

    @property
    def off_chip_uj(self) -> float:
        """With all transfers in off-chip memory, in microjoules."""
        return self.additions_uj + self.accesses * OFF_CHIP_PJ / 1e6


def clip_energy(units: Sequence[Unit], classifier: Unit, *, steps: int, additions: float) -> Energy:
    """Return the energy of `steps` time steps of a network, without learning.

    Args:
        additions: measured synaptic operations of one clip.
    """
    dense = steps * (sum(unit.operations for unit in units) + classifier.operations)
    forward_only = Schedule(steps, steps, learning=0)
    block = Block(tuple(units), classifier)
    cost = training_cost([block], forward_only, batch_size=1, activity=additions / dense, memory_bytes=0.0)
    return Energy(cost.additions, cost.accesses)
