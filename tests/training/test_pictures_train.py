"""Static pictures through the commands: one epoch, its evaluation, its exported file; what refuses them."""

import json
from collections.abc import Callable
from pathlib import Path

import event_files
import numpy as np
import pytest
from published_layouts import (
    make,
    put,
    write_cifar10,
    write_cifar10_dvs,
    write_cifar100,
    write_image_folder,
    write_svhn,
)

from stdl_events.live import OnnxSession
from stdl_events.training.bundle import load_bundle

RunCli = Callable[..., tuple[int, str, str]]
KIND = (
    "frames.kind=picture",
    "frames.dt_us=none",
    "frames.steps=3",
    "frames.picture.mean=0.5",
    "frames.picture.std=0.25",
)
NETWORK = ("network.notation=2C3(s2)-AP2-4C3", "epochs=1", "batch_size=64", "learning.memory=plain", "device=cpu")


def sets(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.mark.parametrize(
    ("dataset", "write", "sides", "classes"),
    [
        ("cifar10", write_cifar10, (100, 20), 10),
        ("cifar100", write_cifar100, (100, 100), 100),
        ("svhn", write_svhn, (20, 10), 10),
        ("image_folder", write_image_folder, (18, 6), 3),
    ],
)
def test_one_epoch(
    tmp_path: Path, run_cli: RunCli, dataset: str, write: Callable[[Path], object], sides: tuple[int, int], classes: int
) -> None:
    write(tmp_path / "data")
    run, model = tmp_path / "run", tmp_path / "model.onnx"

    def printed(*words: object) -> dict[str, object]:
        code, out, errors = run_cli(*words, "--json")
        assert code == 0, errors
        return json.loads(out)

    settings = sets(f"data.dataset={dataset}", *KIND, *NETWORK, "augment.shift_px=4", "augment.flip=true")
    if dataset == "image_folder":
        settings += sets("frames.picture.resize=36", "frames.center_crop=32x32", "augment.crop=resized")
    trained = printed("train", "folder", "--data", tmp_path / "data", "--out", run, *settings)
    assert (trained["n"], len(trained["labels"])) == (sides[1], classes)
    evaluated = printed("evaluate", run, "--verify")
    assert evaluated["confusion"] == trained["confusion"]
    if dataset != "cifar10":
        return
    check_by_hand(tmp_path, run, trained["confusion"])
    assert printed("export", run, "--out", model, "--check-steps", 20)["never_compared"] == 0
    assert printed("evaluate", run, "--model", model)["confusion"] == trained["confusion"]
    frame = OnnxSession(model).card.frame
    assert (frame.kind, frame.frame_shape_CHW, frame.picture.std) == ("picture", (3, 32, 32), (0.25, 0.25, 0.25))
    events = put(tmp_path / "a.aedat", event_files.aedat2_dvs128(make(0), chip=False))
    for words in ((events, "--frame-us", 1000), ("tcp://127.0.0.1:1",)):
        code, _, errors = run_cli("live", model, "--source", *words)
        assert code == 2
        assert "got one that was trained on static pictures; expected one trained on events" in errors


def check_by_hand(folder: Path, run: Path, confusion: object) -> None:
    """Recognise the held-out pictures from their bytes, step by step."""
    import torch

    network, card = load_bundle(run / "bundle")
    records = np.frombuffer((folder / "data/cifar-10-batches-bin/test_batch.bin").read_bytes(), np.uint8)
    records = records.reshape(-1, 3073)
    pictures = torch.tensor(records[:, 1:].reshape(-1, 3, 32, 32) / 255 / 0.25 - 2, dtype=torch.float32)
    state, summed = network.initial_state(len(pictures)), torch.zeros(len(pictures), len(card.labels))
    with torch.no_grad():
        for _ in range(3):
            logits, state = network.step(pictures, state)
            summed += logits
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (records[:, 0], summed.argmax(1).numpy()), 1)
    assert counts.tolist() == confusion


@pytest.mark.parametrize("memory", ["plain", "lean"])
def test_one_picture_in_memory_learns_as_t_copies_do(memory: str) -> None:
    """The view with stride 0 over time against frames that are copied, bit for bit."""
    import torch

    from stdl_events.build import build_learner
    from stdl_events.frames.picture import repeated
    from stdl_events.network.zoo import parse_network

    picture_BCHW = np.random.default_rng(0).normal(size=(6, 3, 8, 8)).astype(np.float32)
    view = torch.from_numpy(repeated(picture_BCHW, 4))
    assert view.stride(0) == 0
    weights = []
    for frames in (view, view.clone(memory_format=torch.contiguous_format)):
        spec = parse_network("4C3-AP2-4C3", input_shape=(3, 8, 8), classes=3)
        learner = build_learner(spec, rule="sltt", batch_size=6, steps=4, memory=memory, seed=1)
        for _ in range(2):
            learner.train_step(frames, torch.arange(6) % 3)
        weights.append([weight.detach().clone() for weight in learner.network.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("train", "folder", *sets("data.dataset=cifar10")),
            "frames.kind: got stream; expected picture, since cifar10",
        ),
        (("prepare", "cifar10", "--frames", "T=3,by=count"), "pictures need no store"),
        (
            ("train", "folder", *sets("data.dataset=cifar10", *KIND, "augment.event_drop=true")),
            "augment: got event_drop; expected changes of pictures",
        ),
        (
            ("train", "folder", *sets("data.dataset=cifar10", *KIND, 'augment.transforms=["drop_area:share=0.1"]')),
            "augment: got drop_area",
        ),
        (
            ("train", "folder", *sets("data.dataset=cifar10", *KIND, *NETWORK, "data.framer=tonic")),
            "data.framer: got tonic; expected own, since cifar10 holds static pictures",
        ),
        (
            ("train", "folder", *sets("data.dataset=cifar10", *KIND, *NETWORK, "augment.crop=random")),
            "augment.crop: got a random window; expected none, since these pictures have no files of their own",
        ),
        (
            ("train", "folder", *sets("augment.crop=random")),
            "augment.crop: got random; expected none, since frames.kind",
        ),
        (
            ("train", "folder", *sets("data.dataset=cifar10", *KIND, "data.split.rule=time")),
            "expected auto or given, since cifar10 comes with its own split",
        ),
    ],
)
def test_what_has_no_meaning_for_pictures_is_one_line(
    tmp_path: Path, run_cli: RunCli, words: tuple[str, ...], message: str
) -> None:
    write_cifar10(tmp_path, per_file=10)
    code, _, errors = run_cli(*words, "--data", tmp_path, "--out", tmp_path / "out")
    assert code == 2
    assert message in errors
    assert not (tmp_path / "out").exists()


def test_events_are_no_pictures(tmp_path: Path, run_cli: RunCli) -> None:
    write_cifar10_dvs(tmp_path, "original", per_class=1)
    words = sets("data.dataset=cifar10_dvs", "data.split.rule=recording", *KIND)
    code, _, errors = run_cli("train", "folder", "--data", tmp_path, "--out", tmp_path / "out", *words)
    assert code == 2
    assert "frames.kind: got picture; expected stream or recording, since cifar10_dvs holds events" in errors
