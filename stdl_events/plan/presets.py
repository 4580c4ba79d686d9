"""The plans published in the paper, for any input size and number of classes. No torch.

The planner may find others: the second auxiliary network of ResNet-18, for example, is not the widest that fits.

Source: STDL, appendix C, Table VIII. The last block of SEW-ResNet-34 is not legible in full there; here it is the rest
of a ResNet-34, which has 3, 4, 6 and 3 blocks.
"""

from collections.abc import Sequence

from stdl_events.errors import PlanError
from stdl_events.network.notation import parse_layers
from stdl_events.network.spec import NetworkSpec
from stdl_events.plan.partition import Cut

# Subnetworks with their auxiliary networks, without the classifier's number of outputs.
_PLANS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "ResNet-18": (
        ("64C3-64R", "AP2-256R(s2)-512R(s2)-512R"),
        ("64R-128R(s2)", "256R(s2)-512R(s2)"),
        ("128R-256R(s2)-256R-512R(s2)-512R", None),
    ),
    "ResNet-19": (
        ("128C3-128R", "256R(s2)-512R(s2)"),
        ("128R-128R", "AP2-512R(s2)"),
        ("256R(s2)-256R-256R-512R(s2)-512R", None),
    ),
    "VGG16": (
        ("64C3", "AP16-512C3"),
        ("64C3-AP2-128C3", "AP8-512C3"),
        ("128C3-AP2-256C3-256C3-256C3-AP2-512C3-512C3-512C3-AP2-512C3-512C3-512C3", None),
    ),
    "SEW-ResNet-34": (
        ("64C3-AP(k3s2p1)-64SEWR-64SEWR-64SEWR", "AP4-512SEWR(s2)-512SEWR-512SEWR"),
        (
            "128SEWR(s2)-128SEWR-128SEWR-128SEWR-256SEWR(s2)-256SEWR-256SEWR-256SEWR-256SEWR-256SEWR"
            "-512SEWR(s2)-512SEWR-512SEWR",
            None,
        ),
    ),
}


def paper_cuts(spec: NetworkSpec) -> list[Cut]:
    """The paper's blocks of `spec` with their auxiliary networks.

    Raises:
        PlanError: the network is not in the paper's table.
        NotationError: the frames are too small for the paper's poolings.
    """
    for blocks in _PLANS.values():
        joined = "-".join(subnetwork for subnetwork, _ in blocks)
        if spec.notation == f"{joined}-{spec.classes}FC":
            return _cuts(spec, [(own, auxiliary and f"{auxiliary}-{spec.classes}FC") for own, auxiliary in blocks])
    raise PlanError(
        "paper's plan",
        got=f"the network {spec.notation}",
        expected=f"one of the paper's: {', '.join(_PLANS)}",
        todo="give a budget or a share instead, and let the planner cut this network",
    )


def notated_cuts(spec: NetworkSpec, blocks: Sequence[tuple[str, str] | str]) -> list[Cut]:
    """Cuts written by hand.

    Args:
        blocks: each block's layers and auxiliary network in notation, the last block's layers alone:
            [("8C3-AP2", "AP4-16R(s2)-5FC"), "12R-16R(s2)-5FC"].

    Raises:
        PlanError: the blocks are not pairs but for the last, or do not make up `spec`.
        NotationError: a layer or an auxiliary network cannot be read.
    """
    is_listed = isinstance(blocks, Sequence) and all(isinstance(block, str | Sequence) for block in blocks)
    pairs = [(block, None) if isinstance(block, str) else tuple(block) for block in (blocks if is_listed else ())]
    lacking = [len(pair) != 2 or pair[1] is None for pair in pairs]
    as_expected = [*[False] * (len(pairs) - 1), True]
    joined = "-".join(pair[0] for pair in pairs) if lacking == as_expected else ""
    if not joined or parse_layers(joined, spec.input_shape, 1.0) != parse_layers(spec.notation, spec.input_shape, 1.0):
        raise PlanError(
            "plan",
            got=f"the blocks {blocks}",
            expected=f"pairs of layers and auxiliary network, the last without, that make up {spec.notation}",
            todo="correct the blocks",
        )
    return _cuts(spec, tuple((own, auxiliary) for own, auxiliary in pairs))


def _cuts(spec: NetworkSpec, blocks: Sequence[tuple[str, str | None]]) -> list[Cut]:
    cuts: list[Cut] = []
    start = 0
    for subnetwork, auxiliary in blocks:
        if auxiliary is None:
            cuts.append(Cut(start, len(spec.layers), None))
            break
        stop = start + _layer_count(subnetwork)
        cuts.append(Cut(start, stop, spec.auxiliary(auxiliary, stop)))
        start = stop
    return cuts


def _layer_count(subnetwork: str) -> int:
    return len(parse_layers(subnetwork, (1, 1024, 1024), 1.0))
