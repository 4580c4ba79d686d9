"""Comparison of a Norse model with the network read off it, step by step in float64.

Reading a model covers its modules and their settings. It covers neither a `forward` that a subclass overrides, nor the
order in which a container calls its modules. A run shows both. Two runs are compared: one with the model's own weights,
and one with drawn weights at which every layer of neurons fires, since silent neurons hide differences behind them.

Norse fires above the threshold, this package at it. On random weights and frames equality has probability zero. Where
weights are multiples of a common unit it is likely, so the thresholds of the copies are shifted by a millionth, off the
sums of such weights.

B batch, C channels, H height, W width, K classes.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from stdl_events.errors import NotationError
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.neurons.norse_cells import NorseNeuron

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")

BATCH = 3
STEPS = 4
THRESHOLD_SHIFT = 1 + 1e-6 * 2**0.5
# Float64 sums in another order differ by parts in 1e13; batch norm of nearly equal values multiplies them by up to 300.
TOLERANCE = 1e-8


@dataclass(eq=False)
class Part:
    """A convolution or linear layer of a model, with the norm and the neurons behind it.

    Args:
        name, cell_name: names of `weights` and of `cell` in the model.
        neuron: `cell` as a neuron of this package.
    """

    name: str
    weights: nn.Conv2d | nn.Linear
    norm: nn.BatchNorm2d | None = None
    neuron: NorseNeuron | None = None
    cell: Any = None
    cell_name: str = ""

    def parameters(self) -> list[nn.Parameter]:
        """The parameters that are copied into the network."""
        found = [self.weights.weight, self.weights.bias]
        found += [] if self.norm is None else [self.norm.weight, self.norm.bias]
        return [parameter for parameter in found if isinstance(parameter, nn.Parameter)]


class Reading(NamedTuple):
    """A network read off a model, and the model's parts in the order of the network's layers."""

    network: SpikingNetwork
    parts: Sequence[Part]

    @property
    def spiking(self) -> list[Part]:
        return [part for part in self.parts if part.cell is not None]


def refuse_hidden(model: nn.Module, parts: Sequence[Part]) -> None:
    """Refuse settings that change training, or run the caller's code, and need not change the outputs of a run.

    Raises:
        NotationError: hooks, parametrisations, a `forward` set on one object, weights on the meta device, dropout in
            another mode than the model, parameters that are used twice or by no part.
    """
    for name, module in model.named_modules():
        tensors = list(module.parameters(recurse=False))
        found = [kind for kind in _HOOKS if getattr(module, kind)]
        found += [kind for kind in _TENSOR_HOOKS for tensor in tensors if getattr(tensor, kind)]
        dropout = isinstance(module, nn.Dropout) and module.p > 0
        for hidden, got, expected in (
            (found, "hooks", "none, since they are not copied into the network"),
            (parametrize.is_parametrized(module), "a parametrisation", "plain weights"),
            ("forward" in vars(module), "a forward set on the object", "the forward of its class"),
            (any(tensor.is_meta for tensor in tensors), "weights on the meta device", "weights with values"),
            (dropout and module.training != model.training, "dropout in another mode than the model's", "one mode"),
        ):
            if hidden:
                where = f"module {name} of the Norse model" if name else "Norse model"
                raise NotationError(where, got=got, expected=expected, todo="change the model")
    uses = Counter(id(tensor) for part in parts for tensor in part.parameters())
    for name, parameter in model.named_parameters():
        if uses[id(parameter)] != 1:
            raise NotationError(
                f"parameter {name} of the Norse model",
                got=f"{uses[id(parameter)]} convolutions, linear layers and batch norms that use it",
                expected="one, since a network's layers share no parameters",
                todo="change the model",
            )


def check_against_norse(model: nn.Module, read: Callable[[nn.Module], Reading]) -> None:
    """Compare copies of `model` with the networks that `read` returns: with the model's weights, then with drawn ones.

    The model, its train flags and the random generators are unchanged.

    Raises:
        NotationError: the model does not run, or the network does not reproduce it; the message gives the place and
            the size of the first difference.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for seed, weights in enumerate(("its own weights", "drawn weights")):
            generator = torch.Generator().manual_seed(seed)
            twin = _twin(model)
            if seed:
                _draw_weights(read(twin).parts, generator)
            reading = read(twin)
            for mode, flag in (("its own train flags", None), ("training mode", True), ("evaluation mode", False)):
                _set_modes(twin, reading.network, flag)
                _run(twin, reading, generator, f"{mode} and {weights}")


def _twin(model: nn.Module) -> nn.Module:
    """A float64 copy on the host, with shifted thresholds. Norse's cells hold their parameters in named tuples."""
    try:
        twin = copy.deepcopy(model).to("cpu", torch.float64)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise _unlike(f"a model that cannot be copied ({_line(error)})") from error
    for module in twin.modules():
        parameters: Any = getattr(module, "p", None)
        if hasattr(parameters, "_replace"):
            values = {name: _double(getattr(parameters, name)) for name in parameters._fields}
            if "v_th" in values:
                values["v_th"] = torch.as_tensor(values["v_th"], dtype=torch.float64) * THRESHOLD_SHIFT
            module.p = parameters._replace(**values)
    return twin


def _double(value: object) -> object:
    return value.to("cpu", torch.float64) if isinstance(value, Tensor) and value.is_floating_point() else value


