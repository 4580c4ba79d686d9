"""The installation of the live runtime, used elsewhere: by the steps of the Dockerfile, and then the base alone."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dockerfile_steps import execute, instructions
from onnx_models import make_card, stream_spec, write_model
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stdl_events import __version__
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.models import shipped_models

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def run(*command: object, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= settings
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


@pytest.fixture(scope="module")
def image(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder below which the steps of the Dockerfile were executed."""
    root = tmp_path_factory.mktemp("image")

    def run_step(line: str) -> None:
        # pip reads this as the value of its option `compile`: 0 is "no".
        ended = run("sh", "-c", line, folder=root, PIP_RETRIES="1", PIP_QUIET="1", PIP_NO_COMPILE="0")
        if ended.returncode != 0 and "Retrying (" in ended.stderr:
            pytest.skip("the package index is unreachable")
        assert ended.returncode == 0, f"{line}: {ended.stderr}"

    execute(root, wheel, run_step)
    return root


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_give_a_container_that_runs(image, tmp_path):
    write_scene(tmp_path)
    programs = image / "opt" / "stdl-events" / "bin"
    (entrypoint,) = instructions("ENTRYPOINT")
    program, *fixed = json.loads(entrypoint.replace(":9100", ":0"))
    live = run(programs / program, *fixed, "m.onnx", "--source", "r.h5", "--speed", "max", folder=tmp_path)
    assert live.returncode == 0, live.stderr
    assert json.loads(live.stdout.splitlines()[-1])["summary"]["clips"] == 2
    checked = run(programs / "python", image / "opt/stdl-events/check_model.py", "m.onnx", folder=tmp_path)
    assert checked.returncode in (0, 1), checked.stderr
    (user,) = (image / "etc" / "passwd").read_text(encoding="utf-8").splitlines()
    assert user.split(":")[2] == instructions("USER")[0]
    assert user.split(":")[5:] == ["/nonexistent", "/usr/sbin/nologin"]
    group = user.partition(":")[0]
    assert f"video:x:44:{group}\n" in (image / "etc" / "group").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_list_of_components_is_what_the_container_holds(image, tmp_path):
    (recipe,) = re.findall(
        r"^\t\$\(BIN\)/python (-m cyclonedx_py .+?)build/device", MAKEFILE.replace("\\\n", " "), re.M
    )
    lists = []
    for name in ("once.json", "again.json"):
        words = [*recipe.replace("$(SBOM)", str(tmp_path / name)).split(), "--no-validate"]
        ended = run(sys.executable, *words, image / "opt/stdl-events/bin/python", folder=REPOSITORY)
        assert ended.returncode == 0, ended.stderr
        lists.append((tmp_path / name).read_bytes())
    assert lists[0] == lists[1], "reproducible"
    assert str(image).encode() not in lists[0]
    bill = json.loads(lists[0])
    held = {canonicalize_name(each["name"]): each for each in bill["components"] if each["name"] != "stdl-events"}
    assert {name: each["version"] for name, each in held.items()} == pinned_versions()
    assert all(each["purl"].startswith("pkg:pypi/") for each in held.values())
    (root,) = [each for each in bill["dependencies"] if each["ref"] == bill["metadata"]["component"]["bom-ref"]]
    assert f"onnxruntime=={held['onnxruntime']['version']}" in root["dependsOn"]
    assert sum("licenses" in each for each in held.values()) > 30


def pinned_versions() -> dict[str, str]:
    """The version of each package in the requirements that a device of this kind needs."""
    found = {}
    for line in "".join(path.read_text(encoding="utf-8") for path in DEPLOY.glob("requirements*.txt")).splitlines():
        if "==" in line and not line.startswith("#"):
            requirement = Requirement(line.rstrip("\\"))
            if requirement.marker is None or requirement.marker.evaluate():
                found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found


def write_scene(folder: Path) -> None:
    """Write a recording, r.h5, and a model that recognises two clips in it, m.onnx."""
    events = empty_events(500)
    events["t"] = np.arange(500) * 200
    write_recording(folder / "r.h5", events, (8, 6))
    write_model(folder / "m.onnx", make_card(stream_spec()))


@pytest.mark.slow
def test_the_base_alone_runs_a_model_from_another_folder(image, tmp_path):
    """Without the extras that the container has beside the base."""
    write_scene(tmp_path)
    programs = image / "opt" / "stdl-events" / "bin"
    extras = [word for path in sorted(DEPLOY.glob("requirements-*.txt")) for word in ("-r", path)]
    pip = [sys.executable, "-m", "pip", "--python", programs / "python"]
    removed = run(*pip, "uninstall", "--quiet", "--yes", *extras, folder=tmp_path)
    assert removed.returncode == 0, removed.stderr
    (packages,) = (programs.parent / "lib").glob("python3*/site-packages")
    # A file of Python counts for its compiled one too, which is 1.25 times as large.
    files = [path for path in packages.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    size = sum(path.stat().st_size * (2.25 if path.suffix == ".py" else 1) for path in files)
    assert 100 << 20 < size <= 200 << 20

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
    absent = ("torch", "norse", "tonic", "onnx", "matplotlib", "tensorboard", "eventcv", "fastapi", "paho")
    found = run(programs / "python", "-c", program % (absent,), folder=tmp_path)
    assert (found.returncode, found.stdout.strip()) == (0, "[]")
