"""The files for a device: a check that needs two packages, and files that are consistent with the project."""

import configparser
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from command_lines import parameters
from onnx_models import make_card, stream_spec, write_model

from stdl_events.events.sources.usb import udev_rules
from stdl_events.frames import FrameSpec
from stdl_events.model_card import METADATA_KEY as KEY
from stdl_events.model_card import ModelCard

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"


def check_model(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEPLOY / "check_model.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_check_model_tells_what_a_model_is(tmp_path):
    write_model(tmp_path / "m.onnx", make_card(stream_spec(dt_us=10_000_000)))
    ended = check_model(tmp_path, "m.onnx", "--steps", 20, "--json")
    report = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert report["labels"] == ["dark", "bright", "still"]
    assert report["frame"]["sensor_size"] == [8, 6]
    assert report["state_values"] == 2
    assert report["steps"] == 40
    assert 0 < report["step_ms"]["p50"] <= report["step_ms"]["p95"] <= report["step_ms"]["p99"]
    assert report["in_time"] is True
    assert 1e3 / report["step_ms"]["p99"] / 10 < report["frames_per_s"] < 1e3 / report["step_ms"]["p50"] * 10
    assert (report["step_mj"] is None) == (
        report["energy"] != "of the processor's packages, idle power and other programs included"
    )

    ended = check_model(tmp_path, "m.onnx", "--steps", 20, "--threads", 999)
    assert ended.returncode == 0
    assert ended.stderr == "check_model: warning: this device has {0} cores, so {0} threads are used\n".format(
        os.cpu_count()
    )
    assert "sensor 8x6, 4 frames per clip, 2 state values" in ended.stdout
    assert "frames a second\n" in ended.stdout
    assert re.search(r"^(energy unknown: .+|one step: [\d.]+ mJ of .+)$", ended.stdout, re.MULTILINE)
    assert "a frame comes every 10000 ms: in time" in ended.stdout


def counters(folder: Path, **energies_uj: int) -> None:
    """Write the counters of a processor with two packages; one of them has a part."""
    for name, energy_uj in energies_uj.items():
        zone = folder / name.replace("_", ":").replace("rapl", "intel-rapl")
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "energy_uj").write_text(f"{energy_uj}\n")
        (zone / "max_energy_range_uj").write_text("999999\n")


def test_energy_is_that_of_the_packages_also_when_a_counter_begins_again(tmp_path):
    meter_class = runpy.run_path(str(DEPLOY / "check_model.py"))["EnergyMeter"]
    counters(tmp_path, rapl_0=100_000, rapl_0_0=5, rapl_1=900_000)
    with meter_class(tmp_path) as meter:
        counters(tmp_path, rapl_0=350_000, rapl_0_0=80_000, rapl_1=50_000)
    assert meter.joules == pytest.approx(0.25 + 0.15)
    assert meter.why is None


def test_energy_that_cannot_be_read_has_a_reason(tmp_path):
    meter_class = runpy.run_path(str(DEPLOY / "check_model.py"))["EnergyMeter"]
    with meter_class(tmp_path) as meter:
        pass
    assert (meter.joules, meter.why) == (None, f"no RAPL counters in {tmp_path}")
    counters(tmp_path, rapl_0=1)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    with meter_class(tmp_path) as meter:
        pass
    assert meter.joules is None
    assert meter.why == f"no such file or directory: {tmp_path}/intel-rapl:0/energy_uj"


def test_check_model_says_when_a_device_is_too_slow(tmp_path):
    write_model(tmp_path / "m.onnx", make_card(stream_spec(dt_us=1)))
    ended = check_model(tmp_path, "m.onnx", "--steps", 5)
    assert ended.returncode == 1
    assert "a frame comes every 0.001 ms: too slow: frames will be dropped" in ended.stdout


def test_check_model_has_no_verdict_without_a_frame_length(tmp_path):
    spec = FrameSpec(kind="recording", steps=3, sensor_size=(8, 6), by="time")
    write_model(tmp_path / "m.onnx", make_card(spec))
    ended = check_model(tmp_path, "m.onnx", "--steps", 5)
    assert ended.returncode == 0
    assert "its frames have no fixed length" in ended.stdout


