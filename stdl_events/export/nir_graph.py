"""NIR primitives in the order of a network: convolutions, linear layers, poolings, neurons, and the edges between them.

The one door to nir, which the extra `nir` brings. Its nodes have no batch dimension; several edges into a node add up.

C channels, H height, W width.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from stdl_events.errors import MissingExtraError, ModelError
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.neurons.neuron import spec_of

# NIR describes neurons in continuous time, and its files have no step. These seconds per step are what importers assume
# (SpikingJelly's default, a constant of snnTorch).
TIME_STEP = 1e-4


def nir_package() -> Any:
    """Return the package `nir`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import nir
    except ImportError:
        raise MissingExtraError(
            "NIR files", got="no package nir", expected="one, which the extra `nir` brings",
            todo="install it: pip install 'stdl-events[nir]'",
        ) from None  # fmt: skip
    return nir


@dataclasses.dataclass(frozen=True)
class Signal:
    """What flows between layers: a weighted sum of outputs of nodes.

    Factors are carried along until weights or a threshold absorb them: Norse, snnTorch and SpikingJelly read no node
    that scales.

    Args:
        sources: names of nodes and the factor on each one's output.
        shape: of their outputs, without the batch.
    """

    sources: tuple[tuple[str, float], ...]
    shape: tuple[int, ...]

    def __add__(self, other: "Signal") -> "Signal":
        return Signal(self.sources + other.sources, self.shape)

    @property
    def gain(self) -> float:
        """The factor that all sources have; 1 where they differ."""
        gains = {gain for _, gain in self.sources}
        return gains.pop() if len(gains) == 1 else 1.0

    def scaled(self, factor: float) -> "Signal":
        return Signal(tuple((name, own * factor) for name, own in self.sources), self.shape)


