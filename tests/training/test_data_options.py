"""The options about recordings: each command that takes a recipe has all of them, and each is a setting."""

import json
from pathlib import Path

import numpy as np
import pytest

from stdl_events.cli.options.data_options import DataOptions

NETWORK = ("--set", "network.notation=4C3", "--set", "frames.steps=2", "--set", "frames.dt_us=10000")
SMALL = (*NETWORK, "--set", "learning.least_blocks=1", "--set", "batch_size=2", "--json")
COMMANDS = {"memory": SMALL, "plan": SMALL, "cost": (*NETWORK, "--rule", "sltt", "--batch", 2, "--json")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings as text without a size, whose label file of another name has three classes in one folder."""
    rng = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "data" / "day" / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        t = np.sort(rng.integers(0, 100_000, 50))
        path.write_text("".join(f"{n % 8},{n % 6},{n % 2},{at}\n" for n, at in enumerate(t)))
    rows = [f"day/{number},{'abc'[number % 3]}" for number in range(6)]
    (tmp_path / "data" / "mine.csv").write_text("\n".join(["recording,label", *rows]))
    return tmp_path / "data"


OPTIONS = {
    "labels": "mine.csv",
    "orientation": ["a:rotate=180"],
    "sensor": "8x6",
    "columns": "x,y,p,t",
    "time_unit": "us",
    "filters": ["refractory_us=10"],
    "rotate": 90,
    "scale": "3x4",
}


def test_options_are_assignments_of_settings() -> None:
    given = DataOptions.of(dict.fromkeys(["layout", "crop", "stream"]) | OPTIONS)
    assert given.flags[:3] == ("--labels", "--orientation", "--sensor")
    assert "--filter" in given.flags
    assert "frames.filters.refractory_us=10" in given.assignments
    assert "data.sensor_size=8x6" in given.assignments
    assert not DataOptions.of(dict.fromkeys(OPTIONS)).assignments


@pytest.mark.parametrize("command", COMMANDS)
def test_options_do_what_their_settings_do(run_cli, folder: Path, command: str) -> None:
    flags = [("--filter" if name == "filters" else "--" + name.replace("_", "-"), value[0] if isinstance(value, list)
              else value) for name, value in OPTIONS.items()]  # fmt: skip
    settings = [("--set", assignment) for assignment in DataOptions.of(OPTIONS).assignments]
    found = []
    for options in (flags, settings):
        words = [word for pair in options for word in pair]
        code, out, err = run_cli(command, "folder", "--data", folder, *words, *COMMANDS[command])
        assert code == 0, err
        found.append(json.loads(out))
    assert found[0] == found[1]
    assert found[0].get("network", "4C3-3FC") == "4C3-3FC", "the classes are those of the label file"
    code, _, err = run_cli(command, "folder", "--data", folder, *COMMANDS[command])
    assert code == 2, "without its label file the folder has one class"
    assert "expected <class>/<recording>" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_network_by_itself_has_no_recordings(run_cli, command: str) -> None:
    network = ("--network", "4C3", "--input", "2x6x8", "--classes", 2)
    code, _, err = run_cli(command, *network, "--labels", "mine.csv", "--rotate", 90)
    assert code == 2
    assert "--labels and --rotate: got no recipe" in err


@pytest.mark.parametrize("command", ["train", *COMMANDS])
def test_a_value_that_does_not_parse_is_one_line(run_cli, folder: Path, command: str) -> None:
    for option, value in (("--sensor", "346"), ("--orientation", "a"), ("--filter", "hot=1"), ("--rotate", 45)):
        code, out, err = run_cli(command, "folder", "--data", folder, option, value)
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
