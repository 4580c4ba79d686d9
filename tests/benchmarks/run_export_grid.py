"""Every named network x neuron x norm x classifier, shrunk: exported, verified over 200 steps, run by eventcv too.

    python tests/benchmarks/run_export_grid.py --out tests/benchmarks/results [--pairs] [--shard 1/4] [--rows FILE]

Each case is a line of --rows as soon as it is done; cases that are there already are not repeated. --pairs takes cases
that together hold every pair of values. Exit code 1: a file disagrees.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from bench_report import environment, write_result
from export_grid import Case, check, covering, grid, shard

from stdl_events.errors import StdlEventsError


def run(case: Case) -> dict[str, Any]:
    """Return the row of a case, with its error if there is one."""
    started_s = time.perf_counter()
    try:
        row = check(case)
    except (StdlEventsError, AssertionError) as error:
        row = asdict(case) | {"error": str(error)}
    return row | {"seconds": round(time.perf_counter() - started_s, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    parser.add_argument("--pairs", action="store_true", help="cases that hold every pair of values")
    parser.add_argument("--shard", default="1/1", help="number/of")
    parser.add_argument("--rows", type=Path, default=Path("export_grid.jsonl"), help="finished cases")
    asked = parser.parse_args()
    number, of = map(int, asked.shard.split("/"))
    cases = list(shard(covering(grid()) if asked.pairs else grid(), number, of))
    done = {}
    if asked.rows.is_file():
        rows = map(json.loads, asked.rows.read_text(encoding="utf-8").splitlines())
        done = {Case(row["network"], row["neuron"], row["norm"], row["classifier"]).name: row for row in rows}
    for count, case in enumerate(cases, start=1):
        if case.name not in done:
            done[case.name] = run(case)
            with asked.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[case.name]) + "\n")
        row = done[case.name]
        said = row.get("error") or ("refused" if "refused" in row else "agrees")
        print(f"{count}/{len(cases)} {case.name}: {said}, {row['seconds']} s", flush=True)
    found = [done[case.name] for case in cases]
    wrong = [row for row in found if "error" in row]
    refused = sum("refused" in row for row in found)
    print(f"{len(found) - len(wrong) - refused} agree, {refused} refused by the notation, {len(wrong)} disagree")
    if asked.out is not None:
        document = {"environment": environment(("torch", "onnx", "onnxruntime", "eventcv")), "cases": found}
        print(write_result(asked.out, "export_grid_pairs" if asked.pairs else "export_grid", document))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
