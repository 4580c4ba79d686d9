"""The installation of the live runtime: the wheel and its base dependencies alone, used from another folder."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events import __version__
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.models import shipped_models

REPOSITORY = Path(__file__).resolve().parent.parent


def run(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder=REPOSITORY)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"stdl_events", f"stdl_events-{__version__}.dist-info"}
    assert "stdl_events/py.typed" in names
    assert {"stdl_events/report/page.html.jinja", "stdl_events/analysis/page.css"} <= set(names)
    tracked = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "stdl_events").rglob("*.py")}
    assert tracked <= set(names)
    models = {f"stdl_events/models/{model.file}" for model in shipped_models().values()}
    assert models | {"stdl_events/models/models.json", "stdl_events/models/README.md"} <= set(names)


@pytest.mark.slow
def test_the_base_alone_runs_a_model_from_another_folder(wheel, tmp_path):
    made = run(sys.executable, "-m", "venv", "--without-pip", "fresh", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    programs = tmp_path / "fresh" / "bin"
    # Only what is imported is compiled, at its import.
    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "--disable-pip-version-check")
    install = (*pip, "install", "--quiet", "--no-compile", "--retries", "1")
    installed = run(*install, wheel, "-c", REPOSITORY / "constraints.txt", folder=tmp_path)
    if installed.returncode != 0 and "Retrying (" in installed.stderr:
        pytest.skip("the package index is unreachable")
    assert installed.returncode == 0, installed.stderr

    events = empty_events(500)
    events["t"] = np.arange(500) * 200
    write_recording(tmp_path / "r.h5", events, (8, 6))
    write_model(tmp_path / "m.onnx", make_card(stream_spec()))
    told = run(programs / "stdl-events", "info", "r.h5", "--json", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["events"] == 500
    live = run(
        programs / "stdl-events", *("live", "m.onnx", "--source", "r.h5", "--speed", "max", "--json-lines"),
        folder=tmp_path,
    )  # fmt: skip
    assert live.returncode == 0, live.stderr
    assert json.loads(live.stdout.splitlines()[-1])["summary"]["clips"] == 2
    names = run(programs / "stdl-events", "models", "--json", folder=tmp_path)
    assert names.returncode == 0, names.stderr
    assert len(json.loads(names.stdout)["models"]) == len(shipped_models())
    program = "import importlib.util as u, stdl_events.live; print([n for n in %r if u.find_spec(n)])"
    absent = ("torch", "norse", "tonic", "onnx", "matplotlib", "tensorboard")
    found = run(programs / "python", "-c", program % (absent,), folder=tmp_path)
    assert (found.returncode, found.stdout.strip()) == (0, "[]")