@pytest.mark.parametrize(
    "damage",
    [{"state_shapes": None}, {"labels": "dark"}, {"frame": "x"}, {"frame": {"dt_us": "fast"}}, {"network": ...}],
)
def test_check_model_refuses_a_damaged_card(damage):
    program = runpy.run_path(str(DEPLOY / "check_model.py"))
    card = json.loads(make_card(stream_spec()).to_json())
    assert program["has_what_is_read"](card)
    for name, value in damage.items():
        if value is ...:
            del card[name]
        else:
            card[name] = card[name] | value if isinstance(value, dict) else value
    with pytest.raises(program["UnusableModel"], match="its model card is damaged: export it again"):
        open_card(program, card)


def open_card(program: dict[str, Any], card: dict[str, Any]) -> None:
    """Open a file that has this card, whatever else it is."""
    session = SimpleNamespace(get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={KEY: json.dumps(card)}))
    program["open_model"].__globals__["onnxruntime"] = SimpleNamespace(
        SessionOptions=SimpleNamespace, InferenceSession=lambda *_, **__: session
    )
    program["open_model"](__file__, 1)


def test_check_model_knows_the_entries_that_live_takes():
    program = runpy.run_path(str(DEPLOY / "check_model.py"))
    assert program["CARD_ENTRIES"] == set(ModelCard.model_fields)
    assert program["FRAME_ENTRIES"] == set(FrameSpec.model_fields)
    card = json.loads(make_card(stream_spec()).to_json())
    for newer in (card | {"shutter": 1}, card | {"frame": card["frame"] | {"shutter": 1}}):
        with pytest.raises(program["UnusableModel"], match="its card has the unknown entry shutter"):
            open_card(program, newer)


def test_check_model_refuses_what_is_no_model(tmp_path):
    (tmp_path / "text.onnx").write_text("text")
    write_model(tmp_path / "card.onnx", None)
    write_model(tmp_path / "states.onnx", make_card(stream_spec(), state_shapes=((2,), (3,))))
    write_model(tmp_path / "labels.onnx", make_card(stream_spec(), labels=("a", "b")))
    write_model(tmp_path / "newer.onnx", make_card(stream_spec()).model_copy(update={"schema_version": 2}))
    for name, text in (
        ("none.onnx", "none.onnx: no such file"),
        ("newer.onnx", "newer.onnx: its card is of schema version 2, not 1: export it again"),
        ("text.onnx", "text.onnx: onnxruntime refuses it ("),
        ("card.onnx", "card.onnx: it has no model card: export it with stdl-events"),
        ("states.onnx", "states.onnx: its inputs are frame, state_0, which its card does not say"),
        ("labels.onnx", "labels.onnx: it gives 3 logits for 2 labels"),
    ):
        ended = check_model(tmp_path, name, "--steps", 2)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert f"check_model: error: {text}" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(("name", "what"), [("weights", "logits on random events are"), ("leak", "state is")])
def test_check_model_notices_values_that_are_not_finite(tmp_path, name, what):
    model = onnx.load(write_model(tmp_path / "m.onnx", make_card(stream_spec())))
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    values = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, np.nan), name))
    onnx.save(model, tmp_path / "m.onnx")
    ended = check_model(tmp_path, "m.onnx", "--steps", 2)
    assert ended.returncode == 2
    assert f"its {what} not finite" in ended.stderr


