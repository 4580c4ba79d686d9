"""Coverage-guided fuzzing of everything that takes untrusted bytes: readers, label files, models, documents.

    python tests/benchmarks/run_fuzz_coverage.py [TARGET ...] [--minutes 20] [--seed 1] [--out FOLDER] [--finds FOLDER]
    python tests/benchmarks/run_fuzz_coverage.py --again FILE

Some targets alone replace their rows in a result of the same day, time and seed.

The extra `fuzz` brings atheris, which exists for CPython 3.11 to 3.13 on Linux x86-64. Each target runs in a process
of its own, with an equal share of the time, from seeds that the tests' and the package's own writers make. A find is
any exception that is no error of the package, a crash, more than 2 seconds, or more than 512 MiB beyond what the
process has mapped after its seeds. It ends the process and is kept as a file, which `--again` runs once more, without
atheris; the target goes on in a new process. An input that took too long is a find if it takes more than 2 seconds of
CPU time again.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

sys.path[:0] = [str(REPOSITORY / "tests" / "support"), str(REPOSITORY / "tests" / "fuzz")]

MAX_FINDS = 3
MAX_INPUT_BYTES = 1 << 14
SECONDS_TO_START = 120
# Instrumented modules are imported once, and every search begins with them.
FORK = multiprocessing.get_context("fork")
TOO_LONG = 124
# The input that is taken just now, in case that the process ends without a word.
CURRENT = "current"
# In memory where that is possible: the readers take files, which are written for every input.
TEMPORARY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_STATUS = re.compile(r"#\d+\s+\S+ +cov: (\d+)")
EXECUTED = "stat::number_of_executed_units:"
_EXECUTED = re.compile(rf"{EXECUTED} (\d+)|#(\d+)\s")


def search(name: str, module: str, folder: Path, seconds: int, seed: int) -> None:
    """Fuzz the target `name` in this process, which ends with the first find; a corpus is kept in `folder`."""
    import atheris
    from fuzz_readers import MAX_BYTES, MAX_SECONDS, limit_memory
    from fuzz_targets import outcome

    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    tempfile.tempdir = str(folder / "temporary")
    ignore_warnings()
    target, work, corpus = import_module(module).TARGETS[name], folder / "work", folder / "corpus"
    work.mkdir(exist_ok=True)
    with atheris.instrument_imports(include=["stdl_events"]):  # what is imported when it is needed
        for number, data in enumerate(target.seeds(work)):
            outcome(target, work, data)
            (corpus / f"seed-{number}").write_bytes(data)
    limit_memory()
    current, executions, end_s = folder / CURRENT, count(1), time.monotonic() + seconds

    def leave(code: int, executed: int) -> None:
        """End the process at once: atheris takes long, may lose the input, and joins threads that a fork has not."""
        print(f"{EXECUTED} {executed}", flush=True)
        os._exit(code)

    def take(data: bytes) -> None:
        executed = next(executions)
        if time.monotonic() > end_s:
            leave(0, executed - 1)
        current.write_bytes(data)
        try:
            outcome(target, work, data)
        except BaseException:
            traceback.print_exc()
            (folder / f"find-exception-{hashlib.sha256(data).hexdigest()}").write_bytes(data)
            leave(1, executed)

    limits = [f"-timeout={MAX_SECONDS}", f"-rss_limit_mb={resident_mib() + (MAX_BYTES >> 20)}"]
    limits += [f"-max_total_time={2 * seconds}", f"-max_len={MAX_INPUT_BYTES}", f"-seed={seed}", "-detect_leaks=0"]
    atheris.Setup([name, *limits, "-print_final_stats=1", f"-artifact_prefix={folder}/find-", str(corpus)], take)
    atheris.Fuzz()


def ignore_warnings() -> None:
    """Turn warnings into errors, other than those by which readers say what they skip."""
    from stdl_events.events import RecordingWarning

    warnings.simplefilter("error")
    warnings.simplefilter("ignore", RecordingWarning)


def resident_mib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def run_again(path: Path) -> int:
    """Give the find at `path` to its target once more; the process ends with another status than 0 on a fault."""
    from fuzz_readers import MAX_SECONDS, limit_memory, set_alarms
    from fuzz_targets import module_of_targets, outcome

    ignore_warnings()
    name = path.name.rsplit("_", 2)[0]
    target = import_module(module_of_targets()[name]).TARGETS[name]
    with tempfile.TemporaryDirectory() as work:
        for data in target.seeds(Path(work)):
            outcome(target, Path(work), data)
        limit_memory()
        set_alarms(MAX_SECONDS)
        print(f"{name}: {outcome(target, Path(work), path.read_bytes())}")
        set_alarms(0)
    return 0


def run_target(name: str, module: str, seconds: float, seed: int, finds: Path) -> dict[str, Any]:
    """Search in processes of their own until the time is used; return the row of the result."""
    row: dict[str, Any] = {"target": name, "executions": 0, "edges": 0, "seconds": 0.0, "finds": [], "slow_once": 0}
    with tempfile.TemporaryDirectory(prefix="stdl-fuzz-", dir=TEMPORARY) as text:
        folder = Path(text)
        (folder / "corpus").mkdir()
        (folder / "temporary").mkdir()
        while row["seconds"] < seconds - 1 and len(row["finds"]) < MAX_FINDS:
            left = int(seconds - row["seconds"])
            began_s = time.perf_counter()
            process = FORK.Process(target=search, args=(name, module, folder, left, seed + len(row["finds"])))
            process.start()
            process.join(left + SECONDS_TO_START)
            code = process.exitcode
            if code is None:
                process.kill()
                process.join()
            log = (folder / "log").read_text(encoding="utf-8", errors="replace")
            row["seconds"] += round(min(time.perf_counter() - began_s, left), 1)
            executions, edges = read_log(log)
            row["executions"] += executions
            row["edges"] = max(row["edges"], edges)
            if code == 0:
                break
            _keep_find(row, folder, finds, TOO_LONG if code is None else code, log)
    return row


def read_log(log: str) -> tuple[int, int]:
    """Return (executions, covered edges) by the log of libFuzzer."""
    executed = [int(one or other) for one, other in _EXECUTED.findall(log)]
    return max(executed, default=0), max(map(int, _STATUS.findall(log)), default=0)


def _keep_find(row: dict[str, Any], folder: Path, finds: Path, code: int, log: str) -> None:
    """Add the find of a process to `row`, unless it took too long only once."""
    found = next(folder.glob("find-*"), folder / CURRENT)
    data = found.read_bytes() if found.exists() else b""
    kind = f"exit{code}" if found.name == CURRENT else found.name.split("-")[1]
    finds.mkdir(parents=True, exist_ok=True)
    path = finds / f"{row['target']}_{kind}_{hashlib.sha256(data).hexdigest()[:8]}"
    path.write_bytes(data)
    path.with_name(f"{path.name}.log").write_text(log, encoding="utf-8")
    found.unlink(missing_ok=True)
    again = subprocess.run([sys.executable, __file__, "--again", str(path)], capture_output=True, check=False)
    if kind in ("timeout", f"exit{TOO_LONG}") and again.returncode == 0:
        row["slow_once"] += 1
    else:
        lines = [line.strip() for line in log.splitlines() if re.match(r"[\w.]+: |==\d+== ?ERROR", line)]
        error = (lines or log.splitlines() or [""])[-1][:300]
        row["finds"].append({"file": path.name, "kind": kind, "again": again.returncode, "error": error})
        print(f"{path}: {error}", file=sys.stderr, flush=True)


def rows_before(path: Path, configuration: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows, each with its commit, of the result at `path` by target; none if it was configured otherwise."""
    if not path.exists():
        return {}
    before = json.loads(path.read_text(encoding="utf-8"))
    if before["configuration"] != configuration:
        return {}
    return {row["target"]: {"commit": before["environment"]["commit"]} | row for row in before["rows"]}


