"""Damage model files and their cards in many ways, and run each one step.

    python tests/fuzz/fuzz_models.py --count 1000

Every file must be refused by one line of ours, or run as what it says it is, within 2 seconds of CPU time, without a
file opened but itself. Anything else ends the process with a message that names the file; a crash shows as its exit
status to the parent process, which is `tests/benchmarks/run_fuzz_models.py`.
"""

import argparse
import json
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from fuzz_readers import MAX_SECONDS, set_alarms
from onnx_models import make_card, stream_spec, write_model
from opened_files import opened_files

from stdl_events.errors import StdlEventsError
from stdl_events.live import OnnxSession
from stdl_events.live.onnx_file import OPERATORS, weights_sha256
from stdl_events.model_card import METADATA_KEY
from stdl_events.models import shipped_models

Random = np.random.Generator
OLDER = Path(__file__).parents[1] / "live" / "version_0_1_0"
MODEL, BESIDE, ABOVE = "m.onnx", "weights.bin", "secret.bin"
# Names that are asked for before the first and after the last file, for a program that watches the system's calls.
BEGINS, ENDS = "begins", "ends"
MAX_TEXT = 1200
_EXTREMES = (0, 1, -1, 2, 7, 255, 2**16, 2**31 - 1, -(2**31), 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
_TEXTS = (
    "", "frame", "logits", "state_0", "batch", "x" * 300, "\x1b[31m\n", "/etc/passwd", f"../{ABOVE}", BESIDE, "NaN",
    "Loop", "If", "Scan", "com.microsoft", METADATA_KEY,
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**70, 1e308, -0.5, "", "reset", "x" * 300, "\x1b[2J", [], [0], [[]], {}, {"a": 1},
    ["a"] * 9, [2**40, 2**40], "0" * 64,
)  # fmt: skip


def seeds() -> list[bytes]:
    """Return model files: a small one with and without checksum, those of the package, those of version 0.1.0."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / MODEL
        plain = write_model(path, make_card(stream_spec())).read_bytes()
        checked = write_model(path, make_card(stream_spec(), weights_sha256=weights_sha256(plain))).read_bytes()
    shipped = [model.path.read_bytes() for model in shipped_models().values()]
    return [plain, checked, *shipped, *(path.read_bytes() for path in sorted(OLDER.glob("*.onnx")))]


def flipped(data: bytes, random: Random) -> bytes:
    """Return `data` with one to three bytes or short runs changed, removed or repeated."""
    out = bytearray(data)
    for _ in range(random.integers(1, 4)):
        at = int(random.integers(len(out)))
        kind = random.integers(4)
        if kind == 0:
            out[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            out[at] = int(random.integers(256))
        elif kind == 2:
            del out[at : at + int(random.integers(1, 9))]
        else:
            out[at:at] = out[at : at + int(random.integers(1, 9))]
    return bytes(out)


def truncated(data: bytes, random: Random) -> bytes:
    return data[: int(random.integers(len(data)))]


def with_other_fields(data: bytes, random: Random) -> bytes:
    """Return the model with one to three of its fields, at any depth, cleared, repeated or set to another value."""
    model = onnx.ModelProto.FromString(data)
    for _ in range(random.integers(1, 4)):
        message = _any_message(model, random)
        fields = message.DESCRIPTOR.fields
        _change(message, fields[int(random.integers(len(fields)))], random)
    return model.SerializeToString()


def _any_message(message: Any, random: Random) -> Any:
    """Return the message itself, or one that it holds, at any depth."""
    while True:
        inner = [
            each
            for field, value in message.ListFields()
            if field.message_type is not None
            for each in (value if field.is_repeated else [value])
        ]
        if not inner or random.random() < 0.2:
            return message
        message = inner[int(random.integers(len(inner)))]


def _change(message: Any, field: Any, random: Random) -> None:
    name = field.name
    if random.random() < 0.2:
        message.ClearField(name)
    elif field.message_type is not None:
        _change_messages(message, field, random)
    elif field.is_repeated:
        values = getattr(message, name)
        if values and random.random() < 0.5:
            values[int(random.integers(len(values)))] = _value(field, random)
        else:
            values.append(_value(field, random))
    else:
        setattr(message, name, _value(field, random))


def _change_messages(message: Any, field: Any, random: Random) -> None:
    held = getattr(message, field.name)
    if not field.is_repeated:
        held.SetInParent()
    elif held and random.random() < 0.7:
        first, second = (held[int(random.integers(len(held)))] for _ in range(2))
        if random.random() < 0.5:
            held.add().CopyFrom(first)
        else:
            first.CopyFrom(second)
    elif field.message_type.name == "StringStringEntryProto":
        held.add(key="location", value=str(random.choice(_TEXTS)))
    else:
        held.add()


def _value(field: Any, random: Random) -> Any:
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return random.bytes(int(random.integers(40)))
        if field.name == "op_type":
            return str(random.choice(sorted(OPERATORS)))
        return str(random.choice(_TEXTS))
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return float(random.choice([0.0, 1.0, -1.0, 1e38, np.inf, np.nan]))
    if kind == field.CPPTYPE_ENUM:
        return int(random.choice([each.number for each in field.enum_type.values]))
    value = int(_EXTREMES[int(random.integers(len(_EXTREMES)))])
    bits = 31 if kind in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 63
    least = 0 if kind in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64) else -(2**bits)
    return value if least <= value < 2**bits else 1


def with_other_card(data: bytes, random: Random) -> bytes:
    """Return the model with one to three entries of its card, at any depth, removed, added or set to another value."""
    model = onnx.ModelProto.FromString(data)
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    card = json.loads(entry.value)
    for _ in range(random.integers(1, 4)):
        part: Any = card
        while True:
            keys = list(part) if isinstance(part, dict) else list(range(len(part)))
            if not keys:
                break
            key = keys[int(random.integers(len(keys)))]
            if isinstance(part[key], dict | list) and random.random() < 0.6:
                part = part[key]
                continue
            part[key] = deepcopy(_VALUES[int(random.integers(len(_VALUES)))])
            if isinstance(part, dict) and random.random() < 0.4:
                part[str(random.choice(_TEXTS))] = part.pop(key)
            break
    entry.value = json.dumps(card)
    return model.SerializeToString()


def with_other_letters(data: bytes, random: Random) -> bytes:
    """Return the model with letters of its card changed."""
    model = onnx.ModelProto.FromString(data)
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = flipped(entry.value.encode(), random).decode("utf-8", "replace")
    return model.SerializeToString()


DAMAGES: dict[str, Callable[[bytes, Random], bytes]] = {
    "flipped bytes": flipped,
    "truncated": truncated,
    "other fields": with_other_fields,
    "other card": with_other_card,
    "other letters of the card": with_other_letters,
}


def outcome(path: Path) -> str:
    """Run the file at `path` one step and return "runs", or "refused".

    Raises:
        AssertionError: it runs as something else than it says, or the refusal is not one short line.
    """
    try:
        session = OnnxSession(path)
        card = session.card
        frame_BCHW = np.ones((1, *card.frame.frame_shape_CHW), np.uint16)
        logits_BK, state = session.step(frame_BCHW, session.initial_state())
    except StdlEventsError as error:
        text = str(error)
        assert text.isprintable(), f"a refusal with control characters: {text!r}"
        assert len(text) < MAX_TEXT, f"a refusal of {len(text)} characters"
        return "refused"
    assert logits_BK.shape == (1, len(card.labels)), f"logits of {logits_BK.shape}"
    assert logits_BK.dtype == np.float32, f"logits of {logits_BK.dtype}"
    assert tuple(each.shape[1:] for each in state) == card.state_shapes, "states of other shapes"
    assert card.weights_sha256 in (None, session.file.weights_sha256), "other weights than the card's"
    return "runs"


def run(
    folder: Path,
    good: Sequence[bytes],
    indices: Sequence[int],
    seed: int,
    around: Callable[[int, Callable[[], str]], str] = lambda _, take: take(),
) -> Counter[str]:
    """Write the damaged files of these indices to `folder`, one after the other, and return the number of outcomes.

    Args:
        good: the files that are damaged.
        around: (index, what runs the file) -> the outcome; for limits.
    """
    damages, path = list(DAMAGES), folder / MODEL
    outcomes: Counter[str] = Counter()
    for index in indices:
        random = np.random.default_rng([seed, index])
        damage = damages[index % len(damages)]
        path.write_bytes(DAMAGES[damage](good[index // len(damages) % len(good)], random))
        outcomes[f"{damage}: {around(index, lambda: outcome(path))}"] += 1
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description="Model files damaged in many ways.")
    parser.add_argument("--first", type=int, default=0, help="index of the first file")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    slowest_s = 0.0

    def limited(index: int, take: Callable[[], str]) -> str:
        nonlocal slowest_s
        set_alarms(MAX_SECONDS)
        began_s = _cpu_s()
        try:
            found = take()
        except BaseException as error:
            print(f"seed {asked.seed}, file {index}: {type(error).__name__}: {error}", flush=True)
            raise
        finally:
            set_alarms(0)
        slowest_s = max(slowest_s, _cpu_s() - began_s)
        return found

    with tempfile.TemporaryDirectory() as name:
        above, folder = Path(name), Path(name) / "models"
        folder.mkdir()
        for path in (above / ABOVE, folder / BESIDE):
            path.write_bytes(bytes(1 << 16))
        good = seeds()
        for data in good:
            (folder / MODEL).write_bytes(data)
            assert outcome(folder / MODEL) == "runs", "a good file was refused"
        run(folder, good, range(20), asked.seed)  # what is imported late, too
        with opened_files([folder, above]) as opened:
            (folder / BEGINS).exists()
            outcomes = run(folder, good, range(asked.first, asked.first + asked.count), asked.seed, limited)
            (folder / ENDS).exists()
        others = {path for path in opened if path != folder / MODEL}
        assert not others, f"opened: {others}"
        assert opened, "not even the models were seen to be opened"
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"outcomes": dict(sorted(outcomes.items())), "slowest_s": slowest_s, "peak_mib": peak_mib}))
    return 0


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
