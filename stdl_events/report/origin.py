"""What a run was made from: settings, recordings, versions."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from stdl_events.events.defects import count_of
from stdl_events.recipes import RECIPES, find_recipe
from stdl_events.recipes.base import base_of
from stdl_events.recordings.file_digest import file_digest
from stdl_events.recordings.splits.sides import COUNTED, SIDES, Side
from stdl_events.recordings.splits.split_list import SPLIT_FILE, ListedRecording, read_split_list
from stdl_events.report.tables import Table
from stdl_events.sizes import format_bytes
from stdl_events.training.overrides import flat, shown_value
from stdl_events.training.settings import TrainConfig


@dataclass(frozen=True)
class Settings:
    """The configuration.

    Attributes:
        compared_with: configuration that `changed` differs from, in words.
        changed: None if nothing differs.
    """

    compared_with: str
    changed: Table | None
    whole: Table


@dataclass(frozen=True)
class Recordings:
    """The recordings of all sides.

    Attributes:
        facts: (name, text).
        sides: None for a run without a list, of an older version.
    """

    facts: tuple[tuple[str, str], ...]
    sides: Table | None


def settings(config: TrainConfig) -> Settings:
    """Return the settings of a run; first those that differ from its recipe's."""
    if config.name in RECIPES:
        origin, words = find_recipe(config.name).configure(), f"the recipe {config.name}"
    else:
        origin, words = base_of(config), "the settings that a recipe starts from"
    now, then = (flat(one.model_dump(mode="json")) for one in (config, origin))
    rows = [
        (key, shown_value(value), shown_value(then.get(key))) for key, value in now.items() if value != then.get(key)
    ]
    changed = Table.of_text(f"settings that differ from {words}", ("setting", "this run", "there"), rows)
    whole = Table.of_text("all settings", ("setting", "value"), [(key, shown_value(now[key])) for key in now])
    return Settings(words, changed if rows else None, whole)


def recordings(folder: Path) -> Recordings:
    """Return the fingerprint of the recordings that the list of the run in `folder` names.

    Raises:
        DatasetError: the list does not parse.
    """
    listed = read_split_list(folder / SPLIT_FILE)
    if listed is None:
        return Recordings((), None)
    sides = [(side, listed.side(side)) for side in SIDES if listed.side(side)]
    facts = [
        ("folder", listed.root),
        ("dataset", listed.dataset),
        ("rule of the split", listed.rule),
        *([] if listed.validation is None else [("rule of the validation part", listed.validation.rule)]),
        ("kept apart", ", ".join(listed.apart) or _apart(sides, listed.gap_us)),
        ("sensor", f"{listed.sensor_size[0]} x {listed.sensor_size[1]}"),
        ("classes", f"{len(listed.classes):,}"),
        ("left out as unreadable", f"{len(listed.left_out):,}"),
        ("further recordings in the folder", f"{listed.beside:,}"),
        (f"SHA-256 of {SPLIT_FILE}", file_digest(folder / SPLIT_FILE)),
    ]
    rows = [(COUNTED[side], *_fingerprint(rows)) for side, rows in sides]
    head = ("side", "recordings", "files", "size of the files", "subjects", "sessions", "SHA-256 of their digests")
    return Recordings(tuple(facts), Table.of("the sides of the split", head, rows))


def _apart(sides: Sequence[tuple[Side, Sequence[ListedRecording]]], gap_us: int | None) -> str:
    """Return what no two sides share: recordings, or parts of them."""
    files = Counter(chain.from_iterable({row.path for row in rows} for _, rows in sides))
    shared = sum(count > 1 for count in files.values())
    if not shared:
        return "recordings"
    gap = f", at least {gap_us / 1000:g} ms apart" if gap_us else ""
    return f"parts of recordings{gap}; {count_of(shared, 'file')} on more than one side"


def _fingerprint(rows: Sequence[ListedRecording]) -> tuple[str, ...]:
    """Return counts of a side, its bytes, and one digest for all its files in the order of their names."""
    files = {row.path: row for row in rows}
    digests = "".join(f"{files[path].sha256}  {path}\n" for path in sorted(files))
    size = sum(row.bytes or 0 for row in files.values())
    people = (len({row.further[name] for row in rows if name in row.further}) for name in ("subject", "session"))
    named = (f"{count:,}" if count else "not named" for count in people)
    return (
        f"{len(rows):,}", f"{len(files):,}", format_bytes(size), *named,
        hashlib.sha256(digests.encode()).hexdigest()[:16],
    )  # fmt: skip


def software(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Return versions and hardware by name, from the start rows of a run's metrics; of a resumed run all of them."""
    found: dict[str, dict[str, None]] = {}
    for row in (row for row in rows if row["kind"] == "start"):
        facts = {
            **row.get("versions", {}),
            **{key: row[key] for key in ("device", "hardware", "threads") if key in row},
        }
        for name, value in facts.items():
            found.setdefault(name, {})[str(value)] = None
    return tuple((name, ", then ".join(values)) for name, values in found.items())