def main() -> int:
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing of everything that takes untrusted bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all if none is named; --list prints them")
    parser.add_argument(
        "--minutes", type=float, default=20, help="of searching for all targets; each has an equal share"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    parser.add_argument("--finds", type=Path, default=Path("runs/fuzz_finds"), help="folder for inputs that fail")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run a find once more")
    parser.add_argument("--list", action="store_true", help="print the targets")
    arguments = parser.parse_args()
    if arguments.again:
        return run_again(arguments.again)
    if arguments.list:
        from fuzz_targets import module_of_targets

        print(*module_of_targets(), sep="\n")
        return 0
    if find_spec("atheris") is None:
        parser.error("got no atheris; expected the extra fuzz, on Linux x86-64 with CPython 3.11 to 3.13; install it")
    import atheris

    with atheris.instrument_imports(include=["stdl_events"]):
        from fuzz_readers import MAX_BYTES, MAX_SECONDS
        from fuzz_targets import module_of_targets

        modules = module_of_targets()
    names = arguments.targets or list(modules)
    rows = []
    for name in names:
        rows.append(
            run_target(name, modules[name], 60 * arguments.minutes / len(modules), arguments.seed, arguments.finds)
        )
        print(" ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    if arguments.out:
        limits = {"max_seconds": MAX_SECONDS, "max_bytes": MAX_BYTES, "max_input_bytes": MAX_INPUT_BYTES}
        configuration = {"minutes": arguments.minutes, "seed": arguments.seed, **limits}
        facts = environment(["stdl-events", "atheris", "numpy", "h5py", "lz4", "zstandard", "numba", "onnxruntime"])
        before = rows_before(arguments.out / f"{facts['date']}_fuzz_coverage.json", configuration)
        by_name = before | {row["target"]: {"commit": facts["commit"]} | row for row in rows}
        rows = [by_name[name] for name in modules if name in by_name]
        document = {"environment": facts, "configuration": configuration, "rows": rows}
        print(write_result(arguments.out, "fuzz_coverage", document))
    return int(any(row["finds"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
