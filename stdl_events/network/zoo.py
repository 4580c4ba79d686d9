"""Named networks of the papers, in notation. No torch.

The neuron is not part of a named network: the papers run the same networks with different neurons.
"""

import itertools
from collections.abc import Sequence

from stdl_events.errors import NotationError
from stdl_events.network.spec import NetworkSpec


def _stages(kind: str, widths: Sequence[int], counts: Sequence[int]) -> str:
    """Blocks of `kind`, `counts` per stage; every stage but the first starts with stride 2."""
    stages = (
        [f"{width}{kind}" + ("(s2)" if stage and not index else "") for index in range(count)]
        for stage, (width, count) in enumerate(zip(widths, counts, strict=True))
    )
    return "-".join(itertools.chain.from_iterable(stages))


_VGG11 = "64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-512C3-512C3"
# Norm-free networks put their neurons in front of convolutions, so their stem has none (SLTT's released networks).
_NORM_FREE_STEM = "64S7(s2)-AP(k3s2p1)"

_NETWORKS: dict[str, tuple[str, str]] = {
    # This package's own, for small frames and short training on a laptop.
    "vgg-small": ("32C3-AP2-64C3-AP2-128C3-AP2-128C3", "batch"),
    # The CIFAR10-DVS network of OTTT, SLTT, NDOT and STDL; with scaled weight standardisation in OTTT and NDOT.
    "vgg11": (_VGG11, "batch"),
    "vgg11-ws": (_VGG11, "ws"),
    # STDL, Table VIII.
    "vgg16": ("64C3-64C3-AP2-128C3-128C3-AP2-256C3-256C3-256C3-AP2-512C3-512C3-512C3-AP2-512C3-512C3-512C3", "batch"),
    "resnet18": ("64C3-" + _stages("R", (64, 128, 256, 512), (2, 2, 2, 2)), "batch"),
    "resnet19": ("128C3-" + _stages("R", (128, 256, 512), (3, 3, 2)), "batch"),
    # The stem is Table VIII's, at stride 1: SLTT with 512 sequences needs 124 GB with it (144 GB in the paper), and
    # 32 GB with the usual stride of 2.
    "sew-resnet34": ("64C3-AP(k3s2p1)-" + _stages("SEWR", (64, 128, 256, 512), (3, 4, 6, 3)), "batch"),
    # SLTT, appendix E.2 and E.3.
    "nf-resnet34": (f"{_NORM_FREE_STEM}-" + _stages("NFR", (64, 128, 256, 512), (3, 4, 6, 3)), "ws"),
    "nf-resnet50": (f"{_NORM_FREE_STEM}-" + _stages("NFB", (256, 512, 1024, 2048), (3, 4, 6, 3)), "ws"),
    "nf-resnet101": (f"{_NORM_FREE_STEM}-" + _stages("NFB", (256, 512, 1024, 2048), (3, 4, 23, 3)), "ws"),
    # Truncated local BPTT, Table 2, which does not give the padding; here convolutions keep the size.
    "lenet-1": ("6C5-AP2-16C5-AP2-120C5-128FC", "none"),
    "lenet-2": ("64C5-AP2-128C5-AP2-128C5-256FC", "none"),
    "alexnet": ("96C3(s2)-256C3-AP2-384C3-AP2-512C3-384C3-256C3-4096FC-1024FC", "none"),
}


def list_networks() -> tuple[str, ...]:
    """The names that `get_network` accepts."""
    return tuple(sorted(_NETWORKS))


def get_network(name: str, *, input_shape: Sequence[int], classes: int) -> NetworkSpec:
    """A named network for frames of `input_shape` (C, H, W) and `classes` classes.

    Raises:
        NotationError: the name is unknown, or the network does not fit the frames.
    """
    if name not in _NETWORKS:
        raise NotationError(
            "network name", got=repr(name), expected=f"one of {', '.join(list_networks())}", todo="choose one of these"
        )
    notation, norm = _NETWORKS[name]
    return NetworkSpec.parse(f"{notation}-{classes}FC", input_shape=input_shape, norm=norm)


def parse_network(text: str, *, input_shape: Sequence[int], classes: int) -> NetworkSpec:
    """A name of the zoo, or notation with or without its classifier.

    Raises:
        NotationError: `text` is neither, or the notation's own classifier has another number of classes.
    """
    if text in _NETWORKS:
        return get_network(text, input_shape=input_shape, classes=classes)
    spec = NetworkSpec.parse(text, input_shape=input_shape)
    if spec.classes is None:
        return NetworkSpec.parse(f"{text}-{classes}FC", input_shape=input_shape)
    if spec.classes != classes:
        raise NotationError(
            "network notation",
            got=f"a classifier with {spec.classes} outputs",
            expected=f"{classes}, one for each class of the recordings",
            todo=f"end the notation with {classes}FC, or leave the classifier out",
        )
    return spec
