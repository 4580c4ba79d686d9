"""The network of the benchmarks of latency: a VGG-11 at 2x128x128 with initial weights."""

from stdl_events.frames import FrameSpec
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.zoo import get_network


def vgg11(window_us: int) -> tuple[SpikingNetwork, ModelCard]:
    """Return the network and its card."""
    spec = get_network("vgg11", input_shape=(2, 128, 128), classes=10)
    network = SpikingNetwork.build(spec).eval()
    frame = FrameSpec(kind="stream", steps=10, dt_us=window_us, sensor_size=(128, 128), cap=255)
    card = ModelCard(
        network=spec.to_dict(), frame=frame, labels=tuple(map(str, range(10))), readout="reset",
        state_shapes=network.state_shapes,
    )  # fmt: skip
    return network, card
