"""Membrane potentials that are kept in eight bits between two steps.

With u the membrane potential after reset, k an integer from -128 to 127 is kept:

    m[t] = x[t] + λ q k[t-1],  s[t] = 1 where m[t] >= V_th
    u[t] = m[t] - θ s[t]
    k[t] = u[t] / q, rounded to the nearest integer, half to even, and clamped

The step q is the smallest power of two that puts V_th + θ into the range: with V_th = θ = 1, u is kept from -2 to 2 in
steps of 1/64. As q is a power of two, q k is exact in every floating point format with eight bits or more, bfloat16
included. Only the rounding to integers loses anything, and all devices and runtimes lose the same. A step computes in
float32 where currents have fewer bits, since none of its numbers but the integer stays in memory.

The surrogate gradient is computed from what is kept, q k + θ s, since that is all that lean mode has in backward. The
rounding passes gradients on unchanged, and the clamp those of potentials inside the range: rules whose gradients flow
through several steps keep q k as floating point numbers within a chunk of steps.
"""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from stdl_events.errors import NotationError
from stdl_events.network.neurons.neuron import FusedSoftReset, NeuronState, Parameters
from stdl_events.network.registries import NEURONS
from stdl_events.network.spec import NeuronSpec
from stdl_events.network.surrogate import surrogate_gradient_

LEAST, MOST = -128, 127


@dataclasses.dataclass(frozen=True)
class EightBits:
    """The neurons of one network whose membrane potentials are kept in eight bits.

    Args:
        form: their step.
        surrogate, surrogate_width: as in `NeuronSpec`.
    """

    form: FusedSoftReset
    surrogate: str
    surrogate_width: float

    @classmethod
    def of(cls, spec: NeuronSpec) -> "EightBits | None":
        """The neurons of `spec`, or None if they keep floating point numbers.

        Raises:
            NotationError: they need more than eight bits.
        """
        if spec.state == "float":
            return None
        form = NEURONS[spec.kind].lean(spec)
        if not isinstance(form, FusedSoftReset):
            raise NotationError(
                "state int8", got=f"neuron {spec.kind} with reset {spec.reset}, which needs more than eight bits",
                expected="neuron lif with reset soft", todo="change the neuron, or use precision fp32 or bf16",
            )  # fmt: skip
        return cls(form, spec.surrogate, spec.surrogate_width)

    @property
    def scale(self) -> float:
        """q, by which the kept integers are multiplied."""
        return 2.0 ** math.ceil(math.log2((self.form.threshold + self.form.amount) / -LEAST))

    def charge(self, x: Tensor, kept: Tensor) -> Tensor:
        """The membrane potential m before firing, in float32 for currents of fewer bits.

        Args:
            x: input current, any shape.
            kept: k as int8, or q k in the dtype of `x`.
        """
        # A product and a sum, never fused: the exported file rounds twice too.
        dtype = torch.promote_types(x.dtype, torch.float32)
        factor = self.form.decay * (self.scale if kept.dtype == torch.int8 else 1.0)
        return x.to(dtype) + kept.to(dtype) * factor

    def distance_to_rounding(self, m: Tensor) -> Tensor:
        """The distance of the potential after reset from the nearest middle of two neighbouring potentials that can be
        kept, for the potential m before firing.
        """
        u = (m - self.form.amount * (m >= self.form.threshold).to(m.dtype)) / self.scale
        return (u - u.floor() - 0.5).abs() * self.scale

    def step(self, x: Tensor, state: NeuronState, p: Parameters, dt: float = 1.0) -> tuple[Tensor, NeuronState]:
        """One step by autograd.

        Args:
            x: input current, any shape.
            state: its u is k as int8, or q k in the dtype of `x`, through which gradients flow.

        Returns:
            The spikes, and the new state, whose u has the form of the old one.
        """
        del p, dt  # arguments of Norse's cells
        spikes, kept = _Fire.apply(self.charge(x, state.u), self, x.dtype, state.u.dtype)
        return spikes, state._replace(u=kept)


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, m: Tensor, neurons: EightBits, flowing: torch.dtype, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        s = (m >= neurons.form.threshold).to(m.dtype)
        whole = torch.sub(m, s, alpha=neurons.form.amount).mul_(1 / neurons.scale).round_()
        ctx.neurons, ctx.dtype = neurons, m.dtype
        s = s.to(flowing)
        if dtype == torch.int8:
            kept = whole.clamp_(LEAST, MOST).to(torch.int8)
            ctx.save_for_backward(s, kept)
            ctx.mark_non_differentiable(kept)
            return s, kept
        clamped = whole.clamp(LEAST, MOST)
        ctx.save_for_backward(s, clamped.to(torch.int8), whole == clamped)
        return s, clamped.mul_(neurons.scale).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        neurons, (s, kept, *inside) = ctx.neurons, ctx.saved_tensors
        form, (grad_s, grad_u) = neurons.form, grad_outputs
        distance = s.to(ctx.dtype).mul(form.amount).add_(kept.to(ctx.dtype), alpha=neurons.scale).sub_(form.threshold)
        gradient = surrogate_gradient_(distance, neurons.surrogate, neurons.surrogate_width)
        if not inside:
            return gradient.mul_(grad_s), None, None, None
        through = grad_u.to(ctx.dtype) * inside[0]
        return gradient.mul_(grad_s - form.amount * through).add_(through), None, None, None
