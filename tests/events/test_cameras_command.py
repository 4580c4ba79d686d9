"""`cameras`: what is on USB, what eventcv lists, what is missing, and the exit codes."""

import json
import os
import sys

import pytest

from stdl_events.events.sources import usb
from stdl_events.events.sources.camera_report import probe_cameras
from stdl_events.events.sources.usb import UsbModel, udev_rules, usb_cameras


@pytest.fixture
def plug(tmp_path):
    """Return (sysfs folder, folder of nodes, function that plugs a device in)."""
    devices, nodes = tmp_path / "devices", tmp_path / "nodes"
    devices.mkdir()

    def plug_in(port, vendor, product, address=7, serial=None, mode=0o600):
        folder = devices / port
        folder.mkdir()
        facts = {"idVendor": vendor, "idProduct": product, "busnum": "2", "devnum": str(address)}
        for name, text in {**facts, **({} if serial is None else {"serial": serial})}.items():
            (folder / name).write_text(text + "\n", encoding="utf-8")
        (devices / f"{port}:1.0").mkdir()  # an interface, which has none of these files
        if mode is not None:
            node = nodes / "002" / f"{address:03d}"
            node.parent.mkdir(parents=True, exist_ok=True)
            node.touch()
            node.chmod(mode)

    return devices, nodes, plug_in


@pytest.fixture
def without_eventcv(monkeypatch):
    monkeypatch.setitem(sys.modules, "eventcv", None)


def test_cameras_on_usb_are_known_by_their_identities(plug):
    devices, nodes, plug_in = plug
    plug_in("2-1", "152a", "841a", address=12, serial="000\x1b[2J42")
    plug_in("2-2", "046d", "c52b", address=3)  # a mouse
    plug_in("2-3", "1409", "8e00", address=5, mode=None)
    ids, davis = usb_cameras(devices, nodes)
    assert (ids.model.name, ids.access, ids.serial) == ("IDS uEye XCP-E", "absent", None)
    assert (davis.model.name, davis.bus, davis.address, davis.access) == ("iniVation DAVIS346", 2, 12, "yes")
    assert davis.serial == "000[2J42", "what a device says of itself is text, not a sequence of the terminal"
    assert usb_cameras(devices / "none", nodes) is None


def test_what_is_missing_says_what_to_type(plug, without_eventcv, monkeypatch):
    devices, nodes, plug_in = plug
    plug_in("2-1", "152a", "841a", address=1)
    plug_in("2-2", "04b4", "00f5", address=2, mode=None)
    plug_in("2-3", "31f7", "0003", address=3)
    plug_in("2-4", "152a", "8400", address=4)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("/003") and allowed(path, mode))
    report = probe_cameras(devices, nodes)
    assert report.probed == ["drivers of eventcv: no package eventcv", f"USB ({devices}): 4 cameras"]
    package, davis, evk, silky, dvs = report.missing
    assert package == "no package eventcv: pip install 'stdl-events[camera]'"
    assert davis.endswith("/002/001: ready, once eventcv is installed")
    assert "EVK4 at" in evk
    assert "docker run --device /dev/bus/usb" in evk
    assert "no permission, and no udev rule; stdl-events cameras --udev-rules | sudo tee /etc/udev/rules.d/" in silky
    assert "DVS128" in dvs
    assert "eventcv has no driver" in dvs
    monkeypatch.setattr(usb, "has_rules", lambda: True)
    assert "join its group: sudo usermod --append --groups video $USER" in probe_cameras(devices, nodes).missing[3]


def test_a_camera_that_eventcv_lists_is_found_with_the_command_for_it(plug, run_cli, monkeypatch):
    pytest.importorskip("eventcv", reason="the extra camera is not installed")
    devices, nodes, plug_in = plug
    from stdl_events.events.sources import camera_report, eventcv_driver

    camera = eventcv_driver.ListedCamera("prophesee_evk4", "Prophesee EVK4", "0005A1", 2, 7, "super")
    monkeypatch.setattr(eventcv_driver, "list_cameras", lambda: ([camera], ["another one has no rule"]))
    monkeypatch.setattr(camera_report.usb, "usb_cameras", lambda *_: [])
    code, out, err = run_cli("cameras")
    assert (code, err) == (0, "")
    assert "found    Prophesee EVK4, 0005A1, 1280x720, USB super" in out
    assert "stdl-events live MODEL --source eventcv:0005A1" in out
    assert "missing  another one has no rule" in out
    document = json.loads(run_cli("cameras", "--json")[1])
    assert document["cameras"] == [
        {
            "name": "Prophesee EVK4", "serial": "0005A1", "sensor_size": [1280, 720], "speed": "super",
            "source": "eventcv:0005A1",
        }
    ]  # fmt: skip
    monkeypatch.undo()
    plug_in("2-1", "04b4", "00f5", address=7)
    monkeypatch.setattr(eventcv_driver, "list_cameras", lambda: ([camera], []))
    assert probe_cameras(devices, nodes).missing == [], "it is the one that eventcv lists"


def test_no_camera_and_no_package_have_exit_codes_of_their_own(run_cli, without_eventcv, monkeypatch, tmp_path):
    code, out, err = run_cli("cameras")
    assert code == 3
    assert "pip install 'stdl-events[camera]'" in err
    assert "probed   drivers of eventcv: no package eventcv" in out
    monkeypatch.undo()
    from stdl_events.events.sources import eventcv_driver

    monkeypatch.setattr(eventcv_driver, "list_cameras", lambda: ([], []))
    monkeypatch.setattr(eventcv_driver, "version", lambda: "1.0")
    monkeypatch.setattr(usb, "usb_cameras", lambda *_: [])
    code, out, err = run_cli("cameras", "--json")
    assert (code, len(err.splitlines())) == (9, 1)
    assert json.loads(out)["cameras"] == []
    assert "cameras: got no event camera; expected one that can be opened; plug it into a USB 3 port" in err


def test_a_live_run_without_the_package_says_what_to_install(run_cli, without_eventcv):
    code, _, err = run_cli("live", "models:walkers", "--source", "eventcv:EVK4")
    assert code == 3
    assert "source eventcv: got no package eventcv; expected the extra camera; pip install 'stdl-events[camera]'" in err


def test_the_rules_let_in_every_known_camera_and_no_other_device(run_cli):
    code, out, _ = run_cli("cameras", "--udev-rules")
    assert (code, out) == (0, udev_rules())
    rules = [line for line in out.splitlines() if line and not line.startswith("#")]
    assert len(rules) == len(usb.MODELS)
    for model, rule in zip(usb.MODELS, rules, strict=True):
        assert isinstance(model, UsbModel)
        # Hexadecimal digits are lower case in sysfs.
        assert f'ATTR{{idVendor}}=="{model.vendor:04x}", ATTR{{idProduct}}=="{model.product:04x}"' in rule
        assert 'GROUP="video", TAG+="uaccess"' in rule
        assert '"0666"' not in rule
