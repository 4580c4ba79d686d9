"""Import of networks built from Norse's modules, with their weights."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from stdl_events.errors import NotationError
from stdl_events.network.compare_norse import Part, Reading, check_against_norse, refuse_hidden
from stdl_events.network.layers import ClassifierBody, ConvBody, LinearBody, SynapseBody
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.neurons.norse_cells import read_norse_cell
from stdl_events.network.notation import Op
from stdl_events.network.spec import Classifier, NetworkSpec, NeuronSpec


class _Reader:
    """Reads modules in order and collects the notation's tokens and the parts that carry weights."""

    def __init__(self, surrogate: str | None, surrogate_width: float) -> None:
        self.surrogate, self.surrogate_width = surrogate, surrogate_width
        self.tokens: list[Op | Part] = []
        self.pooled_at: int | None = None

    def read(self, name: str, module: nn.Module) -> None:
        neuron = read_norse_cell(module, surrogate=self.surrogate, surrogate_width=self.surrogate_width)
        last = self.tokens[-1] if self.tokens else None
        match module:
            case nn.Conv2d() | nn.Linear():
                self.tokens.append(Part(name, module))
            case nn.BatchNorm2d() if isinstance(last, Part) and last.norm is None and last.neuron is None:
                last.norm = module
            case _ if neuron is not None and isinstance(last, Part) and last.neuron is None:
                last.neuron, last.cell, last.cell_name = neuron, module, name
            case nn.AvgPool2d():
                self.tokens.append(_pooling(name, module))
            case nn.Dropout():
                self.tokens.append(Op("DP", probability=module.p))
            case nn.AdaptiveAvgPool2d() if module.output_size in (1, (1, 1)):
                self.pooled_at = len(self.tokens)
            case nn.Flatten() if module.start_dim in (1, -3):
                pass
            case nn.Identity():
                pass
            case _:
                raise _unknown(name, module)

    @property
    def parts(self) -> list[Part]:
        return [token for token in self.tokens if isinstance(token, Part)]


def import_norse(
    model: nn.Sequential,
    *,
    input_shape: Sequence[int],
    surrogate: str | None = None,
    surrogate_width: float = 1.0,
) -> SpikingNetwork:
    """A network that computes what `model` computes; weights are copied.

    Supported are convolutions and linear layers, batch norm behind convolutions, `LIFBoxCell` behind either, average
    pooling and dropout. The end is global average pooling (`AdaptiveAvgPool2d(1)`, or another pooling to one pixel),
    flattening and a linear layer; or flattening, a linear layer and a `LIFBoxCell`, whose spikes are then the logits.
    Norse scales a cell's input by 1 - λ; the factor is folded into the weights or the batch norm in front.

    The network is compared with `model`: float64 copies of both run step by step on random frames, in training and
    evaluation mode, with the model's weights and with drawn ones. Spikes, membrane potentials and logits must be equal.
    Gradients are not compared. Two differences remain. Neurons fire at their threshold, not only above it, which has
    probability zero on random frames. In training, dropout has one mask per sequence.

    Args:
        model: `norse.torch.SequentialState`, or another module that runs its children in sequence and returns
            (logits, state); sequences may be nested. It is not changed.
        input_shape: (C, H, W) of one frame.
        surrogate, surrogate_width: the surrogate gradient for training, if the cells' own is not registered here.

    Returns:
        The network, with `model`'s dtype and device. Its state holds u = v - v_leak for each cell.

    Raises:
        NotationError: a module, or a setting of one, has no counterpart; the network's results differ from those of
            `model`; or the model has parts that runs do not show: hooks, parametrisations, parameters used twice.
    """
    with torch.random.fork_rng(devices=[]):  # modules draw weights when they are built
        reading = _read(model, input_shape, surrogate, surrogate_width)
        refuse_hidden(model, reading.parts)
        check_against_norse(model, lambda twin: _read(twin, input_shape, surrogate, surrogate_width))
    return reading.network


def _read(model: nn.Module, input_shape: Sequence[int], surrogate: str | None, surrogate_width: float) -> Reading:
    reader = _Reader(surrogate, surrogate_width)
    for name, module in _flat(model):
        reader.read(name, module)
    parts, last = reader.parts, reader.tokens[-1] if reader.tokens else None
    if not isinstance(last, Part) or not isinstance(last.weights, nn.Linear):
        raise _wrong("Norse model", "another last layer", "a linear layer at the end, or one and a LIFBoxCell")
    classifier: Classifier = "linear" if last.neuron is None else "spiking"
    notation = "-".join(_token(token, last=token is last) for token in reader.tokens)
    norm, momentum = _norm(parts)
    spec = NetworkSpec.parse(
        notation,
        input_shape=input_shape,
        neuron=_neuron(parts),
        norm=norm,
        classifier=classifier,
        norm_momentum=momentum,
    )
    _check_pooling(spec, reader)
    return Reading(_network(spec, parts, model.training), parts)


def _check_pooling(spec: NetworkSpec, reader: _Reader) -> None:
    """Require global average pooling in front of a linear classifier, and nowhere else."""
    height, width = spec.layers[-1].input_shape[1:]
    pooled = reader.pooled_at == len(reader.tokens) - 1
    misplaced = pooled != (reader.pooled_at is not None)
    if misplaced or (height * width > 1 and pooled != (spec.classifier == "linear")):
        got = f"{height}x{width} pixels in front of the last layer" + (", pooled to one" if pooled else "")
        raise _wrong(
            "Norse model", got, "AdaptiveAvgPool2d(1) in front of a last layer without neurons, and only there"
        )


