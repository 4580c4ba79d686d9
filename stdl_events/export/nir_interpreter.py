"""Runs a NIR file as its own text says, step by step: the reference for what other importers make of it.

Every node is computed as NIR defines it, with LIF by forward Euler. Only the reset, the step and whether a neuron fires
at its threshold are taken from the metadata. It is slow, and meant for comparisons.

B batch, C channels, H height, W width, K classes.
"""

import dataclasses
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from stdl_events.errors import ModelError
from stdl_events.export.nir_graph import nir_package
from stdl_events.model_card import METADATA_KEY, ModelCard

State: TypeAlias = tuple[npt.NDArray[Any], ...]
Apply: TypeAlias = Callable[[Any, Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class _Lif:
    """A node of neurons; all tensors have the node's shape."""

    node: Any
    decay_step: Tensor  # dt / tau
    fires_at: bool

    def step(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spikes and the new potential."""
        r, leak, threshold, reset = (
            torch.as_tensor(array)
            for array in (self.node.r, self.node.v_leak, self.node.v_threshold, self.node.v_reset)
        )
        v = v + self.decay_step * (leak - v + r * x)
        fires = v >= threshold if self.fires_at else v > threshold
        spikes = fires.to(v.dtype)
        if self.node.metadata.get("reset") == "soft":
            return spikes, v - spikes * float(self.node.metadata["reset_amount"])
        return spikes, torch.where(fires, reset, v)


class NirSession:
    """One step of a NIR file that `export_nir` wrote, with the state of the network that it was made from.

    Args:
        path: the .nir file.
        graph: its `nir.NIRGraph`, where that is read already.

    Attributes:
        path: the file.
        card: the model card of the file.

    Raises:
        ModelError: the file does not read, has no model card, or has nodes that the exporter does not write.
        MissingExtraError: nir is not installed.
    """

    def __init__(self, path: Path, graph: Any = None) -> None:
        self.path = path
        self._nir = nir_package()
        self._graph = self._read() if graph is None else graph
        if METADATA_KEY not in self._graph.metadata:
            raise self._unusable("no model card in its metadata")
        self.card = ModelCard.from_json(self._graph.metadata[METADATA_KEY], subject=str(path))
        self._order = self._in_order()
        dt, fires_at = float(self._graph.metadata["dt"]), str(self._graph.metadata["fires"]).startswith("at ")
        self._neurons = {
            name: _Lif(node, torch.as_tensor(dt / node.tau), fires_at)
            for name, node in self._graph.nodes.items()
            if isinstance(node, self._nir.LIF)
        }
        self._apply: dict[type, Apply] = {
            self._nir.Input: lambda node, x: x,
            self._nir.Output: lambda node, x: x,
            self._nir.Conv2d: _convolve,
            self._nir.Affine: lambda node, x: functional.linear(x, *map(torch.as_tensor, (node.weight, node.bias))),
            self._nir.AvgPool2d: _average,
            self._nir.Flatten: _flatten,
            self._nir.Scale: lambda node, x: x * torch.as_tensor(node.scale),
        }
        unknown = {type(node) for node in self._graph.nodes.values()} - {*self._apply, self._nir.LIF}
        if unknown:
            raise self._unusable(f"nodes of the type {', '.join(sorted(kind.__name__ for kind in unknown))}")

    @property
    def dtype(self) -> npt.DTypeLike:
        """The dtype of the file's arrays."""
        return next(iter(self._neurons.values())).node.tau.dtype

    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first step: zeros."""
        return tuple(np.zeros((batch, *shape), self.dtype) for shape in self.card.state_shapes)

    def step(self, frame_BCHW: npt.NDArray[Any], state: State) -> tuple[npt.NDArray[Any], State]:
        """Return (logits_BK, next state); the state is in the unit of the network's membrane potentials.

        Args:
            frame_BCHW: raw counts of any numeric type; for a model of pictures, what `PictureSpec.scaled` returns.
        """
        values: dict[str, Tensor] = {}
        new = list(state)
        with torch.no_grad():
            for name, sources in self._order:
                node = self._graph.nodes[name]
                x = sum((values[source] for source in sources), start=torch.zeros(()))
                if not sources:
                    x = torch.as_tensor(frame_BCHW.astype(self.dtype))
                if name in self._neurons:
                    values[name], new[int(node.metadata["state"])] = self._fire(name, x, state)
                else:
                    values[name] = self._apply[type(node)](node, x)
        return values["output"].numpy(), tuple(new)

    def _fire(self, name: str, x: Tensor, state: State) -> tuple[Tensor, npt.NDArray[Any]]:
        neurons = self._neurons[name]
        own, unit = state[int(neurons.node.metadata["state"])], float(neurons.node.metadata["v_per_u"])
        spikes, v = neurons.step(x, torch.as_tensor(own).reshape(x.shape) * unit)
        return spikes, (v / unit).numpy().reshape(own.shape)

    def _in_order(self) -> list[tuple[str, list[str]]]:
        """Nodes with their sources, each behind its sources."""
        sources: dict[str, list[str]] = {name: [] for name in self._graph.nodes}
        for source, target in self._graph.edges:
            sources[target].append(source)
        try:
            return [(name, sources[name]) for name in TopologicalSorter(sources).static_order()]
        except CycleError:
            raise self._unusable("a recurrent graph") from None

    def _read(self) -> Any:
        try:
            return self._nir.read(self.path)
        except Exception as error:  # nir and h5py raise errors of many kinds for a damaged file
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise self._unusable(f"a file that does not read ({reason})") from None

    def _unusable(self, got: str) -> ModelError:
        return ModelError(
            str(self.path), got=got, expected="a .nir file that stdl-events wrote", todo="export the model again"
        )


def _convolve(node: Any, x: Tensor) -> Tensor:
    weight, bias = torch.as_tensor(node.weight), torch.as_tensor(node.bias)
    return functional.conv2d(
        x, weight, bias, _pair(node.stride), _pair(node.padding), _pair(node.dilation), int(node.groups)
    )


def _average(node: Any, x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, _pair(node.kernel_size), _pair(node.stride), _pair(node.padding))


def _flatten(node: Any, x: Tensor) -> Tensor:
    # NIR counts dimensions without the batch.
    start, end = (int(dim) + 1 if dim >= 0 else int(dim) for dim in (node.start_dim, node.end_dim))
    return x.flatten(start, end)


def _pair(sizes: Any) -> tuple[int, int]:
    height, width = (int(size) for size in sizes)
    return height, width
