"""A trained network as a step session: what runs an exported model runs it too."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork

State = tuple[torch.Tensor, ...]


class NetworkSession:
    """One step of a network, on its device and in evaluation mode; see `stdl_events.live.session.StepSession`."""

    def __init__(self, network: SpikingNetwork, card: ModelCard, path: Path) -> None:
        self.path, self.card = path, card
        self._network = network.eval()
        self._weight = next(network.parameters())

    def initial_state(self, batch: int = 1) -> State:
        """Return the state before the first step: zeros."""
        return self._network.initial_state(batch)

    @torch.no_grad()
    def step(self, frame_BCHW: npt.NDArray[Any], state: State) -> tuple[npt.NDArray[np.float32], State]:
        """Return (logits_BK, next state) for a frame of raw counts."""
        input_BCHW = torch.tensor(frame_BCHW, device=self._weight.device, dtype=self._weight.dtype)
        logits_BK, state = self._network.step(input_BCHW, state)
        result: npt.NDArray[np.float32] = logits_BK.cpu().numpy()
        return result, state
