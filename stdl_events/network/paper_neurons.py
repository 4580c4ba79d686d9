"""The neurons that the learning rules were published with, selected by `neuron="paper"`. No torch.

The default neuron, `NeuronSpec()`, is STDL's for every rule, so that rules are compared on one neuron, as in STDL.
"""

from stdl_events.errors import RuleError
from stdl_events.network.spec import NeuronSpec

PAPER = "paper"

_STDL = NeuronSpec(
    decay=0.1,  # STDL, Table VII, all datasets but ImageNet, which has 0.2
    threshold=1.0,  # STDL, Table VII
    reset="soft",  # STDL, eq. (3)
    surrogate="triangle",  # STDL, eq. (7)
    surrogate_width=1.0,  # STDL, below eq. (7)
)
_SLTT = NeuronSpec(
    decay=1 - 1 / 1.1,  # SLTT, section 5: τ = 1.1, and eq. (2): the decay is 1 - 1/τ
    threshold=1.0,  # SLTT, section 5
    reset="soft",  # SLTT, eq. (2)
    surrogate="triangle",  # SLTT, section 5 and eq. (6)
    surrogate_width=1.0,  # SLTT, below eq. (6): γ is V_th
)
_OTTT = NeuronSpec(
    decay=0.5,  # NDOT, section 5, which compares with OTTT under the same settings
    threshold=1.0,  # NDOT, section 5
    reset="soft",  # NDOT, eq. (2)
    surrogate="sigmoid",  # NDOT, section 3.2, with a_2 = 1/α
    surrogate_width=4.0,  # released code of OTTT: α = 4
)
_TRUNCATED = NeuronSpec(
    decay=0.8,  # truncated local BPTT, Table 1, CIFAR10 and CIFAR10-DVS; EMNIST has 0.9, DvsGesture 0.3
    threshold=0.4,  # truncated local BPTT, Table 1: a value within the ranges of all four datasets
    reset="soft",  # truncated local BPTT, eq. (1)
    reset_amount=0.4,  # θ of truncated local BPTT, eq. (1); its value is not published, so it is the threshold
    surrogate="rectangle",  # truncated local BPTT, eq. (6)
    surrogate_width=0.5,  # truncated local BPTT, Table 1: a = 0.5 for all datasets
)

PAPER_NEURONS: dict[str, NeuronSpec] = {
    "bptt": _STDL,  # STDL, appendix B: the settings of Table VII hold for all baselines
    "decolle": _STDL,  # likewise
    "ell": _STDL,  # likewise
    "stdl": _STDL,
    "sltt": _SLTT,
    "sltt-k": _SLTT,
    "ottt-a": _OTTT,
    "ottt-o": _OTTT,
    "ftrl-ottt": _OTTT,  # NDOT, section 4.3 and 5
    "ndot-a": _OTTT,
    "ndot-o": _OTTT,
    "tbptt": _TRUNCATED,
}


def paper_neuron(rule: str) -> NeuronSpec:
    """The neuron that the rule called `rule` was published with.

    Raises:
        RuleError: no paper trained with this rule.
    """
    if rule not in PAPER_NEURONS:
        raise RuleError(
            'neuron "paper"',
            got=f"the rule {rule}, which was published with no neuron",
            expected=f"one of {', '.join(PAPER_NEURONS)}",
            todo="choose one of these rules, or give the neuron's settings",
        )
    return PAPER_NEURONS[rule]
