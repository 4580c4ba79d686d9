"""The named learning rules, each one point of the grid. A rule's options are the parameters of its function."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from stdl_events.errors import RuleError
from stdl_events.learning.grid import (
    FULL,
    SPATIAL,
    EndToEnd,
    Layerwise,
    Planned,
    Proximal,
    ProximalNorm,
    Rule,
    Space,
    TraceKind,
    Update,
    require_choice,
    spatial_k,
    traced,
    truncated,
)
from stdl_events.registry import Registry

Variant: TypeAlias = Literal["paper", "official"]
When: TypeAlias = Literal["sequence", "step"]

_OTTT = "OTTT (Xiao et al., arXiv:2210.04195); NDOT section 4.1"
_NDOT = "NDOT Algorithm 1, eq. (8) and (12), appendix A.2"
# NDOT's released code adds 0.025 Σ |Δp|₂ / √n to the loss of its online variant.
_NDOT_OFFICIAL_PROXIMAL = Proximal(0.025, "rms", "previous")


def _bptt() -> Rule:
    return Rule("bptt", EndToEnd(), FULL, "sequence", "STDL eq. (5), (6)")


def _sltt() -> Rule:
    return Rule("sltt", EndToEnd(), SPATIAL, "sequence", "SLTT Algorithm 1")


def _sltt_k(k: int = 1) -> Rule:
    return Rule("sltt-k", EndToEnd(), spatial_k(k), "sequence", "SLTT Algorithm 1")


def _tbptt(k: int = 10, n: int = 1, classifier: Literal["trainable", "random"] = "trainable") -> Rule:
    require_choice("classifier", classifier, ("trainable", "random"))
    # With n = L the network's classifier is the only one, and the paper still has a random variant (Fig. 3).
    space = Layerwise(n, "all" if classifier == "random" else "none")
    return Rule("tbptt", space, truncated(k), "chunk", "truncated local BPTT, Algorithm 1, eq. (3) to (7)", "spike-mse")


def _ottt_a(trace_decay: float | None = None) -> Rule:
    return Rule("ottt-a", EndToEnd(), traced("ottt", trace_decay), "sequence", _OTTT)


def _ottt_o(trace_decay: float | None = None) -> Rule:
    return Rule("ottt-o", EndToEnd(), traced("ottt", trace_decay), "chunk", _OTTT)


def _ftrl_ottt(
    proximal: float = 1e-3,
    proximal_norm: ProximalNorm = "l2",
    update: When = "step",
    trace_decay: float | None = None,
) -> Rule:
    time, term = traced("ottt", trace_decay), Proximal(proximal, proximal_norm)
    return Rule("ftrl-ottt", EndToEnd(), time, _update(update), "NDOT section 4.3", proximal=term)


def _ndot_a(variant: Variant = "paper", trace_decay: float | None = None) -> Rule:
    return Rule("ndot-a", EndToEnd(), traced(_ndot_trace(variant), trace_decay), "sequence", _NDOT)


def _ndot_o(variant: Variant = "paper", trace_decay: float | None = None) -> Rule:
    term = _NDOT_OFFICIAL_PROXIMAL if variant == "official" else None
    return Rule("ndot-o", EndToEnd(), traced(_ndot_trace(variant), trace_decay), "chunk", _NDOT, proximal=term)


def _decolle() -> Rule:
    space: Space = Layerwise(1, "auxiliary")
    return Rule("decolle", space, SPATIAL, "sequence", "DECOLLE (Kaiser et al., 2020) as in STDL section V")


def _ell() -> Rule:
    return Rule("ell", Layerwise(1), SPATIAL, "sequence", "ELL (Ma et al., 2023) as in STDL section V")


def _stdl() -> Rule:
    return Rule("stdl", Planned(), SPATIAL, "sequence", "STDL eq. (10), (11), (17), (18)")


def _stdl_ottt(update: When = "sequence", trace_decay: float | None = None) -> Rule:
    source = f"STDL eq. (10), (11) with {_OTTT}"
    return Rule("stdl+ottt", Planned(), traced("ottt", trace_decay), _update(update), source)


def _stdl_ndot(variant: Variant = "paper", update: When = "sequence", trace_decay: float | None = None) -> Rule:
    source = f"STDL eq. (10), (11) with {_NDOT}"
    return Rule("stdl+ndot", Planned(), traced(_ndot_trace(variant), trace_decay), _update(update), source)


def _ndot_trace(variant: Variant) -> TraceKind:
    require_choice("variant", variant, ("paper", "official"))
    return "ndot-paper" if variant == "paper" else "ndot-official"


def _update(when: When) -> Update:
    require_choice("update", when, ("sequence", "step"))
    return "sequence" if when == "sequence" else "chunk"


RULES: Registry[Callable[..., Rule]] = Registry(
    "learning rule",
    RuleError,
    {
        "bptt": _bptt,
        "sltt": _sltt,
        "sltt-k": _sltt_k,
        "tbptt": _tbptt,
        "ottt-a": _ottt_a,
        "ottt-o": _ottt_o,
        "ndot-a": _ndot_a,
        "ndot-o": _ndot_o,
        "ftrl-ottt": _ftrl_ottt,
        "decolle": _decolle,
        "ell": _ell,
        "stdl": _stdl,
        "stdl+ottt": _stdl_ottt,
        "stdl+ndot": _stdl_ndot,
    },
)
"""An entry builds a rule; its parameters are the rule's options and must have defaults."""


def list_rules() -> tuple[Rule, ...]:
    """Every named rule, with its default options."""
    return tuple(make() for make in RULES.values())


def rule_options(name: str) -> dict[str, Any]:
    """The options of the rule called `name`, with their defaults.

    Raises:
        RuleError: the name is unknown.
    """
    return {option: parameter.default for option, parameter in inspect.signature(RULES[name]).parameters.items()}


def get_rule(name: str, **options: Any) -> Rule:
    """The rule called `name`; `build_learner` documents the options. An option of None keeps its default.

    Raises:
        RuleError: the name is unknown, the rule has no such option, or an option's value is impossible.
    """
    known = rule_options(name)
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in known:
            raise RuleError(
                f"rule {name}",
                got=f"the option {option}",
                expected=f"only {', '.join(known)}" if known else "no options",
                todo="leave it out, or choose a rule that has it",
            )
    return RULES[name](**given)


def find_rule(rule: str | Rule, options: Mapping[str, Any]) -> Rule:
    """`rule` itself, or the one of that name with `options`.

    Raises:
        RuleError: as `get_rule`; or options are given besides a `Rule`.
    """
    if not isinstance(rule, Rule):
        return get_rule(rule, **options)
    if options:
        raise RuleError(
            f"rule {rule.name}",
            got=f"the options {', '.join(options)}",
            expected="no options beside a Rule",
            todo="put them into the Rule, or give the rule's name",
        )
    return rule
