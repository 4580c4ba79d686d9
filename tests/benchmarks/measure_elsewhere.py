"""The same files on another processor: its Python's and C++'s predictions beside those of this one.

    python tests/benchmarks/measure_elsewhere.py --python COMMAND [--program COMMAND] [--models FILE ...]
                                                 [--recordings FOLDER] [--clips 50] [--out FOLDER]

COMMAND runs Python there, with the packages of deploy/requirements.txt and the wheel of this commit, or `recognise`,
built there from deploy/cpp. Both see this machine's files. On Debian 12, with an aarch64 Python unpacked into ROOT:

    pip install --platform manylinux_2_28_aarch64 --python-version 3.11 --only-binary=:all: --target SITE \\
        --require-hashes -r deploy/requirements.txt
    COMMAND: env PYTHONPATH=SITE qemu-aarch64-static -cpu cortex-a72 -L ROOT ROOT/usr/bin/python3.11

onnxruntime reads /proc/cpuinfo: ROOT/proc/cpuinfo has to be that of the emulated processor.

Recordings are digits of N-MNIST, where they are, and simulated walkers, all as EVT 2; each model is run on those of its
sensor. Writes <date>_elsewhere.json.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_report import REPOSITORY, environment, write_result

from stdl_events.events import open_recording
from stdl_events.events.convert import convert
from stdl_events.live import OnnxSession
from stdl_events.recordings.simulated.synthetic import generate_walkers

WALKERS, DIGITS = (48, 48), (34, 34)
FACTS = """import json, platform, numpy, onnxruntime
print(json.dumps({"machine": platform.machine(), "python": platform.python_version(),
                  "numpy": numpy.__version__, "onnxruntime": onnxruntime.__version__}))"""


def digits(folder: Path, recordings: Path, count: int) -> list[Path]:
    """Digits, evenly chosen by their file's name."""
    found = sorted(recordings.rglob("*.bin"))
    return [
        converted(path, folder, format="nmnist", sensor_size=DIGITS)
        for path in found[:: max(1, len(found) // count)][:count]
    ]


def walkers(folder: Path, count: int) -> list[Path]:
    split = generate_walkers(folder / "simulated", people=8, per_person=max(2, count // 4))
    return [converted(entry.path, folder) for entry in split.test.entries[:count]]


def converted(path: Path, folder: Path, **known: Any) -> Path:
    to = folder / f"{path.parent.name}_{path.stem}.raw"
    convert(open_recording(path, **known), to, format="evt2")
    return to


def run(command: list[object]) -> str:
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{shlex.join(map(str, command[:4]))} ...: {ended.stderr[-400:]}")
    return ended.stdout


def by_python(command: list[str], model: Path, paths: list[Path]) -> list[dict[str, Any]]:
    document = json.loads(run([*command, "-m", "stdl_events", "predict", model, *paths, "--json"]))
    clips = [clip for recording in document["recordings"] for clip in recording["clips"]]
    return [{"label": clip["label"], "of": clip["probabilities"]} for clip in clips]


def by_program(command: list[str], model: Path, paths: list[Path]) -> list[dict[str, Any]]:
    rows = map(json.loads, run([*command, model, *paths]).splitlines())
    return [{"label": row["label"], "of": row["probabilities"]} for row in rows if "summary" not in row]


def compared(here: list[dict[str, Any]], there: list[dict[str, Any]]) -> dict[str, Any]:
    """Clips, those with the same class, and the largest difference of a probability."""
    pairs = list(zip(here, there, strict=True))
    return {
        "clips": len(pairs),
        "same_class": sum(one["label"] == other["label"] for one, other in pairs),
        "largest_difference": max(
            abs(one["of"][name] - other["of"][name]) for one, other in pairs for name in one["of"]
        ),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, type=shlex.split, help="how Python is run there")
    parser.add_argument("--program", type=shlex.split, help="how `recognise` is run there")
    parser.add_argument("--models", nargs="+", default=["models:nmnist", "models:walkers"])
    nmnist = Path(os.environ.get("STDL_EVENTS_RECORDINGS", REPOSITORY.parent / "shared" / "recordings")) / "nmnist"
    parser.add_argument("--recordings", type=Path, default=nmnist, help="of N-MNIST")
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--out", type=Path, help="folder for a dated JSON result")
    asked = parser.parse_args()
    result: dict[str, Any] = {
        "environment": environment(("numpy", "onnxruntime")),
        "there": json.loads(run([*asked.python, "-c", FACTS])),
        "models": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        files = {WALKERS: walkers(Path(folder), asked.clips)}
        if asked.recordings.is_dir():
            files[DIGITS] = digits(Path(folder), asked.recordings, asked.clips)
        for name in asked.models:
            session = OnnxSession(name)
            if (paths := files.get(session.card.frame.sensor_size)) is None:
                print(f"{name}: no recordings of its sensor")
                continue
            here = by_python([sys.executable], session.path, paths)
            found = {"python": compared(here, by_python(asked.python, session.path, paths))}
            if asked.program:
                found["cpp"] = compared(here, by_program(asked.program, session.path, paths))
            print(name, found)
            result["models"][name] = found
    if asked.out:
        print(write_result(asked.out, "elsewhere", result))
    alike = [one["clips"] == one["same_class"] for found in result["models"].values() for one in found.values()]
    return 0 if alike and all(alike) else 1


if __name__ == "__main__":
    sys.exit(main())
