#!/usr/bin/env python3
"""Describe an exported model, and check that this device runs it in time. Needs only numpy and onnxruntime.

    python check_model.py model.onnx [--steps 200] [--threads 1] [--json]

It steps the model on empty frames and on random events. Energy is the processor's, as its RAPL counters say where this
user may read them: idle power and other programs are included. Exit codes: 0 it runs in time; 1 it runs, but slower
than its frames arrive; 2 the model is unusable; 3 numpy or onnxruntime is missing.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

# onnxruntime would otherwise keep an identifier of this device in the home folder and send measurements to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    print(f"check_model: error: {error}; pip install -r requirements.txt", file=sys.stderr)
    sys.exit(3)

METADATA_KEY, SCHEMA_VERSION = "stdl_events.model_card", 1
# What `live` takes; a file of a newer version may have more, and is refused by it.
CARD_ENTRIES = {
    "schema_version", "network", "frame", "labels", "readout", "state_shapes", "versions", "provenance", "decision",
    "temperature", "steps_per_call", "weights_sha256", "verification", "accuracy", "state_format",
}  # fmt: skip
FRAME_ENTRIES = {
    "kind", "steps", "sensor_size", "dt_us", "events_per_frame", "grid", "by", "remainder", "downscale", "filters",
    "rotate", "flip", "crop", "center_crop", "scale", "scale_by", "cap", "picture",
}  # fmt: skip
DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8}
WARM_UP_STEPS = 5
# Share of the pixels with an event in a frame: a busy scene.
BUSY_SHARE = 0.1


POWERCAP = Path("/sys/class/powercap")


class UnusableModel(Exception):
    """The file is not an exported model, or its outputs are invalid."""


def open_model(path, threads):
    """Return (session, card) of an exported file."""
    if not Path(path).is_file():
        raise UnusableModel("no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UnusableModel(f"onnxruntime refuses it ({str(error).strip().splitlines()[-1]})") from None
    try:
        card = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    except (KeyError, ValueError):
        raise UnusableModel("it has no model card: export it with stdl-events") from None
    try:
        version = card.get("schema_version", SCHEMA_VERSION)
        is_whole = version != SCHEMA_VERSION or has_what_is_read(card)
    except (AttributeError, KeyError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        raise UnusableModel("its model card is damaged: export it again")
    if version != SCHEMA_VERSION:
        raise UnusableModel(f"its card is of schema version {version!r}, not {SCHEMA_VERSION}: export it again")
    if unknown := sorted((set(card) - CARD_ENTRIES) | (set(card["frame"]) - FRAME_ENTRIES)):
        raise UnusableModel(
            f"its card has the unknown entry {unknown[0]}, maybe of a newer version: update these files"
        )
    names = {value.name for value in session.get_inputs()}
    if names != {"frame", *(f"state_{n}" for n in range(len(card["state_shapes"])))}:
        raise UnusableModel(f"its inputs are {', '.join(sorted(names))}, which its card does not say")
    return session, card


def has_what_is_read(card):
    """Return True if the entries that this program reads are what they should be."""
    frame = card["frame"]
    width, height = frame["sensor_size"]
    lengths = [
        frame["steps"],
        width,
        height,
        frame.get("dt_us") or 1,
        *(side for shape in card["state_shapes"] for side in shape),
    ]
    return (
        all(isinstance(length, int) and length > 0 for length in lengths)
        and isinstance(card["labels"], list)
        and all(isinstance(label, str) for label in card["labels"])
        and {"network", "readout"} <= set(card)
    )


def zero_state(session):
    """Return the state before the first step, by input name."""
    return {
        value.name: np.zeros([1, *value.shape[1:]], DTYPES[value.type])
        for value in session.get_inputs()
        if value.name != "frame"
    }


def run(session, card, frames):
    """Return (logits of every step, milliseconds of every step), from the zero state."""
    states = [f"next_state_{n}" for n in range(len(card["state_shapes"]))]
    state, logits, times_ms = zero_state(session), [], []
    for frame in frames:
        began_s = time.perf_counter()
        first, *rest = session.run(["logits", *states], {"frame": frame, **state})
        times_ms.append((time.perf_counter() - began_s) * 1e3)
        state = {f"state_{n}": value for n, value in enumerate(rest)}
        logits.append(first[0])
    if not all(np.isfinite(value).all() for value in state.values()):
        raise UnusableModel("its state is not finite")
    return np.array(logits), np.array(times_ms)


def random_frames(session, steps, seed):
    """Draw frames of a busy scene: a share of the pixels counts one event or more."""
    value = next(value for value in session.get_inputs() if value.name == "frame")
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        yield generator.poisson(BUSY_SHARE, [1, *value.shape[1:]]).astype(DTYPES[value.type])


class EnergyMeter:
    """Energy that the processor's packages use within a `with` block, of the counters in `folder` (Linux, powercap).

    Attributes:
        joules: after the block; None where it cannot be told.
        why: then the reason.
    """

    def __init__(self, folder=POWERCAP):
        # intel-rapl:0 is a package; intel-rapl:0:1 is a part of it. AMD's packages have the same names.
        self._zones = sorted(zone for zone in folder.glob("intel-rapl:*") if zone.name.count(":") == 1)
        self.joules = None
        self.why = None if self._zones else f"no RAPL counters in {folder}"

    def __enter__(self):
        self._began_uj = self._read("energy_uj")
        return self

    def __exit__(self, *_):
        ended_uj, ranges_uj = self._read("energy_uj"), self._read("max_energy_range_uj")
        if self.why is None:
            # A counter begins at 0 again after its range.
            used_uj = [(b - a) % (r + 1) for a, b, r in zip(self._began_uj, ended_uj, ranges_uj, strict=True)]
            self.joules = sum(used_uj) / 1e6

    def _read(self, name):
        try:
            return [int((zone / name).read_text()) for zone in self._zones]
        except (OSError, ValueError) as error:
            self.why = f"{error.strerror.lower()}: {error.filename}" if isinstance(error, OSError) else str(error)
            return []


def check(path, steps, threads):
    """Return the model's description and the time of a step on this device, as a dictionary."""
    session, card = open_model(path, threads)
    busy = list(random_frames(session, steps, seed=0))
    still = [np.zeros_like(busy[0])] * steps
    run(session, card, busy[:WARM_UP_STEPS])
    with EnergyMeter() as energy:
        logits_busy, times_busy_ms = run(session, card, busy)
        logits_still, times_still_ms = run(session, card, still)
    for what, logits in (("random events", logits_busy), ("empty frames", logits_still)):
        if not np.isfinite(logits).all():
            raise UnusableModel(f"its logits on {what} are not finite")
        if logits.shape != (steps, len(card["labels"])):
            raise UnusableModel(f"it gives {logits.shape[1]} logits for {len(card['labels'])} labels")
    if not np.array_equal(run(session, card, busy)[0], logits_busy):
        raise UnusableModel("it gives other logits when it sees the same frames again")
    times_ms = np.concatenate([times_busy_ms, times_still_ms])
    frame_ms = card["frame"]["dt_us"] / 1e3 if card["frame"].get("dt_us") else None
    p50_ms, p95_ms, p99_ms = (round(float(value), 4) for value in np.percentile(times_ms, [50, 95, 99]))
    return {
        "model": str(path),
        "megabytes": round(os.path.getsize(path) / 1e6, 3),
        "labels": card["labels"],
        "network": card["network"],
        "frame": card["frame"],
        "readout": card["readout"],
        "state_values": int(sum(np.prod(shape) for shape in card["state_shapes"])),
        "device": f"{platform.machine()}, {os.cpu_count()} cores, {threads} used",
        "onnxruntime": onnxruntime.__version__,
        "steps": len(times_ms),
        "step_ms": {"p50": p50_ms, "p95": p95_ms, "p99": p99_ms},
        "frames_per_s": round(1e3 * len(times_ms) / float(times_ms.sum()), 1),
        "step_mj": None if energy.joules is None else round(1e3 * energy.joules / len(times_ms), 4),
        "energy": energy.why or "of the processor's packages, idle power and other programs included",
        "frame_ms": frame_ms,
        "in_time": None if frame_ms is None else p99_ms <= frame_ms,
    }


