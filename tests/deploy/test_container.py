"""The container: its Dockerfile, its health check and the compose file. No engine is needed."""

import re
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from command_lines import parameters
from dockerfile_steps import DOCKERFILE, instructions

from stdl_events.live.sinks import open_sink
from stdl_events.live.summary import LiveSummary

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"


def test_the_container_runs_the_live_command_as_an_ordinary_user():
    (entrypoint,), (user,) = instructions("ENTRYPOINT"), instructions("USER")
    found = parameters(" ".join([*yaml.safe_load(entrypoint), "model.onnx", "--source", "recording.aedat4"]))
    assert (found["json_lines"], found["sink"]) == (True, ["prometheus:127.0.0.1:9100"])
    (added,) = [each for each in instructions("RUN") if each.startswith("useradd")]
    assert user.isdecimal(), "an engine can tell that it is not root"
    assert f"--uid {user} " in added
    (check,) = instructions("HEALTHCHECK")
    assert yaml.safe_load(check.partition("CMD ")[2]) == ["python", "/opt/stdl-events/check_health.py"]


def test_what_the_container_copies_is_there():
    copied = [line for line in instructions("COPY") if not line.startswith("--from")]
    sources = [source for line in copied for source in line.split()[:-1] if not source.startswith("dist/")]
    assert len(sources) == 5
    assert all((REPOSITORY / source).is_file() for source in sources)
    # An environment cannot be moved: its programs name its own folder.
    assert [line.split()[1:] for line in instructions("COPY") if line.startswith("--from")] == [
        ["/opt/stdl-events"] * 2
    ]


def test_the_engine_is_sent_what_the_container_copies_and_nothing_else():
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    first, *rest = [line for line in lines if not line.startswith("#")]
    assert first == "*"
    copied = [line.split()[:-1] for line in instructions("COPY") if not line.startswith("--from")]
    sources = [source for line in copied for source in line]
    sent = [line.removeprefix("!") for line in rest]
    assert all(line.startswith("!") for line in rest)
    assert [source for source in sources if not any(fnmatch(source, pattern) for pattern in sent)] == []
    assert [pattern for pattern in sent if not any(fnmatch(source, pattern) for source in sources)] == []


def test_nothing_in_the_container_depends_on_the_machine():
    assert {line.split()[0] for line in instructions("FROM")} == {"python:3.11-slim"}
    text = DOCKERFILE.read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert re.findall(r"x86_64|amd64|aarch64|arm64|apt-get|gcc", code) == []


def check_health(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(DEPLOY / "check_health.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_container_is_healthy_while_the_run_says_its_status(monkeypatch):
    sink = open_sink("prometheus:127.0.0.1:0")
    url = f"http://127.0.0.1:{sink.port}/metrics"
    try:
        sink.status(LiveSummary.before_the_start(0.0))
        ended = check_health(url)
        assert ended.returncode == 0, ended.stderr
        now = time.time()
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda: now - 60)
            sink.status(LiveSummary.before_the_start(0.0))
        ended = check_health(url)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert re.search(r"the newest status is 6\d s old; at most 15 s\n$", ended.stderr)
    finally:
        sink.ended(LiveSummary.before_the_start(0.0))
    ended = check_health(url)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)


def test_the_compose_file_runs_the_container_on_a_camera_with_page_and_broker():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    live = services["live"]
    assert (DEPLOY / live["build"]["context"] / live["build"]["dockerfile"]).is_file()
    command = " ".join(live["command"])
    found = parameters("stdl-events live " + re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", command))
    assert (found["model"], found["source"], found["reconnect"]) == (Path("/data/model.onnx"), "eventcv:", 60)
    assert [volume.split(":")[1] for volume in live["volumes"]] == ["/data", "/dev/bus/usb"]
    assert found["monitor"] == "0.0.0.0:8765"
    assert live["ports"] == ["127.0.0.1:8765:8765"], "this machine alone reaches the page"
    (broker,) = live["depends_on"]
    assert found["sink"] == [f"mqtt://{broker}/stdl-events"]
    assert "ports" not in services[broker], "a broker without a password is for these containers alone"
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "mem_limit" in service


@pytest.mark.parametrize("argument", ["http://127.0.0.1:1/metrics", "nonsense"])
def test_the_health_check_says_in_one_line_why_nothing_answers(argument):
    ended = check_health(argument)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (1, "", 1)
