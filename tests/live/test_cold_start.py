"""What `live` must not import before its first prediction, so that it starts within a second."""

import subprocess
import sys

import numpy as np
from onnx_models import make_card, stream_spec, write_model

from stdl_events.events.stream import empty_events

# Each took longer to import than the rest of a start is long, or belongs to another task than `live`.
NOT_YET = (
    "torch", "norse", "tonic", "matplotlib", "h5py", "scipy", "pandas", "numba", "jinja2", "rich.console",
    "asyncio", "ssl", "fastapi", "uvicorn", "eventcv", "mcap", "paho", "prometheus_client", "unittest", "onnx",
    "stdl_events.training", "stdl_events.learning", "stdl_events.prepared", "stdl_events.recipes",
    "stdl_events.cli.train", "stdl_events.live.monitor.hub",
)  # fmt: skip
PROGRAM = """
import sys
from stdl_events.live.recogniser import Recogniser

push = Recogniser.push


def first(self, frame, shed=0):
    print("NOW " + " ".join(sorted(sys.modules)), file=sys.stderr)
    Recogniser.push = push
    return push(self, frame, shed)


Recogniser.push = first
from stdl_events.cli import main
main()
"""


def test_what_live_does_not_need_is_not_imported_before_its_first_step(tmp_path):
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec((8, 6), 4, 10_000)))
    events = empty_events(100)
    events["t"] = np.arange(100) * 1_000
    np.save(tmp_path / "r.npy", events)
    command = [sys.executable, "-c", PROGRAM, "live", str(model), "--source", str(tmp_path / "r.npy")]
    ended = subprocess.run([*command, "--speed", "max", "--sink", "lines"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    imported = next(line for line in ended.stderr.splitlines() if line.startswith("NOW ")).split()[1:]
    assert "onnxruntime" in imported
    assert "stdl_events.cli.live" in imported
    assert [name for name in NOT_YET if name in imported] == []
