"""Candidates for auxiliary networks: subsets of a block's later layers, and the network's classifier.

Average pooling replaces the down-sampling of skipped layers, so that every chosen layer has the resolution that it has
in the whole network.

Source: STDL, section IV-C and appendix C, Table VIII.
"""

import contextlib
import itertools
import math
import operator
from collections.abc import Iterator, Sequence

from stdl_events.errors import NotationError
from stdl_events.network.notation import LayerSpec, Op
from stdl_events.network.spec import NetworkSpec


def depth_limit(spec: NetworkSpec, stop: int) -> int:
    """The largest number of layers, without the classifier, of an auxiliary network behind layer `stop - 1`."""
    return len(spec.layers) - 1 - stop


def auxiliary_candidates(spec: NetworkSpec, stop: int, *, depth: int) -> list[NetworkSpec]:
    """Every auxiliary network with `depth` layers and the classifier for a block that ends before layer `stop`.

    Returns:
        Widest first; among equally wide ones, those with the least pooling first.
    """
    return [spec.auxiliary(notation_of(layers), stop) for layers in AuxiliaryMaker(spec).candidates(stop, depth)]


def build_auxiliary(spec: NetworkSpec, stop: int, chosen: Sequence[int]) -> NetworkSpec:
    """The auxiliary network of the layers `chosen` (increasing indices >= `stop`) and the classifier of `spec`."""
    return spec.auxiliary(notation_of(AuxiliaryMaker(spec).layers(stop, chosen)), stop)


def notation_of(layers: Sequence[LayerSpec]) -> str:
    """Layers in the paper's notation."""
    return "-".join(layer.notation for layer in layers)


class AuxiliaryMaker:
    """Builds the layers of the auxiliary networks of one network: thousands of networks for a deep one.

    They share most of their layers, which are cached.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec = spec
        strides = (math.prod(op.stride for op in layer.ops) for layer in spec.layers)
        self._strides = list(itertools.accumulate(strides, operator.mul, initial=1))
        self._made: dict[tuple[object, ...], LayerSpec] = {}
        self._runs: dict[int, list[list[int]]] = {}

    def candidates(self, stop: int, depth: int) -> list[tuple[LayerSpec, ...]]:
        """The layers of all networks of `auxiliary_candidates`, in its order."""
        found = set()
        for chosen in self._choices(stop, depth):
            # Pooling rounds sizes down where strides round them up, so that a later pooling may find too few pixels.
            with contextlib.suppress(NotationError):
                found.add(self.layers(stop, chosen))
        return sorted(found, key=_preference)

    def layers(self, stop: int, chosen: Sequence[int]) -> tuple[LayerSpec, ...]:
        """Layers `chosen` and the classifier, with the poolings between them.

        Raises:
            NotationError: a pooling finds too few pixels.
        """
        shape, position, front = self.spec.layers[stop].input_shape, stop, 1
        layers: list[LayerSpec] = []
        for index in chosen:
            factor = self.pooling(position, index, shape)
            if layers and factor > 1:  # a pooling belongs to the layer in front of it
                layers[-1] = self.layer(position - 1, layers[-1].input_shape, front, factor)
                shape = layers[-1].output_shape
            front = 1 if layers else factor
            layers.append(self.layer(index, shape, front, 1))
            shape, position = layers[-1].output_shape, index + 1
        return (*layers, self.layer(len(self.spec.layers) - 1, shape, 1, 1))

    def pooling(self, position: int, index: int, shape: tuple[int, int, int]) -> int:
        """The down-sampling factor of layers [position, index), limited by the pixels of `shape`."""
        return min(self._strides[index] // self._strides[position], *shape[1:])

    def layer(self, index: int, shape: tuple[int, int, int], before: int, after: int) -> LayerSpec:
        """Layer `index` at another input shape, with poolings of these factors in front and behind."""
        key = (index, shape, before, after)
        if key not in self._made:
            original = self.spec.layers[index]
            ops = (*_pool(before), *original.ops, *_pool(after))
            self._made[key] = LayerSpec(ops, shape, original.classifier)
        return self._made[key]

    def _choices(self, stop: int, depth: int) -> Iterator[tuple[int, ...]]:
        """Every different way to choose `depth` layers."""
        if stop not in self._runs:
            # Neighbours with equal descriptions are interchangeable, so a choice is how many of each run to take.
            later = range(stop, len(self.spec.layers) - 1)
            grouped = itertools.groupby(later, key=lambda index: self.spec.layers[index])
            self._runs[stop] = [list(run) for _, run in grouped]
        runs = self._runs[stop]
        for counts in _counts([len(run) for run in runs], depth):
            yield tuple(itertools.chain.from_iterable(run[:count] for run, count in zip(runs, counts, strict=True)))


def _pool(factor: int) -> tuple[Op, ...]:
    return (Op("AP", kernel=factor, stride=factor),) if factor > 1 else ()


def _counts(limits: Sequence[int], total: int) -> Iterator[tuple[int, ...]]:
    """Every way to take `total` items from runs of at most `limits` items."""
    if not limits:
        if total == 0:
            yield ()
        return
    for count in range(max(0, total - sum(limits[1:])), min(limits[0], total) + 1):
        for rest in _counts(limits[1:], total - count):
            yield (count, *rest)


def _preference(layers: Sequence[LayerSpec]) -> tuple[int, int, str]:
    width = sum(layer.body.channels for layer in layers)
    pooling = sum(op.kernel for layer in layers for op in layer.ops if op.kind == "AP")
    return -width, pooling, notation_of(layers)
