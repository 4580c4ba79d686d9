"""The paper's notation for networks: tokens, parsing, printing and shapes. No torch.

`64C3-64R-128R(s2)-AP2-10FC` reads: a 3x3 convolution with 64 channels, norm and neuron; a residual block with 64
channels; one with 128 channels and stride 2; average pooling over 2x2; a classifier for 10 classes.

A *layer* is the paper's indivisible unit: one convolution or one residual block with its norms and neurons, and the
pooling and dropout that follow it. Networks are cut between layers, never inside one.

| token | meaning |
|---|---|
| `nC<k>` | convolution, norm, neuron |
| `nS<k>` | synapses alone: convolution and norm without a neuron (the stem of norm-free networks) |
| `nR` | residual block: the shortcut joins the second neuron's input |
| `nSEWR` | spike-element-wise residual block: the shortcut joins the second neuron's spikes |
| `nNFR` | norm-free residual block: two neurons, each in front of a 3x3 convolution; its output is a current |
| `nNFB` | norm-free bottleneck: three neurons, in front of 1x1, 3x3 and 1x1 convolutions, the inner two n/4 wide |
| `AP<k>`, `DP(p)` | average pooling; dropout with one mask per sequence |
| `nFC` | at the end global average pooling and a linear layer with bias; elsewhere flatten, linear, neuron |
"""

import dataclasses
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from stdl_events.errors import NotationError

Kind: TypeAlias = Literal["C", "S", "R", "SEWR", "NFR", "NFB", "FC", "AP", "DP"]

NORM_FREE_KINDS: frozenset[str] = frozenset({"NFR", "NFB"})
BLOCK_KINDS: frozenset[str] = NORM_FREE_KINDS | {"R", "SEWR"}
BLOCK_KERNEL = 3
# Up to this size a kernel or a padding fits any input, since small maps at the end of a network are usual.
USUAL_KERNEL = 11
# Ratio of a bottleneck's output width to its inner width (He et al., arXiv:1512.03385, section 4.1).
BOTTLENECK = 4
# α of norm-free residual blocks, x + α f(x / β): scale of the branch's variance (SLTT, appendix E.2).
NORM_FREE_ALPHA = 0.2

# Longer numbers are mistakes, and shapes of such sizes have no bytes that 64 bits count.
_NUMBER = r"\d{1,9}"
_TOKEN = re.compile(
    rf"(?P<width>{_NUMBER})?(?P<kind>SEWR|NFR|NFB|R|C|S|FC|AP|DP)(?P<kernel>{_NUMBER})?(?:\((?P<options>[^()]*)\))?"
)
_OPTION = re.compile(rf"([ksp])({_NUMBER})")
_EXAMPLE = "something like 64C3-AP2-128R(s2)-10FC"


