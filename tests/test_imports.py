"""Rules for imports: the live runtime without torch, one door per third-party package, stages that point backwards.

The rules are checked on the source (also imports inside functions). `info`, `frames` and `live` are run with stubs of
the packages that raise on import. Tests of the tests show that both checks can fail.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from onnx_models import LABELS, make_card, stream_spec, write_model

import stdl_events
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.recordings import Entry, RecordingSet
from stdl_events.recordings.predicted_clips import predictions_of

PACKAGE = Path(stdl_events.__file__).parent
TRAINING_ONLY = {"torch", "torchvision", "norse", "tonic", "onnx", "onnxscript", "safetensors", "tensorboard", "nir"}
STUBBED = ("torch", "norse", "tonic", "onnx", "matplotlib", "PIL")

# Stages that run or plan on a device without torch; the rule covers their imports at any depth.
TORCH_FREE = (
    "errors",
    "validation",
    "events",
    "frames",
    "model_card",
    "models",
    "live",
    "network.paper_neurons",
    "network.registries",
    "network.spec",
    "network.zoo",
    "plan.plan",
    "scatter",
    "analysis.cost",
)
# Commands that work without torch; of the other commands only the registration does.
TORCH_FREE_COMMANDS = ("cli.bench", "cli.cameras", "cli.events", "cli.frames", "cli.live", "cli.show", "cli.show_clips")

DOORS = {
    "norse": ("network/neurons/cell.py", "network/neurons/norse_cells.py"),
    "tonic": ("recordings/",),
    "h5py": ("events/formats/hdf5.py",),
    "aedat": ("events/formats/aedat4_child.py",),
    "eventcv": ("events/sources/eventcv_driver.py",),
    "nir": ("export/nir_graph.py",),
    "onnx": ("export/",),
    "onnxscript": ("export/",),
    "onnxruntime": ("live/session.py", "export/quantize.py"),
    "distributed": ("prepared/cluster.py",),
    "llvmlite": ("scatter/",),
    "numba": ("learning/lean/kernels/cpu", "scatter/", "compiled.py"),
    "triton": ("learning/lean/kernels/cuda.py",),
}

# Learning happens in learning/. These modules detach tensors that they only copy.
COPYING = {
    "training/checkpoint.py": "a checkpoint copies tensors to the host",
    "training/bundle.py": "a bundle copies weights to the host",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def modules() -> dict[str, Path]:
    """Dotted name under the package ("" for the package itself) -> file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _is_for_type_checkers(test: ast.expr) -> bool:
    names = (getattr(node, "id", getattr(node, "attr", None)) for node in ast.walk(test))
    return "TYPE_CHECKING" in names


def statements(node: ast.AST, inside_functions: bool) -> Iterator[ast.AST]:
    """All nodes that run: type checkers' blocks are left out, and function bodies where they are not asked for."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_for_type_checkers(child.test):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not inside_functions:
            continue
        yield child
        yield from statements(child, inside_functions)


@cache
def imported(source: ast.Module, inside_functions: bool = True) -> Set[str]:
    """Return the dotted names that `source` imports; for `from a import b` both "a" and "a.b"."""
    names = set()
    for node in statements(source, inside_functions):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def third_party(names: Set[str]) -> set[str]:
    return {name.split(".")[0] for name in names} - {"stdl_events"}


@cache
def lazy_names() -> dict[str, str]:
    """ "package.Name" -> the module that a package's lazy name comes from, read off the calls of `lazy_names`."""
    found = {}
    for package, path in modules().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_names":
                prefix = f"stdl_events.{package}." if package else "stdl_events."
                found |= {prefix + name: module for name, module in ast.literal_eval(node.args[1]).items()}
    return found


def ours(names: Set[str]) -> set[str]:
    """Modules of this package among `names`, with the packages that they are in, since their __init__ runs too."""
    found = set()
    for name in names | {lazy_names()[name] for name in names & lazy_names().keys()}:
        parts = name.split(".")
        if parts[0] == "stdl_events":
            found |= {".".join(parts[1:end]) for end in range(1, len(parts) + 1)}
    return found & modules().keys()


def reached(starts: set[str], inside_functions: bool, without: Set[str] = frozenset()) -> dict[str, str]:
    """All modules but `without` that `starts` import at any depth -> how they were reached."""
    queue, paths = sorted(starts), {start: start for start in starts}
    while queue:
        module = queue.pop()
        for name in sorted(ours(imported(tree(modules()[module]), inside_functions)) - paths.keys() - without):
            paths[name] = f"{paths[module]} -> {name}"
            queue.append(name)
    return paths


