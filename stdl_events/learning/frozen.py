"""What of a network is excluded from training: parameters without a gradient, norms on their running statistics."""

from collections.abc import Iterable, Sequence

from torch import nn

from stdl_events.errors import RuleError
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


def frozen_marks(networks: Sequence[nn.Module]) -> tuple[bool, ...]:
    """The mode of each module and whether each parameter learns, to compare with."""
    modes = [module.training for network in networks for module in network.modules()]
    return (*modes, *(parameter.requires_grad for network in networks for parameter in network.parameters()))
