"""`--provider scatter`: the same steps, whichever convolutions are scattered. The reference is onnxruntime."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stdl_events.errors import MissingExtraError, ModelError, VerificationError
from stdl_events.export.onnx import write_step
from stdl_events.export.variants import write_variant
from stdl_events.frames import FrameSpec
from stdl_events.live import OnnxSession, providers, scattered
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.zoo import parse_network
from stdl_events.scatter.break_even import fixed_break_even

SHAPE = (2, 12, 10)
Export = Callable[[str], Path]
# Notation -> convolutions that may scatter.
NETWORKS = {"4C3-AP2-6C5(s2)": 2, "4C3-6R(s2)": 4, "8C3-8SEWR-AP2": 3, "4S3-8NFB(s2)-DP(0.2)": 5}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Return the file of a network, written once; no test writes to it."""
    return functools.cache(lambda notation: written(notation, tmp_path_factory.mktemp("step") / "m.onnx"))


def written(notation: str, path: Path) -> Path:
    spec = parse_network(notation, input_shape=SHAPE, classes=3)
    torch.manual_seed(0)
    network = SpikingNetwork.build(spec).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.mul_(3)  # so that all layers fire
    frame = FrameSpec(kind="stream", steps=4, dt_us=10_000, sensor_size=SHAPE[:0:-1], cap=255)
    card = ModelCard(
        network=spec.to_dict(), frame=frame, labels=("a", "b", "c"), readout="reset",
        state_shapes=network.state_shapes,
    )  # fmt: skip
    write_step(network, card, path)
    return path


def frames(steps: int) -> np.ndarray:
    return np.random.default_rng(1).poisson(0.3, (steps, 2, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("notation", NETWORKS)
def test_steps_are_those_of_the_whole_graph(exported: Export, notation: str, threads: int) -> None:
    path = exported(notation)
    cpu, session = OnnxSession(path), OnnxSession(path, provider="scatter", threads=threads)
    check = session.provider_check
    assert check is not None
    assert check.to_text().startswith(
        f"provider scatter: its {NETWORKS[notation]} convolutions differ from the CPU's by"
    )
    for most in (0.0, 1.0):
        state, values, other, fired = cpu.initial_state(2), 0, 0, np.zeros(len(cpu.card.state_shapes))
        with fixed_break_even(most):
            for frame_BCHW in frames(10):
                logits_BK, entries = session.step(frame_BCHW, state)
                expected_BK, state = cpu.step(frame_BCHW, state)
                for ours, theirs in zip((logits_BK, *entries), (expected_BK, *state), strict=True):
                    values += ours.size
                    other += int(np.sum(np.abs(ours - theirs) > 1e-4))
                fired += [np.abs(entry).max() for entry in state]
        assert fired.all()
        # A neuron within rounding of its threshold changes what it feeds.
        assert other <= 0.005 * values
    counts = session.scattered
    assert counts is not None
    assert (counts.convolutions, counts.steps, counts.times) == (NETWORKS[notation], 20, 10 * NETWORKS[notation])
    assert counts.share == 0.5


def test_quiet_inputs_scatter_by_their_density(exported: Export) -> None:
    session = OnnxSession(exported("4C3-AP2-6C5(s2)"), provider="scatter")
    silent_BCHW = np.zeros((1, *SHAPE), np.float32)
    with fixed_break_even(0.02):
        session.step(silent_BCHW, session.initial_state())
        assert session.scattered is not None
        assert session.scattered.times == 2
        session.step(np.ones((1, *SHAPE), np.float32), session.initial_state())
        assert session.scattered.times < 4, "the frame's convolution is dense"


def test_a_kernel_that_computes_something_else_is_refused(exported: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(nonzeros: object, weight: object, bias: object, geometry: object, out: np.ndarray, **_: object) -> None:
        right(nonzeros, weight, bias, geometry, out)
        out[0, 0, 0, 0] += 0.1

    right = scattered.convolve
    path = exported("4C3-AP2-6C5(s2)")
    monkeypatch.setattr(scattered, "convolve", wrong)
    with pytest.raises(VerificationError, match=r"got 2 of \d+ values of its 2 convolutions that differ") as caught:
        OnnxSession(path, provider="scatter")
    assert caught.value.exit_code == 5


def test_layers_in_eight_bits_are_refused(exported: Export, tmp_path: Path) -> None:
    path = exported("4C3-AP2-6C5(s2)")
    clips_NTCHW = frames(8).reshape(4, 4, *SHAPE)
    write_variant("int8", path, clips_NTCHW, tmp_path / "int8.onnx")
    with pytest.raises(ModelError, match="provider scatter: got a tensor of unknown type between convolutions"):
        OnnxSession(tmp_path / "int8.onnx", provider="scatter")


def test_without_numba_the_extra_is_named(exported: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"the extra fast; pip install 'stdl-events\[fast\]'") as caught:
        OnnxSession(exported("4C3"), provider="scatter")
    assert caught.value.exit_code == 3