def in_stages(stages: tuple[str, ...]) -> set[str]:
    found = {name for name in modules() if any(name == stage or name.startswith(stage + ".") for stage in stages)}
    return found | ours({f"stdl_events.{stage}" for stage in stages})


def training_imports(starts: set[str], inside_functions: bool, without: Set[str] = frozenset()) -> list[str]:
    return [
        f"{how} imports {', '.join(sorted(guilty))}"
        for module, how in reached(starts, inside_functions, without).items()
        if (guilty := third_party(imported(tree(modules()[module]), inside_functions)) & TRAINING_ONLY)
    ]


@pytest.mark.parametrize("stage", TORCH_FREE)
def test_the_live_runtime_and_the_plan_import_nothing_that_trains(stage):
    assert in_stages((stage,)), f"{stage} has moved"
    assert training_imports(in_stages((stage,)), inside_functions=True) == []


def test_commands_register_without_torch_and_the_live_ones_run_without():
    assert training_imports(in_stages(("cli",)), inside_functions=False) == []
    for command in TORCH_FREE_COMMANDS:
        own = third_party(imported(tree(modules()[command])))
        assert not own & TRAINING_ONLY
        # Importing the package of all commands runs none of their functions.
        packages = {"cli", ""}
        inner = ours(imported(tree(modules()[command]))) - packages
        assert training_imports(inner, inside_functions=True, without=packages) == []


@pytest.mark.parametrize("package", DOORS)
def test_third_party_packages_have_one_door(package):
    doors = DOORS[package]
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules().values()
        if package in third_party(imported(tree(path)))
    }
    assert {user for user in users if not user.startswith(doors)} == set()


def learning_calls(source: ast.Module) -> list[str]:
    """Return the calls of learning: backward, detach, and steps of an optimiser."""
    found = []
    for node in ast.walk(source):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name = node.func.attr
        if name in ("backward", "detach", "detach_") or (
            name == "step" and ast.unparse(node.func.value).lower().split(".")[-1].startswith(("optim", "opt"))
        ):
            found.append(f"line {node.lineno}: {ast.unparse(node.func)}")
    return found


def test_only_learning_learns():
    guilty = {
        path.relative_to(PACKAGE).as_posix(): calls
        for path in modules().values()
        if (calls := learning_calls(tree(path)))
    }
    # memory/ runs the steps that it meters, on tensors without data.
    outside = {file for file in guilty if not file.startswith(("learning/", "memory/"))}
    assert outside <= COPYING.keys()
    for file in COPYING.keys() & guilty.keys():
        assert all(call.endswith(".detach") for call in guilty[file])


