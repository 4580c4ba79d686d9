"""Each command and claim of deploy/README.md: the test that executes it, or the reason why it was not tried."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
DEPLOY = TESTS.parent / "deploy"
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
LINES = "deploy/test_device_files.py::test_commands_in_comments_and_in_the_readme_are_command_lines"
STEPS = "deploy/test_wheel.py::test_the_steps_of_the_dockerfile_give_a_container_that_runs"
CPP = "deploy/test_cpp_program.py::test_fifty_clips_from_files_and_from_the_standard_input_agree"
PAGE = "deploy/test_web_page.py::test_fifty_clips_of_nmnist_agree_with_python"
# How a command begins -> the test that runs it, where needed with other folders, and a file in place of a driver.
RUN = {
    "pip install numpy onnxruntime": "deploy/test_device_files.py::test_check_model_needs_two_packages",
    "python check_model.py model.onnx": "deploy/test_device_files.py::test_check_model_tells_what_a_model_is",
    "python3 -m venv /opt/stdl-events": STEPS,
    "/opt/stdl-events/bin/pip install -r ": STEPS,
    "/opt/stdl-events/bin/pip install --no-deps ": STEPS,
    "/opt/stdl-events/bin/stdl-events live model.onnx ": STEPS,
    "printf 'MODEL=": "deploy/test_device_files.py::test_the_service_as_the_readme_installs_it_is_a_command_line",
    "python -m build --wheel": "deploy/test_wheel.py::test_the_wheel_holds_the_library_and_nothing_else",
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

# How a sentence or a row of a table begins -> the test that executes what it claims, or entries of that list.
FILES = "deploy/test_device_files.py::test_the_readme_names_every_file"
CHECK, PACKAGES, CONTAINER, PAGES, WEB, NATIVE, REFUSED = (
    f"deploy/{file}::test_"
    for file in (
        "test_device_files.py", "test_device_packages.py", "test_container.py", "test_web_page.py", "test_web_files.py",
        "test_cpp_program.py", "test_cpp_refusals.py",
    )
)  # fmt: skip
COMPOSE = f"{CONTAINER}the_compose_file_runs_the_container_on_a_camera_with_page_and_broker"
CONVERT = "events/test_convert.py::test_real_recordings"
CLAIMS = {
    "An exported model is one self-describing": f"{CHECK}check_model_tells_what_a_model_is",
    "A device runs it with numpy": f"{CHECK}check_model_needs_two_packages",
    "| `check_model.py` |": f"{CHECK}check_model_needs_two_packages",
    "| `check_health.py` |": f"{CONTAINER}the_container_is_healthy_while_the_run_says_its_status",
    "| `requirements": f"{PACKAGES}the_requirements_are_those_of_the_project_and_no_others",
    "| `wheels.json` |": f"{PACKAGES}every_package_has_the_hashes_of_its_wheels",
    "| `lock.py` |": "The lock",
    "| `Dockerfile` |": STEPS,
    "| `Dockerfile.dockerignore` |": f"{CONTAINER}the_engine_is_sent_what_the_container_copies_and_nothing_else",
    "| `compose.yaml` |": COMPOSE,
    "| `stdl-events-live.service` |": "systemd",
    "| `65-stdl-events.rules` |": "udev and cameras",
    "Every command and claim below": "deploy/test_deploy_readme.py::test_every_claim_is_executed_or_said_not_to_be",
    "Exit code 0: yes.": f"{CHECK}check_model_tells_what_a_model_is",
    "1: a step takes longer": f"{CHECK}check_model_says_when_a_device_is_too_slow",
    "2: the model is unusable.": f"{CHECK}check_model_refuses_what_is_no_model",
    "3: a package is missing.": f"{CHECK}check_model_says_what_is_missing",
    "`--json` prints everything": f"{CHECK}check_model_tells_what_a_model_is",
    "It tells frames a second": f"{CHECK}energy_is_that_of_the_packages_also_when_a_counter_begins_again",
    "onnxruntime's own builds": f"{CHECK}onnxruntime_keeps_and_sends_nothing",
    "`python -m build --wheel` in": RUN["python -m build --wheel"],
    "pip installs the files alone": f"{PACKAGES}every_package_of_a_device_has_a_wheel_for",
    "The base, requirements.txt, takes": f"{PACKAGES}the_base_install_is_small",
    "`make lock` writes": "The lock",
    "SOURCE is a file": RUN["printf 'MODEL="],
    "The service ends with a summary": "live/test_live_command.py::test_signals_end_with_the_summary",
    "It restarts after the loss": f"{CHECK}the_service_and_the_container_run_the_live_command",
    "It runs `models/model.onnx`": COMPOSE,
    "The page is at port 8765": COMPOSE,
    "Nothing runs as root": f"{CONTAINER}the_container_runs_the_live_command_as_an_ordinary_user",
    "The rules name the USB": f"{CHECK}the_rules_are_those_that_the_program_prints",
    "They are what `stdl-events cameras": f"{CHECK}the_rules_are_those_that_the_program_prints",
    "`web/` is a page": f"{PAGES}the_page_shows_what_it_saves",
    "Nothing is sent anywhere": f"{WEB}nothing_names_a_host",
    "`npm ci` fetches onnxruntime-web": f"{WEB}nothing_names_a_host",
    "The page must come from": f"{PAGES}without_a_server_the_page_says_what_to_do",
    "| Prophesee `.raw`": f"{WEB}events_of_all_formats_are_those_of_the_readers",
    "| N-MNIST `.bin` |": f"{WEB}events_of_all_formats_are_those_of_the_readers",
    "| all others that": CONVERT,
    "Models are those of": f"{WEB}what_the_readme_says_to_type_is_what_the_tests_do",
    "Int8 and float16 are refused": f"{WEB}other_precisions_are_refused",
    "Membrane potentials in eight bits": f"{PAGES}all_readouts_decisions_and_older_files_are_as_in_predict",
    "Filters, geometry, clip grid": f"{WEB}frames_of_all_specs_are_those_of_the_framer",
    "The page sorts events": f"{PAGES}what_can_be_repaired_is_said",
    "It refuses what `predict`": f"{PAGES}a_recording_that_cannot_be_read_is_one_line_and_the_others_are_recognised",
    "The model runs in one thread": "The page",
    "More threads need": "The page",
    "A worker takes its policy": "The page",
    "`cpp/` is a program": f"{NATIVE}lines_are_those_of_live",
    "ONNXRUNTIME_ROOT is": "C++",
    "Where there are headers alone": CPP,
    "It reads Prophesee's": CPP,
    "`--sensor 1280x720` gives": f"{NATIVE}real_files_of_prophesee_agree",
    "A window ends with": f"{NATIVE}a_window_ends_when_an_event_after_it_is_a_millisecond_old",
    "Time without events closes no window": f"{NATIVE}events_that_are_in_no_frame_close_no_window",
    "So a still scene": f"{NATIVE}a_window_ends_when_an_event_after_it_is_a_millisecond_old",
    "| windows of time": f"{NATIVE}frames_are_cut_as_in_training",
    "| filters, clip grid": f"{NATIVE}frames_are_cut_as_in_training",
    "| readout, temperature": f"{NATIVE}lines_are_those_of_live",
    "| potentials in eight bits": f"{NATIVE}a_state_in_eight_bits_is_what_python_keeps",
    "| layers in eight bits": f"{NATIVE}layers_in_eight_bits_are_what_python_computes",
    "| static pictures": f"{REFUSED}models_that_are_refused_in_one_line",
    "What is wrong is one line": f"{REFUSED}recordings_that_are_refused_in_one_line",
    "Events outside the sensor": f"{NATIVE}late_events_and_those_outside_the_sensor_are_counted_and_said",
    "A clock that was reset": f"{REFUSED}recordings_that_are_refused_in_one_line",
    "The weights are not compared": f"{REFUSED}the_checksum_of_weights_is_not_compared",
    "The tests compare it": f"{NATIVE}fifty_real_digits_agree",
    "For aarch64": "aarch64",
}


def blocks() -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = "".join(blocks()).replace("\\\n", " ").replace("|\n", "| ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def claims() -> list[str]:
    """The sentences and the rows of tables, without headings, examples and the list of what was tried."""
    text = re.sub(r"^```\w*\n.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    found = []
    for block in re.split(r"\n\s*\n", text):
        lines = [" ".join(line.split()) for line in block.strip().splitlines()]
        if lines and lines[0].startswith("|"):
            found += lines[2:]
        elif lines and not lines[0].startswith(("- ", "#")):
            found += re.split(r"(?<=[.:]) (?=[A-Z0-9`]|pip|onnxruntime)", " ".join(lines))
    return found


def test_every_claim_is_executed_or_said_not_to_be():
    assert len(claims()) > 60
    assert [claim for claim in claims() if not claim.startswith(tuple(CLAIMS))] == []
    assert [start for start in CLAIMS if not any(claim.startswith(start) for claim in claims())] == []
    named = {test for test in CLAIMS.values() if "::" not in test}
    assert named <= not_tried().keys()


def test_every_command_is_run_by_a_test_or_said_not_to_be():
    known = RUN | NOT_TRIED
    assert len(commands()) > 25
    assert [line for line in commands() if not line.startswith(tuple(known))] == []
    assert [start for start in known if not any(line.startswith(start) for line in commands())] == []


@pytest.mark.parametrize("test", sorted({test for test in (RUN | CLAIMS).values() if "::" in test}))
def test_the_tests_that_run_them_exist(test):
    file, _, name = test.partition("::")
    assert f"\ndef {name}(" in (TESTS / file).read_text(encoding="utf-8")


def not_tried() -> dict[str, str]:
    tried = README.partition("## What was tried\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^- ([\w +]+): (.+?)(?=^- |\Z)", tried, re.MULTILINE | re.DOTALL))


def test_what_was_not_tried_is_said_with_its_reason():
    assert set(NOT_TRIED.values()) <= not_tried().keys()
    assert all(len(reason.split()) > 3 for reason in not_tried().values())
