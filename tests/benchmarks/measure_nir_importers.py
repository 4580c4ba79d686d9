"""What importers of other projects make of our NIR files: the largest difference of their logits over 50 steps.

Each network is exported, imported by every importer that is installed, and run beside the original on the same frames,
for one sequence. "told" repeats it with the reset that the file's metadata name, set by hand on the imported neurons.

    python tests/benchmarks/measure_nir_importers.py --out tests/benchmarks/results

norse, snntorch and spikingjelly are imported as far as they are installed.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nir
import numpy as np
import torch
from bench_report import environment, write_result

from stdl_events.export.nir import export_nir
from stdl_events.export.nir_graph import TIME_STEP
from stdl_events.frames import FrameSpec
from stdl_events.model_card import ModelCard
from stdl_events.network.network import SpikingNetwork
from stdl_events.network.spec import NetworkSpec, NeuronSpec

STEPS = 50
SIDE = 16
NETWORKS = {
    "convolutions, spiking classifier": ("8C3(s2)-16C3(s2)-16FC-3FC", {"classifier": "spiking"}),
    "poolings": ("8C3-AP2-16C3-AP2-3FC", {}),
    "residual blocks": ("8C3-8R-16R(s2)-3FC", {}),
    "spike-element-wise blocks": ("8C3-8SEWR-16SEWR(s2)-3FC", {}),
    "scaled weight standardisation": ("8C3-8R-16C3-3FC", {"norm": "ws"}),
    "norm-free blocks": ("8S3-8NFR-16NFB(s2)-3FC", {"norm": "ws"}),
    "poolings, decay 0": ("8C3-AP2-16C3-AP2-3FC", {"decay": 0.0}),
}


def with_norse(graph: Any, told: bool) -> torch.nn.Module:
    import norse.torch as norse
    from norse.torch.functional.reset import reset_subtract

    model: torch.nn.Module = norse.from_nir(graph, dt=TIME_STEP)
    for cell in model.modules():
        if told and isinstance(cell, norse.LIFBoxCell):
            cell.p = cell.p._replace(reset_method=reset_subtract)
    return model


def with_snntorch(graph: Any, told: bool) -> torch.nn.Module:
    import snntorch
    from snntorch.import_nir import import_from_nir

    model: torch.nn.Module = import_from_nir(graph)
    for cell in model.modules():
        if told and isinstance(cell, snntorch.Leaky):
            cell.reset_mechanism = "subtract"
    return model


def with_spikingjelly(graph: Any, told: bool) -> torch.nn.Module:
    from spikingjelly.activation_based.neuron import LIFNode
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    model: torch.nn.Module = import_from_nir(graph, dt=TIME_STEP)
    for cell in model.modules():
        if told and isinstance(cell, LIFNode):
            cell.v_reset = None
    return model


# The second is True for models that take a batch.
IMPORTERS: dict[str, tuple[Callable[[Any, bool], torch.nn.Module], bool]] = {
    "norse": (with_norse, False),
    "snntorch": (with_snntorch, False),
    "spikingjelly": (with_spikingjelly, True),
}


def network_of(notation: str, settings: dict[str, Any], reset: str) -> SpikingNetwork:
    settings = dict(settings)
    neuron = NeuronSpec(decay=settings.pop("decay", 0.5), threshold=0.3, reset=reset)
    spec = NetworkSpec.parse(notation, input_shape=(2, SIDE, SIDE), neuron=neuron, **settings)
    network = SpikingNetwork.build(spec, seed=1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def card_of(network: SpikingNetwork) -> ModelCard:
    frame = FrameSpec(kind="stream", steps=STEPS, sensor_size=(SIDE, SIDE), dt_us=10_000)
    return ModelCard(
        network=network.spec.to_dict(), frame=frame, labels=("a", "b", "c"), readout="reset",
        state_shapes=network.state_shapes,
    )  # fmt: skip


def logits_of(run: Callable[[torch.Tensor, Any], tuple[torch.Tensor, Any]], state: Any) -> np.ndarray:
    generator = torch.Generator().manual_seed(2)
    out = []
    for _ in range(STEPS):
        frame_CHW = torch.poisson(torch.full((2, SIDE, SIDE), 0.3), generator)
        with torch.no_grad():
            result, state = run(frame_CHW, state)
        out.append(result.flatten().numpy())
    return np.stack(out)


def step_of_one(network: SpikingNetwork, frame_CHW: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
    return network.step(frame_CHW[None], state)


def compared(importer: str, path: Path, ours: np.ndarray, told: bool) -> dict[str, Any]:
    load, batched = IMPORTERS[importer]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            model = load(nir.read(path), told)
            theirs = logits_of(lambda x, state: model(x[None] if batched else x, state), None)
    except Exception as error:  # of any kind: that is the result
        return {"refused": (str(error).strip().splitlines() or [type(error).__name__])[-1][:120]}
    if theirs.shape != ours.shape:
        return {"refused": f"its output has {theirs.shape[1]} values"}
    same = float(np.mean(np.abs(theirs - ours).max(1) <= 1e-4))
    return {"largest_difference": float(np.abs(theirs - ours).max()), "steps_that_agree": same}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows, versions = [], {}
    for importer in IMPORTERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[importer] = importlib.metadata.version(importer)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.nir"
        for name, (notation, settings) in NETWORKS.items():
            for reset in ("hard", "soft"):
                network = network_of(notation, settings, reset)
                export_nir(network, card_of(network), path)
                ours = logits_of(partial(step_of_one, network), network.initial_state(1))
                assert np.ptp(ours, axis=0).max() > 0, "a silent network would agree with anything"
                for importer in versions:
                    for told in (False, True) if reset == "soft" else (False,):
                        row = {"network": name, "reset": reset, "importer": importer, "told": told}
                        rows.append(row | compared(importer, path, ours, told))
                        print(json.dumps(rows[-1]), flush=True)
    if arguments.out:
        document = {"environment": environment(["nir", "torch", *versions]), "rows": rows}
        print(write_result(arguments.out, "nir_importers", document))


if __name__ == "__main__":
    main()
