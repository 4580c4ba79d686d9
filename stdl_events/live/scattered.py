"""A graph whose convolutions follow the spikes: onnxruntime runs what is between, quiet inputs are scattered.

A convolution is taken out of the graph if its weights are float32 constants and its geometry is one of
`stdl_events.scatter`. At each step the share of its inputs that are not zero decides how it is computed, by a rule of
shapes alone, so that equal steps are equal to the bit. `check` computes each in both ways on a random input, which also
compiles the kernels. Whole steps are no check: a neuron within rounding of its threshold changes all that it feeds.

B batch, C input channels, O output channels, H height, W width, k kernel.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stdl_events.errors import ModelError, printable
from stdl_events.live.onnx_file import initializers_of
from stdl_events.live.onnx_messages import parse_model
from stdl_events.scatter import Geometry, Nonzeros, convolve, forward_break_even, from_values, sample, tiled

Values: TypeAlias = dict[str, npt.NDArray[Any]]
Open: TypeAlias = Callable[[bytes], Any]
"""Opens a graph in onnxruntime."""

# A sampled density is off by less where it matters, so that only inputs near the break-even are counted in full.
_SURELY_DENSE = 1.25
_CHECKED_DENSITY = 0.1


@dataclass(frozen=True)
class Scattered:
    """How often a session scattered.

    Attributes:
        convolutions: number of those in a step that may.
        steps: number of steps so far.
        times: convolutions that did, in all steps.
    """

    convolutions: int
    steps: int
    times: int

    @property
    def share(self) -> float:
        """Share of the convolutions that were scattered."""
        return self.times / max(1, self.steps * self.convolutions)


@dataclass(frozen=True)
class _Part:
    """Nodes between convolutions.

    Attributes:
        inputs, outputs: names of tensors; constants are in the session.
    """

    session: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, values: Values, run_options: Any) -> None:
        feed = {name: values[name] for name in self.inputs}
        values.update(zip(self.outputs, self.session.run(list(self.outputs), feed, run_options), strict=True))


@dataclass
class _Convolution:
    """A convolution outside the graph; `dense` is the same one in onnxruntime."""

    dense: _Part
    weight_OCkk: npt.NDArray[np.float32]
    bias_O: npt.NDArray[np.float32] | None
    stride: int
    padding: int
    threads: int
    tiles: npt.NDArray[np.float32] | None = None
    geometries: dict[tuple[int, ...], Geometry] = field(default_factory=dict)

    def run(self, values: Values, run_options: Any) -> bool:
        """Compute the output; True if it was scattered."""
        x_BCHW = values[self.dense.inputs[0]]
        most = forward_break_even(self._geometry(x_BCHW.shape), len(x_BCHW))
        found, read = sample(x_BCHW.reshape(-1))
        nonzeros = None if found > _SURELY_DENSE * most * read else self._nonzeros(x_BCHW)
        if nonzeros is None or nonzeros.total > most * x_BCHW.size:
            self.dense.run(values, run_options)
            return False
        values[self.dense.outputs[0]] = self._scatter(x_BCHW, nonzeros)
        return True

    def check(self, values: Values) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
        """Compute the output of a random input in both ways, scattered first; then that of the real input."""
        name, made = self.dense.inputs[0], self.dense.outputs[0]
        random = np.random.default_rng(0)
        quiet = random.random(values[name].shape) < _CHECKED_DENSITY
        x_BCHW = (quiet * random.integers(1, 4, quiet.shape)).astype(np.float32)
        ends: Values = {name: x_BCHW}
        self.dense.run(ends, None)
        self.dense.run(values, None)
        return self._scatter(x_BCHW, self._nonzeros(x_BCHW)), ends[made]

    def _nonzeros(self, x_BCHW: npt.NDArray[Any]) -> Nonzeros:
        return from_values(x_BCHW.reshape(*x_BCHW.shape[:2], -1), threads=self.threads)

    def _scatter(self, x_BCHW: npt.NDArray[Any], nonzeros: Nonzeros) -> npt.NDArray[np.float32]:
        geometry = self._geometry(x_BCHW.shape)
        shape = len(x_BCHW), geometry.outputs, geometry.out_height, geometry.out_width
        out_BOHW = np.empty(shape, np.float32)
        if self.tiles is None:
            self.tiles = tiled(self.weight_OCkk, geometry, threads=self.threads)
        convolve(
            nonzeros, self.weight_OCkk, self.bias_O, geometry, out_BOHW, threads=self.threads, tiles=self.tiles
        )  # fmt: skip
        return out_BOHW

    def _geometry(self, shape: tuple[int, ...]) -> Geometry:
        if shape not in self.geometries:
            outputs, inputs, kernel, _ = self.weight_OCkk.shape
            self.geometries[shape] = Geometry(inputs, outputs, shape[2], shape[3], kernel, self.stride, self.padding)
        return self.geometries[shape]


class ScatteredGraph:
    """Runs a graph like the session of onnxruntime that it replaces.

    Args:
        content: of the file, which was checked.
        whole: the session of the whole graph, of which only the declared inputs and outputs are kept.
        open_part: opens a part of the graph.
        threads: within a step.

    Raises:
        ModelError: what is between the convolutions has no known type, as in files in eight bits.
    """

    def __init__(self, content: bytes, whole: Any, open_part: Open, threads: int) -> None:
        self._inputs, self._outputs = whole.get_inputs(), whole.get_outputs()
        model = parse_model(content)
        wanted = [value.name for value in model.graph.output]
        self._levels = _levels(_Graph(model, open_part, threads), model.graph.node, wanted)
        self._steps, self._times = 0, 0

    @property
    def scattered(self) -> Scattered:
        """How often it scattered so far."""
        return Scattered(sum(len(each) for _, each in self._levels), self._steps, self._times)

    def get_inputs(self) -> Any:
        """The declared inputs of the whole graph."""
        return self._inputs

    def get_outputs(self) -> Any:
        """The declared outputs of the whole graph."""
        return self._outputs

    def run(self, names: Sequence[str], feed: Mapping[str, npt.NDArray[Any]], run_options: Any) -> list[Any]:
        """One step: the tensors called `names`."""
        values = dict(feed)
        for part, convolutions in self._levels:
            if part is not None:
                part.run(values, run_options)
            for convolution in convolutions:
                self._times += convolution.run(values, run_options)
        self._steps += 1
        return [values[name] for name in names]

    def check(self, feed: Mapping[str, npt.NDArray[Any]]) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Compute each convolution in both ways on a random input; return the pairs of outputs, scattered ones first.

        Args:
            feed: of a step, which gives the shapes.
        """
        values, pairs = dict(feed), []
        for part, convolutions in self._levels:
            if part is not None:
                part.run(values, None)
            pairs += [convolution.check(values) for convolution in convolutions]
        return pairs


