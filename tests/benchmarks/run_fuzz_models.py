"""Many damaged model files and cards, each run one step, in child processes:

    python tests/benchmarks/run_fuzz_models.py [--count 5000] [--seed 1] [--out FOLDER]

Each file is refused by one line of ours, or runs as what it says it is; see `fuzz_models.py`, whose outcomes are
added up here. A child that crashes, hangs or fails ends this program with exit code 1, and prints the file's number.

Files that are opened: each child asks the kernel (inotify) for those in the models' folder and the one above, where
files lie that some damages name. Where strace is installed, it lists every file that a child opens, anywhere.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, fuzz_arguments, write_result

FUZZ_TESTS = REPOSITORY / "tests" / "fuzz"
sys.path[:0] = [str(FUZZ_TESTS), str(REPOSITORY / "tests" / "support")]

from fuzz_models import BEGINS, ENDS, MAX_SECONDS, MODEL  # noqa: E402  # lies beside the test that uses it

FILES_PER_CHILD = 500
_OPENED = re.compile(r'\bopen\w*\([^"]*"([^"]*)"')


def run_child(first: int, count: int, seed: int, strace: str | None) -> dict[str, Any]:
    """Run files `first` to `first + count` and return a row of the result."""
    program = [sys.executable, FUZZ_TESTS / "fuzz_models.py", "--first", first, "--count", count, "--seed", seed]
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log"
        watched = [strace, "-f", "-qq", "--seccomp-bpf", "-s", "4096", "-e", "trace=%file", "-o", log] if strace else []
        began_s = time.perf_counter()
        child = subprocess.run(map(str, [*watched, *program]), capture_output=True, text=True, check=False)
        opened = opened_elsewhere(log.read_text(encoding="utf-8", errors="replace")) if strace else []
    row: dict[str, Any] = {"first": first, "count": count, "exit_code": child.returncode, "opened_elsewhere": opened}
    row["seconds"] = round(time.perf_counter() - began_s, 1)
    if child.returncode:
        print(child.stdout[-2000:], child.stderr[-2000:], file=sys.stderr)
        return row
    return row | json.loads(child.stdout)


def opened_elsewhere(log: str) -> list[str]:
    """Return what a child opened between its first and its last file, but for the models.

    Raises:
        ValueError: the log shows neither.
    """
    lines = log.splitlines()
    begins, ends = (next(index for index, line in enumerate(lines) if f'/{name}"' in line) for name in (BEGINS, ENDS))
    paths = {match[1] for line in lines[begins:ends] if (match := _OPENED.search(line))}
    if not any(path.endswith(f"/{MODEL}") for path in paths):
        raise ValueError("the log shows no model that is opened")
    return sorted(path for path in paths if not path.endswith(f"/models/{MODEL}"))


def main() -> int:
    asked = fuzz_arguments("Model files and cards damaged in many ways.", count=5_000)
    strace = shutil.which("strace")
    rows = []
    for first in range(0, asked.count, FILES_PER_CHILD):
        rows.append(run_child(first, min(FILES_PER_CHILD, asked.count - first), asked.seed, strace))
        print(" ".join(f"{name}={value}" for name, value in rows[-1].items() if name != "outcomes"), flush=True)
    outcomes: Counter[str] = Counter()
    for row in rows:
        outcomes.update(row.pop("outcomes", {}))
    print(*(f"{name}: {count}" for name, count in sorted(outcomes.items())), sep="\n")
    if asked.out:
        configuration = {
            "count": asked.count, "seed": asked.seed, "max_cpu_seconds": MAX_SECONDS,
            "observed_by": ["inotify", *(["strace"] if strace else [])],
        }  # fmt: skip
        facts = environment(["stdl-events", "onnxruntime", "protobuf", "pydantic", "numpy", "onnx"])
        document = {"environment": facts, "configuration": configuration, "outcomes": dict(sorted(outcomes.items()))}
        print(write_result(asked.out, "fuzz_models", {**document, "rows": rows}))
    return int(any(row["exit_code"] or row["opened_elsewhere"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