class GraphWriter:
    """Collects the nodes and edges of one network.

    Args:
        input_shape: (C, H, W) of a frame.
        dtype: of all arrays.
    """

    def __init__(self, input_shape: tuple[int, int, int], dtype: npt.DTypeLike) -> None:
        self._nir = nir_package()
        self._dtype = np.dtype(dtype)
        self._nodes: dict[str, Any] = {"input": self._nir.Input(np.array(input_shape))}
        self._edges: list[tuple[str, str]] = []
        self._neurons = 0
        self.input = Signal((("input", 1.0),), input_shape)

    def convolution(self, name: str, conv: nn.Module, x: Signal, factor: float = 1.0) -> Signal:
        """`factor` times the convolution of `x`.

        Raises:
            ModelError: `conv` is more than a convolution, such as one with a norm that cannot be folded.
        """
        if not isinstance(conv, nn.Conv2d):
            raise ModelError(
                "NIR file", got=f"a norm that is not folded into its convolution ({name})",
                expected="norms batch, ws or none", todo="train with one of these, or export to .onnx",
            )  # fmt: skip
        sources, gain = self._of_one_gain(name, x)
        bias = np.zeros(conv.out_channels) if conv.bias is None else _array(conv.bias)
        node = self._nir.Conv2d(
            input_shape=x.shape[1:],
            weight=self._cast(_array(conv.weight) * (gain * factor)),
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            bias=self._cast(bias * factor),
        )
        return self._add(name, node, sources, node.output_type["output"])

    def linear(self, name: str, linear: nn.Linear, x: Signal) -> Signal:
        """The linear layer of the flattened `x`."""
        sources, gain = self._of_one_gain(name, x)
        if len(x.shape) > 1:
            flat = self._nir.Flatten({"input": np.array(x.shape)}, start_dim=0)
            sources = [source for source, _ in self._add(f"{name}_flatten", flat, sources, x.shape).sources]
        node = self._nir.Affine(self._cast(_array(linear.weight) * gain), self._cast(_array(linear.bias)))
        return self._add(name, node, sources, (linear.out_features,))

    def average(
        self, name: str, x: Signal, kernel: tuple[int, int], stride: tuple[int, int], padding: int = 0
    ) -> Signal:
        """Average pooling, padded with zeros that count."""
        sources, gain = self._of_one_gain(name, x)
        sides = zip(x.shape[1:], kernel, stride, strict=True)
        shape = (x.shape[0], *((side + 2 * padding - size) // step + 1 for side, size, step in sides))
        node = self._nir.AvgPool2d(np.array(kernel), np.array(stride), np.array([padding, padding]))
        return self._add(name, node, sources, shape).scaled(gain)

    def neurons(self, name: str, cell: NeuronCell, x: Signal) -> Signal:
        """The spikes of a layer of neurons with the input current `x`, as NIR's LIF.

        With tau = dt / (1 - λ) and r = 1, a step of forward Euler is v = λ v + (1 - λ) x: our membrane potential times
        1 - λ. So v has that unit, divided by the factor on `x`, and so have threshold and reset. Norse, snnTorch and
        SpikingJelly all read r = 1; two of them refuse or ignore another.

        Raises:
            ModelError: the neuron is none that NIR has.
        """
        spec, decay = spec_of(cell.p), float(cell.neuron.decay(cell.p))
        if not cell.neuron.leaky_integrator:
            raise ModelError(
                "NIR file", got=f"the neuron {spec.kind} ({name})",
                expected="a leaky integrate-and-fire neuron with a fixed threshold, the only one in NIR",
                todo="train with such a neuron, lif for example, or export to .onnx",
            )  # fmt: skip
        if cell.eight_bits is not None:
            raise ModelError(
                "NIR file", got=f"membrane potentials in eight bits ({name}), which NIR does not have",
                expected="potentials in floating point numbers", todo="train with precision fp32, or export to .onnx",
            )  # fmt: skip
        sources, gain = self._of_one_gain(name, x)
        unit = (1 - decay) / gain
        amount = spec.threshold if spec.reset_amount is None else spec.reset_amount / decay
        metadata = {
            "kind": spec.kind,
            "state": self._neurons,
            "v_per_u": unit,
            "reset": spec.reset,
            "surrogate": spec.surrogate,
            "surrogate_width": spec.surrogate_width,
        } | ({"reset_amount": amount * unit} if spec.reset == "soft" else {})
        self._neurons += 1
        node = self._nir.LIF(
            tau=self._full(x.shape, TIME_STEP / (1 - decay)),
            r=self._full(x.shape, 1.0),
            v_leak=self._full(x.shape, 0.0),
            v_threshold=self._full(x.shape, spec.threshold * unit),
            v_reset=self._full(x.shape, 0.0),
            metadata=metadata,
        )
        return self._add(name, node, sources, x.shape)

    def graph(self, out: Signal, metadata: dict[str, Any]) -> Any:
        """The `nir.NIRGraph` that ends in `out`."""
        assert all(factor == 1 for _, factor in out.sources), "a classifier has absorbed all factors"
        self._nodes["output"] = self._nir.Output(np.array(out.shape))
        self._edges += [(name, "output") for name, _ in out.sources]
        return self._nir.NIRGraph(self._nodes, self._edges, metadata)

    def _of_one_gain(self, name: str, x: Signal) -> tuple[list[str], float]:
        """The sources of `x`, and the factor that all have; where they differ, nodes that scale bring it to 1."""
        sources = []
        for source, gain in x.sources:
            if gain != x.gain:
                scale = self._nir.Scale(self._full(x.shape, gain))
                ((source, _),) = self._add(f"{name}_scale_{source}", scale, [source], x.shape).sources
            sources.append(source)
        return sources, x.gain

    def _add(self, name: str, node: Any, sources: Iterable[str], shape: Iterable[int]) -> Signal:
        self._nodes[name] = node
        self._edges += [(source, name) for source in sources]
        return Signal(((name, 1.0),), tuple(int(size) for size in shape))

    def _full(self, shape: tuple[int, ...], value: float) -> npt.NDArray[Any]:
        return np.full(shape, value, self._dtype)

    def _cast(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array.astype(self._dtype)


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.numpy()
