"""Every named network, neuron, norm and classifier, shrunk, as an exported file that is checked against the network."""

import itertools
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from stdl_events.errors import NotationError
from stdl_events.export.onnx import export_onnx
from stdl_events.frames import FrameSpec
from stdl_events.live.session import OnnxSession
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.registries import NEURONS, NORMS
from stdl_events.network.spec import Classifier, NetworkSpec, NeuronSpec
from stdl_events.network.zoo import get_network, list_networks

SIZE, CLASSES, SHRINK = 32, 5, 32
WIDTH = re.compile(r"(?<![A-Za-z(])(\d+)(?=C\d|S\d|R|SEWR|NFR|NFB|FC)")
# A shrunk network has few and weak inputs: without a lower threshold its deep layers never fire.
DECAY, THRESHOLD = 0.5, 0.3


@dataclass(frozen=True)
class Case:
    """One point of the grid."""

    network: str
    neuron: str
    norm: str
    classifier: str

    @property
    def name(self) -> str:
        return "/".join(asdict(self).values())


def grid() -> list[Case]:
    """Return all points."""
    axes = (list_networks(), tuple(NEURONS), tuple(NORMS), get_args(Classifier))
    return [Case(*point) for point in itertools.product(*axes)]


def covering(cases: Sequence[Case]) -> list[Case]:
    """Return some of the points that together hold every pair of values of two axes; greedily, so not the fewest."""
    pairs = {case: set(itertools.combinations(sorted(asdict(case).items()), 2)) for case in cases}
    missing, chosen = set().union(*pairs.values()), []
    while missing:
        best = max(cases, key=lambda case: len(pairs[case] & missing))
        chosen.append(best)
        missing -= pairs[best]
    return chosen


def shrunk(case: Case) -> NetworkSpec:
    """Return the network with a 32nd of the channels, at least 4, for small frames.

    Raises:
        NotationError: the norm or the classifier does not fit.
    """
    named = get_network(case.network, input_shape=(2, SIZE, SIZE), classes=CLASSES)
    body, classifier = named.notation.rsplit("-", 1)
    body = WIDTH.sub(lambda width: str(max(4, int(width[1]) // SHRINK)), body)
    return NetworkSpec.parse(
        f"{body}-{classifier}", input_shape=(2, SIZE, SIZE), norm=case.norm, classifier=case.classifier,
        neuron=NeuronSpec(case.neuron, decay=DECAY, threshold=THRESHOLD, reset_amount=THRESHOLD),
    )  # fmt: skip


def check(case: Case) -> dict[str, Any]:
    """Export, verify and run one point with eventcv.

    Raises:
        VerificationError: the file disagrees.
        AssertionError: it has other weights than the network, or eventcv's logits differ.
    """
    try:
        spec = shrunk(case)
    except NotationError as error:
        return asdict(case) | {"refused": str(error)}
    network = warmed(SpikingNetwork.build(spec, seed=1))
    card = ModelCard(
        network=spec.to_dict(), frame=FrameSpec(kind="stream", steps=10, sensor_size=(SIZE, SIZE), dt_us=10_000),
        labels=tuple(f"class {number}" for number in range(CLASSES)), readout="reset",
        state_shapes=network.state_shapes,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        agreement = export_onnx(network, card, path)
        session = OnnxSession(path)
        assert session.file.weights <= most_weights(network), f"{session.file.weights} weights: more than the network"
        difference = eventcv_difference(session)
        size = path.stat().st_size
    assert difference is None or difference <= 1e-5, f"eventcv's logits differ by {difference}"
    return asdict(case) | {
        "notation": spec.notation, "bytes": size, "weights": session.file.weights,
        "verification": agreement.verification().model_dump(mode="json"), "eventcv_difference": difference,
    }  # fmt: skip


def warmed(network: SpikingNetwork) -> SpikingNetwork:
    """Give the running statistics of norms other values than their first ones."""
    generator, state = torch.Generator().manual_seed(2), network.initial_state(4)
    with torch.no_grad():
        for _ in range(10):
            _, state = network.step(torch.poisson(torch.full((4, 2, SIZE, SIZE), 0.4), generator), state)
    return network.eval()


def most_weights(network: SpikingNetwork) -> int:
    """Return the number of weights of a network with folded norms, and a margin for constants of its neurons."""
    weights = sum(parameter.numel() for parameter in network.parameters())
    biases = sum(module.out_channels for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    constants = 64 * len(network.state_shapes) + 64
    return weights + biases + constants


def eventcv_difference(session: OnnxSession, steps: int = 20) -> float | None:
    """Return the largest difference between eventcv's logits and our session's; None where it is not installed."""
    try:
        import eventcv
    except ImportError:
        return None
    states = {f"next_state_{n}": f"state_{n}" for n in range(len(session.card.state_shapes))}
    theirs = eventcv.StatefulModel(eventcv.Model(str(session.path)), state_map=states)
    state, rng, largest = session.initial_state(1), np.random.default_rng(3), 0.0
    for _ in range(steps):
        frame_BCHW = rng.poisson(0.3, (1, 2, SIZE, SIZE)).astype(np.float32)
        logits_BK, state = session.step(frame_BCHW, state)
        largest = max(largest, float(np.abs(np.asarray(theirs(frame_BCHW)) - logits_BK).max()))
    return largest


def shard(cases: Sequence[Case], number: int, of: int) -> Iterator[Case]:
    """Yield every `of`-th case, from the `number`-th on, counted from 1."""
    return itertools.islice(cases, number - 1, None, of)
