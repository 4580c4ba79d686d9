"""Fuzz targets: label files, layouts, lists of published datasets, exported models and the package's own documents."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import event_files
import numpy as np
from fuzz_targets import Target
from onnx_models import make_card, stream_spec, write_model
from PIL import Image
from published_layouts import (
    put,
    write_cifar10,
    write_cifar100,
    write_daily_dvs_200,
    write_dvs_gesture,
    write_har_dvs,
    write_svhn,
    write_thu_eact_50,
    write_thu_eact_50_chl,
)

from stdl_events.frames import FrameSpec
from stdl_events.live import OnnxSession
from stdl_events.live.decision import Decider
from stdl_events.live.readout import softmax
from stdl_events.live.recogniser import live_frame_spec
from stdl_events.model_card import METADATA_KEY, DecisionThresholds
from stdl_events.plan.plan import Plan, PlannedBlock
from stdl_events.prepared.manifest import (
    FRAMING_VERSION,
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Manifest,
    StoredSplit,
    read_manifest,
)
from stdl_events.recipes import load_recipe
from stdl_events.recordings import DATASETS, read_folder, read_given_split
from stdl_events.recordings.datasets.sl_animals import NAMES_FILE
from stdl_events.recordings.labels.layout import EXAMPLE, Layout
from stdl_events.recordings.predicted_clips import PredictedClip, Predictions
from stdl_events.recordings.splits.split_list import ListedRecording, SplitList, read_split_list
from stdl_events.training.evaluation.ridge_beside import stored_ridge
from stdl_events.training.run_folder import BASELINES_FILE, CONFIG_FILE, load_config

SIZE = (8, 6)
FRAMES = stream_spec(SIZE)
LABELLED = """recording,t_start,t_end,label,subject,session,split
{0}/a.bin,1000,2000,up,anna,1,train
{0}/a.bin,2000,3500,down,anna,1,train
{0}/b.bin,1000,2000,up,ben,2,test
{0}/b.bin,2000,3000,down,ben,2,test
"""
TIMES_S = "\ufefffile\tonset (s)\toffset (s)\tclass\n{0}/a\t0.0\t0.001\tup\n{0}/b.bin\t.0012\t2e-3\tdown\n"
WHOLE = "path;activity\r\n{0}\\a.bin;up\r\n\r\n{0}\\b.bin;down\r\n"
TAGS = "class,startTime_ev,endTime_ev\n" + "".join(f"{sign},{2 * sign},{2 * sign + 2}\n" for sign in range(1, 20))


def label_seeds(folder: Path) -> list[bytes]:
    for name in ("a", "b"):
        put(folder / "labelled" / "day" / f"{name}.bin", event_files.atis_bin(event_files.make_events(60, 34, 34)))
    return [bytes((given,)) + form.format("day").encode() for form, given in ((LABELLED, 1), (TIMES_S, 0), (WHOLE, 0))]


def take_labels(folder: Path, data: bytes) -> str:
    """Read a folder by its label file; the first bit of the first byte asks for the split that it gives."""
    put(folder / "labelled" / "labels.csv", data[1:])
    if data[:1] and data[0] & 1:
        return f"{len(read_given_split(folder / 'labelled').train)} parts"
    return f"{len(read_folder(folder / 'labelled'))} parts"


def layout_seeds(folder: Path) -> list[bytes]:
    del folder
    texts = [
        f"{EXAMPLE}\nday1/anna/up/a.h5",
        "{split}/**/{class}_{subject}_*\ntrain/x/y/up_ben_1.h5",
        "{class}\nup.bin",
    ]
    return [text.encode() for text in texts]


def take_layout(folder: Path, data: bytes) -> str:
    """Match the layout of the first line with the path of the second."""
    del folder
    text, _, path = data.decode("utf-8", "replace").partition("\n")
    fields = Layout.parse(text).match(path, path.rpartition(".")[0])
    return "no match" if fields is None else "match"


def write_sl_animals(root: Path) -> None:
    for name in ("user01_imse", "user02_dc"):
        put(root / f"{name}.aedat", event_files.aedat2_dvs128(event_files.make_events(60, 128, 128)))
        put(root / f"{name}.csv", TAGS)
    put(root / NAMES_FILE, "\n".join(f"{sign},sign {sign}" for sign in range(1, 20)))


def write_har(root: Path) -> None:
    write_har_dvs(root, "npz")
    put(root / "HARDVS_300_class.txt", "Action001 Walk\nAction002 Three Step Run\nAction003 Sit\n")


def write_pictures(root: Path) -> None:
    pixels = np.arange(64 * 3, dtype=np.uint8).reshape(8, 8, 3)
    for name in ("train/a/0.png", "train/a/1.jpg", "train/a/2.gif", "train/b/0.png", "test/a/0.png", "test/b/0.png"):
        put(root / name, b"")
        Image.fromarray(pixels).save(root / name)


# Datasets with lists, labels or pictures: (writes a small one, names of these files).
LISTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "dvs_gesture": (write_dvs_gesture, ("DvsGesture/user07_led_labels.csv", "DvsGesture/trials_to_test.txt")),
    "cifar10": (
        functools.partial(write_cifar10, per_file=2),
        ("cifar-10-batches-bin/test_batch.bin", "cifar-10-batches-bin/batches.meta.txt"),
    ),
    "cifar100": (
        functools.partial(write_cifar100, train=2, test=2),
        ("cifar-100-binary/test.bin", "cifar-100-binary/fine_label_names.txt"),
    ),
    "har_dvs": (write_har, ("train_label.txt", "test_label.txt", "HARDVS_300_class.txt")),
    "image_folder": (write_pictures, ("train/a/0.png", "train/a/1.jpg", "train/a/2.gif")),
    "svhn": (functools.partial(write_svhn, counts=(2, 2)), ("train_32x32.mat", "test_32x32.mat")),
    "daily_dvs_200": (functools.partial(write_daily_dvs_200, actions=1), ("train.txt", "action_description.csv")),
    "thu_eact_50": (functools.partial(write_thu_eact_50, actions=2), ("train.txt",)),
    "thu_eact_50_chl": (functools.partial(write_thu_eact_50_chl, actions=2), ("train.txt",)),
    "sl_animals": (write_sl_animals, ("user01_imse.csv", NAMES_FILE)),
}
# Those whose layout alone says what a recording shows; `labels` is the target for folders.
WITHOUT_LISTS = {"walkers", "folder", "nmnist", "gait_day", "cifar10_dvs"}


def list_seeds(dataset: str, folder: Path) -> list[bytes]:
    """Return each list; its number precedes it."""
    write, names = LISTS[dataset]
    write(folder / dataset)
    return [bytes((number,)) + (folder / dataset / name).read_bytes() for number, name in enumerate(names)]


def take_list(dataset: str, folder: Path, data: bytes) -> str:
    names, split, pictures = LISTS[dataset][1], DATASETS[dataset].split, DATASETS[dataset].pictures
    assert split is not None
    path = folder / dataset / names[data[0] % len(names) if data else 0]
    good = path.read_bytes()
    path.write_bytes(data[1:])
    try:
        found = split(folder / dataset)
        if pictures is not None:
            spec = FrameSpec(kind="picture", steps=2, sensor_size=found.train.sensor_size)
            assert pictures(found.train.entries[:3], spec)[0].shape == spec.frame_shape_CHW
        return f"{len(found.train)} and {len(found.test)}"
    finally:
        path.write_bytes(good)


def model_seeds(folder: Path) -> list[bytes]:
    return [write_model(folder / "seed.onnx", make_card(FRAMES)).read_bytes()]


def take_model(folder: Path, data: bytes) -> str:
    """Open an exported model as live inference does, and take one step."""
    path = folder / "model.onnx"
    path.write_bytes(data)
    session = OnnxSession(path)
    shape_CHW = live_frame_spec(session.card, frame_us=1000).frame_shape_CHW
    logits_BK, _ = session.step(np.zeros((1, *shape_CHW), np.uint8), session.initial_state())
    return f"{logits_BK.shape[1]} classes"


def card_seeds(folder: Path) -> list[bytes]:
    (folder / "without.onnx").write_bytes(write_model(folder / "seed.onnx", None).read_bytes())
    card = make_card(FRAMES)
    thresholds = DecisionThresholds(unknown_below=0.5, still_below=100, hold=2, decide_at=0.9)
    calibrated = make_card(FRAMES, decision=thresholds, temperature=2.5)
    return [card.to_json().encode(), json.dumps(card.model_dump(mode="json")).encode(), calibrated.to_json().encode()]


def take_card(folder: Path, data: bytes) -> str:
    """Open a model whose metadata has `data` as its card: a field of a message may follow the others."""
    entry = _field(1, METADATA_KEY.encode()) + _field(2, data)
    taken = take_model(folder, (folder / "without.onnx").read_bytes() + _field(14, entry))
    card = OnnxSession(folder / "model.onnx").card
    probabilities_K = softmax(np.linspace(-30, 30, len(card.labels)), card.temperature)
    assert np.isfinite(probabilities_K).all()
    decider = Decider(card.decision or DecisionThresholds())
    decider.begins(0, 0)
    decider.push(dict(zip(card.labels, probabilities_K.tolist(), strict=True)), card.frame.steps)
    return taken


def _field(number: int, data: bytes) -> bytes:
    """Return a field of a protobuf message that holds bytes, text or a message."""
    length, size = b"", len(data)
    while size > 127:
        length, size = length + bytes((size & 127 | 128,)), size >> 7
    return bytes((number << 3 | 2,)) + length + bytes((size,)) + data


def _listed() -> tuple[ListedRecording, ...]:
    rows = [{"side": side, "key": f"{side}/a", "path": f"{side}/a.h5", "class": side, "bytes": 9, "sha256": "00"}
            for side in ("train", "test")]  # fmt: skip
    return tuple(
        map(
            ListedRecording.model_validate,
            [*rows, rows[0] | {"key": "train/a/0", "span": [0, 50], "sensor_size": [8, 6]}],
        )
    )


def split_list() -> str:
    return SplitList(
        schema_version=1, made_by="stdl-events", dataset="folder", root="/recordings", rule="recording", gap_us=0,
        classes=("train", "test"), sensor_size=SIZE, recordings=_listed(),
    ).model_dump_json()  # fmt: skip


def manifest() -> str:
    return Manifest(
        schema_version=SCHEMA_VERSION, complete=False, framing=FRAMING_VERSION, made_by="stdl-events", codec="none",
        dataset="folder", root="/recordings", frames=FRAMES, classes=("a",), sensor_size=SIZE,
        split=StoredSplit(rule="recording", gap_us=0, settings={}, checked="c"),
    ).model_dump_json()  # fmt: skip


def predictions() -> str:
    clip = PredictedClip(
        key="test/a", t_start_us=0, label="test", predicted="train", probabilities=(0.6, 0.4)
    )  # fmt: skip
    return Predictions(
        labels=("train", "test"), frames=FRAMES, root="/recordings", recordings=_listed(), clips=(clip,)
    ).model_dump_json()


def plan() -> str:
    block = PlannedBlock(0, 2, "2C3-3FC", auxiliary=None, predicted_bytes=1000)
    return json.dumps(Plan("2C3-3FC", (2, 6, 8), 4, (block,), whole_bytes=2000).to_dict())


def baselines() -> str:
    frames = FRAMES.model_dump(mode="json")
    stored = {
        "frames": frames,
        "train_clips": 4,
        "ridge": {"validation": 0.5, "test": 0.25},
        "left_out": "",
        "finest": 1,
    }
    return json.dumps(stored | {"seconds": 0.1})


def read_baselines(path: Path) -> object:
    return stored_ridge(path.parent, FRAMES, "test")


def read_predictions(path: Path) -> object:
    found = Predictions.read(path)
    return found.worst()


# The package's own documents: name of the file, its text, and what reads it.
OWN: dict[str, tuple[str, Callable[[], str], Callable[[Path], object]]] = {
    "split-list": ("split.json", split_list, lambda path: read_split_list(path).split(path.parent, lambda key: None)),
    "run-config": (CONFIG_FILE, lambda: load_recipe("folder").model_dump_json(), lambda path: load_config(path.parent)),
    "manifest": (MANIFEST_FILE, manifest, lambda path: read_manifest(path.parent)),
    "predictions": ("predictions.json", predictions, read_predictions),
    "plan": ("plan.json", plan, Plan.load),
    "baselines": (BASELINES_FILE, baselines, read_baselines),
}


def take_own(name: str, folder: Path, data: bytes) -> str:
    file, _, read = OWN[name]
    path = put(folder / file, data)
    return f"read {type(read(path)).__name__}"


TARGETS: dict[str, Target] = {
    "labels": Target(label_seeds, take_labels),
    "layout": Target(layout_seeds, take_layout),
    **{name: Target(functools.partial(list_seeds, name), functools.partial(take_list, name)) for name in LISTS},
    "model": Target(model_seeds, take_model),
    "model-card": Target(card_seeds, take_card),
    **{
        name: Target(lambda folder, make=make: [make().encode()], functools.partial(take_own, name))
        for name, (_, make, _) in OWN.items()
    },
}