def _network(spec: NetworkSpec, parts: Sequence[Part], training: bool) -> SpikingNetwork:
    weight = parts[0].weights.weight
    network = SpikingNetwork.build(spec, dtype=weight.dtype, device=weight.device).train(training)
    with torch.no_grad():
        for layer, part in zip(network.layers_in_order(), parts, strict=True):
            _copy(layer.body, part)
    return network


def _flat(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    for name, child in model._modules.items():  # named_children leaves out a module that is used again
        path = f"{prefix}{name}"
        if child is None:
            continue
        found.extend(_flat(child, f"{path}.") if isinstance(child, nn.Sequential) else [(path, child)])
    return found


def _token(token: Op | Part, *, last: bool) -> str:
    if isinstance(token, Op):
        return str(token)
    if isinstance(token.weights, nn.Conv2d):
        return str(_convolution(token.weights, "C" if token.neuron else "S"))
    if token.neuron is None and not last:
        raise _wrong("Norse model", "a linear layer without a neuron", "a LIFBoxCell behind every linear layer inside")
    return f"{token.weights.out_features}FC"


def _convolution(conv: nn.Conv2d, kind: str) -> Op:
    kernel, stride, padding = (
        _square(f"Conv2d's {name}", getattr(conv, name)) for name in ("kernel_size", "stride", "padding")
    )
    if conv.groups != 1 or conv.dilation != (1, 1) or conv.padding_mode != "zeros":
        raise _wrong("Conv2d", str(conv), "no groups, no dilation, padding with zeros")
    return Op("C" if kind == "C" else "S", conv.out_channels, kernel, stride, padding)


def _pooling(name: str, pool: nn.AvgPool2d) -> Op:
    if pool.ceil_mode or not pool.count_include_pad or pool.divisor_override is not None:
        raise _unknown(name, pool)
    kernel, stride, padding = (
        _square(f"AvgPool2d's {key}", getattr(pool, key)) for key in ("kernel_size", "stride", "padding")
    )
    return Op("AP", kernel=kernel, stride=stride, padding=padding)


def _square(name: str, value: int | tuple[int, ...] | str) -> int:
    values = set(value) if isinstance(value, tuple) else {value}
    number = values.pop()
    if values or not isinstance(number, int):
        raise _wrong(name, repr(value), "one number for both directions")
    return number


def _neuron(parts: Sequence[Part]) -> NeuronSpec | None:
    found = {part.neuron.spec for part in parts if part.neuron is not None}
    if len(found) > 1:
        raise _wrong("Norse model", f"{len(found)} different neurons", "the same parameters in every LIFBoxCell")
    return found.pop() if found else None


def _norm(parts: Sequence[Part]) -> tuple[str, float]:
    """The norm that all parts share, and its momentum."""
    convolutions = [part for part in parts if isinstance(part.weights, nn.Conv2d)]
    norms = [part.norm for part in parts if part.norm is not None]
    if norms and (len(norms) != len(convolutions) or any(part.norm for part in parts if part not in convolutions)):
        raise _wrong("Norse model", f"{len(norms)} batch norms", f"one behind each of {len(convolutions)} convolutions")
    usual = nn.BatchNorm2d(1, momentum=norms[0].momentum if norms and norms[0].momentum else 0.1)
    for norm in norms:
        if (norm.eps, norm.momentum) != (usual.eps, usual.momentum) or not (norm.affine and norm.track_running_stats):
            raise _wrong("BatchNorm2d", str(norm), f"the usual one, alike everywhere: {usual.extra_repr()}")
    return "batch" if norms else "none", float(usual.momentum or 0.1)


def _copy(body: object, part: Part) -> None:
    gain = part.neuron.input_gain if part.neuron is not None else 1.0
    bias = _bias(part.weights)
    ours = next(parameter for parameter in _parameters(body) if parameter.ndim > 1)
    if ours.shape != part.weights.weight.shape:
        shapes = [tuple(weights.shape) for weights in (part.weights.weight, ours)]
        raise _wrong(str(part.weights), f"weights {shapes[0]}", f"{shapes[1]}, which frames of input_shape lead to")
    if isinstance(body, ClassifierBody | LinearBody):
        body.linear.weight.copy_(part.weights.weight * gain)
        body.linear.bias.copy_(bias * gain)
        return
    assert isinstance(body, ConvBody | SynapseBody), "made from the parts"
    conv, norm = body.synapse.conv, body.synapse.norm
    if part.norm is None:
        assert conv.bias is not None, "only batch norm makes biases superfluous"
        conv.weight.copy_(part.weights.weight * gain)
        conv.bias.copy_(bias * gain)
        return
    conv.weight.copy_(part.weights.weight)
    values = part.norm.state_dict()
    values["running_mean"] = values["running_mean"] - bias  # batch norm takes a bias out again
    assert norm is not None, "the network has the parts' norms"
    norm.load_state_dict(values | {name: values[name] * gain for name in ("weight", "bias")})
    norm.train(part.norm.training)


def _parameters(body: object) -> Iterator[nn.Parameter]:
    assert isinstance(body, nn.Module), "bodies are modules"
    return body.parameters()


def _bias(weights: nn.Conv2d | nn.Linear) -> Tensor:
    return weights.weight.new_zeros(len(weights.weight)) if weights.bias is None else weights.bias


def _unknown(name: str, module: nn.Module) -> NotationError:
    return _wrong(
        f"module {name} of the Norse model",
        str(module).splitlines()[0],
        "convolution, batch norm behind it, LIFBoxCell behind that or behind a linear layer, average pooling, dropout",
    )


def _wrong(subject: str, got: str, expected: str) -> NotationError:
    return NotationError(subject, got=got, expected=expected, todo="change the model")
