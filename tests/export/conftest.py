"""Networks with non-trivial running statistics, so that folding norms has an effect."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from stdl_events.frames import FrameSpec
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec


@pytest.fixture(scope="module")
def trained() -> Callable[..., tuple[SpikingNetwork, ModelCard]]:
    """Return a network from notation with changed statistics, and its card."""

    def make(notation: str, **settings: Any) -> tuple[SpikingNetwork, ModelCard]:
        spec = NetworkSpec.parse(notation, input_shape=(2, 12, 12), **settings)
        network = SpikingNetwork.build(spec, seed=3)
        generator = torch.Generator().manual_seed(5)
        state = network.initial_state(4)
        with torch.no_grad():
            for _ in range(12):
                _, state = network.step(torch.poisson(torch.full((4, 2, 12, 12), 0.4), generator), state)
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        return network, card_for(network)

    return make


def card_for(network: SpikingNetwork) -> ModelCard:
    """Return a card of `network` with three labels."""
    _, height, width = network.spec.input_shape
    return ModelCard(
        network=network.spec.to_dict(),
        frame=FrameSpec(kind="stream", steps=5, sensor_size=(width, height), dt_us=10_000),
        labels=("left", "right", "still"),
        readout="reset",
        state_shapes=network.state_shapes,
    )


@pytest.fixture(scope="session")
def card_of() -> Callable[[SpikingNetwork], ModelCard]:
    """Return the maker of cards."""
    return card_for
