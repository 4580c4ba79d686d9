"""Every reader on many damaged files, each format in a child process:

    python tests/benchmarks/run_fuzz.py [FORMAT ...] [--count 20000] [--seed 1] [--out FOLDER]

Some formats alone replace their rows in a result of the same day, count and seed. The suite runs a few hundred files
per reader; this runs them all. A child that aborts, hangs, takes too much memory or raises something that is no error
of ours ends with another exit code than 0, and so does this program.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, fuzz_arguments, write_result

FUZZ_TESTS = REPOSITORY / "tests" / "fuzz"
sys.path[:0] = [str(FUZZ_TESTS), str(REPOSITORY / "tests" / "support")]

from fuzz_readers import FORMATS, MAX_BYTES, MAX_SECONDS  # noqa: E402  # lies beside the tests that use it


def merged(path: Path, configuration: dict[str, Any], rows: list[dict[str, Any]], commit: str) -> list[dict[str, Any]]:
    """`rows`, with their commit, merged into the result at `path` if that has the same configuration."""
    by_format: dict[str, dict[str, Any]] = {}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["configuration"] == configuration:
            by_format = {row["format"]: {"commit": before["environment"]["commit"]} | row for row in before["rows"]}
    by_format |= {row["format"]: row | {"commit": commit} for row in rows}
    return [by_format[format] for format in FORMATS if format in by_format]


def main() -> int:
    arguments = fuzz_arguments("Every reader on many damaged files.", count=20_000, of="per format", names=FORMATS)
    rows = []
    for format in arguments.names or FORMATS:
        began_s = time.perf_counter()
        options = [format, "--count", str(arguments.count), "--seed", str(arguments.seed)]
        child = subprocess.run(
            [sys.executable, FUZZ_TESTS / "fuzz_readers.py", *options], capture_output=True, text=True, check=False
        )
        lines = child.stdout.strip().splitlines() or [""]
        row = {"format": format, "exit_code": child.returncode, "seconds": round(time.perf_counter() - began_s, 1)}
        rows.append(row | {"outcome": lines[-1]})
        print(f"{format:12} exit code {child.returncode}  {row['seconds']:7.1f} s  {lines[-1]}", flush=True)
        if child.returncode:
            print(child.stderr[-2000:], file=sys.stderr)
    if arguments.out:
        limits = {"max_seconds": MAX_SECONDS, "max_bytes": MAX_BYTES}
        configuration = {"count": arguments.count, "seed": arguments.seed, **limits}
        facts = environment(["stdl-events", "numpy", "h5py", "lz4", "zstandard"])
        rows = merged(arguments.out / f"{facts['date']}_fuzz.json", configuration, rows, facts["commit"])
        print(write_result(arguments.out, "fuzz", {"environment": facts, "configuration": configuration, "rows": rows}))
    return int(any(row["exit_code"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
