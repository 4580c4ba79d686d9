"""SpikingJelly's integration of events into frames, without its package's imports (audio and vision libraries)."""

import ast
import importlib.util
import runpy
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

WANTED = {
    "integrate_events_segment_to_frame",
    "cal_fixed_frames_number_segment_index",
    "integrate_events_by_fixed_frames_number",
}
# Names that the three functions use from their module.
HEAD = "from typing import Optional\n\nimport numpy as np\n\n"


def load_integration() -> Callable[..., np.ndarray] | None:
    """`integrate_events_by_fixed_frames_number`, None if SpikingJelly is not installed."""
    package = importlib.util.find_spec("spikingjelly")
    if package is None or package.origin is None:
        return None
    source = (Path(package.origin).parent / "datasets" / "utils.py").read_text(encoding="utf-8")
    body = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name in WANTED]
    assert len(body) == len(WANTED)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "integration.py"
        file.write_text(HEAD + ast.unparse(ast.Module(body=list(body), type_ignores=[])), encoding="utf-8")
        function: Callable[..., np.ndarray] = runpy.run_path(str(file))["integrate_events_by_fixed_frames_number"]
    return function
