"""Checks of the layers that lean mode supports.

Lean mode has its own code for some bodies and does not call their modules: a hook would not run, and a replaced module
would have no effect. Such layers are refused. Bodies of other kinds, a caller's own included, run by autograd, with
hooks.
"""

from collections.abc import Iterator

import torch
from torch import nn

from stdl_events.errors import RuleError
from stdl_events.learning.traces import TracedCell
from stdl_events.network.layers import ClassifierBody, Layer, ResidualBody, SequenceDropout, SEWBody, SpikingUnit
from stdl_events.network.neurons.cell import NeuronCell
from stdl_events.network.synapse import ScaledWSConv2d, Synapse

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_PARAMETER_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def steps_as(module: object, kind: type[nn.Module], method: str = "step") -> bool:
    """True if `module` is a `kind` whose method neither a subclass nor an assignment has replaced."""
    return isinstance(module, kind) and getattr(getattr(module, method), "__func__", None) is getattr(kind, method)


def runs_by_hand(body: object) -> bool:
    """True if lean mode has its own code for `body` and its neurons; other bodies run by autograd."""
    if steps_as(body, ClassifierBody):
        return True
    unit = getattr(body, "second", body)
    has_lean_form = getattr(getattr(unit, "cell", None), "lean", unit) is not None
    return has_lean_form and any(steps_as(body, kind) for kind in (SpikingUnit, ResidualBody, SEWBody))


def check_layer(name: str, layer: Layer) -> None:
    """Refuse a layer with modules, hooks or parameters that lean mode would ignore.

    Args:
        name: dotted name in the network.

    Raises:
        RuleError: the message names the module or parameter.
    """
    if not steps_as(layer, Layer):
        raise _refused(name, f"a {type(layer).__name__} with a step of its own", "layers as the notation makes them")
    if torch.nn.modules.module._has_any_global_hook():
        raise _refused("global module hooks", "a hook for every module of the process", "no global hooks")
    if not isinstance(layer.body, nn.Module):
        raise _refused(f"{name}.body", f"a {type(layer.body).__name__}", "a torch module")
    by_hand = runs_by_hand(layer.body)
    _check_sequence(f"{name}.before", layer.before)
    _check_sequence(f"{name}.after", layer.after)
    if by_hand:
        _check_body(f"{name}.body", layer.body)
    inside = f"{name}.body."
    for path, module in _named(name, layer):
        if by_hand or not path.startswith(inside):
            _check_hooks(path, module)
        for key, parameter in module._parameters.items():
            if parameter is not None:
                _check_parameter(path, key, parameter)


def _named(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """`module.named_modules` in a third of its time: a step of a small network starts with this."""
    pending = [(name, module)]
    while pending:
        path, inner = pending.pop()
        yield path, inner
        pending.extend((f"{path}.{key}", child) for key, child in inner._modules.items() if child is not None)


def _check_hooks(name: str, module: nn.Module) -> None:
    attributes = vars(module)
    if any(attributes[hooks] for hooks in _HOOKS):
        raise _refused(name, "a forward or backward hook", "no hooks where lean mode does not call the module")
    if "parametrizations" in module._modules:
        raise _refused(name, "parametrised weights", "plain parameters")
    if "forward" in attributes:
        raise _refused(name, "another forward, assigned to the object", "the module's own forward")


def _check_parameter(path: str, key: str, parameter: nn.Parameter) -> None:
    if parameter.requires_grad and any(getattr(parameter, hooks, None) for hooks in _PARAMETER_HOOKS):
        raise _refused(f"{path}.{key}", "a hook on a parameter", "no hooks on parameters")
    if parameter.is_complex():
        raise _refused(f"{path}.{key}", f"{parameter.dtype}", "real parameters")


def _check_sequence(name: str, modules: nn.Module) -> None:
    if type(modules) is not nn.Sequential:
        raise _refused(name, f"a {type(modules).__name__}", "a Sequential of poolings and dropouts")
    for index, module in enumerate(modules):
        if type(module) not in (nn.AvgPool2d, nn.Identity, SequenceDropout):
            raise _refused(f"{name}.{index}", f"a {type(module).__name__}", "average pooling or dropout by sequence")
        if isinstance(module, nn.AvgPool2d):
            sizes = (module.kernel_size, module.stride, module.padding)
            plain = module.count_include_pad and not module.ceil_mode and module.divisor_override is None
            if not plain or not all(isinstance(size, int) for size in sizes):
                raise _refused(f"{name}.{index}", str(module), "average pooling of square windows, padding counted")


def _check_body(name: str, body: nn.Module) -> None:
    if isinstance(body, ClassifierBody):
        if type(body.linear) is not nn.Linear:
            raise _refused(f"{name}.linear", f"a {type(body.linear).__name__}", "a Linear")
        return
    for path, part in _parts(name, body):
        if isinstance(part, Synapse):
            _check_synapse(path, part)
            continue
        if not isinstance(part, SpikingUnit) or not steps_as(part, SpikingUnit):
            raise _refused(path, f"a {type(part).__name__}", "a spiking unit or synapse as the notation makes it")
        if not any(steps_as(part.cell, kind, "forward") for kind in (NeuronCell, TracedCell)):
            raise _refused(f"{path}.cell", f"a {type(part.cell).__name__}", "neurons made from a NeuronSpec")
        _check_synapse(f"{path}.synapse", part.synapse)


def _parts(name: str, body: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The units of a body, and the synapse of a residual block's shortcut."""
    if isinstance(body, SpikingUnit):
        yield name, body
        return
    for part in ("first", "second", "shortcut"):
        module = getattr(body, part)
        if module is not None:
            yield f"{name}.{part}", module


def _check_synapse(name: str, synapse: nn.Module) -> None:
    if type(synapse) is not Synapse:
        raise _refused(name, f"a {type(synapse).__name__}", "a Synapse: a convolution and its norm")
    conv, norm = synapse.conv, synapse.norm
    if type(conv) not in (nn.Conv2d, ScaledWSConv2d):
        raise _refused(f"{name}.conv", f"a {type(conv).__name__}", "a Conv2d without parametrisation")
    if (
        conv.padding_mode != "zeros"
        or not isinstance(conv.padding, tuple)
        or conv.groups != 1
        or set(conv.dilation) != {1}
    ):
        raise _refused(f"{name}.conv", str(conv), "padding with a number of zeros, no groups, no dilation")
    if norm is None:
        return
    if type(norm) is not nn.BatchNorm2d:
        raise _refused(f"{name}.norm", f"a {type(norm).__name__}", "a BatchNorm2d or None")
    if norm.momentum is None or norm.running_mean is None or not norm.affine:
        raise _refused(
            f"{name}.norm", str(norm), "batch norm with a momentum, running statistics and affine parameters"
        )


def _refused(subject: str, got: str, expected: str) -> RuleError:
    return RuleError(subject, got=got, expected=f"{expected} in lean mode", todo="use memory='plain'")
