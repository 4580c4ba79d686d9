"""The C++ program of `deploy/cpp` in tests: models that tell pixels apart, and what Python computes of a file."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime_headers import header_root

from stdl_events.events import open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.stream import EventArray, empty_events
from stdl_events.frames import FrameSpec
from stdl_events.live import OnnxSession
from stdl_events.model_card import METADATA_KEY, ModelCard
from stdl_events.recordings import Entry
from stdl_events.recordings.cutting import cut_clips

SOURCES = Path(__file__).resolve().parents[2] / "deploy" / "cpp"
LABELS = ("a", 'b "quoted"', "ç\n\\", "d")
SIZE = (12, 10)
HEADER = b"% evt 2.0\n% geometry 12x10\n% end\n"


@dataclass(frozen=True)
class Ended:
    """What the program printed: the clips, a summary for each recording that was read, and the lines of errors."""

    code: int
    clips: list[dict[str, Any]]
    summaries: list[dict[str, Any]]
    errors: list[str]


def built_program(temporary: Path) -> Path:
    """Build the program with every warning an error, and to stop at the first error of memory or arithmetic.

    Args:
        temporary: folder of a worker's run of the tests; all workers share what is built.
    """
    for tool in ("cmake", "g++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if (root := header_root()) is None:
        pytest.skip("no headers of onnxruntime: run tests/support/onnxruntime_headers.py, or set ONNXRUNTIME_ROOT")
    folder = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "deploy_cpp"
    folder.mkdir(exist_ok=True)
    settings = {
        "ONNXRUNTIME_ROOT": root, "PYTHON": sys.executable, "CMAKE_BUILD_TYPE": "Debug", "SANITIZE": "ON",
        "WARNINGS_ARE_ERRORS": "ON",
    }  # fmt: skip
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        asked = ["cmake", "-S", SOURCES, "-B", folder, *(f"-D{name}={setting}" for name, setting in settings.items())]
        for command in (asked, ["cmake", "--build", folder]):
            built = subprocess.run(command, capture_output=True, text=True, check=False)
            assert built.returncode == 0, built.stdout + built.stderr
    return folder / "recognise"


def run_program(program: Path, *arguments: object, stdin: bytes | None = None) -> Ended:
    command = [str(program), *map(str, arguments)]
    ended = subprocess.run(command, input=stdin, capture_output=True, check=False)
    lines = [json.loads(line) for line in ended.stdout.decode().split("\n") if line]
    summaries = [line["summary"] for line in lines if "summary" in line]
    return Ended(
        ended.returncode, [line for line in lines if "summary" not in line], summaries,
        ended.stderr.decode(errors="replace").splitlines(),
    )  # fmt: skip


def pixel_card(frame: FrameSpec, **changes: Any) -> ModelCard:
    entries = {
        "network": {}, "frame": frame, "labels": LABELS, "readout": "reset", "state_shapes": (frame.frame_shape_CHW,)
    }  # fmt: skip
    return ModelCard(**(entries | changes))


def write_pixel_model(path: Path, card: ModelCard) -> Path:
    """A leaky count of every pixel and polarity; each has random weights, so that no two frames have equal logits.

    Counts are kept as whole numbers where the card says that the state has eight bits.
    """
    shape = card.frame.frame_shape_CHW
    kept = TensorProto.FLOAT if card.state_format is None else TensorProto.INT8
    weights = np.random.default_rng(0).normal(0, 0.1, (int(np.prod(shape)), len(card.labels))).astype(np.float32)
    constants = {"leak": np.array(0.5, np.float32), "weights": weights}
    nodes = [
        helper.make_node("Cast", ["state_0"], ["count_before"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["count_before", "leak"], ["decayed"]),
        helper.make_node("Add", ["decayed", "frame"], ["count"]),
        helper.make_node("Cast", ["count"], ["next_state_0"], to=kept),
        helper.make_node("Flatten", ["count"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    tensor, batch = helper.make_tensor_value_info, "batch"
    graph = helper.make_graph(
        nodes, "leaky_pixels",
        [
            tensor("frame", TensorProto.FLOAT, [batch, *shape]),
            tensor("state_0", kept, [batch, *shape]),
        ],
        [
            tensor("logits", TensorProto.FLOAT, [batch, len(card.labels)]),
            tensor("next_state_0", kept, [batch, *shape]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    onnx.save(model, path)
    return path


def python_clips(session: OnnxSession, path: Path, **reading: Any) -> list[tuple[int, int, np.ndarray]]:
    """Return (start, end, mean logits) of each clip of a recording whose state starts with the clip, by Python."""
    recording = open_recording(path, **reading)
    return [
        (clip.t_start_us, clip.t_end_us, np.mean(logits_of(session, clip.frames_TCHW), 0, dtype=np.float64))
        for clip in cut_clips(Entry(str(path), path, 0), recording, session.card.frame)
    ]


def logits_of(session: OnnxSession, frames: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Return the logits [K] after each frame, from the zero state."""
    state, found = session.initial_state(), []
    for counts_CHW in frames:
        logits_BK, state = session.step(counts_CHW[np.newaxis], state)
        found.append(logits_BK[0])
    return found


def agree(clips: list[dict[str, Any]], expected: list[tuple[int, int, np.ndarray]], labels: tuple[str, ...]) -> None:
    """Check the lines of clips against what Python computes: every class and time, and logits to 1e-4."""
    assert [(clip["t_start_us"], clip["t_us"]) for clip in clips] == [(start, end) for start, end, _ in expected]
    assert [clip["label"] for clip in clips] == [labels[int(logits.argmax())] for *_, logits in expected]
    for clip, (*_, logits) in zip(clips, expected, strict=True):
        assert list(clip["logits"]) == list(labels)
        np.testing.assert_allclose(list(clip["logits"].values()), logits, rtol=0, atol=1e-4)


def scene(count=4_000, seed=0, size=SIZE, length_us=1_000_000) -> EventArray:
    """Return random events of changing density, in order of time."""
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = 5_000 + np.sort(rng.beta(2, 3, count) * length_us).astype(np.int64)
    events["x"] = (rng.beta(2, 2, count) * size[0]).astype(int)
    events["y"] = (rng.beta(2, 3, count) * size[1]).astype(int)
    events["p"] = rng.random(count) < np.sin(events["t"] / 1e5) ** 2
    return events


def written(path: Path, events: EventArray, size=SIZE, format="evt3") -> Path:
    write_recording(path.with_suffix(".h5"), events, size)
    convert(open_recording(path.with_suffix(".h5")), path, format=format)
    return path


def evt2_words(events: EventArray) -> bytes:
    """Return the events as they are, each after its own word of high time, by the layout of EVT 2 alone."""
    t, x, y, p = (events[name].astype(np.int64) for name in "txyp")
    high, event = 8 << 28 | t >> 6, p << 28 | (t & 63) << 22 | x << 11 | y
    return np.stack([high, event], 1).astype("<u4").tobytes()