def _draw_weights(parts: Sequence[Part], generator: torch.Generator) -> None:
    """Draw weights at which neurons fire in many of the steps, with or without batch norm."""

    def normal(tensor: Tensor, scale: float) -> None:
        tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype) * scale)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))

    for part in parts:
        weights, norm, neuron = part.weights, part.norm, part.neuron
        # A current of this size, multiplied by the cell's gain, passes the threshold in one step.
        size = neuron.spec.threshold / max(neuron.input_gain, 1e-3) if neuron is not None else 1.0
        scale = 3 * (1.0 if norm is not None else size)
        normal(weights.weight, scale * weights.weight[0].numel() ** -0.5)
        if weights.bias is not None:
            normal(weights.bias, scale / 4)
        if norm is not None:
            uniform(norm.weight, size, 2 * size)
            normal(norm.bias, size)
            statistics = dict(norm.named_buffers())
            normal(statistics["running_mean"], 0.3)
            uniform(statistics["running_var"], 0.5, 2.0)


def _set_modes(twin: nn.Module, network: SpikingNetwork, training: bool | None) -> None:
    """Set both to one mode, or keep their flags. Dropout is off: Norse's model redraws its masks in every step."""
    if training is not None:
        twin.train(training)
        network.train(training)
    for module in twin.modules():
        if isinstance(module, nn.Dropout) and type(module).forward is nn.Dropout.forward:
            module.eval()
    for layer in network.layers_in_order():
        layer.training = False  # the layer's own flag: no dropout masks in its state, batch norms keep their mode


def _run(twin: nn.Module, reading: Reading, generator: torch.Generator, how: str) -> None:
    state, theirs = reading.network.initial_state(BATCH), None
    our_cells = [module for module in reading.network.modules() if isinstance(module, NeuronCell)]
    with _recorded([part.cell for part in reading.spiking]) as their_outputs, _recorded(our_cells) as our_outputs:
        frames = _frames(reading.network.spec.input_shape, generator)
        for step, frame_BCHW in zip(range(STEPS), frames, strict=False):
            where = f"step {step} with {how}"
            expected, theirs = _their_step(twin, frame_BCHW, theirs, where)
            logits, state = reading.network.step(frame_BCHW, state)
            for what, want, got in _neurons(reading, their_outputs, our_outputs):
                _compare(what, want, got, where)
            _compare("logits", expected, logits, where)
            their_outputs.clear()
            our_outputs.clear()


def _frames(shape_CHW: tuple[int, int, int], generator: torch.Generator) -> Iterator[Tensor]:
    """Dense frames, sparse event counts, signed frames and empty frames, in turn."""
    shape_BCHW = (BATCH, *shape_CHW)
    while True:
        yield torch.rand(shape_BCHW, generator=generator, dtype=torch.float64)
        yield torch.poisson(torch.full(shape_BCHW, 0.3, dtype=torch.float64), generator=generator)
        yield 4 * torch.randn(shape_BCHW, generator=generator, dtype=torch.float64)
        yield torch.zeros(shape_BCHW, dtype=torch.float64)


def _their_step(twin: nn.Module, frame_BCHW: Tensor, state: Any, where: str) -> tuple[Tensor, Any]:
    try:
        result = twin(frame_BCHW.clone(), state)
    except Exception as error:  # the caller's modules may raise anything
        raise _unlike(f"a model that does not run, in {where} ({type(error).__name__}: {_line(error)})") from error
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor)):
        raise _unlike(f"a model that returns {type(result).__name__}, not (logits, state)")
    return result


@contextmanager
def _recorded(modules: Sequence[nn.Module]) -> Iterator[list[Any]]:
    """The outputs of `modules` in the order of their calls, once per call even for a module that is listed twice."""
    outputs: list[Any] = []
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        for module in dict.fromkeys(modules)
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _neurons(reading: Reading, theirs: list[Any], ours: list[Any]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield (name, Norse's tensor, ours) for the spikes and potentials of each layer.

    A model that does not call its cells one by one yields none; only its logits are compared.
    """
    if len(theirs) != len(ours):
        return
    for part, their_output, (spikes, state) in zip(reading.spiking, theirs, ours, strict=True):
        if isinstance(their_output, tuple) and len(their_output) == 2 and hasattr(their_output[1], "v"):
            yield f"membrane potentials of module {part.cell_name}", their_output[1].v - part.cell.p.v_leak, state.u
            yield f"spikes of module {part.cell_name}", their_output[0], spikes


def _compare(what: str, theirs: Tensor, ours: Tensor, where: str) -> None:
    if ours.shape[2:] == (1, 1) and theirs.ndim == 2:
        ours = ours.flatten(1)
    if theirs.shape != ours.shape:
        raise _unlike(f"{what} of shape {tuple(theirs.shape)} instead of {tuple(ours.shape)}, first in {where}")
    difference = (theirs - ours).abs().max()
    if not difference <= TOLERANCE * (1 + theirs.abs().max()):
        raise _unlike(f"{what} that differ by {float(difference):.3g}, first in {where}")


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _unlike(got: str) -> NotationError:
    return NotationError(
        "Norse model",
        got=got,
        expected="a model that computes its modules in sequence",
        todo="change the model",
    )