@dataclasses.dataclass(frozen=True)
class Op:
    """One token of the notation.

    `channels` is the number of output channels (for FC: of outputs), 0 where the op keeps them.
    """

    kind: Kind
    channels: int = 0
    kernel: int = 0
    stride: int = 1
    padding: int = 0
    probability: float = 0.0

    def __str__(self) -> str:
        match self.kind:
            case "AP":
                if self.stride == self.kernel and self.padding == 0:
                    return f"AP{self.kernel}"
                padding = f"p{self.padding}" if self.padding else ""
                return f"AP(k{self.kernel}s{self.stride}{padding})"
            case "DP":
                return f"DP({np.format_float_positional(self.probability, trim='-')})"
            case "FC":
                return f"{self.channels}FC"
            case "C" | "S":
                stride = f"s{self.stride}" if self.stride != 1 else ""
                padding = f"p{self.padding}" if self.padding != self.kernel // 2 else ""
                options = f"({stride}{padding})" if stride or padding else ""
                return f"{self.channels}{self.kind}{self.kernel}{options}"
            case _:
                return f"{self.channels}{self.kind}" + (f"(s{self.stride})" if self.stride != 1 else "")

    def output_shape(self, shape_CHW: tuple[int, int, int]) -> tuple[int, int, int]:
        """The shape behind this op; FC gives (outputs, 1, 1).

        Raises:
            NotationError: the op's kernel does not fit into its input, or reaches from one end far beyond the other.
        """
        channels, height, width = shape_CHW
        if self.kind == "DP":
            return shape_CHW
        if self.kind == "FC":
            return self.channels, 1, 1
        kernel, padding = (BLOCK_KERNEL, BLOCK_KERNEL // 2) if self.kind in BLOCK_KINDS else (self.kernel, self.padding)
        out_height = (height + 2 * padding - kernel) // self.stride + 1
        out_width = (width + 2 * padding - kernel) // self.stride + 1
        if out_height < 1 or out_width < 1:
            raise NotationError(
                str(self),
                got=f"an input of {channels}x{height}x{width}",
                expected=f"at least {kernel - 2 * padding} pixels in each direction",
                todo="use fewer or smaller poolings, or larger frames",
            )
        largest = max(2 * max(height, width) - 1, USUAL_KERNEL)
        if kernel > largest:
            raise NotationError(
                str(self),
                got=f"an input of {channels}x{height}x{width}",
                expected=f"a kernel of at most {largest}: all beyond it sees nothing but padding",
                todo="use a smaller kernel",
            )
        return (channels if self.kind == "AP" else self.channels), out_height, out_width


@dataclasses.dataclass(frozen=True)
class LayerSpec:
    """One indivisible layer: its body with the pooling and dropout that belong to it, and the shapes at both ends.

    Args:
        classifier: True if its body is the fully connected layer at a network's end.
        input_variance: variance of a norm-free block's input (β² of Brock et al., arXiv:2101.08692, section 2), which
            follows from the layers in front. Layers that differ in it alone have equal costs and compare equal.
    """

    ops: tuple[Op, ...]
    input_shape: tuple[int, int, int]
    classifier: bool = False
    input_variance: float = dataclasses.field(default=1.0, compare=False)

    @cached_property
    def body(self) -> Op:
        """The op with weights."""
        return next(op for op in self.ops if op.kind not in ("AP", "DP"))

    @cached_property
    def output_shape(self) -> tuple[int, int, int]:
        return self.shape_before(len(self.ops))

    def shape_before(self, index: int) -> tuple[int, int, int]:
        """The shape in front of the op at `index`."""
        shape = self.input_shape
        for op in self.ops[:index]:
            shape = op.output_shape(shape)
        return shape

    @property
    def least_fan_in(self) -> int:
        """The smallest fan-in of its convolutions, or that of a fully connected layer."""
        op, (channels, height, width) = self.body, self.shape_before(self.ops.index(self.body))
        if op.kind == "FC":
            return channels * height * width
        if op.kind not in BLOCK_KINDS:
            return channels * op.kernel**2
        pointwise = [channels] if op.stride != 1 or op.channels != channels else []
        if op.kind == "NFB":
            pointwise += [channels, op.channels // BOTTLENECK]
        return min([*pointwise, channels * BLOCK_KERNEL**2, op.channels * BLOCK_KERNEL**2])

    @property
    def output_variance(self) -> float:
        """A norm-free block adds α² to its input's variance, or to 1 where its shortcut is a convolution."""
        if self.body.kind not in NORM_FREE_KINDS:
            return 1.0
        reshapes = self.body.stride != 1 or self.body.channels != self.input_shape[0]
        return (1.0 if reshapes else self.input_variance) + NORM_FREE_ALPHA**2

    @cached_property
    def notation(self) -> str:
        return "-".join(map(str, self.ops))

    def __str__(self) -> str:
        return self.notation

    @cached_property
    def _hash(self) -> int:
        return hash((self.ops, self.input_shape, self.classifier))

    def __hash__(self) -> int:
        # Planning a deep network hashes layers some hundred thousand times.
        return self._hash


def parse_layers(notation: str, shape: tuple[int, int, int], variance: float) -> list[LayerSpec]:
    """The layers of a network.

    Args:
        shape: (C, H, W) of the network's input.
        variance: `input_variance` of the first layer.

    Raises:
        NotationError: the text is not in the notation, or a layer does not fit into its input.
    """
    if not isinstance(notation, str):
        raise _bad_token(notation, _EXAMPLE)
    ops = [_parse_op(token) for token in notation.replace(" ", "").strip("-").split("-")]
    return _group(ops, shape, variance)


def _parse_op(token: str) -> Op:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise _bad_token(token, _EXAMPLE)
    kind: Kind = match["kind"]  # type: ignore[assignment]
    width, kernel = match["width"], match["kernel"]
    if (kind in ("AP", "DP")) == (width is not None) or (width is not None and int(width) == 0):
        raise _bad_token(token, "a positive number of channels or outputs, none before AP and DP")
    if kind == "DP":
        return Op("DP", probability=_probability(token, match["options"]))
    options = _parse_options(token, match["options"])
    if kind == "FC":
        if kernel or options:
            raise _bad_token(token, "a classifier without options, such as 10FC")
        return Op("FC", channels=int(width))
    if kind == "NFB" and int(width) % BOTTLENECK:
        raise _bad_token(token, f"a bottleneck with a multiple of {BOTTLENECK} channels, such as 256NFB")
    if kind in BLOCK_KINDS:
        if kernel or set(options) - {"s"} or options.get("s") == 0:
            raise _bad_token(token, "a block with no option but a positive stride, such as 128R(s2)")
        return Op(kind, channels=int(width), stride=options.get("s", 1))
    size = int(kernel) if kernel else options.get("k", 0)
    if size == 0 or (kernel and "k" in options) or options.get("s") == 0:
        raise _bad_token(token, "one kernel size and a positive stride, such as 64C3, AP2 or AP(k3s2p1)")
    if kind == "AP":
        if 2 * options.get("p", 0) > size:
            raise _bad_token(token, "a padding of at most half the kernel, such as AP(k3s2p1)")
        return Op("AP", kernel=size, stride=options.get("s", size), padding=options.get("p", 0))
    padding = options.get("p", size // 2)
    if padding > (most := max(size - 1, USUAL_KERNEL)):
        raise _bad_token(token, f"a padding of at most p{most}: outputs beyond it see no input")
    return Op(kind, int(width), size, options.get("s", 1), padding)


def _parse_options(token: str, text: str | None) -> dict[str, int]:
    if text is None:
        return {}
    pairs = _OPTION.findall(text)
    if "".join(letter + number for letter, number in pairs) != text or len({key for key, _ in pairs}) != len(pairs):
        raise _bad_token(token, "options k (kernel), s (stride) and p (padding), each once, such as (k3s2p1)")
    return {letter: int(number) for letter, number in pairs}


def _probability(token: str, text: str | None) -> float:
    try:
        probability = float(text or "")
    except ValueError:
        probability = -1.0
    if not 0 <= probability < 1:
        raise _bad_token(token, "a dropout probability from 0 to below 1, such as DP(0.5)")
    return probability


def _group(ops: Sequence[Op], shape: tuple[int, int, int], variance: float) -> list[LayerSpec]:
    """Assign every pooling and dropout to the layer in front of it; leading ones to the first layer."""
    groups: list[list[Op]] = []
    leading: list[Op] = []
    for op in ops:
        if op.kind not in ("AP", "DP"):
            groups.append([*leading, op])
            leading = []
        elif groups:
            groups[-1].append(op)
        else:
            leading.append(op)
    if not groups:
        raise _bad_token("-".join(map(str, ops)), "at least one layer with weights")
    layers: list[LayerSpec] = []
    for group in groups:
        classifier = group is groups[-1] and any(op.kind == "FC" for op in group)
        layers.append(LayerSpec(tuple(group), shape, classifier, variance))
        shape, variance = layers[-1].output_shape, layers[-1].output_variance
        if layers[-1].body.kind != "FC" and len(layers) > 1 and layers[-2].body.kind == "FC":
            raise _bad_token(str(layers[-1]), "only fully connected layers behind a fully connected layer")
    if layers[-1].classifier and layers[-1].ops[-1].kind != "FC":
        raise _bad_token(str(layers[-1]), "nothing behind the classifier")
    return layers


def _bad_token(token: object, expected: str) -> NotationError:
    return NotationError(
        "network notation", got=repr(token), expected=expected, todo="correct this part of the notation"
    )
