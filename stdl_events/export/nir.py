"""The NIR file: the graph of a network in the Neuromorphic Intermediate Representation, for other simulators and chips.

NIR has LIF with a reset to a fixed potential, and neither norms nor surrogate gradients. Norms are folded into weights;
the reset, the surrogate gradient and the model card are in the metadata, which importers of other projects do not read.

Source: Pedersen et al., Nature Communications 15 (2024) 8122.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from stdl_events.errors import ModelError, VerificationError
from stdl_events.export.agreement import Agreement
from stdl_events.export.fold import fold_norms
from stdl_events.export.nir_graph import TIME_STEP, GraphWriter, Signal, nir_package
from stdl_events.export.nir_interpreter import NirSession
from stdl_events.export.verify import STEPS, Progress, compare_session
from stdl_events.model_card import METADATA_KEY, ModelCard
from stdl_events.network.layers import (
    ClassifierBody,
    ConvBody,
    Layer,
    LinearBody,
    NormFreeBody,
    ResidualBody,
    SEWBody,
    SpikingClassifierBody,
    SpikingUnit,
    SynapseBody,
)
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.notation import NORM_FREE_ALPHA, Op
from stdl_events.network.residual import PreActivationUnit
from stdl_events.network.synapse import WS_GAIN
from stdl_events.whole_file import whole_path

WriteBody: TypeAlias = Callable[[GraphWriter, str, Any, Signal], Signal]


def export_nir(
    network: SpikingNetwork,
    card: ModelCard,
    path: Path,
    held_out_NTCHW: npt.NDArray[Any] | None = None,
    *,
    held_out_of: str = "",
    steps: int = STEPS,
    progress: Progress | None = None,
) -> Agreement:
    """Write `network` to `path` as a NIR graph, after a comparison of the file with the network.

    Arrays have the dtype of the network's weights. Factors are multiplied into weights in float64.

    Args:
        network: ends in its classifier; it is not modified.
        card: the model card for the metadata.
        path: replaced atomically; unchanged if the comparison fails.
        held_out_NTCHW, held_out_of, steps, progress: see `export_onnx`; the card in the file states no comparison.

    Returns:
        The agreement of the file, run by `NirSession`, with the network.

    Raises:
        ModelError: NIR cannot express the network, or `path` cannot be written.
        VerificationError: the file disagrees with the network; it is removed.
        MissingExtraError: nir is not installed.
    """
    del held_out_of  # exists for exporters whose card states it
    graph = nir_graph(network, card)
    with whole_path(path, room_for="model", error=ModelError) as partial:
        nir_package().write(partial, graph)
        agreement = compare_session(network, NirSession(partial), held_out_NTCHW, steps=steps, progress=progress)
        problem = agreement.problem()
        if problem is not None:
            raise VerificationError(
                str(path), got=problem, expected="a file that agrees with the network", todo="report this network"
            )
    return agreement


def nir_graph(network: SpikingNetwork, card: ModelCard) -> Any:
    """The `nir.NIRGraph` of `network`; see `export_nir`.

    Raises:
        ModelError: NIR cannot express the network.
        MissingExtraError: nir is not installed.
    """
    dtype = next(network.parameters()).cpu().numpy(force=True).dtype
    writer = GraphWriter(network.spec.input_shape, dtype)
    x = writer.input
    for index, layer in enumerate(fold_norms(copy.deepcopy(network).cpu().double()).layers_in_order()):
        x = _layer(writer, f"layer{index}", layer, x)
    metadata = {
        METADATA_KEY: card.to_json(),
        "dt": TIME_STEP,
        "integration": "forward Euler: v + dt / tau (v_leak - v + r x), then spikes, then reset; one step per frame",
        "fires": "at v_threshold and above",
        "readout": "mean of the output over the steps of a clip",
    }
    return writer.graph(x, metadata)


def _layer(writer: GraphWriter, name: str, layer: Layer, x: Signal) -> Signal:
    position = layer.spec.ops.index(layer.spec.body)
    x = _poolings(writer, f"{name}_before", layer.spec.ops[:position], x)
    write = _BODIES.get(type(layer.body))
    if write is None:
        raise ModelError(
            "NIR file", got=f"the layer {layer.spec}", expected="a layer of the notation", todo="export to .onnx"
        )
    return _poolings(writer, f"{name}_after", layer.spec.ops[position + 1 :], write(writer, name, layer.body, x))


def _poolings(writer: GraphWriter, name: str, ops: tuple[Op, ...], x: Signal) -> Signal:
    """Average poolings; dropout is nothing in evaluation mode."""
    for index, op in enumerate(ops):
        if op.kind == "AP":
            x = writer.average(f"{name}{index}", x, (op.kernel, op.kernel), (op.stride, op.stride), op.padding)
    return x


def _unit(writer: GraphWriter, name: str, unit: SpikingUnit, x: Signal, shortcut: Signal | None = None) -> Signal:
    if shortcut is None:
        current = writer.convolution(f"{name}_conv", unit.synapse, x)
    else:
        # In the shortcut's unit, so that the sum needs no node that scales.
        current = writer.convolution(f"{name}_conv", unit.synapse, x, 1 / shortcut.gain).scaled(shortcut.gain)
        current = current + shortcut
    return writer.neurons(f"{name}_neurons", unit.cell, current).scaled(unit.gain)


def _synapse(writer: GraphWriter, name: str, body: SynapseBody, x: Signal) -> Signal:
    return writer.convolution(f"{name}_conv", body.synapse, x)


def _residual(writer: GraphWriter, name: str, body: ResidualBody, x: Signal) -> Signal:
    hidden = _unit(writer, f"{name}_first", body.first, x)
    shortcut = x if body.shortcut is None else writer.convolution(f"{name}_shortcut_conv", body.shortcut, x)
    return _unit(writer, f"{name}_second", body.second, hidden, shortcut)


def _sew(writer: GraphWriter, name: str, body: SEWBody, x: Signal) -> Signal:
    hidden = _unit(writer, f"{name}_first", body.first, x)
    out = _unit(writer, f"{name}_second", body.second, hidden)
    return out + (x if body.shortcut is None else _unit(writer, f"{name}_shortcut", body.shortcut, x))


def _norm_free(writer: GraphWriter, name: str, body: NormFreeBody, x: Signal) -> Signal:
    shortcut, current = x, x.scaled(1 / body.beta)
    units = [unit for unit in body.units if isinstance(unit, PreActivationUnit)]
    for index, unit in enumerate(units):
        spikes = writer.neurons(f"{name}_neurons{index}", unit.cell, current).scaled(WS_GAIN)
        if index == 0 and body.shortcut is not None:
            shortcut = writer.convolution(f"{name}_shortcut_conv", body.shortcut, spikes)
        factor = NORM_FREE_ALPHA * float(body.skip_gain) if unit is units[-1] else 1.0
        current = writer.convolution(f"{name}_conv{index}", unit.synapse, spikes, factor)
    return shortcut + current


def _linear(writer: GraphWriter, name: str, body: LinearBody, x: Signal) -> Signal:
    return writer.neurons(f"{name}_neurons", body.cell, writer.linear(f"{name}_linear", body.linear, x))


def _classifier(writer: GraphWriter, name: str, body: ClassifierBody, x: Signal) -> Signal:
    if len(x.shape) == 3 and x.shape[1:] != (1, 1):
        x = writer.average(f"{name}_pool", x, x.shape[1:], x.shape[1:])
    return writer.linear(f"{name}_linear", body.linear, x)


_BODIES: dict[type[Any], WriteBody] = {
    ConvBody: _unit,
    SynapseBody: _synapse,
    ResidualBody: _residual,
    SEWBody: _sew,
    NormFreeBody: _norm_free,
    LinearBody: _linear,
    ClassifierBody: _classifier,
    SpikingClassifierBody: _linear,
}
