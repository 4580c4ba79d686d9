"""The Dockerfile, read line by line, and its steps executed below a folder, without an engine."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = REPOSITORY / "deploy" / "Dockerfile"
# A program of the image -> the same here. A user is added to the files below the folder alone.
PROGRAMS = {"python": sys.executable, "pip": f"{sys.executable} -m pip", "useradd": "useradd --prefix {root}"}


def instructions(name: str) -> list[str]:
    """Return what follows each instruction `name`."""
    return [words for each, words in steps() if each == name]


def steps() -> list[tuple[str, str]]:
    """Return (instruction, what follows it) of each line in order."""
    return re.findall(r"^([A-Z]+) (.+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)


def execute(root: Path, wheel: Path, run: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    """Execute every COPY and RUN below `root`, which both stages share, as far as the first that fails.

    Args:
        wheel: what `dist/` holds.
        run: runs a line of the shell and checks how it ended.
    """
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").touch()
    (root / "etc" / "group").write_text("video:x:44:\n", encoding="utf-8")
    for name, words in steps():
        if name == "COPY":
            *sources, target = words.split()
            if sources[0] == "--from=build":
                # An environment cannot be moved: its programs name its own folder.
                assert sources[1:] == [target]
                continue
            assert target.endswith("/")
            folder = root / target.strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            for source in sources:
                shutil.copy(wheel if source == "dist/stdl_events-*.whl" else REPOSITORY / source, folder)
        elif name == "RUN":
            program, _, arguments = words.partition(" ")
            here = PROGRAMS[program].format(root=shlex.quote(str(root)))
            run(f"{here} {re.sub(r'(?<= )/(?=(build|opt)/)', f'{root}/', arguments)}")