class _Graph:
    """The messages of a graph, of which parts are opened."""

    def __init__(self, model: Any, open_part: Open, threads: int) -> None:
        graph = model.graph
        self._open, self._threads = open_part, threads
        self._infos = {info.name: info for info in (*graph.value_info, *graph.input, *graph.output)}
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.constants = initializers_of(graph)
        self._frame = type(model)()
        self._frame.CopyFrom(model)
        self._frame.ClearField("graph")
        self._frame.ClearField("metadata_props")

    def part(self, nodes: Sequence[Any], wanted: Iterable[str]) -> _Part:
        """Open `nodes`, in order, as a graph of its own that returns the tensors `wanted` that it computes."""
        made = {name for node in nodes for name in node.output}
        needed = dict.fromkeys(name for node in nodes for name in node.input if name)
        inputs = tuple(name for name in needed if name not in made and name not in self._tensors)
        outputs = tuple(name for name in wanted if name in made)
        self._require_types((*inputs, *outputs))
        model = type(self._frame)()
        model.CopyFrom(self._frame)
        model.graph.name = "part"
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(self._tensors[name] for name in needed if name in self._tensors)
        model.graph.input.extend(self._infos[name] for name in inputs)
        model.graph.output.extend(self._infos[name] for name in outputs)
        return _Part(self._open(model.SerializeToString()), inputs, outputs)

    def _require_types(self, names: Iterable[str]) -> None:
        if unknown := [name for name in names if name not in self._infos]:
            raise ModelError(
                "--provider scatter", got=f"a tensor of unknown type between convolutions ({printable(unknown[0])})",
                expected="layers in float32, as export writes them without --precision",
                todo="leave --provider out, or export the model again",
            )  # fmt: skip

    def can_scatter(self, node: Any) -> bool:
        """True for a convolution that `stdl_events.scatter` computes, and whose tensors have a known type."""
        if node.op_type != "Conv" or any(name not in self.constants for name in node.input[1:]):
            return False
        numbers = [self.constants[name] for name in node.input[1:]]
        if any(array.dtype != np.float32 for array in numbers) or numbers[0].ndim != 4:
            return False
        given = {attribute.name: attribute for attribute in node.attribute}
        kernel = set(numbers[0].shape[2:])
        alike = all(len(set(given[name].ints)) == 1 for name in ("pads", "strides") if name in given)
        plain = ("auto_pad" not in given or given["auto_pad"].s in (b"", b"NOTSET")) and all(
            set(given[name].ints) == {1} for name in ("dilations",) if name in given
        )
        ends = (node.input[0], node.output[0])
        known = all(name in self._infos for name in ends) and node.input[0] not in self._tensors
        return len(kernel) == 1 and alike and plain and known and ("group" not in given or given["group"].i == 1)

    def convolution(self, node: Any) -> _Convolution:
        """Take a convolution out of the graph."""
        ints = {attribute.name: [*attribute.ints] for attribute in node.attribute}
        weight, *bias = (np.ascontiguousarray(self.constants[name]) for name in node.input[1:])
        return _Convolution(
            self.part([node], node.output), weight, bias[0] if bias else None, (ints.get("strides") or [1])[0],
            (ints.get("pads") or [0])[0], self._threads,
        )  # fmt: skip


def _levels(
    graph: _Graph, nodes: Sequence[Any], wanted: Sequence[str]
) -> list[tuple[_Part | None, list[_Convolution]]]:
    """Order the nodes: what can be computed without a convolution, those convolutions, what follows from them..."""
    level_of: dict[str, int] = {}
    parts: dict[int, list[Any]] = {}
    convolutions: dict[int, list[Any]] = {}
    for node in nodes:
        level = max((level_of.get(name, 0) for name in node.input), default=0)
        scatters = graph.can_scatter(node)
        (convolutions if scatters else parts).setdefault(level, []).append(node)
        level_of.update(dict.fromkeys(node.output, level + scatters))
    found: list[tuple[_Part | None, list[_Convolution]]] = []
    for level in range(max((*parts, *convolutions)) + 1):
        others = [node for other, each in parts.items() if other != level for node in each]
        taken = [node for each in convolutions.values() for node in each]
        used = dict.fromkeys([*wanted, *(name for node in (*others, *taken) for name in node.input)])
        part = graph.part(parts[level], used) if level in parts else None
        found.append((part, [graph.convolution(node) for node in convolutions.get(level, [])]))
    return found
