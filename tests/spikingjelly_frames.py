"""SpikingJelly's integration of events into frames, without its package's imports (audio and vision libraries)."""

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np

WANTED = {
    "integrate_events_segment_to_frame",
    "cal_fixed_frames_number_segment_index",
    "integrate_events_by_fixed_frames_number",
}


def load_integration() -> Callable[..., np.ndarray] | None:
    """`integrate_events_by_fixed_frames_number`, None where SpikingJelly is not installed."""
    package = importlib.util.find_spec("spikingjelly")
    if package is None or package.origin is None:
        return None
    source = (Path(package.origin).parent / "datasets" / "utils.py").read_text(encoding="utf-8")
    body = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name in WANTED]
    assert len(body) == len(WANTED)
    names: dict[str, Any] = {"np": np, "Optional": Optional}
    exec(compile(ast.Module(body=body, type_ignores=[]), "spikingjelly", "exec"), names)
    function: Callable[..., np.ndarray] = names["integrate_events_by_fixed_frames_number"]
    return function
