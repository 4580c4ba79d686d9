"""Train spiking recognisers on event-camera recordings within a memory budget; run them live without PyTorch.

The pipeline is the package: `events` -> `frames` -> `network` -> `plan` -> `learning` -> `export` -> `live`.
The names below are imported at their first use, so importing this package imports no stage and no torch.
"""

from os import environ as _environ
from typing import TYPE_CHECKING

from stdl_events.lazy import lazy_names

if TYPE_CHECKING:
    from stdl_events.build import build_learner as build_learner
    from stdl_events.errors import StdlEventsError as StdlEventsError
    from stdl_events.events import ReplaySource as ReplaySource
    from stdl_events.events import open_recording as open_recording
    from stdl_events.events import write_recording as write_recording
    from stdl_events.export.onnx import export_onnx as export_onnx
    from stdl_events.frames import Framer as Framer
    from stdl_events.frames import FrameSpec as FrameSpec
    from stdl_events.learning.learner import Learner as Learner
    from stdl_events.learning.rules import list_rules as list_rules
    from stdl_events.live import OnnxSession as OnnxSession
    from stdl_events.live import Recogniser as Recogniser
    from stdl_events.live import run_live as run_live
    from stdl_events.network.from_norse import import_norse as import_norse
    from stdl_events.network.spec import NetworkSpec as NetworkSpec
    from stdl_events.network.spec import NeuronSpec as NeuronSpec
    from stdl_events.network.zoo import get_network as get_network
    from stdl_events.recipes import load_recipe as load_recipe
    from stdl_events.training.bundle import load_bundle as load_bundle
    from stdl_events.training.evaluation.evaluate_run import evaluate as evaluate
    from stdl_events.training.evaluation.predict import predict as predict
    from stdl_events.training.fit import fit as fit
    from stdl_events.training.settings import TrainConfig as TrainConfig
    from stdl_events.training.sweeps.compare import compare as compare
    from stdl_events.training.sweeps.sweep import sweep as sweep

# onnxruntime's own builds send measurements to their maker and keep an identifier of the device in the home folder. It
# reads this when it is imported; a value that is set already stays.
_environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "FrameSpec",
    "Framer",
    "Learner",
    "NetworkSpec",
    "NeuronSpec",
    "OnnxSession",
    "Recogniser",
    "ReplaySource",
    "StdlEventsError",
    "TrainConfig",
    "build_learner",
    "compare",
    "evaluate",
    "export_onnx",
    "fit",
    "get_network",
    "import_norse",
    "list_rules",
    "load_bundle",
    "load_recipe",
    "open_recording",
    "predict",
    "run_live",
    "sweep",
    "write_recording",
]

__version__ = "0.2.0"

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FrameSpec": "stdl_events.frames",
        "Framer": "stdl_events.frames",
        "Learner": "stdl_events.learning.learner",
        "NetworkSpec": "stdl_events.network.spec",
        "NeuronSpec": "stdl_events.network.spec",
        "OnnxSession": "stdl_events.live",
        "Recogniser": "stdl_events.live",
        "ReplaySource": "stdl_events.events",
        "StdlEventsError": "stdl_events.errors",
        "TrainConfig": "stdl_events.training.settings",
        "build_learner": "stdl_events.build",
        "compare": "stdl_events.training.sweeps.compare",
        "evaluate": "stdl_events.training.evaluation.evaluate_run",
        "export_onnx": "stdl_events.export.onnx",
        "fit": "stdl_events.training.fit",
        "get_network": "stdl_events.network.zoo",
        "import_norse": "stdl_events.network.from_norse",
        "list_rules": "stdl_events.learning.rules",
        "load_bundle": "stdl_events.training.bundle",
        "load_recipe": "stdl_events.recipes",
        "open_recording": "stdl_events.events",
        "predict": "stdl_events.training.evaluation.predict",
        "run_live": "stdl_events.live",
        "sweep": "stdl_events.training.sweeps.sweep",
        "write_recording": "stdl_events.events",
    },
)
