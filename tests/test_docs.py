"""The code blocks of the README and of docs/ run: those of each page in order, in a folder of its own.

The folder has `my_recordings`, two classes of small simulated recordings, and `recording.h5`, one of them. Commands run
line by line in this process, which forgets what each has registered. Python blocks run as programs; one that starts
with a comment `# name.py` becomes that file. Set-up is not run here: `make` targets are checked by a dry run, and
installing is the wheel's test.
"""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import stdl_events
from stdl_events import plugins
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.recipes import describe_recipes
from stdl_events.training.overrides import setting_keys

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "python", "text", "toml", "json", "csv", "bibtex", "yaml"}
SENSOR = (32, 24)
# Three clips of the recipe `folder`.
DURATION_US = 720_000


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return (language, code) of every fenced block."""
    return [match.groups() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def commands(block: str) -> Iterator[list[str]]:
    """The words of each command of a shell block; comments and continued lines are joined as a shell does."""
    for line in block.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def write_moving_spot(path: Path, direction: int, seed: int) -> None:
    """Events of a spot that crosses the sensor to the right (1) or to the left (-1)."""
    rng = np.random.default_rng(seed)
    events = empty_events(4_320)
    events["t"] = np.sort(rng.integers(0, DURATION_US, len(events)))
    centre = SENSOR[0] / 2 + direction * (events["t"] % 200_000 / 200_000 - 0.5) * 20
    events["x"] = np.clip(centre + rng.normal(0, 2, len(events)), 0, SENSOR[0] - 1)
    events["y"] = np.clip(SENSOR[1] / 2 + rng.normal(0, 3, len(events)), 0, SENSOR[1] - 1)
    events["p"] = rng.integers(0, 2, len(events))
    write_recording(path, events, SENSOR)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("docs")
    for label, direction in (("walk", -1), ("wave", 1)):
        (root / "my_recordings" / label).mkdir(parents=True)
        for seed in range(4):
            write_moving_spot(root / "my_recordings" / label / f"{seed}.h5", direction, seed)
    shutil.copy(root / "my_recordings" / "wave" / "0.h5", root / "recording.h5")
    return root


@pytest.fixture
def workplace(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(recordings, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


REGISTRIES = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))["registries"]().values()


@contextmanager
def as_in_a_new_process() -> Iterator[None]:
    """Forget the files that were imported within, also from the working directory, and what they registered."""
    before, modules = [registry.names for registry in REGISTRIES], set(sys.modules)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(Path.cwd())):
            del sys.modules[name]
    for registry, names in zip(REGISTRIES, before, strict=True):
        for name in set(registry.names) - set(names):
            registry.unregister(name)
    plugins._import_file.cache_clear()


def run_command(words: list[str], run_cli: Callable[..., tuple[int, str, str]]) -> None:
    program, *arguments = words
    if program == "make":
        subprocess.run(["make", "--dry-run", *arguments], cwd=REPOSITORY, check=True, capture_output=True)
    elif program == "pip":
        assert arguments[:3] == ["install", "-c", "constraints.txt"], "always through the constraints, in one command"
    elif program == "openssl":
        subprocess.run(words, check=True, capture_output=True)
    elif program == "python":
        ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{shlex.join(words)}: {ended.stderr}"
    elif program == "stdl-events":
        if arguments[0] == "export":
            arguments += ["--check-steps", "20"]  # each check in full takes most of a page's time
        elif "--check" in arguments:
            arguments[arguments.index("--check") + 1] = "2"  # seconds: the least that it takes
        with as_in_a_new_process():
            code, _, messages = run_cli(*arguments)
        assert code == 0, f"{shlex.join(words)}: {messages}"
    else:
        raise AssertionError(f"a block runs {program}: nothing here knows how")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_code_block_runs(page, workplace, run_cli):
    for number, (language, code) in enumerate(blocks(page)):
        assert language in LANGUAGES, f"block {number} is in {language}"
        if language == "python":
            named = re.match(r"# (\w+\.py)\n", code)
            program = workplace / (named[1] if named else f"block{number}.py")
            program.write_text(code, encoding="utf-8")
            if not named:
                with as_in_a_new_process():
                    runpy.run_path(str(program), run_name="__main__")
        elif language == "sh":
            for words in commands(code):
                run_command(words, run_cli)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_fence_names_its_language(page):
    fences = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("```")]
    assert len(fences) == 2 * len(blocks(page))


def test_a_block_that_does_not_run_is_noticed(workplace, run_cli):
    with pytest.raises(AssertionError, match="no such file"):
        run_command(["stdl-events", "info", "missing.h5"], run_cli)
    with pytest.raises(subprocess.CalledProcessError):
        run_command(["make", "nothing-like-this"], run_cli)
    assert list(commands("a b \\\n  c  # said\n# only said\n\nd")) == [["a", "b", "c"], ["d"]]


def test_the_generated_pages_know_every_registry_and_setting():
    generate = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))
    pages = generate["pages"]()
    for name, registry in generate["registries"]().items():
        assert name in pages["reference/choices.md"]
        assert all(f"`{entry}`" in pages["reference/choices.md"] for entry in registry)
    for name in stdl_events.__all__:
        assert f".{name}\n" in pages["reference/python.md"]
    rows = [line for line in pages["reference/settings.md"].splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == [], "a setting without a meaning"
    assert {row.split("`")[1] for row in rows} >= setting_keys().keys() - {"network.neuron"}
    assert "| `freeze` | `list of str` |" in pages["reference/settings.md"]
    recipes = pages["reference/recipes.md"]
    assert all(f"## {name}\n\n{recipe.summary}" in recipes for name, recipe in describe_recipes().items())
    assert "| `network.notation` | `resnet18` |" in recipes
    assert "`--variant sltt`: SLTT" in recipes
    for command in ("train", "live", "memory"):
        assert f"Usage: stdl-events {command}" in pages["reference/commands.md"]
    help_lines = pages["reference/commands.md"].partition("```text\n")[2].splitlines()
    assert max(map(len, help_lines)) <= 80, "help is wrapped"