def stages_in_order() -> list[str]:
    """Top-level modules of the package as ARCHITECTURE.md's tree lists them."""
    text = (PACKAGE.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
    _, _, tree_block = text.partition("stdl_events/\n")
    return re.findall(r"^  (\w+)(?:/|\.py) ", tree_block.partition("```")[0], re.MULTILINE)


def test_the_tree_lists_every_stage():
    assert sorted(stages_in_order()) == sorted({name.split(".")[0] for name in modules()} - {"", "__main__"})


def test_stages_import_only_what_stands_above_them_in_the_tree():
    order = ["", *stages_in_order(), "__main__"]
    below = [
        f"{name} imports {other}"
        for name, path in modules().items()
        for other in {name.split(".")[0] for name in ours(imported(tree(path)))} - {name.split(".")[0]}
        if name and order.index(other) > order.index(name.split(".")[0])
    ]
    assert below == []


# Runs commands, each a list of words, in one process; a module that raises at its import raises at every import.
ALL_COMMANDS = """
import contextlib, io, json, sys
from stdl_events.cli import main
ends = []
for words in json.loads(sys.argv[1]):
    sys.argv, code = ["stdl-events", *words], 0
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    ends.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(ends))
"""


def run_beside_stubs(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python with packages of the training extra replaced by stubs that raise."""
    stubs = folder / "stubs"
    stubs.mkdir(exist_ok=True)
    for name in STUBBED:
        # Not an ImportError, which would look like a missing package.
        (stubs / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(stubs)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def recording(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    events = empty_events(2_000)
    events["t"] = np.sort(rng.integers(0, 200_000, len(events)))
    events["x"], events["y"] = rng.integers(0, 8, len(events)), rng.integers(0, 6, len(events))
    write_recording(tmp_path / "r.h5", events, (8, 6))
    return tmp_path / "r.h5"


def write_predictions(path: Path, recording: Path) -> Path:
    """Write the predictions of two clips of `recording`, as an evaluation does."""
    recordings = RecordingSet(("a", "b"), (8, 6), (Entry(recording.name, recording, 0),))
    clips = [
        {"key": recording.name, "t_start_us": start, "label": "a", "predicted": "b", "probabilities": [0.25, 0.75]}
        for start in (0, 80_000)
    ]
    path.write_text(json.dumps(predictions_of(clips, recordings, stream_spec((8, 6), 4, 20_000), None)))
    return path


def test_live_commands_run_where_nothing_that_trains_is_installed(tmp_path, recording):
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec(cap=255)))
    predictions = write_predictions(tmp_path / "p.json", recording)
    for label in LABELS[:2]:
        (tmp_path / "labelled" / label).mkdir(parents=True)
        shutil.copy(recording, tmp_path / "labelled" / label)
    commands = (
        (("info", recording, "--json"), '"events": 2000'),
        (("show", recording, "--json"), '"events": 2000'),
        (("show", recording, "--out", "a.png"), "a.png: 10 of 10 bins"),
        (("show", recording, "--rotate", 90, "--out", "a.html"), "2 x 8 x 6"),
        (("show", recording, "--clip", 1, "--steps", 4, "--out", "a.png"), "a.png: 1 clip of 4 frames"),
        (("show", ".", "--predictions", predictions, "--out", "a.html"), "a.html: 2 clips of 4 frames"),
        (("frames", recording, "--frame-us", 20_000, "--out", "f.npy"), "10 x 2 x 6 x 8"),
        (("frames", recording, "--bins", 5, "--out", "f.npy"), "5 x 2 x 6 x 8"),
        (("live", model, "--source", recording, "--speed", "max", "--json-lines"), '{"summary": {'),
        (("predict", model, recording), "r.h5"),
        (("evaluate", model, "--data", "labelled"), "accuracy 0.5000"),
        (("models",), "models:nmnist"),
        (("--help",), "live"),
    )
    words = json.dumps([[str(word) for word in arguments] for arguments, _ in commands])
    ended = run_beside_stubs(tmp_path, "-c", ALL_COMMANDS, words)
    assert ended.returncode == 0, ended.stderr
    for (arguments, text), (code, out, err) in zip(commands, json.loads(ended.stdout), strict=True):
        assert code == 0, f"{arguments}: {err}"
        assert text in out


def test_library_modules_import_where_nothing_that_trains_is_installed(tmp_path):
    names = sorted(in_stages(TORCH_FREE) - {""})
    program = "; ".join(f"import stdl_events.{name}" for name in names)
    ended = run_beside_stubs(tmp_path, "-c", program)
    assert ended.returncode == 0, ended.stderr


# Imports modules that hide a package that is missing, all in one process.
GUILTY = """
import stdl_events.live, sys
for package in sys.argv[1:]:
    try:
        __import__(f"guilty_{package}")
    except RuntimeError as error:
        print(error)
"""


def test_the_stubs_notice_an_import(tmp_path):
    for package in STUBBED:
        (tmp_path / f"guilty_{package}.py").write_text(
            f"try:\n    import {package}\nexcept ImportError:\n    pass\n", encoding="utf-8"
        )
    ended = run_beside_stubs(tmp_path, "-c", GUILTY, *STUBBED)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [f"{package} was imported" for package in STUBBED]


def test_the_rules_notice_what_they_forbid(tmp_path, monkeypatch):
    for source in ("import torch.nn", "def f():\n    from torch import nn", "class A:\n    import torch as t"):
        assert "torch" in third_party(imported(ast.parse(source)))
    assert "torch" not in third_party(imported(ast.parse("if TYPE_CHECKING:\n    import torch")))
    assert "torch" not in third_party(imported(ast.parse("def f():\n    import torch"), inside_functions=False))

    # a module two imports away from the live stage
    guilty = tmp_path / "guilty.py"
    guilty.write_text("def f():\n    import torch\n", encoding="utf-8")
    middle = tmp_path / "middle.py"
    middle.write_text("from stdl_events import guilty\n", encoding="utf-8")
    start = tmp_path / "start.py"
    start.write_text("import stdl_events.middle\n", encoding="utf-8")
    files = {**modules(), "guilty": guilty, "middle": middle, "live.start": start}
    monkeypatch.setitem(globals(), "modules", lambda: files)
    found = training_imports(in_stages(("live",)), inside_functions=True)
    assert found == ["live.start -> middle -> guilty imports torch"]


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("loss.backward()", 1),
        ("torch.autograd.backward([a], [b])", 1),
        ("x = y.detach()", 1),
        ("self.optimizer.step()", 1),
        ("optim.step()", 1),
        ("network.step(x, state)", 0),
        ("def backward(x): ...", 0),
    ],
)
def test_learning_is_recognised(source, count):
    assert len(learning_calls(ast.parse(source))) == count
