"""`--plugin`, `--version`, and Python files that are imported once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stdl_events import __version__
from stdl_events.errors import RecipeError
from stdl_events.network.registries import SURROGATES
from stdl_events.plugins import import_file, load_plugin
from stdl_events.recipes import load_recipe

PLUGIN = """
from stdl_events.network.registries import SURROGATES
from stdl_events.network.surrogate import TRIANGLE
from stdl_events.recipes import folder

SURROGATES.register("again", TRIANGLE)

def recipe():
    return folder.recipe().derive(name="again", network={"neuron": {"surrogate": "again"}})
"""

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plugin(tmp_path: Path):
    path = tmp_path / "again.py"
    path.write_text(PLUGIN, encoding="utf-8")
    yield path
    if "again" in SURROGATES:
        SURROGATES.unregister("again")


def test_a_plugin_registers_before_the_command_runs(plugin: Path, run_cli: Cli) -> None:
    command = ("train", "folder", "--data", plugin.parent / "none", "--set", "network.neuron.surrogate=again")
    code, _, unknown = run_cli(*command)
    assert (code, "got 'again'" in unknown) == (2, True)
    code, _, known = run_cli("--plugin", plugin, *command)
    assert code == 2
    assert "again'" not in known, "only the recordings are missing now"
    again = run_cli(*command, "--plugin", plugin)[2]
    assert again.splitlines()[-1] == known.splitlines()[-1], "before or behind the command"


def test_a_file_runs_once_until_it_changes(plugin: Path) -> None:
    module = import_file(plugin)
    assert import_file(plugin) is module
    assert load_recipe(str(plugin)).network.neuron.surrogate == "again"
    plugin.write_text("x = 1\n", encoding="utf-8")
    assert import_file(plugin).x == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none.py", "got no such file; expected a Python file"),
        ("broken.py", "got ZeroDivisionError while importing it: division by zero"),
        ("no.such.module", "got ModuleNotFoundError while importing it: No module named 'no'"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch, run_cli, name, text) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    code, _, err = run_cli("--plugin", name, "info", "x.h5")
    assert code == 2
    assert err.count("\n") == 1
    assert f"error: {name}: {text}" in err.replace(f"{tmp_path}/", "")
    with pytest.raises(RecipeError):
        load_plugin(name)


def test_the_version_may_stand_behind_a_command(run_cli: Cli) -> None:
    for arguments in (("--version",), ("live", "--version"), ("train", "folder", "--version")):
        assert run_cli(*arguments) == (0, f"stdl-events {__version__}\n", "")
