"""A neuron, a loss, a dataset and a format of a user, one object each: trained, metered, exported, in the help."""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from new_entries import ADAPTIVE_EXPONENTIAL, registered
from torch import Tensor

from stdl_events.events import FORMATS, Format
from stdl_events.events.decoder import Header, Records, RecordsDecoder
from stdl_events.events.stream import EVENT_DTYPE, EventArray, empty_events
from stdl_events.learning.registries import LOSSES
from stdl_events.live.session import OnnxSession
from stdl_events.network.registries import NEURONS
from stdl_events.recordings import DATASETS, Dataset, RecordingSet, read_folder

RunCli = Callable[..., tuple[int, str, str]]
RECORD = np.dtype([("t", ">u4"), ("x", "u1"), ("y", "u1"), ("p", "u1")])
SETTINGS = (
    "data.dataset=takes",
    "data.split.train=2",
    "data.split.rule=order",
    "data.split.test=2",
    "network.neuron.kind=exponential",
    "network.notation=4C3-AP2-4C3",
    "learning.loss=square",
    "frames.steps=3",
    "epochs=1",
    "batch_size=2",
    "device=cpu",
)


def open_takes(path: Path) -> RecordsDecoder:
    def decode(records: Records) -> EventArray:
        events = np.empty(len(records), EVENT_DTYPE)
        for name in EVENT_DTYPE.names or ():
            events[name] = records[name]
        return events

    return RecordsDecoder(path, Header((8, 8), "format"), RECORD, 0, lambda: decode)


def read_takes(root: Path) -> RecordingSet:
    return read_folder(root)


def square(logits_BK: Tensor, targets_B: Tensor) -> Tensor:
    wanted_BK = torch.arange(logits_BK.shape[1]) == targets_B[:, None]
    return ((logits_BK - wanted_BK.to(logits_BK.dtype)) ** 2).mean()


@pytest.fixture
def entries() -> Iterator[None]:
    with ExitStack() as stack:
        for registry, name, entry in (
            (NEURONS, "exponential", ADAPTIVE_EXPONENTIAL),
            (LOSSES, "square", square),
            (DATASETS, "takes", Dataset("takes of this test", read_takes)),
            (FORMATS, "take", Format("a format of this test", open_takes, (".take",))),
        ):
            stack.enter_context(registered(registry, name, entry))
        yield


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    """Two classes of two recordings, each class on its own half of the pixels."""
    rng = np.random.default_rng(0)
    for label, take in np.ndindex(2, 2):
        events = empty_events(400)
        events["t"] = np.linspace(0, 400_000, len(events)).astype(np.int64)
        events["x"], events["y"] = 4 * label + rng.integers(0, 4, len(events)), rng.integers(0, 8, len(events))
        path = tmp_path / "takes" / f"class{label}" / f"{take}.take"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(events.astype(RECORD).tobytes())
    return tmp_path / "takes"


@pytest.mark.usefixtures("entries")
def test_all_of_them_are_trained_metered_and_exported(takes: Path, tmp_path: Path, run_cli: RunCli) -> None:
    run, model = tmp_path / "run", tmp_path / "model.onnx"
    sets = [word for setting in SETTINGS for word in ("--set", setting)]

    def printed(*words: object) -> dict[str, object]:
        code, out, errors = run_cli(*words, "--json")
        assert code == 0, errors
        return json.loads(out)

    assert printed("train", "folder", "--data", takes, "--out", run, *sets)["recordings"] == 2
    assert printed("memory", run)["neuron"] == "exponential"
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert (config["data"]["dataset"], config["learning"]["loss"]) == ("takes", "square")
    assert printed("info", takes / "class0" / "0.take")["format"] == "take"
    assert printed("export", run, "--out", model, "--check-steps", 20)["never_compared"] == 0
    assert OnnxSession(model).card.network["neuron"]["kind"] == "exponential"


@pytest.mark.usefixtures("entries")
def test_the_help_names_them(run_cli: RunCli) -> None:
    said = functools.cache(lambda command: run_cli(command, "--help")[1])
    for command, name in (("memory", "exponential"), ("memory", "square"), ("prepare", "takes"), ("info", "take")):
        assert name in said(command)
