"""Networks as data: layers in the paper's notation, with their common neuron and norm. No torch."""

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from stdl_events.arguments import is_number
from stdl_events.errors import NotationError
from stdl_events.network.notation import NORM_FREE_KINDS, LayerSpec, Op, parse_layers
from stdl_events.network.registries import NEURONS, NORMS, SURROGATES

__all__ = ["Classifier", "LayerSpec", "NetworkSpec", "NeuronSpec", "Op", "Reset"]

Reset: TypeAlias = Literal["soft", "hard"]
Kept: TypeAlias = Literal["float", "int8"]
Classifier: TypeAlias = Literal["linear", "spiking"]

# Far beyond any use of a setting: float32, which ends at 3e38, holds products with it too.
LARGEST = 1e30
# With thresholds and widths beyond it no neuron fires, or no gradient is left of the surrogate's.
_USABLE = 1e6
_NUMBERS = ("decay", "threshold", "surrogate_width", "adaptation", "adaptation_decay")


@dataclasses.dataclass(frozen=True)
class NeuronSpec:
    """The spiking neuron: `m = decay u + x; s = [m >= threshold]; u = m - threshold s` (STDL eq. (1) to (4)).

    Args:
        kind: a name in `registries.NEURONS`: "lif"; "plif" learns its decay; "alif" raises its threshold with its own
            spikes.
        decay: λ, the share of the membrane potential that is left after one step, 0 <= λ < 1.
        threshold: V_th, from 1e-6 to 1e6.
        reset: "soft" subtracts the threshold, "hard" sets the membrane potential to zero.
        reset_amount: θ of truncated local BPTT, eq. (1): `m = decay m' + x - θ s'`, where m' and s' are those of the
            step before. None is θ = decay threshold, which is the reset above; needs soft reset and decay > 0.
        surrogate: shape of the surrogate gradient, a name in `registries.SURROGATES`; the triangle is STDL eq. (7).
        surrogate_width: γ of the triangle, full width of the rectangle, slope α of the sigmoid; from
            1e-6 to 1e6.
        adaptation: β of ALIF, the increase of the threshold per spike.
        adaptation_decay: ρ of ALIF, the share of the spike trace that is left after one step.
        state: number format of the membrane potential between two steps: that of the weights, or "int8", integers times
            a power of two (`neurons.eight_bits`), which not every kind and reset can have.
    """

    kind: str = "lif"
    decay: float = 0.1
    threshold: float = 1.0
    reset: Reset = "soft"
    reset_amount: float | None = None
    surrogate: str = "triangle"
    surrogate_width: float = 1.0
    adaptation: float = 0.2
    adaptation_decay: float = 0.9
    state: Kept = "float"

    def __post_init__(self) -> None:
        NEURONS.check(self.kind)
        SURROGATES.check(self.surrogate)
        _require_choice("reset", self.reset, Reset)
        _require_choice("state", self.state, Kept)
        for name in _NUMBERS:
            _require_range(name, getattr(self, name), "a finite number", is_number(getattr(self, name)))
        _require_range("decay", self.decay, "0 <= decay < 1", 0 <= self.decay < 1)
        for name in ("threshold", "surrogate_width"):
            value = getattr(self, name)
            _require_range(name, value, "a positive number", value > 0)
            _require_range(name, value, f"{1 / _USABLE:g} to {_USABLE:g}", 1 / _USABLE <= value <= _USABLE)
        _require_range("adaptation", self.adaptation, f"at most {LARGEST:g}", abs(self.adaptation) <= LARGEST)
        _require_range(
            "adaptation_decay", self.adaptation_decay, "0 <= adaptation_decay < 1", 0 <= self.adaptation_decay < 1
        )
        if self.reset_amount is not None:
            is_amount = is_number(self.reset_amount) and 0 <= self.reset_amount <= LARGEST
            holds = is_amount and self.reset == "soft" and self.decay > 0
            _require_range("reset_amount", self.reset_amount, "0 or more, with reset soft and a decay above 0", holds)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready. Without `state` where it is the weights' own, so that older versions read it."""
        settings = dataclasses.asdict(self)
        if self.state == "float":
            del settings["state"]
        return settings


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """A whole network as data: layers with their shapes, and their common neuron and norm.

    Args:
        layers: in order; the last one is the classifier where `classes` is not None.
        input_shape: (C, H, W) of one frame.
        neuron: see `NeuronSpec`.
        norm: a name in `registries.NORMS`: "batch" (statistics of each time step), "ws" (scaled weight
            standardisation), "none".
        classifier: form of `KFC` at the end: "linear" is global average pooling and a linear layer; "spiking" is
            flatten, linear, neuron, as elsewhere, with the neurons' spikes as logits (truncated local BPTT).
        norm_momentum: weight of one time step's statistics in batch norm's running ones. With PyTorch's 0.1 they
            average over some ten steps, which may be one clip.
    """

    layers: tuple[LayerSpec, ...]
    input_shape: tuple[int, int, int]
    neuron: NeuronSpec = dataclasses.field(default_factory=NeuronSpec)
    norm: str = "batch"
    classifier: Classifier = "linear"
    norm_momentum: float = 0.1

    def __post_init__(self) -> None:
        NORMS.check(self.norm)
        _require_choice("classifier", self.classifier, Classifier)
        is_share = is_number(self.norm_momentum) and 0 < self.norm_momentum <= 1
        _require_range("norm_momentum", self.norm_momentum, "0 < norm_momentum <= 1", is_share)
        for layer in self.layers:
            _require_fan_in(layer, self.norm)

    @classmethod
    def parse(
        cls,
        notation: str,
        *,
        input_shape: Sequence[int],
        neuron: NeuronSpec | None = None,
        norm: str = "batch",
        classifier: Classifier = "linear",
        input_variance: float = 1.0,
        norm_momentum: float = 0.1,
    ) -> "NetworkSpec":
        """Read the paper's notation.

        Args:
            notation: tokens of `stdl_events.network.notation` joined by `-`, with options such as `(s2)` or `(k3s2p1)`
                in brackets. Convolutions are padded to keep the size unless `p` says otherwise.
            input_shape: (C, H, W) of one frame.
            input_variance: variance of the input of norm-free blocks at the start; 1 for frames.

        Raises:
            NotationError: the text is not in the notation, or a layer does not fit into its input.

        Source: STDL, appendix C, Table VIII.
        """
        shape = _input_shape(input_shape)
        layers = tuple(parse_layers(notation, shape, input_variance))
        return cls(layers, shape, neuron or NeuronSpec(), norm, classifier, norm_momentum)

    @property
    def notation(self) -> str:
        return "-".join(map(str, self.layers))

    @property
    def classes(self) -> int | None:
        """The classifier's number of outputs, None for a network that ends in spikes."""
        return self.layers[-1].body.channels if self.layers[-1].classifier else None

    @property
    def output_shape(self) -> tuple[int, int, int]:
        return self.layers[-1].output_shape

    def slice(self, start: int, stop: int) -> "NetworkSpec":
        """Layers [start, stop) as a network of their own."""
        layers = self.layers[start:stop]
        return dataclasses.replace(self, layers=layers, input_shape=layers[0].input_shape)

    def auxiliary(self, notation: str, stop: int) -> "NetworkSpec":
        """An auxiliary network, in notation, with the input of layer `stop` of this network."""
        front = self.layers[stop]
        return NetworkSpec.parse(
            notation,
            input_shape=front.input_shape,
            neuron=self.neuron,
            norm=self.norm,
            classifier=self.classifier,
            input_variance=front.input_variance,
            norm_momentum=self.norm_momentum,
        )

    def with_settings(
        self, neuron: Mapping[str, Any], norm: str | None = None, classifier: Classifier | None = None
    ) -> "NetworkSpec":
        """The same layers with other neuron settings, norm or classifier; None keeps a setting."""
        changes = {name: value for name, value in neuron.items() if value is not None}
        return dataclasses.replace(
            self,
            neuron=dataclasses.replace(self.neuron, **changes),
            norm=self.norm if norm is None else norm,
            classifier=classifier or self.classifier,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return {
            "notation": self.notation,
            "input_shape": list(self.input_shape),
            "neuron": self.neuron.to_dict(),
            "norm": self.norm,
            "classifier": self.classifier,
            "input_variance": self.layers[0].input_variance,
            "norm_momentum": self.norm_momentum,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "NetworkSpec":
        """Read what `to_dict` wrote.

        Raises:
            NotationError: the document lacks a key, or a value is wrong.
        """
        try:
            neuron = NeuronSpec(**document["neuron"])
            shape, notation, norm = document["input_shape"], document["notation"], document["norm"]
            classifier, variance = document.get("classifier", "linear"), float(document.get("input_variance", 1.0))
            momentum = float(document.get("norm_momentum", 0.1))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, NotationError):
                raise
            raise NotationError(
                "network description",
                got=f"a document without a usable {error}",
                expected="the keys notation, input_shape, neuron, norm",
                todo="use a file that this version of stdl-events wrote",
            ) from error
        return cls.parse(
            notation,
            input_shape=shape,
            neuron=neuron,
            norm=norm,
            classifier=classifier,
            input_variance=variance,
            norm_momentum=momentum,
        )


def _input_shape(values: Sequence[int]) -> tuple[int, int, int]:
    try:
        channels, height, width = map(operator.index, values)
    except (TypeError, ValueError):
        channels = height = width = 0
    if min(channels, height, width) < 1:
        raise NotationError(
            "input_shape",
            got=repr(tuple(values) if isinstance(values, Sequence) else values),
            expected="three positive numbers (C, H, W)",
            todo="give channels, height and width of one frame",
        )
    return channels, height, width


def _require_fan_in(layer: LayerSpec, norm: str) -> None:
    """Refuse standardised layers with a fan-in of 1: their weight is 0 (Brock et al., arXiv:2101.08692, eq. (1))."""
    standardised = layer.body.kind in NORM_FREE_KINDS or (norm == "ws" and layer.body.kind != "FC")
    if standardised and layer.least_fan_in == 1:
        raise NotationError(
            str(layer),
            got="a convolution with one input per output: its standardised weight is 0",
            expected="two inputs or more where weights are standardised (norm ws, and all norm-free blocks)",
            todo="use more channels or a larger kernel or, outside norm-free blocks, another norm",
        )


def _require_choice(name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise NotationError(name, got=repr(value), expected=" or ".join(get_args(choices)), todo=f"choose a {name}")


def _require_range(name: str, value: float, expected: str, holds: bool) -> None:
    if not holds:
        raise NotationError(name, got=repr(value), expected=expected, todo=f"change {name}")