def describe(report):
    """Return the report as text."""
    frame, step_ms = report["frame"], report["step_ms"]
    width, height = frame["sensor_size"]
    lines = [
        f"{report['model']}: {report['megabytes']} MB, recognises {', '.join(report['labels'])}",
        f"sensor {width}x{height}, {frame['steps']} frames per clip, {report['state_values']:,} state values",
        f"{report['device']}, onnxruntime {report['onnxruntime']}",
        f"one step: p50 {step_ms['p50']:.3f} ms, p95 {step_ms['p95']:.3f} ms, p99 {step_ms['p99']:.3f} ms",
        f"{report['frames_per_s']:,.0f} frames a second",
    ]
    if report["step_mj"] is None:
        lines.append(f"energy unknown: {report['energy']}")
    else:
        lines.append(f"one step: {report['step_mj']:.3f} mJ {report['energy']}")
    if report["frame_ms"] is None:
        lines.append("its frames have no fixed length, so there is no time to keep")
    else:
        verdict = "in time" if report["in_time"] else "too slow: frames will be dropped"
        lines.append(f"a frame comes every {report['frame_ms']:g} ms: {verdict}")
    return "\n".join(lines)


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {number}; expected 1 or more")
    return number


def main():
    parser = argparse.ArgumentParser(description="Describe an exported model, and check that this device runs it.")
    parser.add_argument("model", help="the .onnx file")
    parser.add_argument("--steps", type=positive, default=200, help="steps on random events, and again on empty frames")
    parser.add_argument("--threads", type=positive, default=1, help="threads within one step")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    threads = min(arguments.threads, os.cpu_count() or 1)
    if threads < arguments.threads:
        print(f"check_model: warning: this device has {threads} cores, so {threads} threads are used", file=sys.stderr)
    try:
        report = check(arguments.model, arguments.steps, threads)
    except UnusableModel as error:
        print(f"check_model: error: {arguments.model}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report, indent=2) if arguments.json else describe(report))
    return 1 if report["in_time"] is False else 0


if __name__ == "__main__":
    sys.exit(main())
