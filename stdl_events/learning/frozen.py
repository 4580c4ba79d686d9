"""What of a network is excluded from training: parameters without a gradient, norms on their running statistics."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from stdl_events.errors import RuleError
from stdl_events.events.defects import count_of
from stdl_events.learning.block import LocalBlock
from stdl_events.learning.grid import Layerwise, Space
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.synapse import Synapse


def set_frozen(networks: Iterable[nn.Module], modules: Sequence[nn.Module], *, frozen: bool) -> None:
    """Freeze or unfreeze `modules` of `networks`; see `Learner.freeze`.

    Raises:
        RuleError: a module is in none of the networks; nothing is frozen.
    """
    known = {part for network in networks for part in network.modules()}
    for module in modules:
        if module not in known:
            raise RuleError(
                "module to freeze",
                got=f"a {type(module).__name__} that is in none of the learner's networks",
                expected="a module of learner.network or of an auxiliary network",
                todo="look it up by learner.network.get_submodule",
            )
    chosen = {part for module in modules for part in module.modules()}
    for module in modules:
        module.requires_grad_(not frozen)
    for synapse in known:
        if isinstance(synapse, Synapse) and synapse.norm in chosen:
            synapse.norm_frozen = frozen


def freeze_named(network: SpikingNetwork, blocks: Sequence[LocalBlock], names: Iterable[str]) -> None:
    """Freeze parts of `network`, and the auxiliary networks of blocks of which nothing is left to train.

    Args:
        names: each a number of first layers, or the dotted name of modules or parameters, in which `*`, `?` and `[...]`
            match as in file names: `2`, `layers.0`, `layers.*.norm`, `layers.1.body.synapse.conv.weight`. Frozen
            modules keep the running statistics of their batch norms, frozen parameters alone do not.

    Raises:
        RuleError: a name matches nothing, or nothing is left to train.
    """
    names = tuple(names)
    for name in names:
        _freeze_one(network, name)
    if names and not any(parameter.requires_grad for parameter in network.parameters()):
        raise RuleError(
            "freeze", got=f"{', '.join(names)}, which is the whole network", expected="something that is left to train",
            todo="freeze fewer layers",
        )  # fmt: skip
    for block in blocks if names else ():
        if block.auxiliary is not None and not any(p.requires_grad for p in block.subnetwork.parameters()):
            set_frozen([block.auxiliary], [block.auxiliary], frozen=True)


def _freeze_one(network: SpikingNetwork, name: str) -> None:
    layers = [f"layers.{index}" for index in range(len(network.layers))]
    chosen = set(layers[: int(name)]) if name.isdecimal() else {name}
    modules = [part for key, part in network.named_modules() if key and _is_named(key, chosen)]
    parameters = [parameter for key, parameter in network.named_parameters() if _is_named(key, chosen)]
    if not modules and not parameters:
        example = next(key for key, _ in network.named_parameters())
        raise RuleError(
            f"freeze {name!r}", got="a name that nothing has",
            expected=f"a number of first layers, one of {', '.join(layers)}, or a part of one such as {example}",
            todo="correct the name; * matches any part of one",
        )  # fmt: skip
    set_frozen([network], modules, frozen=True)
    for parameter in parameters:
        parameter.requires_grad_(False)


def _is_named(key: str, names: Iterable[str]) -> bool:
    return any(fnmatchcase(key, name) for name in names)


def frozen_text(network: SpikingNetwork) -> str | None:
    """What of `network` is frozen, in words; None for nothing."""
    total = sum(parameter.numel() for parameter in network.parameters())
    still = sum(parameter.numel() for parameter in network.parameters() if not parameter.requires_grad)
    if not still:
        return None
    weighted = {index: list(layer.parameters()) for index, layer in enumerate(network.layers)}
    whole = [f"layers.{i}" for i, weights in weighted.items() if weights and not any(w.requires_grad for w in weights)]
    layers = f": {', '.join(whole)}" if whole else ""
    return f"frozen: {still} of {total} weights, {len(whole)} of {count_of(len(network.layers), 'whole layer')}{layers}"


def freeze_random_classifiers(space: Space, blocks: Sequence[LocalBlock]) -> None:
    """Freeze the classifiers that keep their random weights by the rule."""
    random = space.random if isinstance(space, Layerwise) else "none"
    for block in blocks:
        if random == "all" or (random == "auxiliary" and block.auxiliary is not None):
            classifier = (block.auxiliary or block.subnetwork).layers_in_order()[-1]
            classifier.requires_grad_(False)


def frozen_marks(networks: Sequence[nn.Module]) -> tuple[bool, ...]:
    """The mode of each module and whether each parameter learns, to compare with."""
    modes = [module.training for network in networks for module in network.modules()]
    return (*modes, *(parameter.requires_grad for network in networks for parameter in network.parameters()))