def test_onnxruntime_keeps_and_sends_nothing(tmp_path):
    """Its builds keep an identifier of the device and measurements in the home folder, unless told not to."""
    write_model(tmp_path / "m.onnx", make_card(stream_spec(dt_us=10_000_000)))
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    load = "from stdl_events.live import OnnxSession; OnnxSession('m.onnx')"
    for arguments in ((str(DEPLOY / "check_model.py"), "m.onnx", "--steps", "2"), ("-c", load)):
        ended = subprocess.run(
            [sys.executable, "-B", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert list(home.rglob("*")) == []


def test_check_model_needs_two_packages(tmp_path):
    """It runs while all other modules of ours and of the training extra are unimportable."""
    write_model(tmp_path / "m.onnx", make_card(stream_spec(dt_us=10_000_000)))
    barred = ("stdl_events", "torch", "onnx", "pydantic", "typer", "rich", "h5py")
    program = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({barred!r})); "
        f"sys.argv = ['check_model.py', 'm.onnx', '--steps', '2']; "
        f"runpy.run_path({str(DEPLOY / 'check_model.py')!r}, run_name='__main__')"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_model_runs_without_memory_that_is_writable_and_executable(tmp_path):
    """As the unit of systemd forbids it; here by the kernel's own switch, which Linux 6.3 has."""
    write_model(tmp_path / "m.onnx", make_card(stream_spec(dt_us=10_000_000)))
    program = (
        "import ctypes, runpy, sys; set_mdwe, refuse_exec_gain, unsupported = 65, 1, 77\n"
        "if ctypes.CDLL(None).prctl(set_mdwe, refuse_exec_gain, 0, 0, 0): sys.exit(unsupported)\n"
        "sys.argv = ['check_model.py', 'm.onnx', '--steps', '2']\n"
        f"runpy.run_path({str(DEPLOY / 'check_model.py')!r}, run_name='__main__')"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if ended.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("missing", ["numpy", "onnxruntime"])
def test_check_model_says_what_is_missing(tmp_path, missing):
    program = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; sys.argv = ['check_model.py', 'm.onnx']; "
        f"runpy.run_path({str(DEPLOY / 'check_model.py')!r}, run_name='__main__')"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert f"{missing}" in ended.stderr
    assert "pip install -r requirements.txt" in ended.stderr


def test_the_service_and_the_container_run_the_live_command():
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str
    text = (DEPLOY / "stdl-events-live.service").read_text(encoding="utf-8")
    unit.read_string(text.replace("SystemCallFilter=~", "SystemCallFilterNot="))
    assert unit["Service"]["ExecStart"].split()[:2] == ["/opt/stdl-events/bin/stdl-events", "live"]
    assert unit["Service"]["RestartPreventExitStatus"] == "2 3"


def test_the_service_as_the_readme_installs_it_is_a_command_line():
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    written = re.search(r"printf '(.+)' \|", readme)[1]
    environment = dict(line.split("=", 1) for line in written.split("\\n") if line)
    unit = (DEPLOY / "stdl-events-live.service").read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE)[1]
    for name, value in environment.items():
        command = command.replace(f"${{{name}}}", value).replace(f"${name}", value)
    found = parameters(command)
    assert (found["model"], found["source"]) == (Path("/opt/stdl-events/model.onnx"), "eventcv:EVK4")
    assert (found["json_lines"], found["reconnect"]) == (True, 60)


def test_systemd_accepts_the_unit(tmp_path):
    if (checker := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not installed")
    unit = (DEPLOY / "stdl-events-live.service").read_text(encoding="utf-8")
    path = tmp_path / "stdl-events-live.service"
    path.write_text(unit.replace("/opt/stdl-events/bin/stdl-events", sys.executable), encoding="utf-8")
    ended = subprocess.run([checker, "verify", "--man=no", path], capture_output=True, text=True, check=False)
    assert [line for line in ended.stderr.splitlines() if path.name in line] == []
    rated = [checker, "security", "--offline=true", "--no-pager", "--threshold=20", path]
    ended = subprocess.run(rated, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"an exposure of 2.0 at most: {ended.stdout}"
    path.write_text(unit.replace("DevicePolicy", "DevicePolice"), encoding="utf-8")
    ended = subprocess.run([checker, "verify", "--man=no", path], capture_output=True, text=True, check=False)
    assert "DevicePolice" in ended.stderr, "the check can fail"


def test_commands_in_comments_and_in_the_readme_are_command_lines():
    """Those of the container follow its entry point, which is `stdl-events live`."""
    lines = re.findall(
        r"^#\s+docker run (?!.*--entrypoint).* stdl-events (.+)$", (DEPLOY / "Dockerfile").read_text(), re.M
    )
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    installed = re.findall(r"^/opt/stdl-events/bin/(stdl-events .+)$", readme, re.MULTILINE)
    assert (len(lines), len(installed)) == (2, 2)
    for line in [*(f"stdl-events live {line}" for line in lines), *installed]:
        parameters(line)


def test_the_rules_are_those_that_the_program_prints():
    assert (DEPLOY / "65-stdl-events.rules").read_text(encoding="utf-8") == udev_rules()


def test_the_readme_names_every_file():
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in DEPLOY.iterdir() if path.is_file()} - {"README.md"}
    assert {name for name in files if f"`{name}`" not in readme} == set()
