"""Each command of deploy/README.md is run by a test that is named here, or is not tried for a reason that it states."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
DEPLOY = TESTS.parent / "deploy"
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
LINES = "test_deploy.py::test_commands_in_comments_and_in_the_readme_are_command_lines"
STEPS = "test_wheel.py::test_the_steps_of_the_dockerfile_give_a_container_that_runs"
CPP = "test_deploy_cpp.py::test_fifty_clips_from_files_and_from_the_standard_input_agree"
PAGE = "live/test_web_page.py::test_fifty_clips_of_nmnist_agree_with_python"
# How a command begins -> the test that runs it, where needed with other folders, and a file in place of a driver.
RUN = {
    "pip install numpy onnxruntime": "test_deploy.py::test_check_model_needs_two_packages",
    "python check_model.py model.onnx": "test_deploy.py::test_check_model_tells_what_a_model_is",
    "python3 -m venv /opt/stdl-events": STEPS,
    "/opt/stdl-events/bin/pip install -r ": STEPS,
    "/opt/stdl-events/bin/pip install --no-deps ": STEPS,
    "/opt/stdl-events/bin/stdl-events live model.onnx ": STEPS,
    "printf 'MODEL=": "test_deploy.py::test_the_service_as_the_readme_installs_it_is_a_command_line",
    "python -m build --wheel": "test_wheel.py::test_the_wheel_holds_the_library_and_nothing_else",
    "/opt/stdl-events/bin/stdl-events cameras": LINES,
    "cmake -S deploy/cpp ": CPP,
    "cmake --build ": CPP,
    "build/cpp/recognise model.onnx recording.raw": CPP,
    "camera-driver | build/cpp/recognise model.onnx -": CPP,
    "cd deploy/web": PAGE,
    "npm ci": PAGE,
    "npm run build": PAGE,
    "python -m http.server ": PAGE,
}
# How a command begins -> the entry of the list of what was not tried.
NOT_TRIED = {
    "sudo mkdir -p /etc/stdl-events": "systemd",
    "sudo cp README.md /opt/stdl-events/": "systemd",
    "sudo cp stdl-events-live.service ": "systemd",
    "sudo systemctl ": "systemd",
    "journalctl ": "systemd",
    "docker compose ": "Docker",
    "sudo cp 65-stdl-events.rules ": "udev and cameras",
    "sudo udevadm ": "udev and cameras",
}


def blocks() -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = "".join(blocks()).replace("\\\n", " ").replace("|\n", "| ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def test_every_command_is_run_by_a_test_or_said_not_to_be():
    known = RUN | NOT_TRIED
    assert len(commands()) > 25
    assert [line for line in commands() if not line.startswith(tuple(known))] == []
    assert [start for start in known if not any(line.startswith(start) for line in commands())] == []


@pytest.mark.parametrize("test", sorted(set(RUN.values())))
def test_the_tests_that_run_them_exist(test):
    file, _, name = test.partition("::")
    assert f"\ndef {name}(" in (TESTS / file).read_text(encoding="utf-8")


def test_what_was_not_tried_is_said_with_its_reason():
    tried = README.partition("## What was tried\n")[2].partition("\n## ")[0]
    said = dict(re.findall(r"^- ([\w ]+): (.+?)(?=^- |\Z)", tried, re.MULTILINE | re.DOTALL))
    assert set(NOT_TRIED.values()) <= said.keys()
    assert all(len(reason.split()) > 3 for reason in said.values())
